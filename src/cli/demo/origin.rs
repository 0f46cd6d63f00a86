//! URLs of services as arguments.

use std::ffi::OsStr;

use clap::{
    Arg, Command, Error,
    builder::{StringValueParser, TypedValueParser},
    error::ErrorKind,
};
use url::Url;

/// Parses an `http` or `https` URL, to which the paths of the API are appended. Its errors do not contain the value,
/// because it may include a password.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin;

impl TypedValueParser for Origin {
    type Value = Url;

    fn parse_ref(&self, cmd: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Url, Error> {
        let text = StringValueParser::new().parse_ref(cmd, arg, value)?;
        origin(&text).map_err(|reason| {
            let of = arg.map_or_else(String::new, |arg| format!(" for '{arg}'"));
            Error::raw(
                ErrorKind::ValueValidation,
                format!("invalid value{of}: {reason}\n"),
            )
            .with_cmd(cmd)
        })
    }
}

fn origin(text: &str) -> Result<Url, String> {
    let expected = "expected a URL, for example http://127.0.0.1:8080";
    let mut url = Url::parse(text).map_err(|error| format!("{error}; {expected}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(String::from(expected));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{expected}, without a user name and a password"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_web_address_to_which_paths_are_added() {
        let joined = |text: &str| origin(text).unwrap().join("api/login").unwrap().to_string();
        assert_eq!(
            joined("http://127.0.0.1:8080"),
            "http://127.0.0.1:8080/api/login"
        );
        assert_eq!(
            joined("https://a.example/b"),
            "https://a.example/b/api/login"
        );
        assert!(origin("localhost:8080").is_err() && origin("ftp://a").is_err());
        assert!(origin("nothing").is_err());
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        let refused = |text: &str| {
            let command = Command::new("demo");
            Origin
                .parse_ref(&command, None, OsStr::new(text))
                .unwrap_err()
                .to_string()
        };
        for text in [
            "http://ada:topsecret@host",
            "ftp://:topsecret@host",
            "http://a:topsecret@:1",
        ] {
            let said = refused(text);
            assert!(!said.contains("topsecret"), "{said}");
            assert!(said.contains("expected a URL"), "{said}");
        }
    }
}
