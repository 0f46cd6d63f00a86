//! The metrics of logins and password changes.

use std::{fmt, sync::Arc, time::Duration};

use opentelemetry::metrics::{Histogram, Meter};

use super::LoginFailure;
use skriptoteket_core::{
    clock::Clock,
    label,
    metric::{Label, LabelledCounter},
    metrics,
};

label! {
    /// The status of a login attempt.
    pub enum LoginStatus: "status" {
        /// A session was started.
        Success = "success",
        /// No session was started.
        Failure = "failure",
    }
}

label! {
    /// The result of a user's attempt to change their password.
    pub enum PasswordChangeResult: "result" {
        /// The password was changed.
        Success = "success",
        /// The current password is wrong.
        InvalidCredentials = "invalid_credentials",
        /// The new password is too weak.
        WeakPassword = "weak_password",
        /// There were too many wrong passwords in this session.
        RateLimited = "rate_limited",
        /// A store did not respond.
        StoreUnavailable = "store_unavailable",
        /// An internal error occurred.
        InternalError = "internal_error",
        /// The client disconnected before the response.
        Cancelled = "cancelled",
    }
}

metrics! {
    LOGINS = Counter("skriptoteket.logins", "{login}", PerInstance, [LoginStatus::ATTRIBUTE],
        "Login attempts, by status");
    LOGIN_FAILURES = Counter("skriptoteket.login_failures", "{login}", PerInstance, [LoginFailure::ATTRIBUTE],
        "Failed login attempts, by reason");
    LOGIN_DURATION = Histogram("skriptoteket.login_duration", "s", PerInstance, [LoginStatus::ATTRIBUTE],
        "Duration of login attempts, by status");
    PASSWORD_CHANGES = Counter("skriptoteket.password_changes", "{change}", PerInstance, [PasswordChangeResult::ATTRIBUTE],
        "Password change attempts, by result");
}

/// Bounds in seconds: from a rejected attempt to a password check that waits for a thread.
const DURATION_BOUNDS: [f64; 13] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The outcome of a login attempt.
pub type Outcome = Result<(), LoginFailure>;

/// Counts login attempts and password changes. Cheap to clone.
#[derive(Clone)]
pub struct LoginMetrics(Arc<LoginInstruments>);

struct LoginInstruments {
    logins: LabelledCounter<LoginStatus>,
    failures: LabelledCounter<LoginFailure>,
    duration: Histogram<f64>,
    password_changes: LabelledCounter<PasswordChangeResult>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for LoginMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginMetrics")
    }
}

impl LoginMetrics {
    /// Creates the instruments and initialises every series to 0.
    #[must_use]
    pub fn new(meter: &Meter, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(LoginInstruments {
            logins: LabelledCounter::new(&LOGINS, meter),
            failures: LabelledCounter::new(&LOGIN_FAILURES, meter),
            duration: LOGIN_DURATION.histogram(meter, &DURATION_BOUNDS),
            password_changes: LabelledCounter::new(&PASSWORD_CHANGES, meter),
            clock,
        }))
    }

    /// Starts an attempt. It is counted once: by [`LoginAttempt::finish`], or when it is dropped unfinished.
    pub fn login_started(&self) -> LoginAttempt {
        LoginAttempt {
            metrics: self.clone(),
            started: self.0.clock.monotonic(),
            finished: false,
        }
    }

    /// Starts an attempt to change a password. It is counted once: when it is finished, or when it is dropped
    /// unfinished.
    pub fn password_change_started(&self) -> PasswordChangeAttempt {
        PasswordChangeAttempt {
            metrics: self.clone(),
            unfinished: Some(()),
        }
    }

    fn record(&self, outcome: Outcome, took: Duration) {
        let status = match outcome {
            Ok(()) => LoginStatus::Success,
            Err(failure) => {
                self.0.failures.add(failure, 1);
                LoginStatus::Failure
            }
        };
        self.0.logins.add(status, 1);
        self.0
            .duration
            .record(took.as_secs_f64(), &[status.key_value()]);
    }
}

/// A login attempt in progress.
///
/// If dropped without [`LoginAttempt::finish`], it is counted as `cancelled`, or as `internal_error` if the thread is
/// panicking: client disconnects and bugs are counted like any other exit.
#[derive(Debug)]
#[must_use = "dropping it counts the attempt as cancelled"]
pub struct LoginAttempt {
    metrics: LoginMetrics,
    started: Duration,
    finished: bool,
}

impl LoginAttempt {
    /// Counts the attempt with this outcome.
    pub fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    /// Returns the failure that an attempt counts as if it is dropped now.
    #[must_use]
    pub fn failure_if_dropped() -> LoginFailure {
        if std::thread::panicking() {
            LoginFailure::InternalError
        } else {
            LoginFailure::Cancelled
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
        self.end(Err(Self::failure_if_dropped()));
    }
}

/// An attempt to change a password in progress. If dropped, it is counted like a [`LoginAttempt`].
#[must_use = "dropping it counts the attempt as cancelled"]
pub struct PasswordChangeAttempt {
    metrics: LoginMetrics,
    /// `None` once it was counted.
    unfinished: Option<()>,
}

impl fmt::Debug for PasswordChangeAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordChangeAttempt")
    }
}

impl PasswordChangeAttempt {
    /// Counts the attempt with this result.
    pub fn finish(mut self, result: PasswordChangeResult) {
        self.end(result);
    }

    fn end(&mut self, result: PasswordChangeResult) {
        if self.unfinished.take().is_some() {
            self.metrics.0.password_changes.add(result, 1);
        }
    }
}

impl Drop for PasswordChangeAttempt {
    fn drop(&mut self) {
        self.end(if std::thread::panicking() {
            PasswordChangeResult::InternalError
        } else {
            PasswordChangeResult::Cancelled
        });
    }
}
