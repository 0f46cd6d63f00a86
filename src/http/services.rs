//! `/api/services/{id}`: endpoints for a service about itself, with its access token.

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

/// A request that is allowed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LimitCheck)]
pub(super) struct CheckView {
    /// Always true: a request that is not allowed gets a 429.
    allowed: bool,
    /// How many more requests are allowed now; null if the limits could not be checked and requests are allowed in that
    /// case.
    #[schema(required)]
    remaining: Option<u64>,
}

/// Charge a request to one's own limits
///
/// For a gateway in front of a service: it calls this endpoint with the service's token for every request, and passes
/// requests on if the status is 200.
#[utoipa::path(
    post, path = "/api/services/{id}/check", operation_id = "checkLimits", tag = "service", security(("bearer" = []), ("oauth2" = [])),
    params(("id" = String, Path, description = "The id of the calling service")),
    responses(
        (status = 200, description = "The request is allowed", body = CheckView,
            headers(("RateLimit" = String, description = "The remaining limits"), ("RateLimit-Policy" = String, description = "The limits"))),
        (status = 403, description = "The token belongs to another service"),
        (status = 429, description = "A limit is reached",
            headers(("RateLimit" = String, description = "The remaining limits"), ("RateLimit-Policy" = String, description = "The limits"))),
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
    // The service may have been deleted since its token was checked, and another one may have its id.
    let service = snapshot
        .service(caller.service.as_str())
        .filter(|it| it.registration == caller.registration);
    api.limiter
        .charge(service.ok_or(AuthFailure::UnknownService)?)
        .await
}

/// Send a heartbeat
#[utoipa::path(
    post, path = "/api/services/{id}/heartbeat", operation_id = "heartbeat", tag = "service", security(("bearer" = []), ("oauth2" = [])),
    params(("id" = String, Path, description = "The id of the calling service")),
    responses(
        (status = 204, description = "The heartbeat was recorded"),
        (status = 403, description = "The token belongs to another service"),
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
