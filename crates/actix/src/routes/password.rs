//! `/api/password`: changing one's own password.

use actix_session::Session;
use actix_web::{HttpResponse, web::Data};
use secrecy::SecretString;
use serde::Deserialize;
#[cfg(feature = "openapi")]
use utoipa::ToSchema;

use super::LoginApi;
use crate::{
    error::ApiError,
    extract::{Body, JsonBody, Principal, secret},
    session_store,
};
use skriptoteket_login::login::PasswordChange;
use skriptoteket_sessions::SessionRecord;

/// The current password and the new one.
#[derive(Debug, Deserialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PasswordChange))]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    #[serde(deserialize_with = "secret")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password))]
    current: SecretString,
    #[serde(deserialize_with = "secret")]
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = Password, min_length = 8, max_length = 128))]
    new: SecretString,
}

impl Body for PasswordBody {
    const EXPECTED: &'static str = r#"{"current": string, "new": string}"#;
}

/// Change one's password
///
/// All other sessions of the user end. The current session continues under a new key, and the response sets its cookie.
/// A lock of the account has no effect here; too many wrong passwords in one session do.
#[cfg_attr(feature = "openapi", utoipa::path(
    post, path = "/api/password", operation_id = "changePassword", tag = "session", security(("session" = [])), request_body = PasswordBody,
    responses(
        (status = 204, description = "Changed; the response sets a new session cookie",
            headers(("Set-Cookie" = String, description = "The session cookie"))),
        (status = 403, description = "The current password is wrong, or the request came from another site"),
        (status = 422, description = "The new password is too weak; the detail says why"),
        (status = 429, description = "Too many wrong passwords in this session"),
    ),
))]
pub async fn change(
    api: Data<LoginApi>,
    principal: Principal,
    session: Session,
    JsonBody(body): JsonBody<PasswordBody>,
) -> Result<HttpResponse, ApiError> {
    let PasswordBody { current, new } = body;
    replace(&api, &principal, &session, current, new).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Changes the password of the user and gives the browser the cookie of the session that continues.
///
/// # Errors
///
/// [`ApiError::PasswordChange`].
pub async fn replace(
    api: &LoginApi,
    principal: &Principal,
    session: &Session,
    current: SecretString,
    new: SecretString,
) -> Result<(), ApiError> {
    let state = session.entries().clone().into_iter().collect();
    let change = PasswordChange {
        session: SessionRecord::clone(principal),
        state,
        current,
        new,
    };
    let started = api.login.change_password(change).await?;
    let record = &started.record;
    let age = record.ends_at.since(record.created_at);
    let age = record.is_remembered().then_some(age);
    session_store::hand_out(session, started.key, age, &api.cookie);
    Ok(())
}
