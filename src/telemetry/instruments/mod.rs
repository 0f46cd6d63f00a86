//! The instruments: every metric of the crate, its name, unit and labels.
//!
//! [`CATALOGUE`] is the single list. Tests hold it against what `/metrics` and the Collector really emit and against
//! every name in the documentation and the dashboards, in both directions.
//!
//! | file | what it records |
//! |---|---|
//! | `login` | logins, password checks, the audit trail |
//! | `session_gauges` | sessions and users, from the last count; how long sessions last |
//! | `guarded` | callbacks that survive a panic |
//! | `service_auth` | authentications, tokens and limits of services |
//! | `service_series`, `series` | which services have series of their own, and what these are |
//! | `usage` | how much of its limits a service uses, as time goes on |
//! | `service_gauges` | the registered services, from a snapshot in memory |
//! | `http` | HTTP requests |
//! | `store` | operations of stores |
//!
//! Instruments that are recorded as things happen are built once from one [`Meter`](opentelemetry::metrics::Meter) and
//! cloned from there. Observed ones are registered once for every reader, each on a provider of its own (see
//! [`Telemetry`](super::Telemetry)).

mod catalogue;
mod guarded;
mod http;
mod login;
mod series;
mod service_auth;
mod service_gauges;
mod service_series;
mod session_gauges;
mod store;
#[cfg(test)]
mod tests;
mod usage;

pub use catalogue::{Attribute, CATALOGUE, Instrument, Kind, SERVICE_LABELS, Scope, Values};
pub use http::{HttpMetrics, HttpRecorder, RequestLabels, RequestTimer};
pub use login::{LoginAttempt, LoginMetrics, Outcome, PasswordMetrics};
pub use service_auth::{AuthAttempt, AuthMetrics, AuthOperation, Started};
pub use service_gauges::{ServiceGauges, ServiceSample, ServiceSnapshot};
pub use session_gauges::{SessionGauges, SessionMetrics, Snapshot};
pub use store::{StoreMetrics, StoreOperation};
pub use usage::{DailyUsage, LimitType, RateLimitUsage};

use opentelemetry::{KeyValue, metrics::Counter};

use crate::user::Role;

/// Values of `role`, lowest first.
pub const ROLES: [&str; 4] = Role::NAMES;

/// Values of `reason` of an ended session: `sessions::EndReason` takes its names from here.
pub const END_REASONS: [&str; 7] = [
    "logout",
    "idle",
    "absolute",
    "revoked",
    "evicted",
    "role_changed",
    "lost",
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

/// The value of `service_id` for whoever is not registered: what callers make up makes no series.
pub const OTHER_SERVICE: &str = "_other";

/// Values of `reason` of a failed authentication of a service: `services::AuthFailure` takes its names from here.
pub const AUTH_FAILURES: [&str; 13] = [
    "unknown_service",
    "bad_secret",
    "expired_credential",
    "disabled",
    "bad_signature",
    "expired_token",
    "revoked_token",
    "wrong_audience",
    "malformed",
    "rate_limited",
    "store_unavailable",
    "internal_error",
    "cancelled",
];

/// Values of `status` of a token that was looked at.
pub const TOKEN_STATUSES: [&str; 10] = [
    "valid",
    "unknown_service",
    "disabled",
    "bad_signature",
    "expired_token",
    "revoked_token",
    "wrong_audience",
    "malformed",
    "store_unavailable",
    "internal_error",
];

/// Values of `operation` of an authentication of a service, as [`AuthOperation`] has them.
pub const AUTH_OPERATIONS: [&str; 5] = [
    "token_issue",
    "token_verification",
    "introspection",
    "revocation",
    "limit_check",
];

/// Values of `limit_type`, as [`LimitType`] has them: the rate with its burst, and the quota of a day.
pub const LIMIT_TYPES: [&str; 2] = ["requests", "daily_quota"];

/// Values of `policy`: what is done with a request whose limit cannot be checked.
pub const LIMIT_POLICIES: [&str; 2] = ["closed", "open"];

/// Values of `health` of a service: `services::Health` takes its names from here.
pub const HEALTHS: [&str; 4] = ["healthy", "degraded", "stale", "disabled"];

/// Values of `event` of a registration.
pub const REGISTRATION_EVENTS: [&str; 2] = ["registered", "deleted"];

/// Values of `result` of a rotation of credentials.
pub const CREDENTIAL_ROTATIONS: [&str; 2] = ["success", "refused"];

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
