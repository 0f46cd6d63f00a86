//! `/oauth2/token`: access tokens for authenticated clients.

use actix_web::{HttpResponse, http::header, web::Data};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    client::{Call, Endpoint},
    error::OAuthError,
};
use crate::{
    http::{Api, rate_limit},
    services::{AuthFailure, AuthOperation, IssuedToken, Scope, TokenRequest},
};

/// `/oauth2/token`, for a [`Call`].
pub(in crate::http) enum TokenEndpoint {}

impl Endpoint for TokenEndpoint {
    const OPERATION: AuthOperation = AuthOperation::TokenIssue;
}

/// An access token (RFC 6749, section 5.1).
#[derive(Serialize, ToSchema)]
#[schema(as = AccessToken)]
pub(in crate::http) struct TokenView<'a> {
    /// A JWT according to RFC 9068.
    access_token: &'a str,
    #[schema(example = "Bearer")]
    token_type: &'a str,
    /// Lifetime in seconds.
    #[schema(example = 600)]
    expires_in: u64,
    /// The scopes of the token, separated by spaces; omitted if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope: Option<String>,
}

/// A request for an access token, as a form. A client authenticates by `Authorization: Basic`, by `client_id` and
/// `client_secret`, or by `client_assertion` (RFC 7523).
#[derive(ToSchema)]
#[schema(as = TokenRequest)]
#[expect(dead_code, reason = "only used for the OpenAPI description")]
pub(in crate::http) struct TokenForm {
    #[schema(pattern = "^client_credentials$", example = "client_credentials")]
    grant_type: String,
    /// Separated by spaces; if omitted, all scopes that the client may have.
    scope: Option<String>,
    /// The audience of the token (RFC 8707).
    resource: Option<String>,
    client_id: Option<String>,
    #[schema(format = Password)]
    client_secret: Option<String>,
    #[schema(example = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")]
    client_assertion_type: Option<String>,
    client_assertion: Option<String>,
}

/// Get an access token
#[utoipa::path(
    post, path = "/oauth2/token", operation_id = "issueToken", tag = "oauth", security(("client" = []), ()),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "A token", body = TokenView,
            headers(("RateLimit" = String, description = "The remaining limits"), ("RateLimit-Policy" = String, description = "The limits"))),
        (status = 429, description = "A limit of the client is reached",
            headers(("RateLimit" = String, description = "The remaining limits"), ("RateLimit-Policy" = String, description = "The limits"))),
    ),
)]
pub(in crate::http) async fn issue(
    api: Data<Api>,
    call: Call<TokenEndpoint>,
) -> Result<HttpResponse, OAuthError> {
    let Call {
        attempt,
        form,
        credentials,
        ..
    } = call;
    let fault = credentials.as_ref().err().copied();
    let token_request = TokenRequest {
        grant_type: form.grant_type.as_ref().map(plain),
        scope: form.scope.as_ref().map(plain),
        audiences: form.audiences.iter().map(plain).collect(),
    };
    let issued = api
        .tokens
        .issue(
            attempt,
            credentials.map_err(AuthFailure::from),
            &token_request,
        )
        .await
        .map_err(|error| OAuthError::new(fault, error))?;
    Ok(answer(&issued))
}

fn plain(text: &SecretString) -> String {
    text.expose_secret().to_owned()
}

fn answer(issued: &IssuedToken) -> HttpResponse {
    let scopes: Vec<&str> = issued.scopes.iter().map(Scope::as_str).collect();
    let mut response = HttpResponse::Ok()
        .insert_header((header::PRAGMA, "no-cache"))
        .json(TokenView {
            access_token: issued.token.expose_secret(),
            token_type: "Bearer",
            expires_in: issued.lifetime.as_secs(),
            scope: (!scopes.is_empty()).then(|| scopes.join(" ")),
        });
    if let Some(allowance) = &issued.allowance {
        rate_limit::tell(response.headers_mut(), allowance);
    }
    response
}
