//! `user`: accounts.

use anyhow::Context;
use clap::{
    Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde::Serialize;

use super::{
    Source,
    command_context::{CommandContext, Refused},
    confirm,
    output::{self, Row},
    password,
};
use crate::{
    accounts::{AccountChange, Role, User, UserId, Username, registration::RegisterError},
    audit::{self, Kind},
    guard::Entity,
};

/// Accounts read from the store in one step.
const PAGE: u32 = 500;

/// Commands on accounts. They work while the server runs; sessions follow within a second.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add an account; prompts for the password
    #[command(after_help = "\
Examples:
  skriptoteket user add ada --role superuser
  skriptoteket user add bob --password-stdin < bob.password

A password has 8 to 128 characters and must not be easy to guess; several uncommon words are good.")]
    Add {
        /// Login name: 1 to 64 letters, digits or . _ - @ +; case-insensitive
        name: Username,
        /// Role of the account
        #[arg(long, default_value = "user", value_parser = role_parser())]
        role: Role,
        /// Read the password from standard input (one line) instead of prompting
        #[arg(long)]
        password_stdin: bool,
    },

    /// List all accounts, oldest first
    ///
    /// On a terminal, the table is fitted to its width: without IDs, and with times (UTC) to the minute. --wide shows
    /// all columns.
    #[command(after_help = "\
Examples:
  skriptoteket user list
  skriptoteket user list --json | jq '.[] | select(.disabled) | .username'")]
    List {
        /// Show all columns, even if they do not fit
        #[arg(long)]
        wide: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Change the role of an account; its live sessions follow
    #[command(after_help = "\
Example:
  skriptoteket user set-role ada admin

The last superuser who can log in keeps the role.")]
    SetRole {
        /// Login name
        name: Username,
        /// New role of the account
        #[arg(value_parser = role_parser())]
        role: Role,
    },

    /// Disable an account and end its sessions
    #[command(after_help = "\
Example:
  skriptoteket user disable ada")]
    Disable {
        /// Login name
        name: Username,
    },

    /// Enable a disabled account and reset its failed logins
    #[command(after_help = "\
Example:
  skriptoteket user enable ada")]
    Enable {
        /// Login name
        name: Username,
    },

    /// Unlock an account that was locked after failed logins
    #[command(after_help = "\
Example:
  skriptoteket user unlock ada

A lock also ends by itself, after guard_longest_lock at the latest. `user set-password` and `user enable` unlock too. \
An address that is locked stays locked.")]
    Unlock {
        /// Login name
        name: Username,
    },

    /// Set a new password, end the sessions of the account, and unlock it
    #[command(after_help = "\
Examples:
  skriptoteket user set-password ada
  skriptoteket user set-password ada --password-stdin < ada.password")]
    SetPassword {
        /// Login name
        name: Username,
        /// Read the password from standard input (one line) instead of prompting
        #[arg(long)]
        password_stdin: bool,
    },

    /// Delete an account and end its sessions
    #[command(after_help = "\
Example:
  skriptoteket user delete ada

On a terminal it asks for confirmation. Its rows in the audit trail are kept for audit_retention.")]
    Delete {
        /// Login name
        name: Username,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

/// Accepts the names of roles, and lists them in help and completion.
pub(super) fn role_parser() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::NAMES).try_map(|name| name.parse::<Role>())
}

pub(super) async fn run(command: UserCommand, source: &Source) -> anyhow::Result<()> {
    // Before the action begins: a cancelled command is not recorded as rejected.
    if let UserCommand::Delete { name, yes } = &command {
        let question = format!("This deletes the account {name} and ends its sessions.");
        confirm::confirm(&question, *yes)?;
    }
    let context = match command {
        UserCommand::Add { .. } => CommandContext::open_or_make(source).await?,
        _ => CommandContext::open(source).await?,
    };
    let result = match action(&command) {
        Some(kind) => context.audited(kind, |_| {}, obey(command, &context)).await,
        None => obey(command, &context).await,
    };
    context.close().await;
    result
}

/// Returns the administrative action of a command; `None` if it only reads.
const fn action(command: &UserCommand) -> Option<Kind> {
    match command {
        UserCommand::List { .. } => None,
        UserCommand::Add { .. } => Some(Kind::UserCreate),
        UserCommand::SetRole { .. } | UserCommand::Disable { .. } | UserCommand::Enable { .. } => {
            Some(Kind::UserChange)
        }
        UserCommand::SetPassword { .. } => Some(Kind::UserSetPassword),
        UserCommand::Unlock { .. } => Some(Kind::UserUnlock),
        UserCommand::Delete { .. } => Some(Kind::UserDelete),
    }
}

async fn obey(command: UserCommand, context: &CommandContext) -> anyhow::Result<()> {
    match command {
        UserCommand::Add {
            name,
            role,
            password_stdin,
        } => add(context, &name, role, password_stdin).await,
        UserCommand::List { wide, json } => list(context, wide, json).await,
        UserCommand::SetRole { name, role } => {
            let change = AccountChange {
                role: Some(role),
                ..AccountChange::default()
            };
            change_account(context, &name, change).await?;
            output::line(format!("{name} is {role} now"))
        }
        UserCommand::Disable { name } => {
            set_disabled(context, &name, true).await?;
            output::line(format!(
                "{name} is disabled; all sessions of {name} have ended"
            ))
        }
        UserCommand::Enable { name } => {
            set_disabled(context, &name, false).await?;
            let user = context.user(&name).await?;
            unlock(context, &user).await.context(
                "the user is enabled, but failed logins were not reset; run the command again",
            )?;
            output::line(format!("{name} is enabled"))
        }
        UserCommand::Unlock { name } => {
            let user = context.user(&name).await?;
            audit::announce(Kind::UserUnlock).await?;
            let had_failures = unlock(context, &user).await?;
            output::line(if had_failures {
                format!("{name} is unlocked; its failed logins were reset")
            } else {
                format!("{name} was not locked")
            })
        }
        UserCommand::SetPassword {
            name,
            password_stdin,
        } => set_password(context, &name, password_stdin).await,
        UserCommand::Delete { name, .. } => {
            let user = context.user(&name).await?;
            if !context.lifecycle.delete(user.id).await? {
                return Err(Refused::no_such_user(&name).into());
            }
            output::line(format!(
                "{name} is deleted; all sessions of {name} have ended"
            ))
        }
    }
}

async fn add(
    context: &CommandContext,
    name: &Username,
    role: Role,
    from_stdin: bool,
) -> anyhow::Result<()> {
    // Checked before the password prompt, so that the user does not type a password for a name that is taken.
    if context
        .stores
        .accounts
        .find_by_username(name)
        .await?
        .is_some()
    {
        return Err(taken(name));
    }
    let password = password::ask(name, from_stdin)?;
    let registered = context
        .registrar()?
        .register(name.as_str(), role, password)
        .await;
    let user = match registered {
        Err(RegisterError::AlreadyExists) => return Err(taken(name)),
        other => other?,
    };
    output::line(format!("added {} as {}", user.username, user.role))
}

fn taken(name: &Username) -> anyhow::Error {
    let text = format!(
        "there is a user {name} already; choose another name, or `skriptoteket user set-password {name}`"
    );
    let reason = RegisterError::AlreadyExists.reason();
    Refused { text, reason }.into()
}

async fn set_password(
    context: &CommandContext,
    name: &Username,
    from_stdin: bool,
) -> anyhow::Result<()> {
    let user = context.user(name).await?;
    let password = password::ask(name, from_stdin)?;
    match context.registrar()?.set_password(&user, password).await {
        Err(RegisterError::NotFound) => return Err(Refused::no_such_user(name).into()),
        other => other?,
    }
    let left = "the password is set, but sessions of the user may continue: a running server ends them once the store \
        responds, or run the command again";
    let ended = context
        .sessions
        .end_user(user.id, None)
        .await
        .context(left)?;
    context.lifecycle.settle(user.id).await.context(left)?;
    unlock(context, &user).await.context(
        "the password is set, but the account may still be locked; run `skriptoteket user unlock`",
    )?;
    output::line(format!(
        "the password of {name} is set; sessions ended: {ended}"
    ))
}

/// Resets the failed logins of an account, and its lock. Returns whether there were any.
async fn unlock(context: &CommandContext, user: &User) -> anyhow::Result<bool> {
    Ok(context
        .stores
        .limits
        .clear(Entity::Account(user.id))
        .await?)
}

async fn set_disabled(
    context: &CommandContext,
    name: &Username,
    disabled: bool,
) -> anyhow::Result<()> {
    let change = AccountChange {
        disabled: Some(disabled),
        ..AccountChange::default()
    };
    change_account(context, name, change).await
}

async fn change_account(
    context: &CommandContext,
    name: &Username,
    change: AccountChange,
) -> anyhow::Result<()> {
    let user = context.user(name).await?;
    let changed = context.lifecycle.change(user.id, change).await?;
    changed.ok_or_else(|| Refused::no_such_user(name))?;
    Ok(())
}

async fn list(context: &CommandContext, wide: bool, json: bool) -> anyhow::Result<()> {
    let (mut rows, mut after): (Vec<UserRow>, Option<UserId>) = (Vec::new(), None);
    loop {
        let page = context.stores.accounts.list(after, PAGE).await?;
        let Some(last) = page.last() else {
            return output::fitted(&rows, json, wide);
        };
        after = Some(last.id);
        rows.extend(page.iter().map(UserRow::from));
    }
}

/// An account, in the format of the API.
#[derive(Debug, Serialize)]
struct UserRow {
    id: UserId,
    username: Username,
    role: Role,
    disabled: bool,
    created_at: String,
}

impl From<&User> for UserRow {
    fn from(user: &User) -> Self {
        Self {
            id: user.id,
            username: user.username.clone(),
            role: user.role,
            disabled: user.disabled,
            created_at: user.created_at.to_rfc3339(),
        }
    }
}

impl Row for UserRow {
    const COLUMNS: &'static [&'static str] = &["username", "role", "disabled", "created_at", "id"];
    const WIDE_ONLY: &'static [&'static str] = &["id"];
    const CUT: &'static [(&'static str, usize)] = &[("username", 12)];

    fn cells(&self) -> Vec<String> {
        vec![
            self.username.to_string(),
            self.role.to_string(),
            String::from(if self.disabled { "yes" } else { "no" }),
            self.created_at.clone(),
            self.id.to_string(),
        ]
    }
}
