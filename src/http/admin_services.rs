//! `/api/admin/services`: the register of services, for superusers.

use std::time::Duration;

use actix_web::{HttpResponse, http::header, web::Data};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    Api,
    error::ApiError,
    extract::{
        Body, JsonBody, OptionalJsonBody, Segment, SuperPrincipal, Whole, given, given_whole,
        whole_or_null,
    },
    nullable::Nullable,
    rejection::Rejection,
    schemas::{RateText, ScopeText, ServiceIdText},
    service_view::{IssuedView, ServiceListView, ServiceView},
};
use crate::services::{
    LimitChange, Rate, Registration, Scope, ServiceChange, ServiceId, ServiceSettings,
};

/// A service to register.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewService)]
#[serde(deny_unknown_fields)]
pub(super) struct NewServiceBody {
    #[schema(value_type = ServiceIdText)]
    id: String,
    #[serde(default)]
    #[schema(max_length = 200)]
    description: String,
    /// Scopes for which the service may request tokens.
    #[serde(default)]
    #[schema(value_type = Vec<ScopeText>, max_items = 50)]
    scopes: Vec<String>,
    /// The configured default if omitted.
    #[schema(value_type = Option<RateText>)]
    rate: Option<String>,
    /// The configured default if omitted.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(minimum = 1, maximum = 1_000_000)]
    burst: Option<u32>,
    /// Null for no quota; the configured default if omitted.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 1_000_000_000_000_u64)]
    daily_quota: Nullable<Whole<u64>>,
    /// A JWK Set, for a service that signs its assertions.
    public_keys: Option<Map<String, Value>>,
}

impl Body for NewServiceBody {
    const EXPECTED: &'static str = r#"{"id": string} and, optionally, "description": string, "scopes": [string], "rate": string, "burst": number, "daily_quota": number or null, "public_keys": object"#;
}

/// Changes to a service; at least one member is required.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = ServiceChange)]
#[serde(deny_unknown_fields)]
pub(super) struct ServiceChangeBody {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, max_length = 200)]
    description: Option<String>,
    /// True to prevent the service from authenticating.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    disabled: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<Vec<ScopeText>>, max_items = 50)]
    scopes: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<RateText>)]
    rate: Option<String>,
    #[serde(default, deserialize_with = "given_whole")]
    #[schema(nullable = false, minimum = 1, maximum = 1_000_000)]
    burst: Option<u32>,
    /// Null removes the quota.
    #[serde(default)]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 1_000_000_000_000_u64)]
    daily_quota: Nullable<Whole<u64>>,
    /// Null removes the keys.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    public_keys: Nullable<Map<String, Value>>,
}

impl Body for ServiceChangeBody {
    const EXPECTED: &'static str = r#"at least one of "description": string, "disabled": boolean, "scopes": [string], "rate": string, "burst": number, "daily_quota": number or null, "public_keys": object or null"#;
}

/// How a new secret replaces the current one.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = Rotation)]
#[serde(deny_unknown_fields)]
pub(super) struct RotationBody {
    /// How long the previous secret is still accepted; the configured default if omitted.
    #[serde(default, deserialize_with = "whole_or_null")]
    #[schema(minimum = 0, maximum = 31_536_000)]
    overlap_seconds: Option<u64>,
    /// Ends a secret that was replaced earlier and is still accepted.
    #[serde(default)]
    force: bool,
}

impl Body for RotationBody {
    const EXPECTED: &'static str =
        r#"{"overlap_seconds": number, "force": boolean}, both optional"#;
}

/// Returns the requested limits.
fn limits(
    rate: Option<&str>,
    burst: Option<u32>,
    daily_quota: Nullable<Whole<u64>>,
) -> Result<LimitChange, Rejection> {
    let rate = rate.map(str::parse::<Rate>).transpose();
    let rate = rate.map_err(|error| Rejection::Value(format!("rate: {error}")))?;
    Ok(LimitChange {
        interval: rate.map(Rate::interval),
        burst,
        daily_quota: daily_quota.change().map(|it| it.map(|Whole(it)| it)),
    })
}

fn scopes(texts: &[String]) -> Result<Vec<Scope>, Rejection> {
    let read = |text: &String| {
        text.parse()
            .map_err(|error| Rejection::Value(format!("scopes: {error}")))
    };
    texts.iter().map(read).collect()
}

/// List the services
#[utoipa::path(
    get, path = "/api/admin/services", operation_id = "listServices", tag = "admin", security(("session" = [])),
    responses((status = 200, description = "All services, sorted by id", body = ServiceListView)),
)]
pub(super) async fn list(api: Data<Api>, _: SuperPrincipal) -> Result<HttpResponse, ApiError> {
    let (services, _) = api.registry.all().await?;
    let services = services
        .iter()
        .map(|it| ServiceView::new(it, &api.registry));
    Ok(HttpResponse::Ok().json(ServiceListView {
        services: services.collect(),
    }))
}

/// Register a service
///
/// The client secret is shown only once.
#[utoipa::path(
    post, path = "/api/admin/services", operation_id = "registerService", tag = "admin", security(("session" = [])),
    request_body = NewServiceBody,
    responses(
        (status = 201, description = "Registered", body = IssuedView,
            headers(("Location" = String, description = "Path of the service"))),
        (status = 409, description = "The id is taken, or the maximum number of services is reached"),
        (status = 422, description = "A value is invalid; the detail says which, and what is expected"),
    ),
)]
pub(super) async fn register(
    api: Data<Api>,
    _: SuperPrincipal,
    JsonBody(body): JsonBody<NewServiceBody>,
) -> Result<HttpResponse, ApiError> {
    let id: ServiceId = body
        .id
        .parse()
        .map_err(|error| Rejection::Value(format!("id: {error}")))?;
    let limits = limits(body.rate.as_deref(), body.burst, body.daily_quota)?;
    let registration = Registration {
        id,
        description: body.description,
        scopes: scopes(&body.scopes)?,
        limits: Some(limits.over(api.registry.usual_limits())),
        public_keys: body.public_keys.map(|keys| Value::from(keys).to_string()),
    };
    let issued = api.registry.register(registration).await?;
    let location = format!("/api/admin/services/{}", issued.service.id);
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .json(IssuedView::new(
            &issued,
            issued.secret.expose_secret(),
            &api.registry,
        )))
}

/// Show a service
#[utoipa::path(
    get, path = "/api/admin/services/{id}", operation_id = "showService", tag = "admin", security(("session" = [])),
    params(("id" = String, Path, description = "The id of a service")),
    responses(
        (status = 200, description = "The service", body = ServiceView),
        (status = 404, description = "There is no such service"),
    ),
)]
pub(super) async fn show(
    api: Data<Api>,
    _: SuperPrincipal,
    Segment(id): Segment<ServiceId>,
) -> Result<HttpResponse, ApiError> {
    let service = api.registry.find(&id).await?;
    Ok(HttpResponse::Ok().json(ServiceView::new(&service, &api.registry)))
}

/// Change a service, disable or enable it
///
/// The secrets and tokens of a disabled service are rejected on every replica within a second.
#[utoipa::path(
    patch, path = "/api/admin/services/{id}", operation_id = "changeService", tag = "admin", security(("session" = [])),
    request_body = ServiceChangeBody, params(("id" = String, Path, description = "The id of a service")),
    responses(
        (status = 200, description = "The service after the change", body = ServiceView),
        (status = 404, description = "There is no such service"),
        (status = 422, description = "A value is invalid; the detail says which, and what is expected"),
    ),
)]
pub(super) async fn change(
    api: Data<Api>,
    _: SuperPrincipal,
    Segment(id): Segment<ServiceId>,
    JsonBody(body): JsonBody<ServiceChangeBody>,
) -> Result<HttpResponse, ApiError> {
    let change = ServiceChange {
        description: body.description,
        disabled: body.disabled,
        scopes: body.scopes.as_deref().map(scopes).transpose()?,
        limits: limits(body.rate.as_deref(), body.burst, body.daily_quota)?,
        public_keys: (body.public_keys.change())
            .map(|keys| keys.map(|keys| Value::from(keys).to_string().into())),
    };
    if change == ServiceChange::default() {
        return Err(Rejection::Malformed {
            expected: ServiceChangeBody::EXPECTED,
            line: 1,
            column: 1,
        }
        .into());
    }
    let service = api.registry.change(&id, change).await?;
    Ok(HttpResponse::Ok().json(ServiceView::new(&service, &api.registry)))
}

/// Delete a service
///
/// Its secrets and tokens are rejected from then on, even if another service is registered under the same id.
#[utoipa::path(
    delete, path = "/api/admin/services/{id}", operation_id = "deleteService", tag = "admin", security(("session" = [])),
    params(("id" = String, Path, description = "The id of a service")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "There is no such service"),
    ),
)]
pub(super) async fn delete(
    api: Data<Api>,
    _: SuperPrincipal,
    Segment(id): Segment<ServiceId>,
) -> Result<HttpResponse, ApiError> {
    api.registry.delete(&id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Give a service a new secret
///
/// The previous secret is accepted for some more time. The new secret is shown only once. The body is optional.
#[utoipa::path(
    post, path = "/api/admin/services/{id}/rotate", operation_id = "rotateCredential", tag = "admin", security(("session" = [])),
    request_body = Option<RotationBody>, params(("id" = String, Path, description = "The id of a service")),
    responses(
        (status = 200, description = "The new secret", body = IssuedView),
        (status = 404, description = "There is no such service"),
        (status = 409, description = "The secret that the last rotation replaced is still accepted; the detail says until when"),
        (status = 422, description = "The overlap is longer than a year"),
    ),
)]
pub(super) async fn rotate(
    api: Data<Api>,
    _: SuperPrincipal,
    Segment(id): Segment<ServiceId>,
    OptionalJsonBody(body): OptionalJsonBody<RotationBody>,
) -> Result<HttpResponse, ApiError> {
    let longest = ServiceSettings::LONGEST_OVERLAP.as_secs();
    if body.overlap_seconds.is_some_and(|it| it > longest) {
        let text = format!("overlap_seconds: at most {longest}");
        return Err(Rejection::Value(text).into());
    }
    let overlap = body.overlap_seconds.map(Duration::from_secs);
    let issued = api.registry.rotate(&id, overlap, body.force).await?;
    Ok(HttpResponse::Ok().json(IssuedView::new(
        &issued,
        issued.secret.expose_secret(),
        &api.registry,
    )))
}
