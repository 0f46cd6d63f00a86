//! Bodies: JSON, and what any body has in common.

use std::time::Duration;

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::header::{CONTENT_ENCODING, CONTENT_LENGTH},
};
use futures_util::{StreamExt, future::LocalBoxFuture};
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::http::{
    error::ApiError,
    rejection::{BODY_LIMIT, Rejection},
};

/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// A JSON body.
pub(in crate::http) trait Body: DeserializeOwned {
    /// What it looks like, for those who sent something else.
    const EXPECTED: &'static str;
}

/// Takes the body as `application/json` of at most [`BODY_LIMIT`] bytes.
///
/// Bodies carry passwords: no message quotes one, and what is collected here is wiped from memory afterwards.
#[derive(Debug)]
pub(in crate::http) struct JsonBody<T>(pub(in crate::http) T);

impl<T: Body + 'static> FromRequest for JsonBody<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let head = check_head(request);
        let announced = announced(request, BODY_LIMIT);
        let payload = payload.take();
        Box::pin(async move {
            head?;
            let bytes = collect(payload, announced?, BODY_LIMIT).await?;
            Ok(Self(parse(&bytes)?))
        })
    }
}

fn check_head(request: &HttpRequest) -> Result<(), Rejection> {
    let media = request.mime_type().ok().flatten();
    let media = media.ok_or(Rejection::NotJson)?;
    let charset = media.get_param("charset");
    let in_utf8 = charset.is_none_or(|it| it.as_str().eq_ignore_ascii_case("utf-8"));
    if media.essence_str() != "application/json"
        || !in_utf8
        || request.headers().contains_key(CONTENT_ENCODING)
    {
        return Err(Rejection::NotJson);
    }
    Ok(())
}

/// The length that the head announces, if it is at most `limit`; zero where it announces none.
pub(in crate::http) fn announced(request: &HttpRequest, limit: usize) -> Result<usize, Rejection> {
    // The server has checked the header already: where it cannot be read here it is longer than any number.
    let length = request.headers().get(CONTENT_LENGTH).map(|value| {
        let digits = value.to_str().ok();
        digits.and_then(|it| it.parse().ok()).unwrap_or(usize::MAX)
    });
    match length {
        Some(length) if length > limit => Err(Rejection::TooLarge),
        length => Ok(length.unwrap_or(0)),
    }
}

/// Reads a body of at most `limit` bytes, of which `announced` were announced.
pub(in crate::http) async fn collect(
    payload: Payload,
    announced: usize,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, Rejection> {
    let read = tokio::time::timeout(PATIENCE, read(payload, announced, limit));
    read.await.map_err(|_| Rejection::TooSlow)?
}

async fn read(
    mut payload: Payload,
    announced: usize,
    limit: usize,
) -> Result<Zeroizing<Vec<u8>>, Rejection> {
    // Room for all of it from the start: growing would leave copies behind that nobody wipes.
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
    // serde's messages quote values, so only the place is told.
    serde_json::from_slice(bytes).map_err(|error| Rejection::Malformed {
        expected: T::EXPECTED,
        line: error.line().max(1),
        column: error.column().max(1),
    })
}

/// Reads a password.
pub(in crate::http) fn secret<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SecretString, D::Error> {
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

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse::<Form>(&bytes);
        }
    }
}
