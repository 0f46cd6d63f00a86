//! `/oauth2/introspect`: token introspection (RFC 7662).

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
    services::{AuthFailure, AuthOperation, Claims, Scope},
};

/// `/oauth2/introspect`, for a [`Call`].
pub(in crate::http) enum IntrospectionEndpoint {}

impl Endpoint for IntrospectionEndpoint {
    const OPERATION: AuthOperation = AuthOperation::Introspection;
}

/// The state of a token.
#[derive(Default, Serialize)]
pub(in crate::http) struct IntrospectionView<'a> {
    active: bool,
    #[serde(flatten)]
    claims: Option<ActiveTokenView<'a>>,
}

/// The state of a token, as described in the document: one object, for generated clients.
#[derive(ToSchema)]
#[schema(as = Introspection)]
#[expect(dead_code, reason = "only used for the OpenAPI description")]
pub(in crate::http) struct IntrospectionShape {
    /// Whether the token is valid now. If it is not, all other members are omitted.
    active: bool,
    /// The scopes of the token, separated by spaces; omitted if there are none.
    #[schema(nullable = false)]
    scope: Option<String>,
    #[schema(nullable = false)]
    client_id: Option<String>,
    #[schema(nullable = false)]
    sub: Option<String>,
    #[schema(nullable = false, value_type = Option<AudienceShape>)]
    aud: Option<AudienceShape>,
    #[schema(nullable = false)]
    iss: Option<String>,
    /// Seconds since the Unix epoch.
    #[schema(nullable = false)]
    exp: Option<i64>,
    /// Seconds since the Unix epoch.
    #[schema(nullable = false)]
    iat: Option<i64>,
    #[schema(nullable = false, value_type = Option<String>, format = "uuid")]
    jti: Option<Uuid>,
    #[schema(nullable = false, example = "Bearer")]
    token_type: Option<String>,
}

/// The audience of a token: one text, or several.
#[derive(ToSchema)]
#[schema(as = Audience)]
#[serde(untagged)]
#[expect(dead_code, reason = "only used for the OpenAPI description")]
pub(in crate::http) enum AudienceShape {
    One(String),
    Several(Vec<String>),
}

/// The claims of a valid token.
#[derive(Serialize)]
struct ActiveTokenView<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    client_id: &'a str,
    sub: &'a str,
    aud: AudienceView<'a>,
    iss: &'a str,
    exp: i64,
    iat: i64,
    jti: Uuid,
    token_type: &'a str,
}

/// `aud` in the form of JWTs.
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
#[expect(dead_code, reason = "only used for the OpenAPI description")]
pub(in crate::http) struct TokenQuestion {
    #[schema(min_length = 1)]
    token: String,
    /// Ignored: there is only one type of token.
    token_type_hint: Option<String>,
    client_id: Option<String>,
    #[schema(format = Password)]
    client_secret: Option<String>,
    client_assertion_type: Option<String>,
    client_assertion: Option<String>,
}

/// Introspect a token
///
/// Every registered service may introspect every token that it has received.
#[utoipa::path(
    post, path = "/oauth2/introspect", operation_id = "introspectToken", tag = "oauth", security(("client" = []), ()),
    request_body(content = TokenQuestion, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The state of the token", body = IntrospectionShape)),
)]
pub(in crate::http) async fn introspect(
    api: Data<Api>,
    call: Call<IntrospectionEndpoint>,
) -> Result<HttpResponse, OAuthError> {
    let Call {
        attempt,
        form,
        credentials,
        ..
    } = call;
    let fault = credentials.as_ref().err().copied();
    let token = form.token.as_ref().map(ExposeSecret::expose_secret);
    let claims = api
        .tokens
        .introspect(attempt, credentials.map_err(AuthFailure::from), token)
        .await
        .map_err(|error| OAuthError::new(fault, error))?;
    Ok(HttpResponse::Ok()
        .insert_header((header::PRAGMA, "no-cache"))
        .json(IntrospectionView {
            active: claims.is_some(),
            claims: claims.as_deref().map(Into::into),
        }))
}
