//! Logins and password checks.

use std::{fmt, sync::Arc, time::Duration};

use opentelemetry::{
    KeyValue,
    metrics::{Counter, Histogram, Meter},
};

use super::{
    FAILURE_REASONS, LOGIN_STATUSES, LabelledCounter,
    catalogue::{PASSWORD_CHANGES, PASSWORD_RESULTS},
};
use crate::clock::Clock;

/// How a login attempt came out: `Ok`, or the `reason` of its failure, one of [`FAILURE_REASONS`].
pub type Outcome = Result<(), &'static str>;

/// Counts login attempts.
#[derive(Clone)]
pub struct LoginMetrics(Arc<LoginInstruments>);

struct LoginInstruments {
    logins: LabelledCounter<2>,
    failures: LabelledCounter<9>,
    duration: Histogram<f64>,
    password_changes: LabelledCounter<7>,
    audit_dropped: Counter<u64>,
    clock: Arc<dyn Clock>,
}

impl LoginMetrics {
    /// Builds the instruments and sets every series to 0.
    #[must_use]
    pub fn new(meter: &Meter, clock: Arc<dyn Clock>) -> Self {
        let logins = meter
            .u64_counter("skriptoteket.logins")
            .with_unit("{login}")
            .with_description("Login attempts by outcome")
            .build();
        let failures = meter
            .u64_counter("skriptoteket.login_failures")
            .with_unit("{login}")
            .with_description("Failed login attempts by reason")
            .build();
        let password_changes = meter
            .u64_counter("skriptoteket.password_changes")
            .with_unit("{change}")
            .with_description("Attempts of users to change their password, by result")
            .build();
        let audit_dropped = meter
            .u64_counter("skriptoteket.audit_events_dropped")
            .with_unit("{event}")
            .with_description("Audit events that could not be written to the audit trail")
            .build();
        audit_dropped.add(0, &[]);
        Self(Arc::new(LoginInstruments {
            logins: LabelledCounter::new(logins, "status", LOGIN_STATUSES),
            failures: LabelledCounter::new(failures, "reason", FAILURE_REASONS),
            duration: meter
                .f64_histogram("skriptoteket.login_duration")
                .with_unit("s")
                .with_description("How long a login attempt took")
                .with_boundaries(vec![
                    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
                ])
                .build(),
            password_changes: LabelledCounter::new(password_changes, "result", PASSWORD_CHANGES),
            audit_dropped,
            clock,
        }))
    }

    /// Begins an attempt. It is counted once: by [`LoginAttempt::finish`], or when it is dropped without.
    pub fn login_started(&self) -> LoginAttempt {
        LoginAttempt {
            metrics: self.clone(),
            started: self.0.clock.monotonic(),
            finished: false,
        }
    }

    /// Begins an attempt to change a password. It is counted once: when it is finished, or when it is
    /// dropped without.
    pub fn password_change_started(&self) -> PasswordChangeAttempt {
        PasswordChangeAttempt {
            metrics: self.clone(),
            unfinished: Some(()),
        }
    }

    /// Counts attempts that the audit trail has lost.
    pub fn audit_events_dropped(&self, n: u64) {
        self.0.audit_dropped.add(n, &[]);
    }

    fn record(&self, outcome: Outcome, took: Duration) {
        let status = usize::from(outcome.is_err());
        self.0.logins.add(status, 1);
        if let Err(reason) = outcome {
            let known = FAILURE_REASONS.iter().position(|it| *it == reason);
            self.0.failures.add(known.unwrap_or(INTERNAL_ERROR), 1);
        }
        let label = KeyValue::new("status", LOGIN_STATUSES[status]);
        self.0.duration.record(took.as_secs_f64(), &[label]);
    }
}

/// Where `internal_error` stands in [`FAILURE_REASONS`].
const INTERNAL_ERROR: usize = 7;

impl fmt::Debug for LoginMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginMetrics")
    }
}

/// One login attempt that is under way.
///
/// Dropped without [`LoginAttempt::finish`] it is counted as `cancelled`, or as `internal_error` if the thread is
/// panicking: the client going away and a bug are exits like any other.
#[derive(Debug)]
#[must_use = "dropping it counts the attempt as cancelled"]
pub struct LoginAttempt {
    metrics: LoginMetrics,
    started: Duration,
    finished: bool,
}

impl LoginAttempt {
    /// Counts the attempt under this outcome.
    pub fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    /// What an attempt that is dropped here and now counts as.
    #[must_use]
    pub fn outcome_if_dropped() -> &'static str {
        if std::thread::panicking() {
            "internal_error"
        } else {
            "cancelled"
        }
    }

    fn end(&mut self, outcome: Outcome) {
        if !std::mem::replace(&mut self.finished, true) {
            let took = self
                .metrics
                .0
                .clock
                .monotonic()
                .saturating_sub(self.started);
            self.metrics.record(outcome, took);
        }
    }
}

impl Drop for LoginAttempt {
    fn drop(&mut self) {
        self.end(Err(Self::outcome_if_dropped()));
    }
}

/// An attempt to change a password that is under way; dropped, it is counted like a [`LoginAttempt`].
#[must_use = "dropping it counts the attempt as cancelled"]
pub struct PasswordChangeAttempt {
    metrics: LoginMetrics,
    /// None once it was counted.
    unfinished: Option<()>,
}

impl fmt::Debug for PasswordChangeAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordChangeAttempt")
    }
}

impl PasswordChangeAttempt {
    /// Counts the attempt under this outcome.
    pub fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if self.unfinished.take().is_some() {
            let result = outcome.err().unwrap_or(PASSWORD_CHANGES[0]);
            let known = PASSWORD_CHANGES.iter().position(|it| *it == result);
            let changes = &self.metrics.0.password_changes;
            changes.add(known.unwrap_or(CHANGE_INTERNAL_ERROR), 1);
        }
    }
}

impl Drop for PasswordChangeAttempt {
    fn drop(&mut self) {
        self.end(Err(LoginAttempt::outcome_if_dropped()));
    }
}

/// Where `internal_error` stands in [`PASSWORD_CHANGES`].
const CHANGE_INTERNAL_ERROR: usize = 5;

/// Counts password checks.
#[derive(Clone, Debug)]
pub struct PasswordMetrics {
    checks: LabelledCounter<3>,
}

impl PasswordMetrics {
    /// Builds the instruments and sets every series to 0.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        let checks = meter
            .u64_counter("skriptoteket.password_checks")
            .with_unit("{check}")
            .with_description(
                "Password checks by result; overloaded = refused because the queue was full",
            )
            .build();
        Self {
            checks: LabelledCounter::new(checks, "result", PASSWORD_RESULTS),
        }
    }

    /// Counts a check that was made.
    pub fn checked(&self, matched: bool) {
        self.checks.add(usize::from(!matched), 1);
    }

    /// Counts a check that was refused because the queue was full.
    pub fn overloaded(&self) {
        self.checks.add(2, 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_reason_would_be_an_internal_error() {
        assert_eq!(FAILURE_REASONS[INTERNAL_ERROR], "internal_error");
        assert_eq!(PASSWORD_CHANGES[CHANGE_INTERNAL_ERROR], "internal_error");
    }
}
