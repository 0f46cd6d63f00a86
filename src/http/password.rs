//! `/api/password`: changing one's own.

use actix_web::{HttpResponse, web::Data};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Api,
    error::ApiError,
    extract::{Body, Client, JsonBody, Principal, secret},
};

/// The password in force and the one that replaces it.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PasswordChange)]
#[serde(deny_unknown_fields)]
pub(super) struct PasswordBody {
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, format = Password)]
    current: SecretString,
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    new: SecretString,
}

impl Body for PasswordBody {
    const EXPECTED: &'static str = r#"{"current": string, "new": string}"#;
}

/// Change one's password
///
/// All other sessions of the user end.
#[utoipa::path(
    post, path = "/api/password", operation_id = "changePassword", tag = "session", security(("session" = [])), request_body = PasswordBody,
    responses(
        (status = 204, description = "Changed"),
        (status = 403, description = "The current password is wrong, or the request came from another site"),
        (status = 422, description = "The new password is too weak; the detail says why"),
        (status = 429, description = "Too many attempts, by this address or for this account"),
    ),
)]
pub(super) async fn change(
    api: Data<Api>,
    principal: Principal,
    client: Client,
    JsonBody(body): JsonBody<PasswordBody>,
) -> Result<HttpResponse, ApiError> {
    let PasswordBody { current, new } = body;
    api.login
        .change_password(&principal, current, new, client.address)
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
