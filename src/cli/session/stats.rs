//! `session stats`: counts all sessions, and prints statistics of the store.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::{
    super::output::{self, Row},
    by_role::{ByRole, ended},
};
use crate::{
    accounts::Role,
    sessions::{Census, EndReason},
    store::Stores,
};

/// The output format.
#[derive(Clone, Copy, Debug, Args)]
pub(in crate::cli) struct Stats {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(Stats { json }: Stats, stores: &Stores) -> anyhow::Result<()> {
    let saved = stores.ledger.load().await?;
    let census = stores.sessions.count().await?.as_exported(&saved.ledger);
    let facts = stores.integrity.facts().await?;
    if json {
        return output::json(&Report {
            roles: roles(&census),
            store: facts.into_iter().collect(),
        });
    }
    output::table(&counts(&census))?;
    output::line("")?;
    let facts = facts.into_iter().map(|(name, value)| Fact { name, value });
    output::table(&facts.collect::<Vec<_>>())
}

fn counts(census: &Census) -> Vec<ByRole> {
    let mut rows = vec![
        ByRole::new("live sessions", census.sessions),
        ByRole::new("users", census.users),
        ByRole::new("expired, not ended", census.expired),
        ByRole::new("started", census.totals.started),
        ByRole::new("ended", ended(census)),
    ];
    for reason in EndReason::ALL {
        let of_reason = census.totals.ended.map(|reasons| reasons[reason.index()]);
        rows.push(ByRole::new(format!("  {}", reason.as_str()), of_reason));
    }
    rows
}

/// The output of `--json`.
#[derive(Debug, Serialize)]
struct Report {
    roles: BTreeMap<&'static str, RoleReport>,
    store: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct RoleReport {
    live: u64,
    users: u64,
    expired: u64,
    started: u64,
    ended: BTreeMap<&'static str, u64>,
}

fn roles(census: &Census) -> BTreeMap<&'static str, RoleReport> {
    let report = |role: Role| {
        let at = role.index();
        let ended = EndReason::ALL.map(|reason| {
            let of_reason = census.totals.ended[at][reason.index()];
            (reason.as_str(), of_reason)
        });
        RoleReport {
            live: census.sessions[at],
            users: census.users[at],
            expired: census.expired[at],
            started: census.totals.started[at],
            ended: ended.into(),
        }
    };
    Role::ALL
        .into_iter()
        .map(|role| (role.as_str(), report(role)))
        .collect()
}

/// One property of the store.
#[derive(Debug, Serialize)]
struct Fact {
    name: String,
    value: String,
}

impl Row for Fact {
    const COLUMNS: &'static [&'static str] = &["property", "value"];
    const LAST_COLUMN_IS_PROSE: bool = true;

    fn cells(&self) -> Vec<String> {
        vec![self.name.clone(), self.value.clone()]
    }
}
