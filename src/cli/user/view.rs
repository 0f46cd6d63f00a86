//! Rows of `user list`.

use serde::Serialize;

use crate::{
    accounts::{Role, User, UserId, Username},
    cli::output::Row,
};

/// An account, in the format of the API.
#[derive(Debug, Serialize)]
pub(super) struct UserRow {
    id: UserId,
    username: Username,
    role: Role,
    disabled: bool,
    display_name: Option<String>,
    email: Option<String>,
    created_at: String,
}

impl From<&User> for UserRow {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            username: user.username.clone(),
            role: user.role,
            disabled: user.disabled,
            display_name: user.profile.display_name().map(str::to_owned),
            email: user.profile.email().map(str::to_owned),
            created_at: user.created_at.to_rfc3339(),
        }
    }
}

impl Row for UserRow {
    const COLUMNS: &'static [&'static str] = &[
        "username",
        "role",
        "disabled",
        "display_name",
        "email",
        "created_at",
        "id",
    ];
    const WIDE_ONLY: &'static [&'static str] = &["email", "id"];
    const CUT: &'static [(&'static str, usize)] = &[("display_name", 8), ("username", 12)];

    fn cells(&self) -> Vec<String> {
        vec![
            self.username.to_string(),
            self.role.to_string(),
            String::from(if self.disabled { "yes" } else { "no" }),
            self.display_name.clone().unwrap_or_default(),
            self.email.clone().unwrap_or_default(),
            self.created_at.clone(),
            self.id.to_string(),
        ]
    }
}
