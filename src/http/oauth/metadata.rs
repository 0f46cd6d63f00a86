//! What the authorization server publishes: the keys that verify tokens, and its endpoints.

use std::fmt::Write;

use actix_web::{
    HttpResponse,
    http::header::{self, EntityTag, IfNoneMatch},
    web::{Data, Header},
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::http::{Api, error::ApiError};

/// Authentication methods of clients, at every endpoint.
const METHODS: [&str; 3] = [
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
];

/// Signature algorithms of client assertions.
const ALGORITHMS: [&str; 3] = ["EdDSA", "ES256", "RS256"];

/// Get the public signing keys
///
/// A new key is published before it signs. Cache the set for as long as `Cache-Control` allows, and fetch it again if a
/// token names a key that is not in it.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", operation_id = "signingKeys", tag = "oauth",
    params(("If-None-Match" = Option<String>, Header, description = "The `ETag` of a cached set")),
    responses(
        (status = 200, description = "A JWK Set (RFC 7517)", body = Object, content_type = "application/jwk-set+json",
            headers(("ETag" = String, description = "Changes with the keys"))),
        (status = 304, description = "The cached set is current"),
    ),
)]
pub(in crate::http) async fn keys(
    api: Data<Api>,
    known: Option<Header<IfNoneMatch>>,
) -> Result<HttpResponse, ApiError> {
    let jwks = api.tokens.jwks().await?;
    let tag = EntityTag::new_strong(digest(jwks.as_bytes()));
    let same = match known.as_deref() {
        Some(IfNoneMatch::Any) => true,
        Some(IfNoneMatch::Items(items)) => items.iter().any(|it| it.weak_eq(&tag)),
        // The header is missing or unreadable.
        None => false,
    };
    let mut response = if same {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((header::CACHE_CONTROL, kept(&api)))
        .insert_header((header::ETAG, tag.to_string()));
    if same {
        return Ok(response.finish());
    }
    Ok(response
        .insert_header((header::CONTENT_TYPE, "application/jwk-set+json"))
        .body(jwks.as_bytes().to_vec()))
}

/// Returns how long clients may cache the response. A new key is published for at least as long before it signs.
fn kept(api: &Api) -> String {
    format!("public, max-age={}", api.keys_kept.as_secs())
}

/// Returns the start of the SHA-256 in hexadecimal digits: enough to distinguish sets.
fn digest(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in &Sha256::digest(bytes)[..16] {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The endpoints and what they support (RFC 8414).
#[derive(Serialize, ToSchema)]
#[schema(as = AuthorizationServer)]
pub(in crate::http) struct MetadataView<'a> {
    issuer: &'a str,
    token_endpoint: String,
    introspection_endpoint: String,
    revocation_endpoint: String,
    jwks_uri: String,
    grant_types_supported: [&'static str; 1],
    /// Empty: there is no authorization endpoint.
    response_types_supported: [&'static str; 0],
    token_endpoint_auth_methods_supported: [&'static str; 3],
    token_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    introspection_endpoint_auth_methods_supported: [&'static str; 3],
    introspection_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
    revocation_endpoint_auth_methods_supported: [&'static str; 3],
    revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 3],
}

/// Get the server metadata
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", operation_id = "authorizationServer", tag = "oauth",
    responses((status = 200, description = "The metadata (RFC 8414)", body = MetadataView)),
)]
pub(in crate::http) async fn server(api: Data<Api>) -> HttpResponse {
    let issuer = &api.tokens.policy().issuer;
    let at = |path| format!("{issuer}{path}");
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, kept(&api)))
        .json(MetadataView {
            issuer,
            token_endpoint: at("/oauth2/token"),
            introspection_endpoint: at("/oauth2/introspect"),
            revocation_endpoint: at("/oauth2/revoke"),
            jwks_uri: at("/.well-known/jwks.json"),
            grant_types_supported: ["client_credentials"],
            response_types_supported: [],
            token_endpoint_auth_methods_supported: METHODS,
            token_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
            introspection_endpoint_auth_methods_supported: METHODS,
            introspection_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
            revocation_endpoint_auth_methods_supported: METHODS,
            revocation_endpoint_auth_signing_alg_values_supported: ALGORITHMS,
        })
}
