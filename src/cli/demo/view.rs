//! The view: the text on the screen. All values about sessions and logins come from `/metrics`.

use crate::{accounts::Role, login::LoginFailure, sessions::EndReason};
use std::{collections::VecDeque, fmt::Write as _, time::Duration};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};

use super::{
    ledger::{Counts, LoginAnswer},
    machines,
    reading::Reading,
    rhythm::WallTime,
};

/// The time over which a rate is computed.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// Samples of the login counters.
#[derive(Debug, Default)]
pub(super) struct Rates(VecDeque<(Duration, [u64; 2])>);

impl Rates {
    /// Records the number of logins that succeeded and failed up to `elapsed`.
    pub(super) fn note(&mut self, elapsed: Duration, logins: [u64; 2]) {
        self.0.push_back((elapsed, logins));
        // One sample from before the window is kept, so that the rate always covers the whole window.
        while self
            .0
            .get(1)
            .is_some_and(|(at, _)| *at + RATE_WINDOW <= elapsed)
        {
            self.0.pop_front();
        }
    }

    /// Returns the logins per second over the last ten seconds.
    fn per_second(&self) -> [f64; 2] {
        let (Some((from, before)), Some((to, after))) = (self.0.front(), self.0.back()) else {
            return [0.0; 2];
        };
        let seconds = to.saturating_sub(*from).as_secs_f64().max(1.0);
        [0, 1].map(|status| {
            let more = after[status].saturating_sub(before[status]);
            f64::from(u32::try_from(more).unwrap_or(u32::MAX)) / seconds
        })
    }
}

/// The data shown at one moment.
#[derive(Debug)]
pub(super) struct View<'a> {
    /// The simulated time.
    pub(super) time: WallTime,
    /// The time since the start.
    pub(super) elapsed: Duration,
    /// The duration of the run.
    pub(super) length: Option<Duration>,
    /// The values of `/metrics`; `None` if its URL is not known.
    pub(super) reading: Option<&'a Reading>,
    /// Logins per second.
    pub(super) rates: &'a Rates,
    /// What was done.
    pub(super) counts: Counts,
    /// Messages, newest first.
    pub(super) news: &'a [String],
}

impl View<'_> {
    /// Returns the lines of a screen of this width, in columns.
    pub(super) fn lines(&self, width: u16) -> Vec<String> {
        let mut lines = vec![self.title(), String::new()];
        match self.reading {
            Some(reading) => {
                let table = by_role(reading, width).to_string();
                lines.extend(table.lines().map(str::to_owned));
                lines.push(self.rate_line());
                let failed = named(&LoginFailure::NAMES, &reading.failures);
                lines.extend(wrapped("failures by reason", &failed, width));
                let ended = named(&EndReason::NAMES, &reading.ended);
                lines.extend(wrapped("sessions ended by", &ended, width));
                lines.push(String::new());
                lines.extend(machines::panel(&reading.machines));
            }
            None => lines.extend([
                self.rate_line(),
                self.answers_line(),
                machines::lines(&self.counts.calls),
            ]),
        }
        lines.extend([String::new(), String::from("last events")]);
        lines.extend(self.news.iter().map(|entry| format!("  {entry}")));
        let width = usize::from(width);
        let cut = |line: String| line.chars().take(width).collect();
        lines.into_iter().map(cut).collect()
    }

    /// Formats everything in one line, for a log.
    pub(super) fn line(&self) -> String {
        let mut line = self.time.to_string();
        if let Some(reading) = self.reading {
            let _ = write!(line, "  active_sessions {}", shown(reading.active));
            line.push_str("  users_by_role");
            for (role, users) in Role::NAMES.iter().zip(reading.users) {
                let _ = write!(line, " {role}={}", shown(users));
            }
        }
        let [success, failure] = self.rates.per_second();
        let (calls, requests) = (self.counts.calls, self.counts.requests());
        let _ = write!(
            line,
            "  logins/s success={success:.1} failure={failure:.1}  services authenticated={} refused={}  requests {requests}",
            calls.authenticated,
            calls.not_authenticated(),
        );
        line
    }

    fn title(&self) -> String {
        let (time, day) = (self.time, self.time.day());
        let ran = clock(self.elapsed);
        let ran = match self.length {
            Some(length) => format!("{ran} of {}", clock(length)),
            None => ran,
        };
        format!("Skriptoteket demo   {time} on day {day}   ran {ran}   Ctrl-C ends it")
    }

    fn rate_line(&self) -> String {
        let [success, failure] = self.rates.per_second();
        let requests = self.counts.requests();
        format!(
            "logins per second   success {success:.1}   failure {failure:.1}   ({requests} requests so far)"
        )
    }

    fn answers_line(&self) -> String {
        let of = |answer| self.counts.of(answer);
        format!(
            "login responses     200: {}   401: {}   429: {}   403: {}   5xx: {}",
            of(LoginAnswer::Success),
            of(LoginAnswer::Refused),
            of(LoginAnswer::Limited),
            of(LoginAnswer::CrossSite),
            of(LoginAnswer::Failed),
        )
    }
}

fn by_role(reading: &Reading, width: u16) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width);
    let head = ["logged in now", "total"].into_iter().chain(Role::NAMES);
    table.set_header(head);
    let users: Option<u64> = reading.users.iter().copied().sum();
    for (what, total, values) in [
        ("active sessions", reading.active, reading.sessions),
        ("distinct users", users, reading.users),
    ] {
        let values = std::iter::once(total).chain(values).map(shown);
        table.add_row(std::iter::once(what.to_owned()).chain(values));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Returns the values that are not 0, with their names.
fn named(names: &[&str], values: &[Option<u64>]) -> Vec<String> {
    let all = names.iter().zip(values);
    let some = all.filter(|(_, value)| **value != Some(0));
    some.map(|(name, value)| format!("{name} {}", shown(*value)))
        .collect()
}

/// Formats a heading and a list, wrapped to the width.
fn wrapped(heading: &str, items: &[String], width: u16) -> Vec<String> {
    let mut lines = vec![format!("{heading:<18}")];
    for item in items {
        let fits = |line: &String| line.chars().count() + 2 + item.len() <= usize::from(width);
        match lines.last_mut() {
            Some(line) if fits(line) => {
                line.push_str("  ");
                line.push_str(item);
            }
            _ => lines.push(format!("{:<18}  {item}", "")),
        }
    }
    if items.is_empty() {
        lines[0].push_str("  none yet");
    }
    lines
}

fn shown(value: Option<u64>) -> String {
    value.map_or_else(|| String::from("absent"), |value| value.to_string())
}

/// Formats minutes and seconds.
fn clock(duration: Duration) -> String {
    let seconds = duration.as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::demo::rhythm::Day;

    fn reading() -> Reading {
        let mut failures = [Some(0); LoginFailure::NAMES.len()];
        failures[LoginFailure::InvalidCredentials as usize] = Some(41);
        failures[LoginFailure::AccountLocked as usize] = Some(7);
        Reading {
            failures,
            ended: [31, 40, 0, 3, 0, 2, 0].map(Some),
            active: Some(31),
            sessions: [18, 8, 4, 1].map(Some),
            users: [14, 7, 3, 1].map(Some),
            ..Reading::default()
        }
    }

    fn view<'a>(reading: Option<&'a Reading>, rates: &'a Rates, news: &'a [String]) -> View<'a> {
        let elapsed = Duration::from_secs(24);
        View {
            time: Day::lasting(Duration::from_mins(4)).time(elapsed),
            elapsed,
            length: Some(Duration::from_mins(2)),
            reading,
            rates,
            counts: Counts {
                logins: [143, 41, 7, 0, 0],
                other_requests: 900,
                ..Counts::default()
            },
            news,
        }
    }

    #[test]
    fn everything_is_on_the_screen() {
        let (reading, mut rates) = (reading(), Rates::default());
        rates.note(Duration::from_secs(14), [100, 40]);
        rates.note(Duration::from_secs(24), [114, 46]);
        let news = vec![String::from("10:20  brute force on one account")];
        let text = view(Some(&reading), &rates, &news).lines(80).join("\n");
        for part in [
            "10:24 on day 1",
            "ran 0:24 of 2:00",
            "success 1.4   failure 0.6",
            "invalid_credentials 41  account_locked 7",
            "logout 31  idle 40  revoked 3  role_changed 2",
            "nightly-batch",
            "10:20  brute force",
        ] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
        let row = |name: &str| {
            let row = text.lines().find(|line| line.contains(name)).unwrap();
            let cells = row.split(|c: char| !c.is_ascii_digit());
            let cells = cells.filter_map(|cell| cell.parse().ok());
            cells.collect::<Vec<u64>>()
        };
        assert_eq!(row("active sessions"), [31, 18, 8, 4, 1]);
        assert_eq!(row("distinct users"), [25, 14, 7, 3, 1]);
    }

    #[test]
    fn a_log_has_all_in_one_line() {
        let (reading, rates) = (reading(), Rates::default());
        assert_eq!(
            view(Some(&reading), &rates, &[]).line(),
            "10:24  active_sessions 31  users_by_role user=14 contributor=7 admin=3 superuser=1  \
             logins/s success=0.0 failure=0.0  services authenticated=0 refused=0  requests 1091"
        );
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let reading = Reading {
            failures: [Some(12_345); LoginFailure::NAMES.len()],
            ..reading()
        };
        let rates = Rates::default();
        let news = vec!["x".repeat(200)];
        for width in [20, 40, 80, 200] {
            for reading in [Some(&reading), None] {
                for line in view(reading, &rates, &news).lines(width) {
                    assert!(line.chars().count() <= usize::from(width), "{line}");
                }
            }
        }
    }

    #[test]
    fn what_the_service_does_not_know_is_shown_as_absent() {
        let (reading, rates) = (Reading::default(), Rates::default());
        let text = view(Some(&reading), &rates, &[]).lines(80).join("\n");
        assert!(
            text.contains("absent") && !text.contains("none yet"),
            "{text}"
        );
    }

    #[test]
    fn without_metrics_the_answers_are_shown() {
        let rates = Rates::default();
        let view = view(None, &rates, &[]);
        assert!(view.lines(80).join("\n").contains("401: 41"));
        assert!(view.line().ends_with("requests 1091"), "{}", view.line());
    }

    #[test]
    fn a_rate_is_taken_over_the_last_ten_seconds() {
        let mut rates = Rates::default();
        assert!(rates.per_second()[0] < 0.01);
        for second in 0..60_u64 {
            rates.note(Duration::from_secs(second), [second * 2, second / 2]);
        }
        let [success, failure] = rates.per_second();
        assert!((success - 2.0).abs() < 0.01, "{success}");
        assert!((failure - 0.5).abs() < 0.01, "{failure}");
    }
}
