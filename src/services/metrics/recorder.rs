//! Authentications, tokens and limits of services.
//!
//! Whoever calls a recorder names the service. A name that was not admitted is recorded as `_other`: names that callers
//! make up make no series.

use std::{fmt, sync::Arc, time::Duration};

use opentelemetry::metrics::Meter;

use super::{
    AuthFailureReason, AuthOperation, FailurePolicy, LimitType, OTHER_SERVICE, RATE_LIMIT_ALLOWED,
    RATE_LIMIT_CURRENT, RATE_LIMIT_FAILURES, RateLimitUsage, TokenStatus,
    series::{Series, ServiceInstruments},
    service_series::ServiceSeries,
    usage::{Counted, HEARD_FOR},
};
use crate::{clock::Clock, metric::LabelledCounter};

/// The moment from which a latency is measured.
#[derive(Clone, Copy, Debug)]
pub struct Started(Duration);

/// Records what services do. Cheap to clone, safe from any thread; no method fails.
///
/// A recording costs some tens of nanoseconds and waits for nobody, with two exceptions: the first latency of a service and
/// operation makes its series, for which it may wait until a collection is over, and what a service uses of its limits is
/// kept behind a lock that is held for a copy.
#[derive(Clone)]
pub struct AuthMetrics(Arc<Inner>);

struct Inner {
    services: ServiceSeries,
    limit_failures: LabelledCounter<FailurePolicy>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for AuthMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthMetrics")
    }
}

impl AuthMetrics {
    /// Builds the instruments on `meter`, with every counter of `_other` at 0, and registers the use of limits on each of
    /// `observed`.
    #[must_use]
    pub fn new(meter: &Meter, observed: &[Meter], clock: Arc<dyn Clock>) -> Self {
        let metrics = Self(Arc::new(Inner {
            services: ServiceSeries::new(ServiceInstruments::new(meter)),
            limit_failures: LabelledCounter::new(&RATE_LIMIT_FAILURES, meter),
            clock,
        }));
        for meter in observed {
            metrics.register_usage(meter);
        }
        metrics
    }

    /// Lets a service have series of its own, its counters at 0. Returns whether it has them now: a process gives them to
    /// [`SERVICE_LABELS`](crate::metric::SERVICE_LABELS) − 1 services in its life, those deleted meanwhile included, and to none
    /// whose id is longer than 64 bytes.
    ///
    /// Admit only what is registered. Costs a look-up where it is admitted already; else it makes some thirty series, and
    /// may wait until a collection is over. Whoever records meanwhile does not wait.
    #[expect(
        clippy::must_use_candidate,
        reason = "whoever is not admitted is `_other`, which is no fault"
    )]
    pub fn admit(&self, service_id: &str) -> bool {
        self.0.services.admit(service_id)
    }

    /// Counts a service that has proved who it is.
    pub fn record_successful_auth(&self, service_id: &str) {
        self.of(service_id).successes.add(1);
    }

    /// Counts a service that has not.
    pub fn record_failed_auth(&self, service_id: &str, reason: AuthFailureReason) {
        self.of(service_id).failures[reason.index()].add(1);
    }

    /// Counts an access token that was checked.
    pub fn record_token_verification(&self, service_id: &str, status: TokenStatus) {
        self.of(service_id).verifications[status.index()].add(1);
    }

    /// The moment that it is now, for [`AuthMetrics::record_auth_latency`].
    #[must_use]
    pub fn start(&self) -> Started {
        Started(self.0.clock.monotonic())
    }

    /// Records how long an authentication took that began at `start`.
    pub fn record_auth_latency(&self, service_id: &str, operation: AuthOperation, start: Started) {
        let took = self.0.clock.monotonic().saturating_sub(start.0);
        let latency = self.of(service_id).latency(operation);
        latency.record(took.as_secs_f64());
    }

    /// Shows from now on how much of its limits a service uses. What counts falls by itself as time goes on, down to 0.
    /// Of `_other` nothing is shown.
    pub fn update_rate_limit_usage(&self, service_id: &str, usage: RateLimitUsage) {
        if let Some(series) = self.0.services.find(service_id) {
            series.use_limits(usage, &*self.0.clock);
        }
    }

    /// Shows from now on what the limits of a service allow: the burst, and the requests of a day where they are limited.
    pub fn set_rate_limits(&self, service_id: &str, burst: u64, daily_quota: Option<u64>) {
        if let Some(series) = self.0.services.find(service_id) {
            series.set_limits([Some(burst), daily_quota]);
        }
    }

    /// Shows no more how much of its limits a service uses, because it is deleted; requests that are still under way bring
    /// nothing back. [`AuthMetrics::admit`] ends that, when a service of this id is registered again.
    pub fn withdraw_rate_limit_usage(&self, service_id: &str) {
        if let Some(series) = self.0.services.find(service_id) {
            series.withdraw_usage();
        }
    }

    /// Counts a request that a limit has refused.
    pub fn rate_limit_exceeded(&self, service_id: &str, limit: LimitType) {
        self.of(service_id).exceeded[limit.index()].add(1);
    }

    /// Counts a request whose limit could not be checked, by what was done with it.
    pub fn limit_store_failed(&self, policy: FailurePolicy) {
        self.0.limit_failures.add(policy, 1);
    }

    /// Counts an authentication with a credential that has been replaced.
    pub fn retired_credential_used(&self, service_id: &str) {
        self.of(service_id).retired.add(1);
    }

    /// Begins an authentication. It is counted once: by [`AuthAttempt::finish`], or when it is dropped without.
    pub fn auth_started(&self, operation: AuthOperation) -> AuthAttempt {
        AuthAttempt {
            started: self.start(),
            metrics: self.clone(),
            operation,
            finished: false,
        }
    }

    fn of(&self, service_id: &str) -> &Series {
        self.0.services.of(service_id)
    }

    fn register_usage(&self, meter: &Meter) {
        let this = self.clone();
        RATE_LIMIT_CURRENT.observable_gauge(meter, move |observer| {
            for series in this.0.services.iter() {
                let Some((usage, at)) = series.usage() else {
                    continue;
                };
                let later = this.0.clock.monotonic().saturating_sub(at);
                let allowed = series.allowed();
                for Counted { limit, current } in usage.after(later) {
                    if later < HEARD_FOR && allowed[limit.index()].is_some() {
                        observer.observe(current, &series.limit(limit));
                    }
                }
            }
        });
        let this = self.clone();
        RATE_LIMIT_ALLOWED.observable_gauge(meter, move |observer| {
            for series in this.0.services.iter() {
                for (limit, allowed) in LimitType::ALL.into_iter().zip(series.allowed()) {
                    if let Some(allowed) = allowed {
                        observer.observe(allowed, &series.limit(limit));
                    }
                }
            }
        });
    }
}

/// One authentication that is under way.
///
/// Dropped without [`AuthAttempt::finish`] it is counted as `cancelled` of `_other`, or as `internal_error` if the thread is
/// panicking.
#[derive(Debug)]
#[must_use = "dropping it counts the attempt as cancelled"]
pub struct AuthAttempt {
    metrics: AuthMetrics,
    operation: AuthOperation,
    started: Started,
    finished: bool,
}

impl AuthAttempt {
    /// Counts the attempt, with its latency, for the service that it was of, if that is known: as a success, or under
    /// the reason of its failure.
    pub fn finish(mut self, service_id: Option<&str>, outcome: Result<(), AuthFailureReason>) {
        self.end(service_id, outcome);
    }

    /// Measures the latency from now on, and no more from where the attempt began.
    pub fn measure_from_now(&mut self) {
        self.started = self.metrics.start();
    }

    fn end(&mut self, service_id: Option<&str>, outcome: Result<(), AuthFailureReason>) {
        if std::mem::replace(&mut self.finished, true) {
            return;
        }
        let service = service_id.unwrap_or(OTHER_SERVICE);
        match outcome {
            Ok(()) => self.metrics.record_successful_auth(service),
            Err(reason) => self.metrics.record_failed_auth(service, reason),
        }
        self.metrics
            .record_auth_latency(service, self.operation, self.started);
    }
}

impl Drop for AuthAttempt {
    fn drop(&mut self) {
        let reason = if std::thread::panicking() {
            AuthFailureReason::InternalError
        } else {
            AuthFailureReason::Cancelled
        };
        self.end(None, Err(reason));
    }
}
