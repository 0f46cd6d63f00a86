//! `audit`: the trail of login attempts.

use std::{collections::HashMap, net::IpAddr};

use clap::Subcommand;
use serde::Serialize;

use super::{
    Source,
    desk::Desk,
    output::{self, Row},
};
use crate::accounts::{UserId, Username};

/// What can be done with the trail: it is read only.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// List the newest login attempts, the newest first
    #[command(after_help = "\
Examples:
  skriptoteket audit list --limit 20
  skriptoteket audit list --json | jq -r '.[] | select(.outcome != \"success\") | .address'

An attempt under a name that belongs to no account names nobody: people type passwords into that field.")]
    List {
        /// How many, at most
        #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: AuditCommand, source: &Source) -> anyhow::Result<()> {
    let AuditCommand::List { limit, json } = command;
    let desk = Desk::open(source).await?;
    let result = list(&desk, limit, json).await;
    desk.stores.close().await;
    result
}

async fn list(desk: &Desk, limit: u32, json: bool) -> anyhow::Result<()> {
    let events = desk.stores.audit.latest(limit).await?;
    let mut names: HashMap<UserId, Option<Username>> = HashMap::new();
    let mut rows = Vec::with_capacity(events.len());
    for event in events {
        if let Some(id) = event.user_id
            && !names.contains_key(&id)
        {
            let account = desk.stores.accounts.find(id).await?;
            names.insert(id, account.map(|account| account.user.username));
        }
        let username = event.user_id.and_then(|id| names.get(&id)?.clone());
        rows.push(AuditRow {
            at: event.at.to_rfc3339(),
            outcome: event.outcome,
            user_id: event.user_id,
            username,
            address: event.address,
        });
    }
    output::list(&rows, json)
}

#[derive(Debug, Serialize)]
struct AuditRow {
    at: String,
    outcome: String,
    user_id: Option<UserId>,
    /// The name, while there is such an account.
    username: Option<Username>,
    address: Option<IpAddr>,
}

impl Row for AuditRow {
    const COLUMNS: &'static [&'static str] = &["at", "outcome", "user", "address"];

    fn cells(&self) -> Vec<String> {
        let id = self.user_id.map(|id| id.to_string());
        let user = self.username.as_ref().map(ToString::to_string).or(id);
        let or_none = |text: Option<String>| text.unwrap_or_else(|| String::from("-"));
        vec![
            self.at.clone(),
            self.outcome.clone(),
            or_none(user),
            or_none(self.address.map(|address| address.to_string())),
        ]
    }
}
