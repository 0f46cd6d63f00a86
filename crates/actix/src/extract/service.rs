//! The service of an access token.

use std::{
    future::Future,
    ops::Deref,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse, ResponseError,
    dev::Payload,
    http::{
        StatusCode,
        header::{self, HeaderMap},
    },
    web::Data,
};
use futures_util::future::LocalBoxFuture;

use crate::{bearer_error::BearerError, error};
use skriptoteket_services::{AuthFailure, BearerAuthenticator, Claims, Scope, Verification};

/// A service with a valid access token (RFC 6750): the claims of the token.
///
/// For any application that has a [`BearerAuthenticator`] as `Data`. Counts every request once, whatever its result. If
/// everything it needs is cached, it does not wait, and allocates nothing except the table of the request's extensions
/// if there is none yet. The token is read from the only `Authorization` header, never from a query or a form.
///
/// Rejected with a [`BearerError`].
#[derive(Clone, Debug)]
pub struct ServiceIdentity(Arc<Claims>);

impl Deref for ServiceIdentity {
    type Target = Claims;

    fn deref(&self) -> &Claims {
        &self.0
    }
}

impl ServiceIdentity {
    /// Returns whether the token has this scope.
    #[must_use]
    pub fn may(&self, scope: &str) -> bool {
        self.scopes.iter().any(|it| it.as_str() == scope)
    }

    /// Requires that the token has this scope.
    ///
    /// # Errors
    ///
    /// [`BearerError::InsufficientScope`] if it does not.
    pub fn require(&self, scope: &Scope) -> Result<(), BearerError> {
        if self.may(scope.as_str()) {
            Ok(())
        } else {
            Err(BearerError::InsufficientScope(scope.clone()))
        }
    }

    /// Requires that the token belongs to this service.
    ///
    /// # Errors
    ///
    /// [`BearerError::NotOwn`] if it is another service.
    pub fn require_to_be(&self, service: &str) -> Result<(), BearerError> {
        if self.service.as_str() == service {
            Ok(())
        } else {
            Err(BearerError::NotOwn)
        }
    }
}

impl ResponseError for BearerError {
    fn status_code(&self) -> StatusCode {
        error::bearer(self).status()
    }

    fn error_response(&self) -> HttpResponse {
        error::respond(self, &error::bearer(self))
    }
}

/// Returns the only bearer token of these headers.
fn presented(headers: &HeaderMap) -> Result<&str, BearerError> {
    let mut all = headers.get_all(header::AUTHORIZATION);
    let Some(value) = all.next() else {
        return Err(BearerError::Missing);
    };
    if all.next().is_some() {
        return Err(BearerError::Malformed);
    }
    let value = str::from_utf8(value.as_bytes()).map_err(|_| BearerError::Malformed)?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(BearerError::Missing);
    }
    let token = token.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    if body.is_empty() || !is_token68(body.as_bytes()) {
        return Err(BearerError::Malformed);
    }
    Ok(token)
}

/// Returns whether the token consists of letters, digits and `-._~+/`. A token has hundreds of characters: without
/// branches many of them are compared at once, which requires that all of them are compared.
#[expect(
    clippy::needless_bitwise_bool,
    reason = "a lazy operator is a branch, which prevents the comparison of many bytes at once"
)]
fn is_token68(text: &[u8]) -> bool {
    text.iter().fold(true, |all, it| {
        let letter = (it | 0x20).is_ascii_lowercase();
        // The digits, and `-./` before them.
        let digit = (b'-'..=b'9').contains(it);
        all & (letter | digit | (*it == b'+') | (*it == b'_') | (*it == b'~'))
    })
}

/// The future that extracts [`ServiceIdentity`].
pub struct Identifying(State);

enum State {
    Known(Option<Result<ServiceIdentity, BearerError>>),
    Pending(LocalBoxFuture<'static, Result<Arc<Claims>, AuthFailure>>),
}

impl std::fmt::Debug for Identifying {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identifying")
    }
}

impl Future for Identifying {
    type Output = Result<ServiceIdentity, BearerError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            State::Known(answer) => {
                let again = || BearerError::Internal("polled again after completion".into());
                Poll::Ready(answer.take().unwrap_or_else(|| Err(again())))
            }
            State::Pending(future) => future.as_mut().poll(context).map(known),
        }
    }
}

fn known(answer: Result<Arc<Claims>, AuthFailure>) -> Result<ServiceIdentity, BearerError> {
    Ok(ServiceIdentity(answer?))
}

/// Marks a request as counted. Extracting its identity again verifies the token again, which reflects changes made in
/// the meantime, but it remains one authentication. Zero-sized, so that it costs no allocation if the request already
/// has an extension; otherwise actix creates the table for it.
struct Counted;

impl FromRequest for ServiceIdentity {
    type Error = BearerError;
    type Future = Identifying;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Identifying {
        let Some(bearer) = request.app_data::<Data<BearerAuthenticator>>() else {
            let error =
                BearerError::Internal("the application has no Data<BearerAuthenticator>".into());
            return Identifying(State::Known(Some(Err(error))));
        };
        let first = request.extensions_mut().insert(Counted).is_none();
        Identifying(match presented(request.headers()) {
            Err(error) => {
                if first {
                    bearer.refuse("there is no access token in the expected form");
                }
                State::Known(Some(Err(error)))
            }
            Ok(token) => {
                let started_at = if first {
                    bearer.begin(token)
                } else {
                    bearer.begin_again(token)
                };
                match started_at {
                    Verification::Completed(answer) => State::Known(Some(known(answer))),
                    Verification::Pending(pending) => {
                        let token = token.to_owned();
                        State::Pending(Box::pin(async move { pending.answer(&token).await }))
                    }
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(values: &[&str]) -> Result<String, &'static str> {
        let mut request = TestRequest::get();
        for value in values {
            request = request.append_header((header::AUTHORIZATION, *value));
        }
        match presented(request.to_http_request().headers()) {
            Ok(token) => Ok(token.to_owned()),
            Err(BearerError::Missing) => Err("missing"),
            Err(_) => Err("malformed"),
        }
    }

    #[test]
    fn a_token_has_the_characters_that_the_rfc_gives_it_and_no_others() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            assert_eq!(is_token68(&[b'a', byte, b'a']), expected, "{byte}");
        }
    }

    #[test]
    fn a_token_comes_in_one_header_of_the_scheme_bearer() {
        for good in ["Bearer a.b-c_d", "bearer a.b-c_d", "BEARER   a.b-c_d"] {
            assert_eq!(read(&[good]), Ok("a.b-c_d".into()), "{good}");
        }
        assert_eq!(read(&["Bearer ab=="]), Ok("ab==".into()));
        for none in [&[][..], &["Basic YTpi"], &[""], &["Bearerx a"]] {
            assert_eq!(read(none), Err("missing"), "{none:?}");
        }
        for bad in [
            &["Bearer"][..],
            &["Bearer "],
            &["Bearer a b"],
            &["Bearer a,b"],
            &["Bearer =="],
            &["Bearer a=b"],
            &["Bearer a", "Bearer a"],
            &["Bearer a", "Basic YTpi"],
        ] {
            assert_eq!(read(bad), Err("malformed"), "{bad:?}");
        }
    }
}
