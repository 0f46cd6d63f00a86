//! Administrative actions in the audit trail: each request to a route that the table marks is recorded once, whatever
//! its result.
//!
//! The store writes a change and its row in one transaction; see [`crate::audit`]. Rejected requests are recorded here,
//! with the outcome of their error.

use actix_web::{
    Error, Route,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::{Next, from_fn},
    web::Data,
};

use super::{Api, error::ApiError, extract::Client, request_context::RequestContext};
use crate::{
    accounts::UserId,
    audit::{Action, Actor, Kind, SUCCESS},
    services::ServiceId,
};

/// Returns the route, with its requests recorded as actions of this kind.
pub(crate) fn route(kind: Kind, route: Route) -> Route {
    route.wrap(from_fn(move |request, next| record(kind, request, next)))
}

async fn record<B: MessageBody + 'static>(
    kind: Kind,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let client = request.extract::<Client>().await?;
    let Some(api) = request.app_data::<Data<Api>>() else {
        return next.call(request).await;
    };
    let user = RequestContext::session().map(|session| session.user_id);
    let recording = api
        .audit
        .begin(kind, user.map(Actor::User), Some(client.address));
    if kind == Kind::PasswordChange
        && let Some(user) = user
    {
        recording.action().set_user(user);
    }
    concerns(kind, recording.action(), &request);
    let result = recording.during(next.call(request)).await;
    recording.finish(outcome_of(&result));
    result
}

/// Records the object that the path names; the route determines its type. The path is text from the client and only a
/// claim until the request is allowed and the object is found. Until then it is in no row, see
/// [`AuditEvent::stripped`](crate::audit::AuditEvent::stripped).
fn concerns(kind: Kind, action: &Action, request: &ServiceRequest) {
    let Some(id) = request.match_info().get("id") else {
        return;
    };
    match kind {
        Kind::UserChange | Kind::UserDelete | Kind::SessionRevoke => {
            if let Ok(id) = id.parse::<UserId>() {
                action.set_user(id);
            }
        }
        Kind::ServiceChange | Kind::ServiceRotate | Kind::ServiceDelete => {
            if let Ok(id) = id.parse::<ServiceId>() {
                action.set_target(format!("service:{id}"));
            }
        }
        _ => {}
    }
}

/// The outcome of a request whose response is a page that explains an error: an extension of the response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome(pub(crate) &'static str);

fn outcome_of<B>(result: &Result<ServiceResponse<B>, Error>) -> &'static str {
    let response = match result {
        Ok(response) => response.response(),
        Err(error) => return reason(error),
    };
    if let Some(Outcome(outcome)) = response.extensions().get() {
        return outcome;
    }
    let status = response.status();
    match response.error() {
        Some(error) => reason(error),
        None if status.is_success() || status.is_redirection() => SUCCESS,
        // The framework rejected the request before it reached a handler.
        None => "invalid_request",
    }
}

fn reason(error: &Error) -> &'static str {
    let ours = error.as_error::<ApiError>();
    ours.map_or("internal_error", ApiError::reason)
}
