//! Request heads as they arrive at the socket: their end, their validation, and what follows them.
//!
//! actix-http validates heads too, but it responds to invalid ones by itself: without a body, without the headers of
//! other responses, and without informing the application, so that no metric counts them. This module therefore applies
//! all of its rules first, and a rejected head becomes a response of the application; see [`Refusal`].

use actix_web::http::{Uri, header::HeaderName};
use httparse::{Error, Header, Request, Status};

/// Maximum length of a head, in bytes. actix-http reads no more.
const LONGEST_HEAD: usize = 128 * 1024;
/// Maximum length of the first line, in bytes. `http::Uri` holds no more.
const LONGEST_LINE: usize = 64 * 1024 - 256;
/// Maximum length of a header name, in bytes: far above that of any existing name, and far below the limit of
/// `http::HeaderName`.
const LONGEST_NAME: usize = 8 * 1024;
/// Maximum number of headers. actix-http reads no more.
const MOST_HEADERS: usize = 96;

/// Why bytes are rejected as a request. The text is for the client and quotes nothing from the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request is not HTTP/1.0 or HTTP/1.1, or its framing is invalid.
    Malformed(&'static str),
    /// The request target is too long.
    TargetTooLong,
    /// The head is too large, or has too many headers.
    HeadTooLarge,
    /// The head did not arrive in time.
    HeadTooSlow,
}

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// The next head.
    None,
    /// A body of this length.
    Length(u64),
    /// A chunked body.
    Chunked,
    /// Data that ends with the connection.
    Endless,
}

/// A complete head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Its length in bytes.
    pub(super) length: usize,
    /// What follows it.
    pub(super) body: Body,
    /// Whether the request is a `POST` with HTTP/1.0 and without a length, so that it has no body (RFC 9112, section
    /// 6.3, rule 7). actix-http rejects it, but nginx sends such requests.
    pub(super) has_no_length: bool,
}

/// Finds the end of a head in bytes that arrive in pieces. It inspects no byte twice.
#[derive(Debug, Default)]
pub(super) struct Search {
    seen: usize,
}

impl Search {
    /// Reads the head at the start of `bytes`, which contains all bytes of the previous call and possibly more. Returns
    /// `None` while the head is incomplete.
    pub(super) fn head(&mut self, bytes: &[u8]) -> Option<Result<Head, Refusal>> {
        let complete = self.has_end(bytes);
        if !complete {
            return too_long(bytes).map(Err);
        }
        match read(bytes) {
            Ok(None) => too_long(bytes).map(Err),
            Ok(Some(head)) => {
                self.seen = 0;
                Some(Ok(head))
            }
            Err(refusal) => Some(Err(refusal)),
        }
    }

    /// Returns whether the bytes not inspected yet contain an empty line.
    fn has_end(&mut self, bytes: &[u8]) -> bool {
        // The empty line may start in the previous three bytes.
        let from = self.seen.saturating_sub(3).min(bytes.len());
        self.seen = bytes.len();
        let fresh = &bytes[from..];
        fresh.iter().enumerate().any(|(at, byte)| {
            let rest = &fresh[at + 1..];
            *byte == b'\n' && (rest.starts_with(b"\n") || rest.starts_with(b"\r\n"))
        })
    }
}

/// Returns why no valid head can start with these bytes, if that is known already.
fn too_long(bytes: &[u8]) -> Option<Refusal> {
    let line = bytes.iter().position(|it| *it == b'\n');
    if line.unwrap_or(bytes.len()) > LONGEST_LINE {
        Some(Refusal::TargetTooLong)
    } else if bytes.len() >= LONGEST_HEAD {
        Some(Refusal::HeadTooLarge)
    } else {
        None
    }
}

fn read(bytes: &[u8]) -> Result<Option<Head>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(None),
        Err(Error::TooManyHeaders) => return Err(Refusal::HeadTooLarge),
        Err(error) => return Err(Refusal::Malformed(why(error))),
    };
    if length > LONGEST_HEAD {
        return Err(Refusal::HeadTooLarge);
    }
    let target = request.path.unwrap_or_default();
    if target.len() > LONGEST_LINE {
        return Err(Refusal::TargetTooLong);
    }
    if Uri::try_from(target).is_err() {
        return Err(Refusal::Malformed("the request target is not a URI"));
    }
    let method = request.method.unwrap_or_default();
    let fields = Fields::read(request.headers)?;
    let body = fields.body(method, request.version == Some(0))?;
    Ok(Some(Head {
        length,
        body,
        has_no_length: body == Body::None
            && request.version == Some(0)
            && method == "POST"
            && fields.length.is_none(),
    }))
}

const fn why(error: Error) -> &'static str {
    match error {
        Error::HeaderName => "a header name contains an invalid character",
        Error::HeaderValue => "a header value contains an invalid character",
        Error::NewLine => "a line end is invalid",
        Error::Token => "the request line does not consist of method, target and version",
        Error::Version => "the version is not HTTP/1.0 or HTTP/1.1",
        Error::Status | Error::TooManyHeaders => "the head cannot be read",
    }
}

/// The header fields that determine the framing.
#[derive(Debug, Default)]
struct Fields {
    length: Option<u64>,
    coding: Option<bool>,
    hosts: usize,
    websocket: bool,
}

impl Fields {
    fn read(headers: &[Header<'_>]) -> Result<Self, Refusal> {
        let mut fields = Self::default();
        for header in headers {
            let value = header.value.trim_ascii();
            if header.name.len() > LONGEST_NAME
                || HeaderName::from_bytes(header.name.as_bytes()).is_err()
            {
                return Err(Refusal::HeadTooLarge);
            }
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            if is("content-length") {
                let digits = value.iter().all(u8::is_ascii_digit);
                let length = str::from_utf8(value).ok().and_then(|it| it.parse().ok());
                match (fields.length, length) {
                    (None, Some(length)) if digits => fields.length = Some(length),
                    _ => return Err(Refusal::Malformed("Content-Length is not a single number")),
                }
            } else if is("transfer-encoding") {
                if fields.coding.is_some() {
                    return Err(Refusal::Malformed(
                        "there are two Transfer-Encoding headers",
                    ));
                }
                fields.coding = Some(value.eq_ignore_ascii_case(b"chunked"));
            } else if is("host") {
                fields.hosts += 1;
                if !is_host(value) {
                    return Err(Refusal::Malformed(
                        "Host is not a name or address with a port",
                    ));
                }
            } else if is("upgrade") {
                fields.websocket |= value.eq_ignore_ascii_case(b"websocket");
            }
        }
        Ok(fields)
    }

    /// Returns what follows the head (RFC 9112, section 6.3).
    fn body(&self, method: &str, old: bool) -> Result<Body, Refusal> {
        if self.hosts > 1 || (self.hosts == 0 && !old) {
            return Err(Refusal::Malformed(
                "HTTP/1.1 requires exactly one Host header",
            ));
        }
        match (self.coding, self.length) {
            (Some(_), _) if old => Err(Refusal::Malformed(
                "HTTP/1.0 does not allow Transfer-Encoding",
            )),
            (Some(false), _) => Err(Refusal::Malformed(
                "the only supported Transfer-Encoding is chunked",
            )),
            (Some(true), Some(_)) => Err(Refusal::Malformed(
                "Content-Length and Transfer-Encoding exclude each other",
            )),
            (Some(true), None) => Ok(Body::Chunked),
            // After a request for another protocol, actix-http passes the rest of the connection on as a body.
            (None, _) if self.websocket => Ok(Body::Endless),
            (None, Some(0) | None) if method == "CONNECT" => Ok(Body::Endless),
            (None, Some(0) | None) => Ok(Body::None),
            (None, Some(length)) => Ok(Body::Length(length)),
        }
    }
}

/// Returns whether this is a valid value of `Host`: `uri-host [ ":" port ]` (RFC 9110, section 7.2), or empty.
fn is_host(value: &[u8]) -> bool {
    let allowed = |it: &u8| it.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(it);
    value.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(text: &str) -> Result<Head, Refusal> {
        Search::default().head(text.as_bytes()).unwrap()
    }

    fn body(text: &str) -> Body {
        let head = head(text).unwrap();
        assert_eq!(head.length, text.len());
        head.body
    }

    #[test]
    fn a_head_says_what_follows_it() {
        assert_eq!(body("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), Body::None);
        assert_eq!(body("GET / HTTP/1.1\nhost: a:1\n\n"), Body::None);
        assert_eq!(
            body("\r\n\r\nGET / HTTP/1.1\r\nHost: [::1]:1\r\n\r\n"),
            Body::None
        );
        let post = |rest: &str| body(&format!("POST / HTTP/1.1\r\nHost:\r\n{rest}\r\n"));
        assert_eq!(post("Content-Length: 0\r\n"), Body::None);
        assert_eq!(post("content-length:7 \r\n"), Body::Length(7));
        assert_eq!(post("Transfer-Encoding: Chunked\r\n"), Body::Chunked);
        assert_eq!(post("Upgrade: WebSocket\r\n"), Body::Endless);
        assert_eq!(
            body("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
            Body::Endless
        );
    }

    #[test]
    fn a_post_by_http_1_0_without_a_length_has_no_body() {
        let lacks = |text: &str| head(text).unwrap().has_no_length;
        assert!(lacks(
            "POST / HTTP/1.0\r\nHost: a\r\nConnection: close\r\n\r\n"
        ));
        assert!(lacks("POST / HTTP/1.0\r\n\r\n"));
        for other in [
            "POST / HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            assert!(!lacks(other), "{other}");
        }
    }

    #[test]
    fn what_is_no_request_is_told_from_what_is_too_large() {
        for bad in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b/c?\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET /\r\n\r\n",
            "G\u{e9}T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET \u{e9}\u{1} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1,1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert!(
                matches!(head(bad), Err(Refusal::Malformed(_))),
                "{bad:?}: {:?}",
                head(bad)
            );
        }
        let with = |rest: &str| head(&format!("GET / HTTP/1.1\r\nHost: a\r\n{rest}\r\n"));
        assert_eq!(with(&"a: b\r\n".repeat(96)), Err(Refusal::HeadTooLarge));
        assert!(with(&"a: b\r\n".repeat(95)).is_ok());
        assert_eq!(
            with(&format!("{}: b\r\n", "a".repeat(70_000))),
            Err(Refusal::HeadTooLarge)
        );
        assert_eq!(
            with(&format!("a: {}\r\n", "b".repeat(140_000))),
            Err(Refusal::HeadTooLarge)
        );
        assert!(with(&format!("a: {}\r\n", "b".repeat(100_000))).is_ok());
        let target = |length| {
            head(&format!(
                "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
                "a".repeat(length)
            ))
        };
        assert!(target(60_000).is_ok());
        assert_eq!(target(70_000), Err(Refusal::TargetTooLong));
    }

    #[test]
    fn what_is_too_large_is_told_before_its_end() {
        let whole = format!("GET /{}", "a".repeat(70_000));
        assert_eq!(
            Search::default().head(whole.as_bytes()),
            Some(Err(Refusal::TargetTooLong))
        );
        let whole = format!("GET / HTTP/1.1\r\na: {}", "a".repeat(140_000));
        assert_eq!(
            Search::default().head(whole.as_bytes()),
            Some(Err(Refusal::HeadTooLarge))
        );
    }

    proptest! {
        #[test]
        fn a_head_is_the_same_in_one_piece_and_byte_by_byte(
            lines in prop::collection::vec("[ -~]{0,20}", 0..6),
            ending in prop::sample::select(vec!["\r\n", "\n"]),
        ) {
            let text = format!("GET / HTTP/1.1{ending}Host: a{ending}{}{ending}{ending}GET", lines.join(ending));
            let whole = Search::default().head(text.as_bytes());
            let mut search = Search::default();
            let mut piecemeal = None;
            for end in 1..=text.len() {
                piecemeal = search.head(&text.as_bytes()[..end]);
                if piecemeal.is_some() {
                    break;
                }
            }
            prop_assert_eq!(whole, piecemeal);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Search::default().head(&bytes);
            let _ = Search::default().head(&[&bytes[..], b"\r\n\r\n"].concat());
        }
    }
}
