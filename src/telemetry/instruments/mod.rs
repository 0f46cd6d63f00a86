//! The instruments: every metric of the crate, its name, unit and labels.
//!
//! [`CATALOGUE`] is the single list. Tests hold it against what `/metrics` and the Collector really emit and against
//! every name in the documentation and the dashboards, in both directions.
//!
//! | file | what it records |
//! |---|---|
//! | `auth` | logins, password checks, the audit trail |
//! | `presence` | sessions and users, from a snapshot in memory |
//! | `io` | HTTP requests and store operations |
//!
//! Instruments that are recorded as things happen are built once from one [`Meter`](opentelemetry::metrics::Meter) and
//! cloned from there. Observed ones are registered once for every reader, each on a provider of its own (see
//! [`Telemetry`](super::Telemetry)).

mod auth;
mod catalogue;
mod io;
mod presence;
#[cfg(test)]
mod tests;

pub use auth::{LoginAttempt, LoginMetrics, Outcome, PasswordMetrics};
pub use catalogue::{Attribute, CATALOGUE, Instrument, Kind, Scope, Values};
pub use io::{
    HttpMetrics, HttpRecorder, RequestLabels, RequestTimer, StoreMetrics, StoreOperation,
};
pub use presence::{Presence, Snapshot};

use opentelemetry::{KeyValue, metrics::Counter};

/// Values of `role`, lowest first: `accounts::Role` takes its names from here.
pub const ROLES: [&str; 4] = ["user", "contributor", "admin", "superuser"];

/// Values of `reason` of an ended session: `sessions::EndReason` takes its names from here.
pub const END_REASONS: [&str; 6] = [
    "logout",
    "idle",
    "absolute",
    "revoked",
    "evicted",
    "role_changed",
];

/// Values of `status` of a login.
pub const LOGIN_STATUSES: [&str; 2] = ["success", "failure"];

/// Values of `reason` of a failed login: `login::LoginError` maps to these. Unknown user and wrong password are one
/// reason on purpose.
pub const FAILURE_REASONS: [&str; 9] = [
    "invalid_credentials",
    "account_locked",
    "account_disabled",
    "rate_limited",
    "banned",
    "cross_site",
    "store_unavailable",
    "internal_error",
    "cancelled",
];

/// A counter with a handle per label value, so that counting builds no label set and every series exists from the
/// start.
#[derive(Clone, Debug)]
struct LabelledCounter<const N: usize> {
    counter: Counter<u64>,
    labels: [[KeyValue; 1]; N],
}

impl<const N: usize> LabelledCounter<N> {
    fn new(counter: Counter<u64>, key: &'static str, values: [&'static str; N]) -> Self {
        let labels = values.map(|value| [KeyValue::new(key, value)]);
        for label in &labels {
            counter.add(0, label);
        }
        Self { counter, labels }
    }

    fn add(&self, index: usize, n: u64) {
        if let Some(label) = self.labels.get(index) {
            self.counter.add(n, label);
        }
    }
}
