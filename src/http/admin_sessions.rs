//! `/api/admin/sessions`, `/api/admin/users/{id}/sessions`: the sessions of all users.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Api,
    error::ApiError,
    extract::{AdminPrincipal, Parameters, Segment, page_size},
    rejection::Rejection,
    session::{RoleName, UserView},
};
use crate::{
    accounts::{Role, UserId, Username},
    audit::{self, Kind},
    network::ClientNetwork,
    sessions::{SessionFilter, SessionId, SessionRecord},
};

/// A page of live sessions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SessionPage)]
pub(super) struct SessionPageView<'a> {
    sessions: Vec<AnySessionView<'a>>,
    /// The `cursor` of the next page; null after the last page.
    #[schema(required)]
    next_cursor: Option<&'a str>,
}

/// A live session of any user.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AnySession)]
pub(super) struct AnySessionView<'a> {
    id: &'a str,
    user: UserView<'a>,
    #[schema(format = DateTime)]
    created_at: String,
    /// Up to a minute earlier than the actual last use.
    #[schema(format = DateTime)]
    last_seen_at: String,
    /// When the session ends if it is not used.
    #[schema(format = DateTime)]
    expires_at: String,
    /// The client's `User-Agent` header; may be empty.
    user_agent: &'a str,
    /// The network that the client logged in from: an IPv4 /24 or an IPv6 /48; null if it is not known.
    #[schema(required, value_type = Option<String>, example = "192.0.2.0/24")]
    network: Option<ClientNetwork>,
}

impl<'a> From<&'a SessionRecord> for AnySessionView<'a> {
    fn from(record: &'a SessionRecord) -> Self {
        Self {
            id: record.id.as_str(),
            user: record.into(),
            created_at: record.created_at.to_rfc3339(),
            last_seen_at: record.last_seen_at.to_rfc3339(),
            expires_at: record.expires_at.to_rfc3339(),
            user_agent: &record.user_agent,
            network: record.network,
        }
    }
}

/// List live sessions
#[utoipa::path(
    get, path = "/api/admin/sessions", operation_id = "listSessions", tag = "admin", security(("session" = [])),
    params(
        ("role" = Option<RoleName>, Query, description = "Only sessions that have this role"),
        ("user" = Option<String>, Query, description = "Only sessions of the user with this id or name"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Entries per page; 50 by default"),
    ),
    responses((status = 200, description = "A page", body = SessionPageView)),
)]
pub(super) async fn list(
    api: Data<Api>,
    _: AdminPrincipal,
    parameters: Parameters,
) -> Result<HttpResponse, ApiError> {
    let [role, user, cursor, limit] = parameters.named(["role", "user", "cursor", "limit"])?;
    let limit = page_size(limit.as_deref())?;
    let role = role.map(|it| it.parse::<Role>()).transpose();
    let role = role.map_err(|error| Rejection::Parameter(format!("role: {error}")))?;
    let after = cursor.map(|it| it.parse::<SessionId>()).transpose();
    let after = after.map_err(|_| Rejection::Parameter("cursor is not valid".into()))?;
    let user = match user {
        None => None,
        Some(text) => match find_user(&api, &text).await? {
            // A name that belongs to no account has no sessions.
            None => return Ok(page(&[], None)),
            found => found,
        },
    };
    let filter = SessionFilter { role, user };
    // One more than the page size shows whether there is a next page.
    let mut records = api.sessions.page(filter, after.as_ref(), limit + 1).await?;
    let more = records.len() > limit as usize;
    records.truncate(limit as usize);
    let next = records.last().filter(|_| more);
    Ok(page(&records, next.map(|last| last.id.as_str())))
}

/// Returns the account with this id or name.
pub(super) async fn find_user(api: &Api, text: &str) -> Result<Option<UserId>, ApiError> {
    if let Ok(id) = text.parse() {
        return Ok(Some(id));
    }
    let name = text.parse::<Username>();
    let name =
        name.map_err(|_| Rejection::Parameter("user is neither an id nor a user name".into()))?;
    let account = api.accounts.find_by_username(&name).await?;
    Ok(account.map(|account| account.user.id))
}

fn page(records: &[SessionRecord], next_cursor: Option<&str>) -> HttpResponse {
    HttpResponse::Ok().json(SessionPageView {
        sessions: records.iter().map(Into::into).collect(),
        next_cursor,
    })
}

/// End all sessions of a user
#[utoipa::path(
    delete, path = "/api/admin/users/{id}/sessions", operation_id = "endSessionsOfUser", tag = "admin", security(("session" = [])),
    params(("id" = String, Path, description = "The id of a user")),
    responses(
        (status = 204, description = "Ended"),
        (status = 403, description = "The user has a higher role than the administrator"),
        (status = 404, description = "There is no such user"),
    ),
)]
pub(super) async fn end_all_of_user(
    api: Data<Api>,
    AdminPrincipal(principal): AdminPrincipal,
    Segment(id): Segment<UserId>,
) -> Result<HttpResponse, ApiError> {
    let account = api.accounts.find(id).await?;
    let user = account.ok_or(Rejection::NotFound)?.user;
    if user.role > principal.role {
        return Err(Rejection::RoleTooLow(user.role).into());
    }
    audit::announce(Kind::SessionRevoke).await?;
    api.sessions.end_user(id, None).await?;
    Ok(HttpResponse::NoContent().finish())
}
