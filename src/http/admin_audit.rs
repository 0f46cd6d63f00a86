//! `/api/admin/audit`: the audit trail, for superusers.

use std::net::IpAddr;

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    error::ApiError,
    extract::{Parameters, SuperPrincipal, page_size},
    rejection::Rejection,
};
use crate::{
    accounts::UserId,
    audit::{Actor, AuditCursor, AuditFilter, AuditRow, Kind},
    clock::Timestamp,
};

/// A page of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditPage)]
pub(super) struct AuditPageView<'a> {
    /// Newest first.
    events: Vec<AuditEventView<'a>>,
    /// The `cursor` of the next page; null after the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A login attempt, a password change or an administrative action, or several rejected ones within one minute.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditEvent)]
pub(super) struct AuditEventView<'a> {
    /// When it ended; for several, when the first one ended.
    #[schema(format = DateTime)]
    at: String,
    /// When the last of several ended.
    #[schema(format = DateTime)]
    last_at: String,
    /// Number of attempts that the event represents.
    count: u64,
    /// What was attempted.
    kind: &'a str,
    /// `success`, `pending`, or the reason of the rejection.
    outcome: &'a str,
    /// The actor: `user:` and an id, `cli:` and the user id of the operating system, or `system`. Null for a login, and
    /// if the request had no session.
    #[schema(required)]
    actor: Option<&'a str>,
    /// The account concerned.
    #[schema(required, value_type = Option<String>, format = "uuid")]
    user_id: Option<UserId>,
    /// The other object concerned: `service:` and an id, `key:` and its `kid`, `session:` and an id.
    #[schema(required)]
    target: Option<&'a str>,
    /// What was changed.
    #[schema(required)]
    detail: Option<&'a str>,
    /// The client's address.
    #[schema(required, value_type = Option<String>)]
    address: Option<IpAddr>,
}

impl<'a> From<&'a AuditRow> for AuditEventView<'a> {
    fn from(row: &'a AuditRow) -> Self {
        Self {
            at: row.at.to_rfc3339(),
            last_at: row.last_at.to_rfc3339(),
            count: row.count,
            kind: &row.kind,
            outcome: &row.outcome,
            actor: row.actor.as_deref(),
            user_id: row.user_id,
            target: row.target.as_deref(),
            detail: row.detail.as_deref(),
            address: row.address,
        }
    }
}

/// List the audit trail
///
/// Login attempts, password changes and administrative actions, including rejected ones. Rejected attempts with the
/// same kind, outcome and client are combined into one event per minute, with their number in `count`.
#[utoipa::path(
    get, path = "/api/admin/audit", operation_id = "listAuditEvents", tag = "admin", security(("session" = [])),
    params(
        ("user" = Option<String>, Query, description = "Only events that concern the user with this id or name"),
        ("actor" = Option<String>, Query, description = "Only events of this actor: `user:` and an id, `cli`, `cli:` and a user id, `system`"),
        ("kind" = Option<String>, Query, description = "Only events of this kind"),
        ("outcome" = Option<String>, Query, description = "Only events with this outcome"),
        ("address" = Option<String>, Query, description = "Only events of this address"),
        ("since" = Option<String>, Query, description = "Only events from this time on (RFC 3339)"),
        ("until" = Option<String>, Query, description = "Only events from before this time (RFC 3339)"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Entries per page; 50 by default"),
    ),
    responses((status = 200, description = "A page", body = AuditPageView)),
)]
pub(super) async fn list(
    api: Data<Api>,
    _: SuperPrincipal,
    parameters: Parameters,
) -> Result<HttpResponse, ApiError> {
    let [
        user,
        actor,
        kind,
        outcome,
        address,
        since,
        until,
        cursor,
        limit,
    ] = parameters.named([
        "user", "actor", "kind", "outcome", "address", "since", "until", "cursor", "limit",
    ])?;
    let limit = page_size(limit.as_deref())?;
    let user_id = match user {
        None => None,
        Some(text) => match super::admin_sessions::find_user(&api, &text).await? {
            // No event concerns a name that belongs to no account.
            None => return Ok(page(&[], None)),
            found => found,
        },
    };
    let filter = AuditFilter {
        user_id,
        actor: parsed::<Actor>("actor", actor)?,
        kind: parsed::<Kind>("kind", kind)?,
        outcome,
        address: parsed::<IpAddr>("address", address)?,
        since: parsed::<Timestamp>("since", since)?,
        until: parsed::<Timestamp>("until", until)?,
        after: parsed::<AuditCursor>("cursor", cursor)?,
    };
    // One more than the page size shows whether there is a next page.
    let mut rows = api.trail.search(&filter, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more);
    Ok(page(
        &rows,
        next.map(|last| AuditCursor::from(last).to_string()),
    ))
}

fn parsed<T>(name: &str, text: Option<String>) -> Result<Option<T>, Rejection>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let read = |text: String| {
        text.parse()
            .map_err(|error| Rejection::Parameter(format!("{name}: {error}")))
    };
    text.map(read).transpose()
}

fn page(rows: &[AuditRow], next_cursor: Option<String>) -> HttpResponse {
    HttpResponse::Ok().json(AuditPageView {
        events: rows.iter().map(Into::into).collect(),
        next_cursor,
    })
}
