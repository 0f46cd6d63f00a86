//! `audit`: the trail of login attempts, password changes and administrative actions.

use std::{collections::HashMap, net::IpAddr};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::{
    Source,
    command_context::CommandContext,
    output::{self, Row},
    span::span,
};
use crate::{
    accounts::{UserId, Username},
    audit::{Actor, AuditCursor, AuditFilter, AuditRow, Kind},
    clock::Timestamp,
};

/// Rows read from the store in one step.
const PAGE: u32 = 500;

/// Commands on the audit trail, which is read-only.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List login attempts, password changes and administrative actions, newest first
    #[command(after_help = "\
Examples:
  skriptoteket audit list --limit 20
  skriptoteket audit list --user ada --since 1h
  skriptoteket audit list --actor ada --kind user_change
  skriptoteket audit list --outcome account_locked --since 2026-01-31T12:00:00Z
  skriptoteket audit list --json \\
    | jq -r '.[] | select(.outcome != \"success\") | .address'

Rejected attempts of one kind, outcome and client share one row per minute; `count` is their number. \
The outcome `pending` is an action whose end was not recorded, because the process ended before. \
An attempt under a name that belongs to no account has no user: people type passwords into that field.")]
    List(List),

    /// Count attempts by address, user, outcome or kind, most frequent first
    #[command(after_help = "\
Examples:
  skriptoteket audit top address --since 1h --kind login
  skriptoteket audit top user --since 1h --outcome invalid_credentials")]
    Top(Top),
}

/// Arguments of `audit list`.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    conditions: Conditions,
    /// Maximum number of rows
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Arguments of `audit top`.
#[derive(Debug, Args)]
pub(super) struct Top {
    /// Group by
    by: By,
    #[command(flatten)]
    conditions: Conditions,
    /// Maximum number of lines
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How attempts are grouped.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Address,
    User,
    Outcome,
    Kind,
}

/// Filters of rows.
#[derive(Debug, Args)]
pub(super) struct Conditions {
    /// Only rows about this user: a name, or the ID of a deleted user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only rows of this actor: the name or ID of a user, `cli`, or `system`
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Only rows of this kind, for example `login` or `user_change`
    #[arg(long, value_name = "KIND")]
    kind: Option<Kind>,
    /// Only rows with this outcome, for example `success` or `rate_limited`
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
    /// Only rows of this client address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// Only rows since this time: RFC 3339, or a duration before now (`30m`, `2h`, `7d`)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Only rows before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
}

/// A time, or a duration before now.
#[derive(Clone, Copy, Debug)]
enum Moment {
    At(Timestamp),
    Ago(std::time::Duration),
}

fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(ago) = span(text) {
        return Ok(Moment::Ago(ago));
    }
    let at = text.parse().map(Moment::At);
    at.map_err(|_| {
        String::from(
            "expected RFC 3339, for example 2026-01-31T12:00:00Z, or a duration before now: 30m, 2h, 7d",
        )
    })
}

impl Moment {
    fn timestamp(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => {
                let ago = i64::try_from(ago.as_millis()).unwrap_or(i64::MAX);
                Timestamp::from_millis(now.as_millis().saturating_sub(ago))
            }
        }
    }
}

pub(super) async fn run(command: AuditCommand, source: &Source) -> anyhow::Result<()> {
    let context = CommandContext::open(source).await?;
    let result = match command {
        AuditCommand::List(args) => list(&context, args).await,
        AuditCommand::Top(args) => top(&context, args).await,
    };
    context.close().await;
    result
}

impl Conditions {
    async fn filter(self, context: &CommandContext) -> anyhow::Result<AuditFilter> {
        Ok(AuditFilter {
            user_id: match &self.user {
                Some(text) => Some(user(context, text).await?),
                None => None,
            },
            actor: match &self.actor {
                Some(text) => Some(actor(context, text).await?),
                None => None,
            },
            kind: self.kind,
            outcome: self.outcome,
            address: self.address,
            since: self.since.map(|it| it.timestamp(context.now())),
            until: self.until.map(|it| it.timestamp(context.now())),
            after: None,
        })
    }
}

async fn list(context: &CommandContext, args: List) -> anyhow::Result<()> {
    let mut filter = args.conditions.filter(context).await?;
    let mut names = Names::default();
    let mut shown = Vec::new();
    let mut left = args.limit;
    while left > 0 {
        let wanted = left.min(PAGE);
        let rows = context.stores.audit.search(&filter, wanted).await?;
        filter.after = rows.last().map(AuditCursor::from);
        left = if rows.len() < wanted as usize {
            0
        } else {
            left - wanted
        };
        for row in rows {
            let username = names.of(context, row.user_id).await?;
            let actor_name = names.of(context, user_in(row.actor.as_deref())).await?;
            shown.push(ShownRow::new(row, username, actor_name));
        }
    }
    output::list(&shown, args.json)
}

async fn top(context: &CommandContext, args: Top) -> anyhow::Result<()> {
    let mut filter = args.conditions.filter(context).await?;
    let mut names = Names::default();
    let mut sums: HashMap<Option<String>, u64> = HashMap::new();
    loop {
        let rows = context.stores.audit.search(&filter, PAGE).await?;
        let Some(last) = rows.last() else {
            break;
        };
        filter.after = Some(AuditCursor::from(last));
        for row in rows {
            let key = match args.by {
                By::Address => row.address.map(|it| it.to_string()),
                By::Outcome => Some(row.outcome),
                By::Kind => Some(row.kind),
                By::User => {
                    let name = names.of(context, row.user_id).await?;
                    name.map(|it| it.to_string())
                        .or(row.user_id.map(|it| it.to_string()))
                }
            };
            *sums.entry(key).or_default() += row.count;
        }
    }
    let mut shown: Vec<_> = sums
        .into_iter()
        .map(|(value, attempts)| Sum { attempts, value })
        .collect();
    shown.sort_by(|a, b| (b.attempts, &a.value).cmp(&(a.attempts, &b.value)));
    shown.truncate(args.limit as usize);
    output::list(&shown, args.json)
}

/// The number of attempts with the same value.
#[derive(Debug, Serialize)]
struct Sum {
    attempts: u64,
    /// `null` if the attempts have no value: no such account, no address.
    value: Option<String>,
}

impl Row for Sum {
    const COLUMNS: &'static [&'static str] = &["attempts", "value"];

    fn cells(&self) -> Vec<String> {
        let value = self.value.clone();
        vec![
            self.attempts.to_string(),
            value.unwrap_or_else(|| String::from("-")),
        ]
    }
}

/// Returns the ID of an account, given by name or ID.
async fn user(context: &CommandContext, text: &str) -> anyhow::Result<UserId> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let name: Username = text.parse().with_context(|| format!("--user {text}"))?;
    Ok(context.user(&name).await?.id)
}

async fn actor(context: &CommandContext, text: &str) -> anyhow::Result<Actor> {
    match text.parse() {
        Ok(actor) => Ok(actor),
        Err(_) => Ok(Actor::User(user(context, text).await?)),
    }
}

fn user_in(actor: Option<&str>) -> Option<UserId> {
    match actor?.parse() {
        Ok(Actor::User(id)) => Some(id),
        _ => None,
    }
}

/// The names of accounts, each read once.
#[derive(Debug, Default)]
struct Names(HashMap<UserId, Option<Username>>);

impl Names {
    async fn of(
        &mut self,
        context: &CommandContext,
        id: Option<UserId>,
    ) -> anyhow::Result<Option<Username>> {
        let Some(id) = id else {
            return Ok(None);
        };
        if let Some(name) = self.0.get(&id) {
            return Ok(name.clone());
        }
        let account = context.stores.accounts.find(id).await?;
        let name = account.map(|account| account.user.username);
        self.0.insert(id, name.clone());
        Ok(name)
    }
}

/// A row for output.
#[derive(Debug, Serialize)]
struct ShownRow {
    at: String,
    last_at: String,
    count: u64,
    kind: String,
    outcome: String,
    actor: Option<String>,
    /// The name, if the account still exists.
    actor_name: Option<Username>,
    user_id: Option<UserId>,
    /// The name, if the account still exists.
    username: Option<Username>,
    target: Option<String>,
    detail: Option<String>,
    address: Option<IpAddr>,
}

impl ShownRow {
    fn new(row: AuditRow, username: Option<Username>, actor_name: Option<Username>) -> Self {
        Self {
            at: row.at.to_rfc3339(),
            last_at: row.last_at.to_rfc3339(),
            count: row.count,
            kind: row.kind,
            outcome: row.outcome,
            actor: row.actor,
            actor_name,
            user_id: row.user_id,
            username,
            target: row.target,
            detail: row.detail,
            address: row.address,
        }
    }
}

impl Row for ShownRow {
    const COLUMNS: &'static [&'static str] = &[
        "at", "count", "kind", "outcome", "actor", "concerns", "address",
    ];

    fn cells(&self) -> Vec<String> {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| String::from("-"));
        let name = |name: Option<&Username>| name.map(ToString::to_string);
        let actor = name(self.actor_name.as_ref()).or_else(|| self.actor.clone());
        let user = name(self.username.as_ref()).or(self.user_id.map(|id| id.to_string()));
        // A failed login without an account has no user, whatever name was entered.
        let concerns = user.or_else(|| self.target.clone());
        vec![
            output::to_the_second(&self.at),
            self.count.to_string(),
            self.kind.clone(),
            self.outcome.clone(),
            or_none(actor),
            or_none(concerns),
            or_none(self.address.map(|address| address.to_string())),
        ]
    }
}
