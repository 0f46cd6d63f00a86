//! Client authentication: exactly one of three methods.

use std::{future::Future, marker::PhantomData, pin::Pin};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{self, HeaderMap},
    web::Data,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{Fault, error::OAuthError, form::Form};
use crate::{
    http::{Api, urlencoded::decode},
    services::{AuthAttempt, AuthOperation, ClientCredentials, TokenError},
};

/// The only supported type of assertion (RFC 7523, section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

const SEVERAL: Fault = Fault::Malformed("use only one authentication method");
const BAD_BASIC: Fault =
    Fault::BadCredentials("the Authorization header does not contain valid Basic credentials");

/// An endpoint for clients.
pub(in crate::http) trait Endpoint: 'static {
    /// The operation under which calls are counted.
    const OPERATION: AuthOperation;
}

/// A request of a client: its form and its credentials.
///
/// An unreadable request is a [`Fault`] that is counted like any other attempt. The attempt starts before the form is
/// read, so it is counted even if the rest of the form never arrives.
#[derive(Debug)]
pub(in crate::http) struct Call<E> {
    pub(super) attempt: AuthAttempt,
    pub(super) form: Form,
    pub(super) credentials: Result<ClientCredentials, Fault>,
    endpoint: PhantomData<E>,
}

impl<E: Endpoint> FromRequest for Call<E> {
    type Error = OAuthError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, OAuthError>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let api = request.app_data::<Data<Api>>();
        let attempt = api.map(|api| api.tokens.begin(E::OPERATION));
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let no_api = || TokenError::Internal("the application has no Data<Api>".into());
            let attempt = attempt.ok_or_else(|| OAuthError::Token(no_api()))?;
            let (form, credentials) = match Form::take(&request, payload).await {
                Ok(mut form) => {
                    let credentials = credentials(&request, &mut form);
                    (form, credentials)
                }
                Err(fault) => (Form::default(), Err(fault)),
            };
            Ok(Self {
                attempt,
                form,
                credentials,
                endpoint: PhantomData,
            })
        })
    }
}

fn credentials(request: &HttpRequest, form: &mut Form) -> Result<ClientCredentials, Fault> {
    // Parameters in the URL would be in the log of every proxy on the way.
    let query = Form::parse(request.query_string().as_bytes());
    if !query.is_ok_and(|it| it.is_empty()) {
        return Err(Fault::Malformed(
            "send parameters in the form, not in the URL",
        ));
    }
    let header = basic(request.headers())?;
    let id = form.client_id.take();
    let secret = form.client_secret.take();
    let assertion = match (
        form.client_assertion.take(),
        form.client_assertion_type.take(),
    ) {
        (Some(assertion), Some(kind)) if kind.expose_secret() == ASSERTION_TYPE => Some(assertion),
        (None, None) => None,
        _ => {
            return Err(Fault::Malformed(
                "client_assertion requires client_assertion_type with the value from RFC 7523",
            ));
        }
    };
    match (header, secret, assertion) {
        (Header::None, Some(secret), None) => match id {
            Some(id) => Ok(ClientCredentials::Secret {
                client: id.expose_secret().to_owned(),
                secret,
            }),
            None => Err(Fault::Malformed("client_secret requires client_id")),
        },
        (Header::Basic { id: own, secret }, None, None) => {
            // Some clients repeat their id in the form.
            if id.is_some_and(|id| id.expose_secret() != own.expose_secret()) {
                return Err(Fault::Malformed(
                    "client_id and the Authorization header name different clients",
                ));
            }
            Ok(ClientCredentials::Secret {
                client: own.expose_secret().to_owned(),
                secret,
            })
        }
        (Header::None, None, Some(assertion)) => Ok(ClientCredentials::Assertion {
            client: id.map(|id| id.expose_secret().to_owned()),
            assertion,
        }),
        (Header::None | Header::Other, None, None) => Err(Fault::NoCredentials),
        _ => Err(SEVERAL),
    }
}

/// Contents of the `Authorization` header.
enum Header {
    None,
    Other,
    Basic {
        id: SecretString,
        secret: SecretString,
    },
}

/// Parses `client_secret_basic`: both parts are form-encoded before they are joined (RFC 6749, section 2.3.1).
fn basic(headers: &HeaderMap) -> Result<Header, Fault> {
    let mut all = headers.get_all(header::AUTHORIZATION);
    let Some(value) = all.next() else {
        return Ok(Header::None);
    };
    if all.next().is_some() {
        return Err(SEVERAL);
    }
    let bytes = value.as_bytes();
    let end = bytes
        .iter()
        .position(|it| *it == b' ')
        .unwrap_or(bytes.len());
    let (scheme, encoded) = bytes.split_at(end);
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return Ok(Header::Other);
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim_ascii());
    let decoded = Zeroizing::new(decoded.map_err(|_| BAD_BASIC)?);
    let colon = decoded.iter().position(|it| *it == b':').ok_or(BAD_BASIC)?;
    let (id, secret) = (&decoded[..colon], &decoded[colon + 1..]);
    Ok(Header::Basic {
        id: decode(id).ok_or(BAD_BASIC)?,
        secret: decode(secret).ok_or(BAD_BASIC)?,
    })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    /// Returns the credentials of a request: the method, the id and the proof.
    fn read(authorization: &[&str], form: &str, query: &str) -> Result<String, Fault> {
        let mut request = TestRequest::post().uri(&format!("/oauth2/token{query}"));
        for value in authorization {
            request = request.append_header((header::AUTHORIZATION, *value));
        }
        let mut form = Form::parse(form.as_bytes())?;
        Ok(match credentials(&request.to_http_request(), &mut form)? {
            ClientCredentials::Secret { client, secret } => {
                format!("secret {client} {}", secret.expose_secret())
            }
            ClientCredentials::Assertion { client, assertion } => {
                format!("assertion {client:?} {}", assertion.expose_secret())
            }
        })
    }

    fn encoded(text: &str) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(text))
    }

    const JWT: &str = "client_assertion=x.y.z&client_assertion_type=\
        urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";

    #[test]
    fn there_are_three_ways_to_authenticate() {
        let basic = encoded("a:s%3A+%2b:t");
        let lower = basic.replace("Basic", "bAsIc");
        for (authorization, form, expected) in [
            (vec![basic.as_str()], "", "secret a s: +:t"),
            (vec![lower.as_str()], "client_id=a", "secret a s: +:t"),
            (vec![], "client_id=a&client_secret=s", "secret a s"),
            (vec![], JWT, "assertion None x.y.z"),
            (
                vec![],
                &format!("client_id=a&{JWT}"),
                r#"assertion Some("a") x.y.z"#,
            ),
        ] {
            let who = read(&authorization, form, "?foo=1");
            assert_eq!(who.unwrap(), expected);
        }
    }

    #[test]
    fn no_way_or_two_of_them_are_refused() {
        let basic = encoded("a:s");
        for (authorization, form) in [
            (vec![], ""),
            (vec![], "client_id=a"),
            (vec![], "client_id=a&client_secret="),
            (vec!["Bearer x"], "client_id=a"),
        ] {
            let fault = read(&authorization, form, "").unwrap_err();
            assert_eq!(fault, Fault::NoCredentials, "{form}");
        }
        let post = "client_id=a&client_secret=s";
        for (authorization, form, query) in [
            (vec![basic.as_str()], post, ""),
            (vec![&basic], JWT, ""),
            (vec![&basic, &basic], "", ""),
            (vec!["Bearer x"], post, ""),
            (vec![], &format!("{post}&{JWT}"), ""),
            (vec![&basic], "client_id=b", ""),
            (vec![], "client_secret=s", ""),
            (vec![], "client_assertion=x", ""),
            (vec![], "client_assertion=x&client_assertion_type=y", ""),
            (vec![], post, "?client_secret=s"),
            (vec![], post, "?token=t"),
            (vec![], post, "?%ff"),
        ] {
            let fault = read(&authorization, form, query).unwrap_err();
            assert!(
                matches!(fault, Fault::Malformed(_)),
                "{authorization:?} {form}"
            );
        }
    }

    #[test]
    fn basic_that_is_none_proves_nothing() {
        for authorization in ["Basic", "Basic !", "Basic YQ==", &encoded("a:%")] {
            let fault = read(&[authorization], "", "").unwrap_err();
            assert!(matches!(fault, Fault::BadCredentials(_)), "{authorization}");
        }
    }
}
