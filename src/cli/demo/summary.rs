//! The summary: what the demo did beside what the metrics say.

use std::fmt;

use comfy_table::{
    CellAlignment, ColumnConstraint, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED,
};

use super::{
    ledger::{Counts, LoginAnswer},
    reading::Reading,
};

/// Live sessions, counted one by one through the API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Enumerated {
    /// Sessions, indexed by [`Role::index`](crate::accounts::Role::index).
    pub(super) sessions: [u64; 4],
    /// Distinct users, indexed likewise.
    pub(super) users: [u64; 4],
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    what: &'static str,
    /// What the demo knows.
    known: String,
    /// What the metrics say.
    said: String,
    same: bool,
    /// The metrics may still come to say it: this is counted by the census, not as it happens.
    follows: bool,
}

/// All comparisons of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Summary {
    /// Compares what was done with what the metrics say more than before, and the sessions that were counted with the
    /// gauges.
    ///
    /// Anyone may log in to a running demo, with curl for one. Logins beyond our own are taken from the HTTP
    /// instruments, which count answers and know nothing of the login counters; a note says how many there were.
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
        rows.extend(odd_answers(done));
        Self {
            rows,
            notes: logins.notes(),
        }
    }

    /// True where the metrics say what was done.
    pub(super) fn is_same(&self) -> bool {
        self.rows.iter().all(|row| row.same)
    }

    /// True where all that differs may be the same after the next census.
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

/// The login counters against the ledger.
struct Logins<'a> {
    done: &'a Counts,
    before: &'a Reading,
    after: &'a Reading,
    /// Answers to logins of somebody else, like [`LoginAnswer::ALL`].
    others: [u64; 5],
}

impl<'a> Logins<'a> {
    fn new(done: &'a Counts, before: &'a Reading, after: &'a Reading) -> Self {
        let others = LoginAnswer::ALL.map(|answer| {
            let kind = answer.index();
            let answered = after.answers[kind].saturating_sub(before.answers[kind]);
            // A request that we gave up on may have been answered all the same: it is not somebody else's.
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
                "  client gone before the answer",
                0,
                rise(
                    self.before.failed(&["cancelled"]),
                    self.after.failed(&["cancelled"]),
                ),
            ),
        ]
    }

    /// A session that changes its role is counted as ended and as started once more.
    fn sessions_started(&self) -> Row {
        let moved = &["role_changed"];
        let known = self.done.of(LoginAnswer::Success) + self.others[LoginAnswer::Success.index()];
        let started = rise(self.before.started, self.after.started);
        let moved = rise(self.before.ended(moved), self.after.ended(moved));
        let said = started
            .zip(moved)
            .and_then(|(started, moved)| started.checked_sub(moved));
        Row {
            follows: true,
            ..self.row("sessions started", known, said)
        }
    }

    /// Attempts without an answer may have been counted as anything, or not at all.
    fn row(&self, what: &'static str, known: u64, said: Option<u64>) -> Row {
        let most = known + self.done.unanswered_logins;
        Row {
            what,
            known: if most == known {
                known.to_string()
            } else {
                format!("{known} to {most}")
            },
            said: shown(said),
            same: said.is_some_and(|said| (known..=most).contains(&said)),
            follows: false,
        }
    }

    fn notes(&self) -> Vec<String> {
        let done = self.done;
        let others: u64 = self.others.iter().sum();
        let notes = [
            (
                others,
                "logins were not the demo's own but somebody else's, and are counted in",
            ),
            (
                done.unanswered_logins,
                "logins got no answer and may have been counted or not",
            ),
            (
                done.skipped,
                "steps of the plan were left out, because the service was too slow for it",
            ),
        ];
        let told = notes.into_iter().filter(|(n, _)| *n > 0);
        told.map(|(n, what)| format!("{n} {what}")).collect()
    }
}

/// The gauges against the enumeration, and against the totals.
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

/// An answer that the API does not give is nothing the metrics could agree with.
fn odd_answers(done: &Counts) -> Option<Row> {
    (done.odd_answers > 0).then(|| Row {
        what: "answers that the API does not give",
        known: done.odd_answers.to_string(),
        said: String::from("-"),
        same: false,
        follows: false,
    })
}

/// How far a counter rose; `None` where it is absent or fell, as after a restart of the service.
fn rise(before: Option<u64>, after: Option<u64>) -> Option<u64> {
    after?.checked_sub(before?)
}

fn shown(value: Option<u64>) -> String {
    value.map_or_else(|| String::from("absent"), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 14 logins, 9 failures; 3 sessions moved to another role, 5 are live; and metrics that say so.
    fn run() -> (Counts, Reading, Reading, Enumerated) {
        let done = Counts {
            logins: [14, 4, 3, 1, 1],
            ..Counts::default()
        };
        let before = Reading {
            logins: [Some(100), Some(10)],
            failures: [Some(1); 9],
            answers: [100, 10, 0, 0, 0],
            started: Some(120),
            ended: [Some(20); 6],
            ..Reading::default()
        };
        let after = Reading {
            logins: [Some(114), Some(19)],
            failures: [4, 3, 2, 2, 1, 2, 1, 2, 1].map(Some),
            answers: [114, 14, 3, 1, 1],
            started: Some(137),
            ended: [25, 24, 20, 20, 20, 23].map(Some),
            active: Some(5),
            sessions: [2, 2, 1, 0].map(Some),
            users: [1, 2, 1, 0].map(Some),
        };
        let enumerated = Enumerated {
            sessions: [2, 2, 1, 0],
            users: [1, 2, 1, 0],
        };
        (done, before, after, enumerated)
    }

    #[test]
    fn metrics_that_say_what_was_done_are_the_same() {
        let (done, before, after, enumerated) = run();
        let summary = Summary::compare(&done, &before, &after, &enumerated);
        assert!(summary.is_same(), "{summary}");
        let text = summary.to_string();
        assert!(text.contains("2/2/1/0") && !text.contains("NO"), "{text}");
    }

    #[test]
    fn one_more_or_less_anywhere_is_noticed() {
        type Field = fn(&mut Reading) -> &mut Option<u64>;
        let fields: [Field; 13] = [
            |it| &mut it.logins[0],
            |it| &mut it.logins[1],
            |it| &mut it.failures[0],
            |it| &mut it.failures[1],
            |it| &mut it.failures[5],
            |it| &mut it.failures[7],
            |it| &mut it.failures[8],
            |it| &mut it.started,
            |it| &mut it.ended[1],
            |it| &mut it.ended[5],
            |it| &mut it.active,
            |it| &mut it.sessions[3],
            |it| &mut it.users[0],
        ];
        for (index, field) in fields.into_iter().enumerate() {
            for planted in [Some(1), Some(-1), None] {
                let (done, before, mut after, enumerated) = run();
                let value = field(&mut after);
                *value = planted.and_then(|by| value.unwrap().checked_add_signed(by));
                let summary = Summary::compare(&done, &before, &after, &enumerated);
                assert!(!summary.is_same(), "field {index}, {planted:?}:\n{summary}");
            }
        }
    }

    #[test]
    fn only_what_the_census_counts_may_follow() {
        let compare = |change: fn(&mut Reading)| {
            let (done, before, mut after, enumerated) = run();
            change(&mut after);
            Summary::compare(&done, &before, &after, &enumerated)
        };
        let late = compare(|after| after.active = Some(4));
        assert!(!late.is_same() && late.may_follow());
        let wrong = compare(|after| after.logins[0] = Some(115));
        assert!(!wrong.is_same() && !wrong.may_follow());
    }

    #[test]
    fn a_login_without_an_answer_may_have_been_counted_or_not() {
        for (counted, same) in [(0, true), (1, true), (2, false)] {
            let (mut done, before, mut after, enumerated) = run();
            done.unanswered_logins = 1;
            after.logins[1] = Some(19 + counted);
            after.failures[8] = Some(1 + counted);
            let summary = Summary::compare(&done, &before, &after, &enumerated);
            assert_eq!(summary.is_same(), same, "{summary}");
            assert!(summary.to_string().contains("9 to 10"));
        }
    }

    #[test]
    fn a_login_by_somebody_else_is_told_and_does_not_disturb() {
        let (done, before, mut after, enumerated) = run();
        after.logins[1] = Some(20);
        after.failures[0] = Some(5);
        let unexplained = Summary::compare(&done, &before, &after, &enumerated);
        assert!(!unexplained.is_same(), "{unexplained}");
        after.answers[LoginAnswer::Refused.index()] += 1;
        let explained = Summary::compare(&done, &before, &after, &enumerated);
        assert!(explained.is_same(), "{explained}");
        assert!(explained.to_string().contains("somebody else"));
    }

    #[test]
    fn an_answer_that_the_api_does_not_give_is_never_the_same() {
        let (mut done, before, after, enumerated) = run();
        done.odd_answers = 1;
        assert!(!Summary::compare(&done, &before, &after, &enumerated).is_same());
    }

    #[test]
    fn a_counter_that_began_anew_is_absent_rather_than_wrong() {
        assert_eq!(rise(Some(9), Some(2)), None);
        assert_eq!(rise(None, Some(2)), None);
        assert_eq!(rise(Some(2), Some(2)), Some(0));
    }
}
