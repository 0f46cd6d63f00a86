//! The forms of OAuth requests: `application/x-www-form-urlencoded`, parsed strictly and wiped afterwards.

use actix_web::{HttpRequest, dev::Payload};
use secrecy::{ExposeSecret, SecretString};

use super::Fault;
use crate::http::{
    extract::{announced, body_timeout, collect, is_plain},
    rejection::Rejection,
    urlencoded,
};

/// Maximum size of a form, in bytes.
const LIMIT: usize = 64 * 1024;

const TWICE: Fault = Fault::Malformed("a parameter is repeated");
const NO_FORM: Fault = Fault::Malformed(
    "send Content-Type: application/x-www-form-urlencoded, in UTF-8 and without Content-Encoding",
);
const BAD_ENCODING: Fault =
    Fault::Malformed("the form is not UTF-8 in application/x-www-form-urlencoded");

/// The supported parameters as they were sent; an empty one counts as omitted (RFC 6749, section 3.2).
#[derive(Debug, Default)]
pub(super) struct Form {
    pub(super) grant_type: Option<SecretString>,
    pub(super) scope: Option<SecretString>,
    pub(super) client_id: Option<SecretString>,
    pub(super) client_secret: Option<SecretString>,
    pub(super) client_assertion: Option<SecretString>,
    pub(super) client_assertion_type: Option<SecretString>,
    pub(super) token: Option<SecretString>,
    /// `resource` (RFC 8707) and `audience`. These may be repeated.
    pub(super) audiences: Vec<SecretString>,
}

impl Form {
    /// Reads the form of a request.
    pub(super) async fn take(request: &HttpRequest, payload: Payload) -> Result<Self, Fault> {
        check_head(request)?;
        let announced = announced(request, LIMIT).map_err(|it| fault(&it))?;
        let body = collect(payload, announced, LIMIT, body_timeout(request)).await;
        let body = body.map_err(|it| fault(&it))?;
        Self::parse(&body)
    }

    /// Parses a form. Unknown parameters are ignored, as the RFC requires.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Fault> {
        let mut form = Self::default();
        for pair in urlencoded::pairs(text) {
            let (name, value) = pair.ok_or(BAD_ENCODING)?;
            if value.expose_secret().is_empty() {
                continue;
            }
            let place = match name.expose_secret() {
                "grant_type" => &mut form.grant_type,
                "scope" => &mut form.scope,
                "client_id" => &mut form.client_id,
                "client_secret" => &mut form.client_secret,
                "client_assertion" => &mut form.client_assertion,
                "client_assertion_type" => &mut form.client_assertion_type,
                "token" => &mut form.token,
                "resource" | "audience" => {
                    form.audiences.push(value);
                    continue;
                }
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(TWICE);
            }
        }
        Ok(form)
    }

    /// Returns whether there is no supported parameter.
    pub(super) fn is_empty(&self) -> bool {
        let all = [
            &self.grant_type,
            &self.scope,
            &self.client_id,
            &self.client_secret,
            &self.client_assertion,
            &self.client_assertion_type,
            &self.token,
        ];
        all.into_iter().all(Option::is_none) && self.audiences.is_empty()
    }
}

fn check_head(request: &HttpRequest) -> Result<(), Fault> {
    if is_plain(request, "application/x-www-form-urlencoded") {
        Ok(())
    } else {
        Err(NO_FORM)
    }
}

fn fault(rejection: &Rejection) -> Fault {
    match rejection {
        Rejection::TooLarge => Fault::TooLarge,
        Rejection::TooSlow => Fault::TooSlow,
        _ => Fault::Malformed("the body is incomplete"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(value: Option<&SecretString>) -> Option<&str> {
        value.map(ExposeSecret::expose_secret)
    }

    #[test]
    fn what_we_know_is_read_and_the_rest_passed_over() {
        let form = Form::parse(
            b"grant_type=client_credentials&scope=a+b%20c&foo=1&foo=2&client_id=&resource=x&audience=y&&=",
        )
        .unwrap();
        assert_eq!(text(form.grant_type.as_ref()), Some("client_credentials"));
        assert_eq!(text(form.scope.as_ref()), Some("a b c"));
        assert!(form.client_id.is_none());
        assert_eq!(form.audiences.len(), 2);
        assert!(Form::parse(b"").unwrap().is_empty());
        assert!(Form::parse(b"foo=bar&scope").unwrap().is_empty());
    }

    #[test]
    fn what_is_there_twice_or_wrongly_encoded_is_refused() {
        for bad in [
            &b"scope=a&scope=b"[..],
            b"scope=a&%73cope=a",
            b"scope=%",
            b"scope=%2",
            b"scope=%zz",
            b"scope=%+1",
            b"scope=\xff",
            b"scope=%ff%fe",
            b"\xff=a",
            b"foo=%c3%28",
        ] {
            assert!(Form::parse(bad).is_err(), "{bad:?}");
        }
        // An empty parameter counts as omitted.
        assert!(Form::parse(b"scope=&scope=b&scope").is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::parse(&bytes);
        }
    }
}
