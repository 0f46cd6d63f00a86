//! `/api/services/{id}`: what a service asks about itself, with its access token.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    error::ApiError,
    extract::{Segment, ServiceIdentity},
    rate_limit,
};
use crate::services::{AuthFailure, AuthOperation, Charged, Claims};

/// A request that passes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LimitCheck)]
pub(super) struct CheckView {
    /// Always true: what does not pass is answered with 429.
    allowed: bool,
    /// How many more would pass now; null where the limits could not be checked and the service lets requests pass then.
    #[schema(required)]
    remaining: Option<u64>,
}

/// Charge a request to one's own limits
///
/// For a gateway that stands before a service: it asks this with the service's token for every request, and lets pass what is
/// answered with 200.
#[utoipa::path(
    post, path = "/api/services/{id}/check", operation_id = "checkLimits", tag = "service", security(("bearer" = []), ("oauth2" = [])),
    params(("id" = String, Path, description = "The id of the service that asks")),
    responses(
        (status = 200, description = "It passes", body = CheckView,
            headers(("RateLimit" = String, description = "What is left"), ("RateLimit-Policy" = String, description = "The limits"))),
        (status = 403, description = "The token is another service's"),
        (status = 429, description = "A limit is reached",
            headers(("RateLimit" = String, description = "What is left"), ("RateLimit-Policy" = String, description = "The limits"))),
    ),
)]
pub(super) async fn check(
    api: Data<Api>,
    identity: ServiceIdentity,
    Segment(id): Segment<String>,
) -> Result<HttpResponse, ApiError> {
    identity.require_to_be(&id)?;
    let started = api.auth_metrics.start();
    let charged = charge(&api, &identity).await;
    api.auth_metrics
        .record_auth_latency(&id, AuthOperation::LimitCheck, started);
    let allowance = charged?.passed()?;
    let mut response = HttpResponse::Ok().json(CheckView {
        allowed: true,
        remaining: allowance.map(|it| {
            let daily = it.daily.map_or(u64::MAX, |daily| daily.remaining);
            daily.min(it.remaining.into())
        }),
    });
    if let Some(allowance) = &allowance {
        rate_limit::tell(response.headers_mut(), allowance);
    }
    Ok(response)
}

async fn charge(api: &Api, caller: &Claims) -> Result<Charged, AuthFailure> {
    let snapshot = api.service_cache.snapshot().await?;
    // It may have gone since its token was looked at, and another one may have its id.
    let service = snapshot
        .service(caller.service.as_str())
        .filter(|it| it.registration == caller.registration);
    api.limiter
        .charge(service.ok_or(AuthFailure::UnknownService)?)
        .await
}

/// Say that one is well
#[utoipa::path(
    post, path = "/api/services/{id}/heartbeat", operation_id = "heartbeat", tag = "service", security(("bearer" = []), ("oauth2" = [])),
    params(("id" = String, Path, description = "The id of the service that is well")),
    responses(
        (status = 204, description = "Noted"),
        (status = 403, description = "The token is another service's"),
    ),
)]
pub(super) async fn heartbeat(
    api: Data<Api>,
    identity: ServiceIdentity,
    Segment(id): Segment<String>,
) -> Result<HttpResponse, ApiError> {
    identity.require_to_be(&id)?;
    api.clients.heartbeat(&identity.service).await?;
    Ok(HttpResponse::NoContent().finish())
}
