//! `/api/admin/users`: accounts, for superusers.

use std::{fmt, str::FromStr};

use actix_web::{HttpResponse, http::header, web::Data};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Api,
    error::ApiError,
    extract::{Body, JsonBody, Parameters, Segment, SuperPrincipal, given, page_size, secret},
    nullable::Nullable,
    rejection::Rejection,
    schemas::{DisplayNameText, EmailText, UsernameText},
    session::RoleName,
};
use crate::accounts::{AccountChange, OptionalChange, Profile, Role, User, UserId};

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub(super) struct AccountView<'a> {
    #[schema(value_type = String, format = "uuid")]
    id: UserId,
    username: &'a str,
    #[schema(value_type = RoleName)]
    role: Role,
    /// True if the user may not log in.
    disabled: bool,
    #[schema(required, value_type = Option<DisplayNameText>)]
    display_name: Option<&'a str>,
    #[schema(required, value_type = Option<EmailText>)]
    email: Option<&'a str>,
    #[schema(format = DateTime)]
    created_at: String,
}

impl<'a> From<&'a User> for AccountView<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.id,
            username: user.username.as_str(),
            role: user.role,
            disabled: user.disabled,
            display_name: user.profile.display_name(),
            email: user.profile.email(),
            created_at: user.created_at.to_rfc3339(),
        }
    }
}

/// A page of accounts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountPage)]
pub(super) struct AccountPageView<'a> {
    /// Oldest first.
    users: Vec<AccountView<'a>>,
    /// The `cursor` of the next page; null after the last page.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// An account to create.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewAccount)]
#[serde(deny_unknown_fields)]
pub(super) struct NewAccountBody {
    #[schema(value_type = UsernameText)]
    username: String,
    #[serde(deserialize_with = "secret")]
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 128)]
    password: SecretString,
    /// `user` if omitted.
    #[schema(value_type = Option<RoleName>)]
    role: Option<String>,
    #[schema(value_type = Option<DisplayNameText>)]
    display_name: Option<String>,
    #[schema(value_type = Option<EmailText>)]
    email: Option<String>,
}

impl Body for NewAccountBody {
    const EXPECTED: &'static str = r#"{"username": string, "password": string} and, optionally, "role": string, "display_name": string, "email": string"#;
}

/// Changes to an account; at least one member is required.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = AccountChange)]
#[serde(deny_unknown_fields)]
pub(super) struct AccountChangeBody {
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, value_type = Option<RoleName>)]
    role: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    disabled: Option<bool>,
    /// Null removes the name.
    #[serde(default)]
    #[schema(value_type = Option<DisplayNameText>)]
    display_name: Nullable<String>,
    /// Null removes the address.
    #[serde(default)]
    #[schema(value_type = Option<EmailText>)]
    email: Nullable<String>,
}

impl Body for AccountChangeBody {
    const EXPECTED: &'static str = r#"at least one of "role": string, "disabled": boolean, "display_name": string or null, "email": string or null"#;
}

fn role_of(text: &str) -> Result<Role, Rejection> {
    value_of("role", text)
}

/// Parses the value of a member.
fn value_of<T: FromStr<Err: fmt::Display>>(member: &str, text: &str) -> Result<T, Rejection> {
    let value = text.parse::<T>();
    value.map_err(|error| Rejection::Value(format!("{member}: {error}")))
}

/// Parses the change of a member that may be removed.
fn change_of<T: FromStr<Err: fmt::Display>>(
    member: &str,
    change: Nullable<String>,
) -> Result<OptionalChange<T>, Rejection> {
    let parse = |text: String| value_of(member, &text);
    change
        .change()
        .map(|it| it.map(parse).transpose())
        .transpose()
}

/// List accounts
#[utoipa::path(
    get, path = "/api/admin/users", operation_id = "listAccounts", tag = "admin", security(("session" = [])),
    params(
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the previous page"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "Entries per page; 50 by default"),
    ),
    responses((status = 200, description = "A page", body = AccountPageView)),
)]
pub(super) async fn list(
    api: Data<Api>,
    _: SuperPrincipal,
    parameters: Parameters,
) -> Result<HttpResponse, ApiError> {
    let [cursor, limit] = parameters.named(["cursor", "limit"])?;
    let limit = page_size(limit.as_deref())?;
    let after = cursor.map(|it| it.parse::<UserId>()).transpose();
    let after = after.map_err(|_| Rejection::Parameter("cursor is not valid".into()))?;
    // One more than the page size shows whether there is a next page.
    let mut users = api.accounts.list(after, limit + 1).await?;
    let more = users.len() > limit as usize;
    users.truncate(limit as usize);
    let next = users.last().filter(|_| more);
    Ok(HttpResponse::Ok().json(AccountPageView {
        next_cursor: next.map(|last| last.id.to_string()),
        users: users.iter().map(Into::into).collect(),
    }))
}

/// Create an account
#[utoipa::path(
    post, path = "/api/admin/users", operation_id = "createAccount", tag = "admin", security(("session" = [])), request_body = NewAccountBody,
    responses(
        (status = 201, description = "Created", body = AccountView,
            headers(("Location" = String, description = "Path of the account"))),
        (status = 409, description = "The user name is taken"),
        (status = 422, description = "A name, the role or the email address is invalid, or the password is too weak; the detail says which"),
    ),
)]
pub(super) async fn create(
    api: Data<Api>,
    _: SuperPrincipal,
    JsonBody(body): JsonBody<NewAccountBody>,
) -> Result<HttpResponse, ApiError> {
    let role = body.role.as_deref().map_or(Ok(Role::User), role_of)?;
    let display_name = body.display_name.as_deref();
    let email = body.email.as_deref();
    let profile = Profile {
        display_name: display_name
            .map(|it| value_of("display_name", it))
            .transpose()?,
        email: email.map(|it| value_of("email", it)).transpose()?,
    };
    let user = api
        .registrar
        .register(&body.username, role, profile, body.password)
        .await?;
    let location = format!("/api/admin/users/{}", user.id);
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .json(AccountView::from(&user)))
}

/// Change an account: its role, its profile; disable or enable it
///
/// Takes effect on live sessions at once: a new role is applied to them, disabling ends them. Enabling also unlocks an
/// account that wrong passwords have locked, if the store of locks responds; a lock also expires by itself.
#[utoipa::path(
    patch, path = "/api/admin/users/{id}", operation_id = "changeAccount", tag = "admin", security(("session" = [])),
    request_body = AccountChangeBody, params(("id" = String, Path, description = "The id of a user")),
    responses(
        (status = 200, description = "The account after the change", body = AccountView),
        (status = 404, description = "There is no such user"),
        (status = 409, description = "It is the last superuser"),
        (status = 422, description = "The role, the display name or the email address is invalid; the detail says which"),
    ),
)]
pub(super) async fn change(
    api: Data<Api>,
    _: SuperPrincipal,
    Segment(id): Segment<UserId>,
    JsonBody(body): JsonBody<AccountChangeBody>,
) -> Result<HttpResponse, ApiError> {
    let change = AccountChange {
        role: body.role.as_deref().map(role_of).transpose()?,
        disabled: body.disabled,
        display_name: change_of("display_name", body.display_name)?,
        email: change_of("email", body.email)?,
    };
    if change == AccountChange::default() {
        return Err(Rejection::Malformed {
            expected: AccountChangeBody::EXPECTED,
            line: 1,
            column: 1,
        }
        .into());
    }
    let enabled = change.disabled == Some(false);
    let user = api.lifecycle.change(id, change).await?;
    let user = user.ok_or(Rejection::NotFound)?;
    if enabled {
        // The account is changed and the change is recorded. What remains of a lock expires by itself.
        if let Err(error) = api.login.unlock(id).await {
            tracing::warn!(
                user.id = %id,
                error.type = error.error_type(),
                error = error.explanation(),
                "an account was enabled, but its earlier failed logins could not be reset"
            );
        }
    }
    Ok(HttpResponse::Ok().json(AccountView::from(&user)))
}

/// Delete an account
///
/// Its sessions end.
#[utoipa::path(
    delete, path = "/api/admin/users/{id}", operation_id = "deleteAccount", tag = "admin", security(("session" = [])),
    params(("id" = String, Path, description = "The id of a user")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 404, description = "There is no such user"),
        (status = 409, description = "It is the last superuser"),
    ),
)]
pub(super) async fn delete(
    api: Data<Api>,
    _: SuperPrincipal,
    Segment(id): Segment<UserId>,
) -> Result<HttpResponse, ApiError> {
    if api.lifecycle.delete(id).await? {
        Ok(HttpResponse::NoContent().finish())
    } else {
        Err(Rejection::NotFound.into())
    }
}
