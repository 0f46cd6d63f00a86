//! What is trusted about a request: the proxies in front of the service, and its own origin.

use std::{net::IpAddr, sync::Arc};

use actix_web::http::header::{self, HeaderMap, HeaderName};
use ipnet::IpNet;
use url::Url;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The origin under which browsers see the service: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin(String);

impl From<&Url> for Origin {
    fn from(url: &Url) -> Self {
        Self(url.origin().ascii_serialization())
    }
}

/// The trust boundary: the origin of the same site, and the trusted proxies.
#[derive(Clone, Debug)]
pub struct TrustBoundary {
    origin: Origin,
    trusted_proxies: Arc<[IpNet]>,
}

impl TrustBoundary {
    /// Creates the boundary of a service that is seen under `origin`, through `trusted_proxies`.
    #[must_use]
    pub const fn new(origin: Origin, trusted_proxies: Arc<[IpNet]>) -> Self {
        Self {
            origin,
            trusted_proxies,
        }
    }

    /// Returns the networks of the trusted proxies.
    pub(super) fn trusted_proxies(&self) -> &[IpNet] {
        &self.trusted_proxies
    }

    /// Returns whether browsers see the service over https.
    pub(super) fn is_https(&self) -> bool {
        self.origin.0.starts_with("https://")
    }

    /// Returns whether a peer is a trusted proxy.
    pub(super) fn trusts(&self, peer: Option<IpAddr>) -> bool {
        let trusted = |peer: IpAddr| {
            let peer = peer.to_canonical();
            self.trusted_proxies.iter().any(|net| net.contains(&peer))
        };
        peer.is_some_and(trusted)
    }

    /// Returns whether a browser reports that another site sent this request.
    ///
    /// Browsers report it in `Sec-Fetch-Site`, which no page can set; browsers without this header send `Origin`. A
    /// client that sends neither is not a browser, so no other site can abuse it.
    pub(super) fn is_cross_site(&self, headers: &HeaderMap) -> bool {
        let ours = |value: &[u8]| matches!(value, b"same-origin" | b"none");
        let mut said = headers.get_all(SEC_FETCH_SITE).peekable();
        if said.peek().is_some() {
            return !said.all(|value| ours(value.as_bytes()));
        }
        let own = self.origin.0.as_bytes();
        let mut origins = headers.get_all(header::ORIGIN);
        !origins.all(|value| value.as_bytes().eq_ignore_ascii_case(own))
    }
}

/// Returns whether the client used https. Only trusted proxies can state it; the last of them has written the last
/// value.
pub(super) fn over_https(
    trust_boundary: &TrustBoundary,
    peer: Option<IpAddr>,
    headers: &HeaderMap,
) -> bool {
    let Some(said) = headers.get_all(FORWARDED_PROTO).next_back() else {
        return false;
    };
    // Octets, because the preceding values from the client may not be text.
    let last = said.as_bytes().rsplit(|it| *it == b',').next();
    last.is_some_and(|it| it.trim_ascii().eq_ignore_ascii_case(b"https"))
        && trust_boundary.trusts(peer)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn trust_boundary() -> TrustBoundary {
        let url: Url = "https://login.example:8443/path".parse().unwrap();
        let proxies: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap()];
        TrustBoundary::new((&url).into(), proxies.into())
    }

    fn cross_site(headers: &[(&'static str, &'static str)]) -> bool {
        let mut request = TestRequest::post();
        for header in headers {
            request = request.append_header(*header);
        }
        trust_boundary().is_cross_site(request.to_http_request().headers())
    }

    #[test]
    fn the_browsers_own_word_counts_before_the_origin() {
        for ours in ["same-origin", "none"] {
            assert!(!cross_site(&[("sec-fetch-site", ours)]), "{ours}");
            assert!(!cross_site(&[("sec-fetch-site", ours), ("origin", "null")]));
        }
        for other in [
            "cross-site",
            "same-site",
            "",
            "SAME-ORIGIN",
            "same-origin, none",
        ] {
            assert!(cross_site(&[("sec-fetch-site", other)]), "{other:?}");
        }
        assert!(cross_site(&[
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "cross-site"),
        ]));
    }

    #[test]
    fn an_origin_is_ours_only_with_scheme_host_and_port() {
        assert!(!cross_site(&[("origin", "https://login.example:8443")]));
        for other in [
            "null",
            "",
            "https://login.example",
            "http://login.example:8443",
            "https://login.example:8443.evil.example",
            "https://evil.example",
        ] {
            assert!(cross_site(&[("origin", other)]), "{other:?}");
        }
    }

    #[test]
    fn who_is_no_browser_comes_from_no_other_site() {
        assert!(!cross_site(&[]));
    }

    #[test]
    fn https_is_believed_from_our_own_proxies_only() {
        let request = |value: &'static str| {
            let request = TestRequest::get().insert_header(("x-forwarded-proto", value));
            request.to_http_request()
        };
        let (proxy, stranger) = ("127.0.0.1".parse().ok(), "203.0.113.9".parse().ok());
        let https = |peer, value| over_https(&trust_boundary(), peer, request(value).headers());
        assert!(https(proxy, "https"));
        assert!(https(proxy, "http, https"));
        assert!(!https(proxy, "https, http"));
        assert!(https(proxy, "\u{e9}, https"));
        assert!(!https(stranger, "https"));
        assert!(!https(None, "https"));
    }
}
