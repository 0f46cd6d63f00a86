//! `/oauth2/introspect`: what a token is (RFC 7662).

use actix_web::{HttpResponse, http::header, web::Data};
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    client::{Call, Endpoint},
    error::OAuthError,
};
use crate::{
    clock::Timestamp,
    http::Api,
    services::{AuthFailure, Claims, Scope},
    telemetry::instruments::AuthOperation,
};

/// `/oauth2/introspect`, for a [`Call`].
pub(in crate::http) enum IntrospectionEndpoint {}

impl Endpoint for IntrospectionEndpoint {
    const OPERATION: AuthOperation = AuthOperation::Introspection;
}

/// What a token is. Of one that is not valid nothing but that is told.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = Introspection)]
pub(in crate::http) struct IntrospectionView<'a> {
    /// Whether it is valid now.
    active: bool,
    #[serde(flatten)]
    #[schema(value_type = Option<ActiveTokenView>)]
    claims: Option<ActiveTokenView<'a>>,
}

/// What a valid token says.
#[derive(Serialize, ToSchema)]
#[schema(as = ActiveToken)]
pub(in crate::http) struct ActiveTokenView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    scope: Option<String>,
    client_id: &'a str,
    sub: &'a str,
    /// One text, or several.
    #[schema(value_type = String)]
    aud: AudienceView<'a>,
    iss: &'a str,
    /// Seconds since the Unix epoch.
    exp: i64,
    /// Seconds since the Unix epoch.
    iat: i64,
    #[schema(value_type = String)]
    jti: Uuid,
    #[schema(example = "Bearer")]
    token_type: &'a str,
}

/// `aud` as JWTs have it.
#[derive(Serialize)]
#[serde(untagged)]
enum AudienceView<'a> {
    One(&'a str),
    Several(&'a [String]),
}

impl<'a> From<&'a Claims> for ActiveTokenView<'a> {
    fn from(claims: &'a Claims) -> Self {
        let scopes: Vec<&str> = claims.scopes.iter().map(Scope::as_str).collect();
        let seconds = |at: Timestamp| at.as_millis().div_euclid(1000);
        Self {
            scope: (!scopes.is_empty()).then(|| scopes.join(" ")),
            client_id: claims.service.as_str(),
            sub: claims.service.as_str(),
            aud: match claims.audiences.as_slice() {
                [one] => AudienceView::One(one),
                several => AudienceView::Several(several),
            },
            iss: &claims.issuer,
            exp: seconds(claims.expires_at),
            iat: seconds(claims.issued_at),
            jti: claims.token,
            token_type: "Bearer",
        }
    }
}

/// A token, as a form. Clients authenticate as at the token endpoint.
#[derive(ToSchema)]
#[schema(as = TokenQuestion)]
#[expect(dead_code, reason = "it is only described")]
pub(in crate::http) struct TokenQuestion {
    token: String,
    /// Passed over: there is one kind of token.
    token_type_hint: Option<String>,
    client_id: Option<String>,
    #[schema(format = Password)]
    client_secret: Option<String>,
    client_assertion_type: Option<String>,
    client_assertion: Option<String>,
}

/// Ask what a token is
///
/// Every registered service may ask about every token that it was shown.
#[utoipa::path(
    post, path = "/oauth2/introspect", operation_id = "introspectToken", tag = "oauth", security(("client" = []), ()),
    request_body(content = TokenQuestion, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "What it is", body = IntrospectionView)),
)]
pub(in crate::http) async fn introspect(
    api: Data<Api>,
    call: Call<IntrospectionEndpoint>,
) -> Result<HttpResponse, OAuthError> {
    let Call {
        attempt,
        form,
        presented,
        ..
    } = call;
    let fault = presented.as_ref().err().copied();
    let token = form.token.as_ref().map(ExposeSecret::expose_secret);
    let claims = api
        .tokens
        .introspect(attempt, presented.map_err(AuthFailure::from), token)
        .await
        .map_err(|error| OAuthError::new(fault, error))?;
    Ok(HttpResponse::Ok()
        .insert_header((header::PRAGMA, "no-cache"))
        .json(IntrospectionView {
            active: claims.is_some(),
            claims: claims.as_deref().map(Into::into),
        }))
}
