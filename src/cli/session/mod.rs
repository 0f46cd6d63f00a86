//! `session`: sessions.
//!
//! | file | contents |
//! |---|---|
//! | `mod` | lists and ends sessions |
//! | `verify` | recounts all sessions and repairs the index |
//! | `stats` | counts all sessions, and prints statistics of the store |
//! | `by_role` | the table that both print |

mod by_role;
mod stats;
mod verify;

use anyhow::{Context, bail};
use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;

use self::{stats::Stats, verify::Verify};
use super::{
    Source,
    command_context::{Claim, CommandContext, Refused},
    confirm,
    output::{self, Row},
    user::role_parser,
};
use crate::{
    accounts::{Role, UserId, Username},
    audit::{self as trail, Kind},
    network::ClientNetwork,
    sessions::{EndReason, SessionFilter, SessionId, SessionRecord},
};

/// Sessions read from the store in one step.
const PAGE: u32 = 500;

/// Commands on sessions. They work while the server runs, and take effect within a second.
#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// List live sessions, newest first
    ///
    /// On a terminal, the table is fitted to its width: without IDs, and with times (UTC) to the minute. --wide shows
    /// all columns.
    #[command(after_help = "\
Examples:
  skriptoteket session list --role superuser
  skriptoteket session list --limit 20 --wide
  skriptoteket session list --user ada --json

The ID of a session is public: no cookie can be derived from it.")]
    List {
        /// Only sessions of this user
        #[arg(long, value_name = "NAME")]
        user: Option<Username>,
        /// Only sessions with this role
        #[arg(long, value_parser = role_parser())]
        role: Option<Role>,
        /// Maximum number, newest first
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        limit: Option<u32>,
        /// Show all columns, even if they do not fit
        #[arg(long)]
        wide: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// End one session, all sessions of a user, or all sessions
    #[command(after_help = "\
Examples:
  skriptoteket session revoke 07kQ3vXw8nY2aBcD4eFgHiJk
  skriptoteket session revoke --user ada
  skriptoteket session revoke --all")]
    Revoke(Revoke),

    /// Assign the keys in Redis to this accounts database, and end all sessions there
    ///
    /// Each accounts database has a random ID, and the keys in Redis (under `redis_key_prefix`) belong to one of them: servers
    /// and commands with another database are rejected. Use this if that database is lost: it ends every session, because the
    /// sessions belong to accounts that do not exist here. It fails while a server is using the keys. A database that was
    /// moved or restored from a backup keeps its ID and does not need this.
    #[command(after_help = "\
Examples:
  skriptoteket session reset
  skriptoteket session reset --yes")]
    Reset {
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },

    /// Verify the session index against the session records
    ///
    /// Reads every record while the service runs, and compares the counts with the index that the gauges read, with the index
    /// of users, and with the totals of started and ended sessions. Changes nothing without --repair.
    #[command(
        alias = "audit",
        after_help = "\
Examples:
  skriptoteket session verify
  skriptoteket session verify --repair
  skriptoteket session verify --json | jq '.findings[].kind'

Exit codes:
  0  no difference; with --repair: none after the repair
  1  a difference, or the store does not answer
  2  the command line or the configuration is invalid"
    )]
    Verify(Verify),

    /// Count sessions and users by role, and print statistics of the store
    ///
    /// Live sessions, distinct users, and sessions ever started and ended, by role; server, version and memory of the store, and
    /// which replica exports the counts. The cost does not depend on the number of sessions.
    #[command(after_help = "\
Examples:
  skriptoteket session stats
  skriptoteket session stats --json | jq .roles.superuser.live")]
    Stats(Stats),
}

/// Which sessions to end: exactly one of these.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["id", "user", "all"]))]
pub(super) struct Revoke {
    /// ID of the session
    #[arg(value_parser = session_id)]
    id: Option<SessionId>,
    /// All sessions of this user
    #[arg(long, value_name = "NAME")]
    user: Option<Username>,
    /// All sessions; asks for confirmation on a terminal
    #[arg(long)]
    all: bool,
    /// Do not ask for confirmation
    #[arg(long, requires = "all")]
    yes: bool,
}

fn session_id(text: &str) -> Result<SessionId, &'static str> {
    let expected = "expected an id from `skriptoteket session list --wide`";
    text.parse().map_err(|_| expected)
}

pub(super) async fn run(command: SessionCommand, source: &Source) -> anyhow::Result<()> {
    // Before the action begins: a cancelled command is not recorded as rejected.
    match &command {
        SessionCommand::Reset { yes } => {
            let question =
                "This ends all sessions in Redis and assigns the keys to this accounts database.";
            confirm::confirm(question, *yes)?;
            return Box::pin(reset(source)).await;
        }
        SessionCommand::Revoke(Revoke { all: true, yes, .. }) => {
            confirm::confirm("This ends all sessions: all users are logged out.", *yes)?;
        }
        _ => {}
    }
    let context = CommandContext::open(source).await?;
    let result = match action(&command) {
        Some(kind) => context.audited(kind, |_| {}, obey(command, &context)).await,
        None => obey(command, &context).await,
    };
    context.close().await;
    result
}

/// Returns the administrative action of a command; `None` if it only reads.
const fn action(command: &SessionCommand) -> Option<Kind> {
    match command {
        SessionCommand::Revoke(_) => Some(Kind::SessionRevoke),
        SessionCommand::Verify(args) if args.repair => Some(Kind::SessionRepair),
        _ => None,
    }
}

/// Writes the audit record of a revocation before it is carried out: sessions may be in another store than the audit
/// trail.
async fn announce(target: Option<String>) -> anyhow::Result<()> {
    if let (Some(action), Some(target)) = (trail::under_way(), target) {
        action.set_target(target);
    }
    Ok(trail::announce(Kind::SessionRevoke).await?)
}

async fn obey(command: SessionCommand, context: &CommandContext) -> anyhow::Result<()> {
    match command {
        SessionCommand::List {
            user,
            role,
            limit,
            wide,
            json,
        } => {
            let user = match user {
                Some(name) => Some(context.user(&name).await?.id),
                None => None,
            };
            let newest = newest(context, SessionFilter { role, user }, limit).await?;
            let rows: Vec<_> = newest.into_iter().map(SessionRow::from).collect();
            output::fitted(&rows, json, wide)
        }
        SessionCommand::Verify(args) => {
            trail::announce(Kind::SessionRepair).await?;
            verify::run(args, &context.stores).await
        }
        SessionCommand::Stats(args) => stats::run(args, &context.stores).await,
        SessionCommand::Revoke(Revoke { id: Some(id), .. }) => {
            announce(Some(format!("session:{id}"))).await?;
            let ended = context.sessions.end(id.clone(), EndReason::Revoked).await?;
            ended.ok_or_else(|| Refused {
                text: format!(
                    "there is no live session {id}; `skriptoteket session list --wide` shows all live sessions"
                ),
                reason: "not_found",
            })?;
            told(1)
        }
        SessionCommand::Revoke(Revoke {
            user: Some(name), ..
        }) => {
            let user = context.user(&name).await?;
            announce(None).await?;
            told(context.sessions.end_user(user.id, None).await?)
        }
        SessionCommand::Revoke(Revoke { all: true, .. }) => {
            announce(Some(String::from("session:all"))).await?;
            told(revoke_all(context).await?)
        }
        // Assigns the keys before the stores are opened; see `reset`.
        SessionCommand::Reset { .. } => bail!("`session reset` does not work on open stores"),
        // clap has already rejected this.
        SessionCommand::Revoke(_) => bail!("name a session, a user or --all"),
    }
}

/// Assigns the keys in Redis and ends the sessions there. The audit record is written before Redis is changed.
async fn reset(source: &Source) -> anyhow::Result<()> {
    let claim = Claim::open(source).await?;
    let take = async {
        announce(Some(String::from("session:all"))).await?;
        let context = claim.take().await?;
        let ended = revoke_all(&context).await.context(
            "the keys are assigned to this database, but not all sessions have ended; end the others with \
             `skriptoteket session revoke --all`",
        )?;
        // The stores are not closed here, because the outcome has yet to be written to the same file.
        told(ended)
    };
    let audited = claim.journal.audited(Kind::SessionRevoke, |_| {}, take);
    let result = Box::pin(audited).await;
    claim.close().await;
    result
}

fn told(ended: usize) -> anyhow::Result<()> {
    output::line(format!("sessions ended: {ended}"))
}

/// Returns the newest sessions, newest first. The store sorts them by ID, so all are read; with a limit, at most that
/// many plus one page are held in memory.
async fn newest(
    context: &CommandContext,
    filter: SessionFilter,
    limit: Option<u32>,
) -> anyhow::Result<Vec<SessionRecord>> {
    let most = limit.and_then(|limit| usize::try_from(limit).ok());
    let (mut found, mut after): (Vec<SessionRecord>, Option<SessionId>) = (Vec::new(), None);
    loop {
        let page = context.sessions.page(filter, after.as_ref(), PAGE).await?;
        let is_last = page.is_empty();
        after = page.last().map(|last| last.id.clone());
        found.extend(page);
        if is_last || most.is_some() {
            found.sort_by(|a, b| {
                b.created_at
                    .cmp(&a.created_at)
                    .then_with(|| a.id.cmp(&b.id))
            });
            found.truncate(most.unwrap_or(usize::MAX));
        }
        if is_last {
            return Ok(found);
        }
    }
}

/// Ends the sessions that are live now. Sessions that are started meanwhile may remain.
async fn revoke_all(context: &CommandContext) -> anyhow::Result<usize> {
    let (mut ended, mut after): (usize, Option<SessionId>) = (0, None);
    loop {
        let page = context
            .sessions
            .page(SessionFilter::default(), after.as_ref(), PAGE)
            .await?;
        let Some(last) = page.last() else {
            return Ok(ended);
        };
        after = Some(last.id.clone());
        for session in page {
            let end = context.sessions.end(session.id, EndReason::Revoked).await?;
            ended += usize::from(end.is_some());
        }
    }
}

/// A session, in the format of the API for administrators.
#[derive(Debug, Serialize)]
struct SessionRow {
    id: String,
    user: Owner,
    created_at: String,
    last_seen_at: String,
    expires_at: String,
    network: Option<ClientNetwork>,
    user_agent: String,
}

#[derive(Debug, Serialize)]
struct Owner {
    id: UserId,
    username: Username,
    role: Role,
}

impl From<SessionRecord> for SessionRow {
    fn from(session: SessionRecord) -> Self {
        Self {
            id: session.id.to_string(),
            user: Owner {
                id: session.user_id,
                username: session.username,
                role: session.role,
            },
            created_at: session.created_at.to_rfc3339(),
            last_seen_at: session.last_seen_at.to_rfc3339(),
            expires_at: session.expires_at.to_rfc3339(),
            network: session.network,
            user_agent: session.user_agent,
        }
    }
}

impl Row for SessionRow {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "username",
        "role",
        "created_at",
        "last_seen_at",
        "expires_at",
        "network",
        "user_agent",
    ];
    const LAST_COLUMN_IS_PROSE: bool = true;
    const WIDE_ONLY: &'static [&'static str] = &["id", "expires_at", "network"];
    const CUT: &'static [(&'static str, usize)] = &[("user_agent", 10), ("username", 8)];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.clone(),
            self.user.username.to_string(),
            self.user.role.to_string(),
            self.created_at.clone(),
            self.last_seen_at.clone(),
            self.expires_at.clone(),
            self.network.map_or_else(String::new, |it| it.to_string()),
            self.user_agent.clone(),
        ]
    }
}
