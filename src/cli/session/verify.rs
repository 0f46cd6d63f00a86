//! `session verify`: all sessions recounted, and the index mended.

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

/// How to recount.
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
        bail!("differences are left after the repair");
    }
    bail!(
        "index and records differ; `skriptoteket session verify --repair` mends what can be mended"
    );
}

fn tell(first: &Recount, second: Option<&Recount>) -> anyhow::Result<()> {
    let Some(second) = second else {
        tell_counts(first)?;
        return tell_findings(first, "No difference: index, records and totals agree.");
    };
    tell_counts(first)?;
    tell_findings(first, "")?;
    output::line(format!(
        "\nRepaired. Entries mended: {}. A second look:\n",
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

/// A kind of difference in words.
struct Told {
    what: &'static str,
    /// What it means and what to do, in lines that fit a narrow terminal.
    means: &'static [&'static str],
}

const fn told(kind: Difference) -> Told {
    match kind {
        Difference::IndexedWithoutRecord => Told {
            what: "counted, and no record that can be read",
            means: &[
                "The gauges count it and nobody can use it.",
                "--repair ends it (revoked).",
            ],
        },
        Difference::RecordNotIndexed => Told {
            what: "a live session that is not counted",
            means: &[
                "It can be used and no gauge shows it.",
                "--repair counts it again.",
            ],
        },
        Difference::IndexedOtherwise => Told {
            what: "role or expiry differ between index and record",
            means: &["--repair takes what the record says."],
        },
        Difference::UserIndexedOtherwise => Told {
            what: "a user whose entry differs from the user's sessions",
            means: &[
                "Users may be counted wrongly, or a session escape a revocation.",
                "--repair rebuilds it from the user's sessions.",
            ],
        },
        Difference::UnreadableRecord => Told {
            what: "a record under our names that cannot be read",
            means: &[
                "No session, and not counted. Another release or program may have",
                "written it, so --repair leaves it; it goes with its time to live.",
                "One without a time to live is for you to look at and delete.",
            ],
        },
        Difference::TotalsDisagree => Told {
            what: "started - ended is not what the index holds",
            means: &["--repair counts what is missing as started, or as ended (revoked)."],
        },
    }
}

/// What `--json` prints; all of the last look, but for `repaired`.
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
    /// How many entries were changed.
    entries: u64,
    /// What was found before.
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
