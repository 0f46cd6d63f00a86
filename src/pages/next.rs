//! Where a browser goes after a login: the parameter `next`.

use std::sync::LazyLock;

use percent_encoding::percent_decode_str;
use url::Url;

/// Maximum length of `next`, in bytes.
const MAX_BYTES: usize = 2_048;

/// Pages that are no target: they would lead back, or log out.
const NOT_A_TARGET: [&str; 3] = ["/login", "/logout", "/continue"];

static BASE: LazyLock<Option<Url>> = LazyLock::new(|| "http://base.invalid".parse().ok());

/// A path of this service with its query, for a redirect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Next(String);

impl Next {
    /// Returns the target for this text, or `None` if it is not a path of this service.
    ///
    /// Browsers read `//`, `\` and characters that they drop (tab, line feed) as the beginning of another host, so
    /// these are not accepted. The result is what a URL parser (WHATWG) makes of the path, not the text itself.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let begins_a_path = text.starts_with('/') && !text.starts_with("//");
        let is_safe = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
        if text.len() > MAX_BYTES || !begins_a_path || !text.bytes().all(is_safe) {
            return None;
        }
        let base = BASE.as_ref()?;
        let url = base
            .join(text)
            .ok()
            .filter(|url| url.origin() == base.origin())?;
        let path = url.path();
        // The router decodes the path, too.
        let decoded = percent_decode_str(path).decode_utf8_lossy();
        if path.starts_with("//") || NOT_A_TARGET.contains(&&*decoded) {
            return None;
        }
        Some(Self(match url.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        }))
    }

    /// Returns the path and query.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the address of a page with this target as its parameter `next`.
    pub(super) fn of_page(page: &str, next: Option<&Self>) -> String {
        match next {
            Some(Self(next)) => {
                let encoded = url::form_urlencoded::byte_serialize(next.as_bytes());
                let encoded: String = encoded.collect();
                format!("{page}?next={encoded}")
            }
            None => page.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_of_this_service_is_a_target() {
        for (text, target) in [
            ("/", "/"),
            ("/account", "/account"),
            (
                "/console?user=ada&role=admin",
                "/console?user=ada&role=admin",
            ),
            ("/a/../b/./c", "/b/c"),
            (
                "/a?next=https://evil.example/",
                "/a?next=https://evil.example/",
            ),
            ("/%2f%2fevil.example", "/%2f%2fevil.example"),
            ("/@evil.example", "/@evil.example"),
            ("/:80", "/:80"),
            ("/a#b", "/a"),
            ("/login/../account", "/account"),
        ] {
            assert_eq!(Next::parse(text), Some(Next(target.into())), "{text}");
        }
    }

    #[test]
    fn anything_else_is_ignored() {
        let long = format!("/{}", "a".repeat(MAX_BYTES));
        for text in [
            "",
            "account",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "\t//evil.example",
            " /account",
            "/.//evil.example",
            "/a/..//evil.example",
            "/%2e//evil.example",
            "https://evil.example",
            "https:evil.example",
            "http://localhost/",
            "javascript:alert(1)",
            "data:text/html,x",
            "?next=/",
            "#",
            "/\u{0}",
            "/\u{e5}",
            "/login",
            "/logout?x",
            "/a/../continue?next=/account",
            "/%6cogin",
            "/%63ontinue?next=/account",
            &long,
        ] {
            assert_eq!(Next::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        /// What a browser makes of an accepted target, on any page of the service, is on the same host.
        #[test]
        fn an_accepted_target_stays_on_the_host(text in "(?s)[/\\\\@:.?#%a-z0-9\\t\\n ]{0,20}|.{0,30}") {
            if let Some(next) = Next::parse(&text) {
                let page: Url = "https://login.example.org/continue".parse().unwrap();
                let url = page.join(next.as_str()).unwrap();
                prop_assert_eq!(url.origin(), page.origin());
                prop_assert_eq!(Next::parse(next.as_str()), Some(next));
            }
        }
    }
}
