//! Request bodies: JSON, and what all bodies have in common.

use std::{rc::Rc, time::Duration};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use futures_util::{StreamExt, future::LocalBoxFuture};
use secrecy::SecretString;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use zeroize::Zeroizing;

use crate::{
    connection::Connection,
    error::ApiError,
    rejection::{BODY_LIMIT, Rejection},
};

/// How long a body may take to arrive, on a server that is not ours and has no timeout of its own for bodies.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// A JSON body.
pub trait Body: DeserializeOwned {
    /// The expected form, for clients that sent something else.
    const EXPECTED: &'static str;
}

/// Extracts the body as `application/json` of at most `BODY_LIMIT` bytes.
///
/// Bodies carry passwords: no message quotes them, and the collected bytes are wiped from memory afterwards.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: Body + 'static> FromRequest for JsonBody<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let head = check_head(request);
        let announced = announced(request, BODY_LIMIT);
        let timeout = body_timeout(request);
        let payload = payload.take();
        Box::pin(async move {
            head?;
            let bytes = collect(payload, announced?, BODY_LIMIT, timeout).await?;
            Ok(Self(parse(&bytes)?))
        })
    }
}

/// Extracts a body as [`JsonBody`] does, or the default value if there is no body.
#[derive(Debug)]
pub struct OptionalJsonBody<T>(pub T);

impl<T: Body + Default + 'static> FromRequest for OptionalJsonBody<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        // There is a body if its length or its coding is announced (RFC 9112, section 6).
        let length = announced(request, BODY_LIMIT);
        if length == Ok(0) && !request.headers().contains_key(TRANSFER_ENCODING) {
            return Box::pin(async { Ok(Self(T::default())) });
        }
        let body = JsonBody::from_request(request, payload);
        Box::pin(async move { body.await.map(|JsonBody(it)| Self(it)) })
    }
}

fn check_head(request: &HttpRequest) -> Result<(), Rejection> {
    if is_plain(request, "application/json") {
        Ok(())
    } else {
        Err(Rejection::NotJson)
    }
}

/// Returns whether the body has this media type, in UTF-8 and without content coding.
///
/// UTF-8 has several names (WHATWG Encoding, section 4.2), and some clients state explicitly that there is no content
/// coding.
pub fn is_plain(request: &HttpRequest, essence: &str) -> bool {
    let Some(media) = request.mime_type().ok().flatten() else {
        return false;
    };
    let charset = media.get_param("charset");
    let in_utf8 = charset.is_none_or(|it| {
        let names = ["utf-8", "utf8", "unicode-1-1-utf-8"];
        names
            .iter()
            .any(|name| it.as_str().eq_ignore_ascii_case(name))
    });
    let mut codings = request.headers().get_all(CONTENT_ENCODING);
    let as_it_is = codings.all(|value| {
        let mut codings = value.as_bytes().split(|it| *it == b',');
        codings.all(|it| {
            let coding = it.trim_ascii();
            coding.is_empty() || coding.eq_ignore_ascii_case(b"identity")
        })
    });
    media.essence_str() == essence && in_utf8 && as_it_is
}

/// Returns the announced length, if it is at most `limit`; zero if none is announced.
///
/// # Errors
///
/// [`Rejection::TooLarge`] if it is over `limit`.
pub fn announced(request: &HttpRequest, limit: usize) -> Result<usize, Rejection> {
    // The server has validated the header already: a value that cannot be parsed here is too large for a number.
    let length = request.headers().get(CONTENT_LENGTH).map(|value| {
        let digits = value.to_str().ok();
        digits.and_then(|it| it.parse().ok()).unwrap_or(usize::MAX)
    });
    match length {
        Some(length) if length > limit => Err(Rejection::TooLarge),
        length => Ok(length.unwrap_or(0)),
    }
}

/// Returns the timeout for the body of this request.
#[must_use]
pub fn body_timeout(request: &HttpRequest) -> Duration {
    let connection = request.conn_data::<Rc<Connection>>();
    connection.map_or(BODY_TIMEOUT, |it| it.body_timeout())
}

/// Reads a body of at most `limit` bytes, of which `announced` were announced, for at most `timeout`.
///
/// # Errors
///
/// [`Rejection`] if the body is too large, too slow or cut off.
pub async fn collect(
    payload: Payload,
    announced: usize,
    limit: usize,
    timeout: Duration,
) -> Result<Zeroizing<Vec<u8>>, Rejection> {
    let read = tokio::time::timeout(timeout, read(payload, announced, limit));
    read.await.map_err(|_| Rejection::TooSlow)?
}

async fn read(
    mut payload: Payload,
    announced: usize,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, Rejection> {
    // Allocates the whole size at the start: growing would leave copies in memory that are not wiped.
    let room = if announced == 0 { limit } else { announced };
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| match error {
            PayloadError::Overflow => Rejection::TooLarge,
            _ => Rejection::CutOff,
        })?;
        if bytes.len() + chunk.len() > limit {
            return Err(Rejection::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn parse<T: Body>(bytes: &[u8]) -> Result<T, Rejection> {
    // serde's messages quote values, so only the position is reported.
    serde_json::from_slice(bytes).map_err(|error| Rejection::Malformed {
        expected: T::EXPECTED,
        line: error.line().max(1),
        column: error.column().max(1),
    })
}

/// Deserializes an integer. `5.0` is one (JSON Schema, draft 2020-12, section 6.1.1), and languages without integers
/// write it so.
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let whole = number.as_u64().or_else(|| {
        let float = number.as_f64()?;
        // Up to this limit every integer is exact as a double, so none is rounded.
        let exact = float.fract() == 0.0 && (0.0..=9_007_199_254_740_992.0).contains(&float);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole and within the range"
        )]
        exact.then_some(float as u64)
    });
    let fits = whole.and_then(|it| T::try_from(it).ok());
    fits.ok_or_else(|| D::Error::custom("the number is out of range"))
}

/// Deserializes a value that may be omitted but not null, because null has no meaning in a change.
///
/// # Errors
///
/// Those of the deserializer; a value of another type.
pub fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The same, for an integer.
///
/// # Errors
///
/// Those of the deserializer; a value of another type.
pub fn given_whole<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    whole(deserializer).map(Some)
}

/// Deserializes an integer, or null.
///
/// # Errors
///
/// Those of the deserializer; a value of another type.
pub fn whole_or_null<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Option::<Whole<T>>::deserialize(deserializer)?.map(|Whole(it)| it))
}

/// An integer; see `whole`.
#[derive(Clone, Copy, Debug)]
pub struct Whole<T>(pub T);

impl<'de, T: TryFrom<u64>> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole(deserializer).map(Self)
    }
}

/// Deserializes a password.
///
/// # Errors
///
/// Those of the deserializer; a value of another type.
pub fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Form {
        name: String,
        #[serde(deserialize_with = "secret")]
        password: SecretString,
        #[serde(default)]
        keep: bool,
    }

    impl Body for Form {
        const EXPECTED: &'static str = "a form";
    }

    fn fault(body: &[u8]) -> String {
        parse::<Form>(body).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_told_by_place_and_never_quoted() {
        let wrong_type = br#"{"name":"ada","password":"hunter2","keep":"hunter2"}"#;
        let text = fault(wrong_type);
        assert!(
            text.contains("a form") && text.contains("line 1, column"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
        let cut = br#"{"name":"ada","password":"hunter2"#;
        assert!(!fault(cut).contains("hunter2"));
    }

    #[test]
    fn what_json_allows_and_we_do_not_is_refused() {
        for bad in [
            &b""[..],
            b" ",
            b"null",
            b"[]",
            b"\"text\"",
            br#"{"name":"a"}"#,
            br#"{"name":"a","password":null}"#,
            br#"{"name":"a","name":"b","password":"c"}"#,
            br#"{"name":"a","password":"c"} trailing"#,
            b"{\"name\":\"\xff\",\"password\":\"c\"}",
            b"\xef\xbb\xbf{\"name\":\"a\",\"password\":\"c\"}",
            br#"{"name":"\ud800","password":"c"}"#,
        ] {
            fault(bad);
        }
        let deep = [b"{\"x\":".repeat(3000), b"1".to_vec(), b"}".repeat(3000)].concat();
        fault(&deep);
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_fraction_of_zero() {
        let read = |text: &str| serde_json::from_str::<Whole<u32>>(text).ok().map(|it| it.0);
        for (text, number) in [
            ("5", 5),
            ("5.0", 5),
            ("5e0", 5),
            ("0", 0),
            ("4294967295.0", u32::MAX),
        ] {
            assert_eq!(read(text), Some(number), "{text}");
        }
        for bad in [
            "5.5",
            "-1",
            "-1.0",
            "4294967296",
            "1e300",
            "\"5\"",
            "null",
            "true",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<Form>(&bytes);
        }
    }
}
