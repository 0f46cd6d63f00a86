//! Counts by role: one row for each count.

use serde::Serialize;

use super::super::output::Row;
use crate::{accounts::Role, sessions::Census};

/// One count, by role.
#[derive(Debug, Serialize)]
pub(super) struct ByRole {
    what: String,
    numbers: [i64; 4],
}

impl ByRole {
    pub(super) fn new(what: impl Into<String>, numbers: [u64; 4]) -> Self {
        Self {
            what: what.into(),
            numbers: numbers.map(u64::cast_signed),
        }
    }

    /// Returns started − ended: a difference, which may be negative if the store is corrupt.
    pub(super) fn started_less_ended(what: &str, census: &Census) -> Self {
        let ended = ended(census);
        let less = |role: Role| {
            let started = census.totals.started[role.index()];
            started.cast_signed() - ended[role.index()].cast_signed()
        };
        Self {
            what: what.to_owned(),
            numbers: Role::ALL.map(less),
        }
    }
}

/// Returns the number of ended sessions, by role.
pub(super) fn ended(census: &Census) -> [u64; 4] {
    census.totals.ended.map(|reasons| reasons.iter().sum())
}

impl Row for ByRole {
    const COLUMNS: &'static [&'static str] =
        &["", "user", "contributor", "admin", "superuser", "all"];
    const NUMBERS: bool = true;

    fn cells(&self) -> Vec<String> {
        let all: i64 = self.numbers.iter().sum();
        let numbers = self.numbers.iter().chain([&all]).map(i64::to_string);
        [self.what.clone()].into_iter().chain(numbers).collect()
    }
}
