//! THE match from what fails at the authorization server to OAuth's errors (RFC 6749, section 5.2).

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

/// What a client is asked for that did not prove who it is.
const CHALLENGE: HeaderValue = HeaderValue::from_static(r#"Basic realm="skriptoteket""#);

/// Why the authorization server does not do what a client asks.
#[derive(Debug, thiserror::Error)]
pub(in crate::http) enum OAuthError {
    /// Nobody could be authenticated by what was sent.
    #[error("{}", .0.text())]
    Fault(Fault),
    /// The use case failed.
    #[error(transparent)]
    Token(TokenError),
}

impl OAuthError {
    /// The error of a use case that was given `credentials`, whose fault says more than the failure that was counted for it.
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
                    // All the same: which of them it is helps whoever guesses.
                    AuthFailure::UnknownService
                    | AuthFailure::BadSecret
                    | AuthFailure::ExpiredCredential
                    | AuthFailure::Disabled
                    | AuthFailure::BadSignature
                    | AuthFailure::ExpiredToken
                    | AuthFailure::RevokedToken
                    | AuthFailure::WrongAudience
                    // Of an assertion (RFC 7523, section 3.2); a form is a fault before it comes to this.
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
                // RFC 7009 names no error for it. This one covers what "was issued to another client".
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
            // What is wrong with its form tells nobody whether there is such a client.
            "invalid_client" if self.is_of_the_form() => self.to_string(),
            "invalid_client" => "the client did not prove who it is".into(),
            "server_error" => "the request failed for a reason of our own".into(),
            "temporarily_unavailable" if answer.allowance.is_some() => "too many requests".into(),
            "temporarily_unavailable" => "try again later".into(),
            _ => self.to_string(),
        };
        in_the_charset(&text)
    }
}

/// Keeps what `error_description` may hold: visible ASCII and spaces, without quotes and backslashes.
fn in_the_charset(text: &str) -> String {
    let kept = |c: char| match c {
        '"' | '\\' => '\'',
        ' '..='~' => c,
        _ => '?',
    };
    text.chars().map(kept).collect()
}

/// How an error is answered.
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

/// RFC 6749 has no code of its own for clients that have to wait; of those that there are, this one says it.
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
    /// Which error.
    #[schema(example = "invalid_client")]
    error: &'a str,
    /// What is wrong, for people.
    #[schema(example = "the client did not prove who it is")]
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
