//! The metrics of password checks.

use opentelemetry::metrics::Meter;

use skriptoteket_core::{
    label,
    metric::{Label, LabelledCounter},
    metrics,
};

label! {
    /// The result of a password check.
    pub enum PasswordCheck: "result" {
        /// The password is correct.
        Match = "match",
        /// The password is wrong.
        Mismatch = "mismatch",
        /// The password was not checked because the queue was full.
        Overloaded = "overloaded",
    }
}

metrics! {
    PASSWORD_CHECKS = Counter("skriptoteket.password_checks", "{check}", PerInstance, [PasswordCheck::ATTRIBUTE],
        "Password checks, by result; overloaded: rejected because the queue was full");
}

/// Counts password checks.
#[derive(Clone, Debug)]
pub struct PasswordMetrics {
    checks: LabelledCounter<PasswordCheck>,
}

impl PasswordMetrics {
    /// Creates the counter and initialises every series to 0.
    #[must_use]
    pub fn new(meter: &Meter) -> Self {
        Self {
            checks: LabelledCounter::new(&PASSWORD_CHECKS, meter),
        }
    }

    /// Counts a password check.
    pub fn checked(&self, result: PasswordCheck) {
        self.checks.add(result, 1);
    }
}
