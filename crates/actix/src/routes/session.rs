//! `/api/session`: the current user and session.

#[cfg(feature = "openapi")]
use std::borrow::Cow;

use actix_web::HttpResponse;
use serde::Serialize;
#[cfg(feature = "openapi")]
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use crate::{error::ApiError, extract::Principal};
use skriptoteket_login::accounts::{Role, UserId};
use skriptoteket_sessions::SessionRecord;

/// The user who is logged in, and their session.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = LoggedIn))]
pub struct LoggedInView<'a> {
    user: UserView<'a>,
    session: SessionView<'a>,
}

/// A user as shown to others.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = User))]
pub struct UserView<'a> {
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = "uuid"))]
    pub(super) id: UserId,
    pub(super) username: &'a str,
    #[cfg_attr(feature = "openapi", schema(value_type = RoleName))]
    pub(super) role: Role,
}

/// A session: its public id and its times.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "openapi", derive(ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = Session))]
pub struct SessionView<'a> {
    /// Public: no cookie can be derived from it. It changes with the key of the session, after a promotion.
    id: &'a str,
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    created_at: String,
    /// When the session ends if it is not used.
    #[cfg_attr(feature = "openapi", schema(format = DateTime))]
    expires_at: String,
}

/// The names of roles, as described in the document.
#[cfg(feature = "openapi")]
#[derive(Debug)]
pub struct RoleName;

#[cfg(feature = "openapi")]
impl PartialSchema for RoleName {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "The role of a user; the order is that of increasing permissions",
            ))
            .enum_values(Some(Role::ALL.map(Role::as_str)))
            .into()
    }
}

#[cfg(feature = "openapi")]
impl ToSchema for RoleName {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Role")
    }
}

impl<'a> From<&'a SessionRecord> for UserView<'a> {
    fn from(record: &'a SessionRecord) -> Self {
        Self {
            id: record.user_id,
            username: record.username.as_str(),
            role: record.role,
        }
    }
}

impl<'a> LoggedInView<'a> {
    pub(super) fn new(user: UserView<'a>, record: &'a SessionRecord) -> Self {
        Self {
            user,
            session: SessionView {
                id: record.id.as_str(),
                created_at: record.created_at.to_rfc3339(),
                expires_at: record.expires_at.to_rfc3339(),
            },
        }
    }
}

/// Get the current user and session
///
/// The request keeps the session alive.
#[cfg_attr(feature = "openapi", utoipa::path(
    get, path = "/api/session", operation_id = "currentSession", tag = "session", security(("session" = [])),
    responses((status = 200, description = "The current user and session", body = LoggedInView)),
))]
pub async fn show(principal: Principal) -> Result<HttpResponse, ApiError> {
    let record: &SessionRecord = &principal;
    Ok(HttpResponse::Ok().json(LoggedInView::new(record.into(), record)))
}
