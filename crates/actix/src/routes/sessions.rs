//! `/api/sessions`: one's own sessions, on all devices.

use actix_session::Session;
use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
#[cfg(feature = "openapi")]
use utoipa::ToSchema;

use super::LoginApi;
use crate::{
    error::ApiError,
    extract::{Parameters, Principal, Segment},
    rejection::Rejection,
    session_store,
};
use skriptoteket_core::network::ClientNetwork;
use skriptoteket_sessions::{EndReason, SessionId, SessionRecord};

/// One's own sessions.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = OwnSessions))]
pub struct OwnSessionsView<'a> {
    /// Newest first.
    sessions: Vec<OwnSessionView<'a>>,
}

/// One of one's own sessions.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = OwnSession))]
pub struct OwnSessionView<'a> {
    /// Changes with the key of the session, after a promotion.
    id: &'a str,
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    created_at: String,
    /// Up to a minute earlier than the actual last use.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    last_seen_at: String,
    /// When the session ends if it is not used.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    expires_at: String,
    /// The client's `User-Agent` header; may be empty.
    user_agent: &'a str,
    /// The network that the client logged in from: an IPv4 /24 or an IPv6 /48; null if it is not known.
    #[cfg_attr(feature = "openapi", schema(required, value_type = Option<String>, example = "192.0.2.0/24"))]
    network: Option<ClientNetwork>,
    /// True for the session of this request.
    current: bool,
}

impl<'a> OwnSessionView<'a> {
    fn new(record: &'a SessionRecord, current: &SessionId) -> Self {
        Self {
            id: record.id.as_str(),
            created_at: record.created_at.to_rfc3339(),
            last_seen_at: record.last_seen_at.to_rfc3339(),
            expires_at: record.expires_at.to_rfc3339(),
            user_agent: &record.user_agent,
            network: record.network,
            current: record.id == *current,
        }
    }
}

/// List one's own sessions
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/api/sessions", operation_id = "listOwnSessions", tag = "session", security(("session" = [])),
    responses((status = 200, description = "All sessions of the user", body = OwnSessionsView)),
))]
pub async fn list(api: Data<LoginApi>, principal: Principal) -> Result<HttpResponse, ApiError> {
    let records = api.sessions.list_user(principal.user_id).await?;
    let views = records
        .iter()
        .map(|it| OwnSessionView::new(it, &principal.id));
    Ok(HttpResponse::Ok().json(OwnSessionsView {
        sessions: views.collect(),
    }))
}

/// End one of one's own sessions
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/api/sessions/{id}", operation_id = "endOwnSession", tag = "session", security(("session" = [])),
    params(("id" = String, Path, description = "The id of a session")),
    responses(
        (status = 204, description = "Ended; if it was the session of the request, the cookie is removed"),
        (status = 404, description = "The user has no such session"),
    ),
))]
pub async fn end(
    api: Data<LoginApi>,
    principal: Principal,
    session: Session,
    Segment(id): Segment<SessionId>,
) -> Result<HttpResponse, ApiError> {
    end_own(&api, &principal, &session, id).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Ends a session of the user. If it is the session of the request, its cookie is removed.
///
/// # Errors
///
/// [`Rejection::NotFound`] if the user has no such session; [`ApiError::Store`].
pub async fn end_own(
    api: &LoginApi,
    principal: &Principal,
    session: &Session,
    id: SessionId,
) -> Result<(), ApiError> {
    let own = api.sessions.list_user(principal.user_id).await?;
    if !own.iter().any(|record| record.id == id) {
        return Err(Rejection::NotFound.into());
    }
    let current = id == principal.id;
    // If the session was not ended, it has ended or changed its id since it was listed. A session that is still live
    // must not be reported as gone.
    let ended = api.sessions.end(id, EndReason::Revoked).await?;
    ended.ok_or(Rejection::NotFound)?;
    if current {
        session_store::dismiss(session);
    }
    Ok(())
}

/// Ends all sessions of the user except the one of the request.
///
/// # Errors
///
/// [`ApiError::Store`].
pub async fn end_own_others(api: &LoginApi, principal: &Principal) -> Result<(), ApiError> {
    let keep = Some(principal.id.clone());
    api.sessions.end_user(principal.user_id, keep).await?;
    Ok(())
}

/// Which of one's own sessions are kept.
#[cfg(feature = "openapi")]
#[derive(Debug, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Kept {
    /// The session of the request.
    Current,
}

/// End all of one's own sessions
#[cfg_attr(feature = "openapi", utoipa::path(
    delete, path = "/api/sessions", operation_id = "endOwnSessions", tag = "session", security(("session" = [])),
    params(("keep" = Option<Kept>, Query, description = "`current` keeps the session of the request")),
    responses(
        (status = 204, description = "Ended; if the session of the request was one of them, the cookie is removed"),
    ),
))]
pub async fn end_all(
    api: Data<LoginApi>,
    principal: Principal,
    session: Session,
    parameters: Parameters,
) -> Result<HttpResponse, ApiError> {
    let [keep] = parameters.named(["keep"])?;
    match keep.as_deref() {
        None => {
            api.sessions.end_user(principal.user_id, None).await?;
            session_store::dismiss(&session);
        }
        Some("current") => end_own_others(&api, &principal).await?,
        Some(_) => {
            let text = String::from("keep: expected current");
            return Err(Rejection::Parameter(text).into());
        }
    }
    Ok(HttpResponse::NoContent().finish())
}
