//! The only mapping from failures of the authorization server to OAuth errors (RFC 6749, section 5.2).

use std::time::Duration;

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderValue},
    },
};
use serde::Serialize;
use utoipa::ToSchema;

use super::Fault;
use crate::{
    error::StoreError,
    http::{
        error::{COME_BACK, log},
        problem::retry_after,
        rate_limit,
    },
    services::{Allowance, AuthFailure, TokenError},
};

/// The challenge for a client that did not authenticate.
const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Basic realm="skriptoteket""#);

/// Why the authorization server rejects a request.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum OAuthError {
    /// The request does not contain usable credentials.
    #[error("{}", .0.text())]
    Fault(Fault),
    /// The use case failed.
    #[error(transparent)]
    Token(TokenError),
}

impl OAuthError {
    /// Creates the error of a use case that was given `credentials`. Their fault says more than the failure that was
    /// counted for it.
    pub(super) fn new(fault: Option<Fault>, error: TokenError) -> Self {
        fault.map_or(Self::Token(error), Self::Fault)
    }

    fn answer(&self) -> Answer {
        match self {
            Self::Fault(fault) => match fault {
                Fault::NoCredentials | Fault::BadCredentials(_) => invalid_client(),
                Fault::TooLarge => Answer {
                    status: StatusCode::PAYLOAD_TOO_LARGE,
                    ..refused("invalid_request")
                },
                Fault::TooSlow => Answer {
                    status: StatusCode::REQUEST_TIMEOUT,
                    ..refused("invalid_request")
                },
                Fault::Malformed(_) => refused("invalid_request"),
            },
            Self::Token(error) => match error {
                TokenError::Client(failure) => match failure {
                    // Identical responses: the difference would help an attacker to guess.
                    AuthFailure::UnknownService
                    | AuthFailure::BadSecret
                    | AuthFailure::ExpiredCredential
                    | AuthFailure::Disabled
                    | AuthFailure::BadSignature
                    | AuthFailure::ExpiredToken
                    | AuthFailure::RevokedToken
                    | AuthFailure::WrongAudience
                    // From an assertion (RFC 7523, section 3.2); a malformed form is a fault earlier.
                    | AuthFailure::Malformed(_) => invalid_client(),
                    AuthFailure::RateLimited {
                        retry_after,
                        allowance,
                        ..
                    } => Answer {
                        allowance: Some(*allowance),
                        ..unavailable(StatusCode::TOO_MANY_REQUESTS, *retry_after)
                    },
                    AuthFailure::Store(error) => store(error),
                    AuthFailure::Internal(_) => internal(),
                },
                TokenError::InvalidRequest(_) => refused("invalid_request"),
                TokenError::UnsupportedGrant => refused("unsupported_grant_type"),
                TokenError::InvalidScope | TokenError::TooLarge => refused("invalid_scope"),
                TokenError::InvalidTarget => refused("invalid_target"),
                // RFC 7009 defines no error for this case. This one covers what "was issued to another client".
                TokenError::NotYours => refused("invalid_grant"),
                TokenError::Store(error) => store(error),
                TokenError::Internal(_) => internal(),
            },
        }
    }

    fn is_of_the_form(&self) -> bool {
        matches!(
            self,
            Self::Fault(Fault::BadCredentials(_))
                | Self::Token(TokenError::Client(AuthFailure::Malformed(_)))
        )
    }

    fn description(&self, answer: &Answer) -> String {
        let text = match answer.code {
            // A malformed request does not reveal whether the client exists.
            "invalid_client" if self.is_of_the_form() => self.to_string(),
            "invalid_client" => "client authentication failed".into(),
            "server_error" => "the request failed because of an internal error".into(),
            "temporarily_unavailable" if answer.allowance.is_some() => "too many requests".into(),
            "temporarily_unavailable" => "try again later".into(),
            _ => self.to_string(),
        };
        in_the_charset(&text)
    }
}

/// Keeps the characters allowed in `error_description`: visible ASCII and spaces, without quotes and backslashes.
fn in_the_charset(text: &str) -> String {
    let kept = |c: char| match c {
        '"' | '\\' => '\'',
        ' '..='~' => c,
        _ => '?',
    };
    text.chars().map(kept).collect()
}

/// The response to an error.
struct Answer {
    status: StatusCode,
    code: &'static str,
    retry_after: Option<Duration>,
    allowance: Option<Allowance>,
}

fn refused(code: &'static str) -> Answer {
    Answer {
        status: StatusCode::BAD_REQUEST,
        code,
        retry_after: None,
        allowance: None,
    }
}

fn invalid_client() -> Answer {
    Answer {
        status: StatusCode::UNAUTHORIZED,
        ..refused("invalid_client")
    }
}

/// RFC 6749 has no code for clients that have to wait; this is the closest of the existing ones.
fn unavailable(status: StatusCode, wait: Duration) -> Answer {
    Answer {
        status,
        retry_after: Some(wait),
        ..refused("temporarily_unavailable")
    }
}

fn store(error: &StoreError) -> Answer {
    match error {
        StoreError::Unavailable(_) => unavailable(StatusCode::SERVICE_UNAVAILABLE, COME_BACK),
        StoreError::Conflict | StoreError::Corrupt(_) => internal(),
    }
}

fn internal() -> Answer {
    Answer {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        ..refused("server_error")
    }
}

/// An error of the authorization server (RFC 6749, section 5.2).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OAuthError)]
pub(in crate::http) struct ErrorView<'a> {
    /// The error code.
    #[schema(example = "invalid_client")]
    error: &'a str,
    /// A description of the error for people.
    #[schema(example = "client authentication failed")]
    error_description: String,
}

impl ResponseError for OAuthError {
    fn status_code(&self) -> StatusCode {
        self.answer().status
    }

    fn error_response(&self) -> HttpResponse {
        let answer = self.answer();
        log(self, answer.status);
        let mut response = HttpResponse::build(answer.status);
        response.insert_header((header::PRAGMA, "no-cache"));
        if answer.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, CHALLENGE));
        }
        if let Some(wait) = answer.retry_after {
            response.insert_header((header::RETRY_AFTER, retry_after(wait)));
        }
        let mut response = response.json(ErrorView {
            error: answer.code,
            error_description: self.description(&answer),
        });
        if let Some(allowance) = &answer.allowance {
            rate_limit::tell(response.headers_mut(), allowance);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_holds_what_the_rfc_allows() {
        assert_eq!(in_the_charset("a \"b\\ é\n"), "a 'b' ??");
    }

    #[test]
    fn what_failed_on_our_side_is_not_told() {
        let error = TokenError::Internal("s3cret".into());
        let error = OAuthError::new(None, error);
        assert_eq!(error.status_code(), 500);
        assert!(!error.description(&error.answer()).contains("s3cret"));
    }
}
