//! `/oauth2/revoke`: token revocation (RFC 7009).

use actix_web::{HttpResponse, http::header, web::Data};
use secrecy::ExposeSecret;

use super::{
    client::{Call, Endpoint},
    error::OAuthError,
    introspection::TokenQuestion,
};
use crate::{
    http::Api,
    services::{AuthFailure, AuthOperation},
};

/// `/oauth2/revoke`, for a [`Call`].
pub(in crate::http) enum RevocationEndpoint {}

impl Endpoint for RevocationEndpoint {
    const OPERATION: AuthOperation = AuthOperation::Revocation;
}

/// Revoke a token
///
/// A client revokes its own tokens. An invalid token counts as revoked already.
#[utoipa::path(
    post, path = "/oauth2/revoke", operation_id = "revokeToken", tag = "oauth", security(("client" = []), ()),
    request_body(content = TokenQuestion, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The token is no longer valid")),
)]
pub(in crate::http) async fn revoke(
    api: Data<Api>,
    call: Call<RevocationEndpoint>,
) -> Result<HttpResponse, OAuthError> {
    let Call {
        attempt,
        form,
        credentials,
        ..
    } = call;
    let fault = credentials.as_ref().err().copied();
    let token = form.token.as_ref().map(ExposeSecret::expose_secret);
    api.tokens
        .revoke(attempt, credentials.map_err(AuthFailure::from), token)
        .await
        .map_err(|error| OAuthError::new(fault, error))?;
    Ok(HttpResponse::Ok()
        .insert_header((header::PRAGMA, "no-cache"))
        .finish())
}
