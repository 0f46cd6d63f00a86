//! Errors of services: access tokens, limits, the register.

use actix_web::http::{StatusCode, header::HeaderValue};
use skriptoteket_services::{AuthFailure, RegistryError};

use super::{INVALID_VALUE, internal, store, unavailable};
use crate::{
    bearer_error::BearerError,
    problem::{Kind, Problem},
};

const NO_TOKEN: Kind = Kind::new(
    "/problems/no-token",
    "There is no access token",
    StatusCode::UNAUTHORIZED,
);
const MALFORMED_TOKEN: Kind = Kind::new(
    "/problems/malformed-token",
    "The Authorization header is malformed",
    StatusCode::BAD_REQUEST,
);
const INVALID_TOKEN: Kind = Kind::new(
    "/problems/invalid-token",
    "The access token is not valid",
    StatusCode::UNAUTHORIZED,
);
const INSUFFICIENT_SCOPE: Kind = Kind::new(
    "/problems/insufficient-scope",
    "The access token does not have the required scope",
    StatusCode::FORBIDDEN,
);
const NOT_OWN: Kind = Kind::new(
    "/problems/not-own",
    "The access token belongs to another service",
    StatusCode::FORBIDDEN,
);
const TOO_MANY_REQUESTS: Kind = Kind::new(
    "/problems/too-many-requests",
    "The service has reached a limit",
    StatusCode::TOO_MANY_REQUESTS,
);
const SERVICE_TAKEN: Kind = Kind::new(
    "/problems/service-taken",
    "The service id is taken",
    StatusCode::CONFLICT,
);
const TOO_MANY_SERVICES: Kind = Kind::new(
    "/problems/too-many-services",
    "The maximum number of services is reached",
    StatusCode::CONFLICT,
);
const STILL_OVERLAPPING: Kind = Kind::new(
    "/problems/still-overlapping",
    "The credential that the last rotation replaced is still accepted",
    StatusCode::CONFLICT,
);

/// Returns the response to a service whose access token is not accepted or not sufficient (RFC 6750, section 3).
#[must_use]
pub fn bearer(error: &BearerError) -> Problem {
    let challenge = |error: Option<(&str, &str)>| {
        let error = error.map(|(code, description)| {
            format!(r#", error="{code}", error_description="{description}""#)
        });
        format!(
            r#"Bearer realm="skriptoteket"{}"#,
            error.unwrap_or_default()
        )
    };
    let (kind, challenge) = match error {
        // A request without a token gets no error code (section 3.1).
        BearerError::Missing => (NO_TOKEN, challenge(None)),
        BearerError::Malformed => {
            let text = "send one header Authorization: Bearer, followed by the token";
            (MALFORMED_TOKEN, challenge(Some(("invalid_request", text))))
        }
        BearerError::Invalid(_) => {
            let text = "the access token is malformed, expired, revoked, or not for this service";
            (INVALID_TOKEN, challenge(Some(("invalid_token", text))))
        }
        BearerError::InsufficientScope(scope) => {
            let text = "the access token lacks a scope";
            let known = challenge(Some(("insufficient_scope", text)));
            (INSUFFICIENT_SCOPE, format!(r#"{known}, scope="{scope}""#))
        }
        BearerError::NotOwn => return NOT_OWN.into(),
        BearerError::Unavailable(_) => return unavailable(),
        BearerError::Internal(_) => return internal(),
    };
    // The challenge contains fixed texts and a scope, which is visible ASCII without quotes.
    match HeaderValue::from_str(&challenge) {
        Ok(challenge) => Problem::from(kind).with_challenge(challenge),
        Err(_) => kind.into(),
    }
}

/// Returns the response to an authenticated service that is rejected later.
pub(super) fn service(failure: &AuthFailure) -> Problem {
    match failure {
        AuthFailure::RateLimited {
            retry_after,
            allowance,
            ..
        } => Problem::from(TOO_MANY_REQUESTS)
            .with_retry_after(*retry_after)
            .with_allowance(*allowance),
        AuthFailure::Store(error) => store(error),
        AuthFailure::Internal(_) => internal(),
        // The service was deleted or disabled after it was authenticated.
        AuthFailure::UnknownService
        | AuthFailure::BadSecret
        | AuthFailure::ExpiredCredential
        | AuthFailure::Disabled
        | AuthFailure::BadSignature
        | AuthFailure::ExpiredToken
        | AuthFailure::RevokedToken
        | AuthFailure::WrongAudience
        | AuthFailure::Malformed(_) => bearer(&BearerError::Invalid(AuthFailure::UnknownService)),
    }
}

pub(super) fn registry(error: &RegistryError) -> Problem {
    let told = |kind: Kind| Problem::from(kind).with_detail(error.to_string());
    match error {
        RegistryError::AlreadyExists => SERVICE_TAKEN.into(),
        RegistryError::Full(_) => told(TOO_MANY_SERVICES),
        RegistryError::NotFound => Kind::blank(StatusCode::NOT_FOUND).into(),
        RegistryError::StillOverlapping { .. } => told(STILL_OVERLAPPING),
        RegistryError::Description
        | RegistryError::Scopes
        | RegistryError::Limits(_)
        | RegistryError::PublicKeys(_) => told(INVALID_VALUE),
        RegistryError::Store(error) => store(error),
    }
}
