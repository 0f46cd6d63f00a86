//! `session verify`: recounts all sessions, and repairs the index.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::{
    super::output,
    by_role::{ByRole, ended},
};
use crate::{
    accounts::Role,
    sessions::{Census, Difference, Finding, Recount},
    store::Stores,
};

/// Arguments of `session verify`.
#[derive(Clone, Copy, Debug, Args)]
pub(in crate::cli) struct Verify {
    /// Rebuild the index from the records, in small steps while the service runs, then verify again
    #[arg(long)]
    pub(super) repair: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(Verify { repair, json }: Verify, stores: &Stores) -> anyhow::Result<()> {
    let first = stores.integrity.recount(repair).await?;
    let second = if repair && !first.findings.is_empty() {
        Some(stores.integrity.recount(false).await?)
    } else {
        None
    };
    let last = second.as_ref().unwrap_or(&first);
    if json {
        let repaired = repair.then(|| RepairReport {
            entries: first.repaired,
            findings: findings(&first),
        });
        output::json(&Report {
            clean: last.findings.is_empty(),
            roles: roles(last),
            findings: findings(last),
            repaired,
        })?;
    } else {
        tell(&first, second.as_ref())?;
    }
    if last.findings.is_empty() {
        return Ok(());
    }
    let is_left = |it: &Finding| it.kind == Difference::UnreadableRecord;
    if last.findings.iter().all(is_left) {
        bail!("records cannot be read, and a repair leaves them as they are");
    }
    if second.is_some() {
        bail!("differences remain after the repair");
    }
    bail!("index and records differ; `skriptoteket session verify --repair` repairs what it can");
}

fn tell(first: &Recount, second: Option<&Recount>) -> anyhow::Result<()> {
    let Some(second) = second else {
        tell_counts(first)?;
        return tell_findings(first, "No difference: index, records and totals agree.");
    };
    tell_counts(first)?;
    tell_findings(first, "")?;
    output::line(format!(
        "\nRepaired entries: {}. Second verification:\n",
        first.repaired
    ))?;
    tell_counts(second)?;
    tell_findings(second, "No difference is left.")
}

fn tell_counts(recount: &Recount) -> anyhow::Result<()> {
    let Recount { index, records, .. } = recount;
    output::table(&[
        ByRole::new("sessions, index", index.sessions),
        ByRole::new("sessions, records", records.sessions),
        ByRole::new("users, index", index.users),
        ByRole::new("users, records", records.users),
        ByRole::new("expired, not ended", index.expired),
        ByRole::started_less_ended("started - ended", index),
    ])
}

fn tell_findings(recount: &Recount, none: &str) -> anyhow::Result<()> {
    if recount.findings.is_empty() {
        return output::line(format!("\n{none}"));
    }
    for finding in &recount.findings {
        let Told { what, means } = told(finding.kind);
        output::line(format!("\n{} × {what}", finding.count))?;
        for sentence in means {
            output::line(format!("    {sentence}"))?;
        }
        for example in &finding.examples {
            output::line(format!("    - {example}"))?;
        }
        if finding.examples.len() == Finding::EXAMPLES {
            output::line("    - …")?;
        }
    }
    Ok(())
}

/// The description of a kind of inconsistency.
struct Told {
    what: &'static str,
    /// Its meaning and what to do, in lines that fit a narrow terminal.
    means: &'static [&'static str],
}

const fn told(kind: Difference) -> Told {
    match kind {
        Difference::IndexedWithoutRecord => Told {
            what: "counted, without a readable record",
            means: &[
                "The gauges count it, but it cannot be used.",
                "--repair ends it (lost).",
            ],
        },
        Difference::RecordNotIndexed => Told {
            what: "a live session that is not counted",
            means: &[
                "It can be used, but no gauge shows it.",
                "--repair counts it again.",
            ],
        },
        Difference::IndexedOtherwise => Told {
            what: "role or expiry differ between index and record",
            means: &["--repair uses the values of the record."],
        },
        Difference::UserIndexedOtherwise => Told {
            what: "a user whose entry differs from the user's sessions",
            means: &[
                "Users may be counted wrongly, or a revocation may miss a session.",
                "--repair rebuilds it from the user's sessions.",
            ],
        },
        Difference::UnreadableRecord => Told {
            what: "a record under the key prefix that cannot be read",
            means: &[
                "It is not a session and not counted. Another release or program may",
                "have written it, so --repair keeps it; it expires by its time to live.",
                "Inspect one without a time to live, and delete it yourself.",
            ],
        },
        Difference::TotalsDisagree => Told {
            what: "started - ended differs from the index",
            means: &["--repair counts what is missing as started, or as ended (lost)."],
        },
    }
}

/// The output of `--json`; from the last recount, except `repaired`.
#[derive(Debug, Serialize)]
struct Report {
    clean: bool,
    roles: BTreeMap<&'static str, RoleReport>,
    findings: Vec<FindingReport>,
    /// `null` without `--repair`.
    repaired: Option<RepairReport>,
}

#[derive(Debug, Serialize)]
struct RepairReport {
    /// The number of entries that were changed.
    entries: u64,
    /// What was found before the repair.
    findings: Vec<FindingReport>,
}

#[derive(Debug, Serialize)]
struct RoleReport {
    index: Counts,
    records: Counts,
    started: u64,
    ended: u64,
}

#[derive(Debug, Serialize)]
struct Counts {
    sessions: u64,
    users: u64,
    expired: u64,
}

#[derive(Debug, Serialize)]
struct FindingReport {
    kind: &'static str,
    count: u64,
    examples: Vec<String>,
}

fn roles(Recount { index, records, .. }: &Recount) -> BTreeMap<&'static str, RoleReport> {
    let counts = |census: &Census, role: Role| Counts {
        sessions: census.sessions[role.index()],
        users: census.users[role.index()],
        expired: census.expired[role.index()],
    };
    let report = |role: Role| RoleReport {
        index: counts(index, role),
        records: counts(records, role),
        started: index.totals.started[role.index()],
        ended: ended(index)[role.index()],
    };
    Role::ALL
        .into_iter()
        .map(|role| (role.as_str(), report(role)))
        .collect()
}

fn findings(recount: &Recount) -> Vec<FindingReport> {
    let report = |finding: &Finding| FindingReport {
        kind: finding.kind.as_str(),
        count: finding.count,
        examples: finding.examples.clone(),
    };
    recount.findings.iter().map(report).collect()
}
