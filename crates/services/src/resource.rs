//! Comparison of resource URLs.

use url::Url;

/// Returns whether two texts name the same resource: either they are identical, or they are equal URLs after the
/// normalization that the scheme allows (RFC 3986, sections 6.2.2.1 and 6.2.3). `https://api.example`,
/// `https://api.example/` and `HTTPS://API.example:443` are the same, because URL classes of most languages add the
/// slash.
#[must_use]
pub fn same_resource(one: &str, other: &str) -> bool {
    one == other || canonical(one).is_some_and(|it| Some(it) == canonical(other))
}

/// Returns the normal form of an HTTP URL. Texts that only browsers repair (spaces, backslashes, a missing slash) are
/// rejected: they are not URLs by the RFC.
fn canonical(text: &str) -> Option<Url> {
    let plain = text.bytes().all(|it| it.is_ascii_graphic() && it != b'\\');
    let (scheme, rest) = text.split_once("://")?;
    let web = ["http", "https"]
        .iter()
        .any(|it| scheme.eq_ignore_ascii_case(it));
    let host_follows = rest.starts_with(|it: char| it != '/');
    if plain && web && host_follows {
        Url::parse(text).ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_the_same_after_the_normalization_of_their_scheme() {
        for (one, other) in [
            ("https://api.example", "https://api.example/"),
            ("https://api.example/", "https://api.example"),
            ("https://api.example", "HTTPS://API.Example:443"),
            ("https://api.example", "https://api.example:/"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("https://api.example/a", "https://api.example:443/a"),
            ("urn:example:api", "urn:example:api"),
        ] {
            assert!(same_resource(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("https://api.example", "http://api.example"),
            ("https://api.example", "https://api.example:8443"),
            ("https://api.example/a", "https://api.example/a/"),
            ("https://api.example/a", "https://api.example/A"),
            ("https://api.example", "https://api.example?"),
            ("https://api.example", "https://api.example/#"),
            ("https://api.example", "https://user@api.example"),
            ("https://api.example", " https://api.example"),
            ("https://api.example", "https:\\\\api.example"),
            ("https://api.example", "https:///api.example"),
            ("https://api.example", "https:api.example"),
            ("https://api.example", "https://api.example."),
            ("urn:example:api", "urn:example:api/"),
        ] {
            assert!(!same_resource(one, other), "{one} {other}");
        }
    }
}
