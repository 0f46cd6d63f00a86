//! The summary: compares what the demo did with the metrics.

mod machines;
#[cfg(test)]
mod tests;

use std::fmt;

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED,
};

use super::{
    ledger::{Counts, LoginAnswer},
    reading::Reading,
};

/// Live sessions and active services, counted one by one through the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Enumerated {
    /// Sessions, indexed by [`Role::index`](crate::accounts::Role::index).
    pub(super) sessions: [u64; 4],
    /// Distinct users, indexed likewise.
    pub(super) users: [u64; 4],
    /// Services that are healthy or degraded.
    pub(super) services: u64,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    what: &'static str,
    /// The value that the demo counted.
    known: String,
    /// The value of the metrics.
    said: String,
    same: bool,
    /// True if the metrics may still catch up, because the census counts this periodically.
    follows: bool,
}

/// All comparisons of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Summary {
    /// Compares what was done with the increase of the metrics, and the sessions that were listed with the gauges.
    ///
    /// Other users may log in to a running demo, for example with curl. Logins beyond the demo's own are taken from
    /// the HTTP instruments, which count responses independently of the login counters; a note shows their number.
    pub(super) fn compare(
        done: &Counts,
        before: &Reading,
        after: &Reading,
        enumerated: &Enumerated,
    ) -> Self {
        let logins = Logins::new(done, before, after);
        let mut rows = logins.rows();
        rows.push(logins.sessions_started());
        rows.extend(session_rows(after, enumerated));
        rows.extend(machines::rows(&done.calls, after, enumerated.services));
        rows.extend(odd_answers(done));
        Self {
            rows,
            notes: logins.notes(),
        }
    }

    /// Returns true if the metrics agree with what was done.
    pub(super) fn is_same(&self) -> bool {
        self.rows.iter().all(|row| row.same)
    }

    /// Returns true if all differences may disappear after the next census.
    pub(super) fn may_follow(&self) -> bool {
        self.rows.iter().all(|row| row.same || row.follows)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            // On a narrow terminal words are broken, not numbers.
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_header(["", "done", "/metrics", "same?"]);
        for row in &self.rows {
            let same = if row.same { "yes" } else { "NO" };
            table.add_row([row.what, row.known.as_str(), row.said.as_str(), same]);
        }
        for column in 1..=3 {
            if let Some(column) = table.column_mut(column) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        for column in 1..=2 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        write!(f, "{table}")?;
        for note in &self.notes {
            write!(f, "\n{note}")?;
        }
        Ok(())
    }
}

/// Compares the login counters with the ledger.
struct Logins<'a> {
    done: &'a Counts,
    before: &'a Reading,
    after: &'a Reading,
    /// Responses to logins of other users, in the order of [`LoginAnswer::ALL`].
    others: [u64; 5],
}

impl<'a> Logins<'a> {
    fn new(done: &'a Counts, before: &'a Reading, after: &'a Reading) -> Self {
        let others = LoginAnswer::ALL.map(|answer| {
            let kind = answer.index();
            let answered = after.answers[kind].saturating_sub(before.answers[kind]);
            // The service may have responded to a request that timed out here: it does not belong to another user.
            answered.saturating_sub(done.of(answer) + done.unanswered_logins)
        });
        Self {
            done,
            before,
            after,
            others,
        }
    }

    fn rows(&self) -> Vec<Row> {
        let (succeeded, failed) = (self.done.of(LoginAnswer::Success), self.done.failures());
        let others_succeeded = self.others[LoginAnswer::Success.index()];
        let others_failed = self.others.iter().sum::<u64>() - others_succeeded;
        let by_answer = |answer: LoginAnswer| self.done.of(answer) + self.others[answer.index()];
        let reason = |what, answer, reasons: &[&str]| {
            let said = rise(self.before.failed(reasons), self.after.failed(reasons));
            self.row(what, by_answer(answer), said)
        };
        let status = |index: usize| rise(self.before.logins[index], self.after.logins[index]);
        vec![
            self.row(
                "logins that succeeded",
                succeeded + others_succeeded,
                status(0),
            ),
            self.row("logins that failed", failed + others_failed, status(1)),
            reason(
                "  wrong password, unknown or disabled (401)",
                LoginAnswer::Refused,
                &["invalid_credentials", "account_disabled"],
            ),
            reason(
                "  too many guesses (429)",
                LoginAnswer::Limited,
                &["account_locked", "rate_limited", "banned"],
            ),
            reason(
                "  sent by another site (403)",
                LoginAnswer::CrossSite,
                &["cross_site"],
            ),
            reason(
                "  the service failed (5xx)",
                LoginAnswer::Failed,
                &["store_unavailable", "internal_error"],
            ),
            self.row(
                "  client disconnected before the response",
                0,
                rise(
                    self.before.failed(&["cancelled"]),
                    self.after.failed(&["cancelled"]),
                ),
            ),
        ]
    }

    /// A session that changes its role is counted as ended and as started once more. A login that failed with a
    /// server error may have started a session before.
    fn sessions_started(&self) -> Row {
        let moved = &["role_changed"];
        let of = |answer: LoginAnswer| self.done.of(answer) + self.others[answer.index()];
        let started = rise(self.before.started, self.after.started);
        let moved = rise(self.before.ended(moved), self.after.ended(moved));
        let said = started
            .zip(moved)
            .and_then(|(started, moved)| started.checked_sub(moved));
        let perhaps = of(LoginAnswer::Failed) + self.done.unanswered_logins;
        Row {
            follows: true,
            ..between("sessions started", of(LoginAnswer::Success), perhaps, said)
        }
    }

    /// Attempts without a response may have been counted with any result, or not at all.
    fn row(&self, what: &'static str, known: u64, said: Option<u64>) -> Row {
        between(what, known, self.done.unanswered_logins, said)
    }

    fn notes(&self) -> Vec<String> {
        let done = self.done;
        let others: u64 = self.others.iter().sum();
        let notes = [
            (others, "logins were sent by other clients and are included"),
            (
                done.unanswered_logins,
                "logins got no response and may or may not have been counted",
            ),
            (
                done.calls.unclear,
                "calls of services got no response, or 5xx, and may or may not have been authenticated",
            ),
            (
                done.skipped,
                "steps of the plan were skipped, because the service was too slow",
            ),
        ];
        let told = notes.into_iter().filter(|(n, _)| *n > 0);
        told.map(|(n, what)| format!("{n} {what}")).collect()
    }
}

/// Compares with a value that may be higher by up to `perhaps`.
fn between(what: &'static str, known: u64, perhaps: u64, said: Option<u64>) -> Row {
    let most = known + perhaps;
    Row {
        what,
        known: if perhaps == 0 {
            known.to_string()
        } else {
            format!("{known} to {most}")
        },
        said: shown(said),
        same: said.is_some_and(|said| (known..=most).contains(&said)),
        follows: false,
    }
}

/// Compares the gauges with the listed sessions, and with the totals.
fn session_rows(after: &Reading, enumerated: &Enumerated) -> Vec<Row> {
    let same = |what, known: u64, said: Option<u64>| Row {
        what,
        known: known.to_string(),
        said: shown(said),
        same: said == Some(known),
        follows: true,
    };
    let by_role = |what, known: [u64; 4], said: [Option<u64>; 4]| Row {
        what,
        known: known.map(|n| n.to_string()).join("/"),
        said: said.map(shown).join("/"),
        same: said == known.map(Some),
        follows: true,
    };
    let ended: Option<u64> = after.ended.iter().copied().sum();
    let left = after.started.zip(ended);
    let left = left.and_then(|(started, ended)| started.checked_sub(ended));
    let live = enumerated.sessions.iter().sum();
    vec![
        same("sessions live, listed one by one", live, after.active),
        by_role("  by role", enumerated.sessions, after.sessions),
        by_role("users logged in, by role", enumerated.users, after.users),
        same("sessions live = started - ended", live, left),
    ]
}

/// Responses that the API does not define cannot agree with the metrics.
fn odd_answers(done: &Counts) -> Option<Row> {
    let odd = done.odd_answers + done.calls.odd;
    (odd > 0).then(|| Row {
        what: "responses that the API does not define",
        known: odd.to_string(),
        said: String::from("-"),
        same: false,
        follows: false,
    })
}

/// Returns the increase of a counter; `None` if it is absent or decreased, for example after a restart of the
/// service.
fn rise(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    after?.checked_sub(before?)
}

fn shown(value: Option<u64>) -> String {
    value.map_or_else(|| String::from("absent"), |value| value.to_string())
}
