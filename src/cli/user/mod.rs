//! `user`: accounts.

mod command;
mod view;

use anyhow::Context;

pub(super) use self::command::{UserCommand, role_parser};
use self::view::UserRow;
use super::{
    Source,
    command_context::{CommandContext, Refused},
    confirm, output, password,
};
use crate::{
    accounts::{
        AccountChange, OptionalChange, Profile, Role, User, UserId, Username,
        registration::RegisterError,
    },
    audit::{self, Kind},
    guard::Entity,
};

/// Accounts read from the store in one step.
const PAGE: u32 = 500;

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
        UserCommand::SetRole { .. }
        | UserCommand::SetProfile { .. }
        | UserCommand::Disable { .. }
        | UserCommand::Enable { .. } => Some(Kind::UserChange),
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
            display_name,
            email,
            password_stdin,
        } => {
            let profile = Profile {
                display_name,
                email,
            };
            add(context, &name, role, profile, password_stdin).await
        }
        UserCommand::SetProfile {
            name,
            display_name,
            no_display_name,
            email,
            no_email,
        } => {
            let change = AccountChange {
                display_name: given_or_removed(display_name, no_display_name),
                email: given_or_removed(email, no_email),
                ..AccountChange::default()
            };
            change_account(context, &name, change).await?;
            output::line(format!("the profile of {name} is changed"))
        }
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

/// Returns the change of an optional value.
fn given_or_removed<T>(value: Option<T>, removed: bool) -> OptionalChange<T> {
    if removed { Some(None) } else { value.map(Some) }
}

async fn add(
    context: &CommandContext,
    name: &Username,
    role: Role,
    profile: Profile,
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
        .register(name.as_str(), role, profile, password)
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
