//! Records authentications, tokens and limits of services.
//!
//! Callers of a recorder name the service. A name that was not admitted is recorded as `_other`, so invented names
//! create no series.

use std::{fmt, sync::Arc, time::Duration};

use opentelemetry::metrics::Meter;

use super::{
    AuthFailureReason, AuthOperation, FailurePolicy, LimitType, OTHER_SERVICE, RATE_LIMIT_ALLOWED,
    RATE_LIMIT_CURRENT, RATE_LIMIT_FAILURES, RateLimitUsage, TokenStatus,
    series::{Series, ServiceInstruments},
    service_series::ServiceSeries,
    usage::{Counted, HEARD_FOR},
};
use skriptoteket_core::{clock::Clock, metric::LabelledCounter};

/// The start time of a latency measurement.
#[derive(Clone, Copy, Debug)]
pub struct Started(Duration);

/// Records the activity of services. Cheap to clone and thread-safe; no method fails.
///
/// A recording costs some tens of nanoseconds and does not block, with two exceptions: the first latency of a service
/// and operation creates its series, which may wait for the end of a collection; and the limit usage of a service is
/// protected by a lock that is held for a copy.
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
    /// Creates the instruments on `meter`, with every counter of `_other` at 0, and registers the limit usage gauges on
    /// each of `observed`.
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

    /// Gives a service its own series, with counters at 0. Returns whether it has them now: a process admits
    /// [`SERVICE_LABELS`](skriptoteket_core::metric::SERVICE_LABELS) − 1 services in its lifetime, including those deleted
    /// meanwhile, and none whose id is longer than 64 bytes.
    ///
    /// Admit only registered services. Costs a look-up if the service is admitted already; otherwise it creates some
    /// thirty series, and may wait for the end of a collection. Concurrent recordings do not wait.
    #[expect(
        clippy::must_use_candidate,
        reason = "a service that is not admitted is recorded as `_other`"
    )]
    pub fn admit(&self, service_id: &str) -> bool {
        self.0.services.admit(service_id)
    }

    /// Counts a successful authentication of a service.
    pub fn record_successful_auth(&self, service_id: &str) {
        self.of(service_id).successes.add(1);
    }

    /// Counts a failed authentication of a service.
    pub fn record_failed_auth(&self, service_id: &str, reason: AuthFailureReason) {
        self.of(service_id).failures[reason.index()].add(1);
    }

    /// Counts an access token that was checked.
    pub fn record_token_verification(&self, service_id: &str, status: TokenStatus) {
        self.of(service_id).verifications[status.index()].add(1);
    }

    /// Returns the current time, for [`AuthMetrics::record_auth_latency`].
    #[must_use]
    pub fn start(&self) -> Started {
        Started(self.0.clock.monotonic())
    }

    /// Records the duration of an authentication that began at `start`.
    pub fn record_auth_latency(&self, service_id: &str, operation: AuthOperation, start: Started) {
        let took = self.0.clock.monotonic().saturating_sub(start.0);
        let latency = self.of(service_id).latency(operation);
        latency.record(took.as_secs_f64());
    }

    /// Exports the limit usage of a service from now on. The exported usage falls by itself as time passes, down to 0.
    /// For `_other` nothing is exported.
    pub fn update_rate_limit_usage(&self, service_id: &str, usage: RateLimitUsage) {
        if let Some(series) = self.0.services.find(service_id) {
            series.use_limits(usage, &*self.0.clock);
        }
    }

    /// Exports the limits of a service from now on: the burst, and the daily quota if there is one.
    pub fn set_rate_limits(&self, service_id: &str, burst: u64, daily_quota: Option<u64>) {
        if let Some(series) = self.0.services.find(service_id) {
            series.set_limits([Some(burst), daily_quota]);
        }
    }

    /// Stops exporting the limit usage of a service, because it was deleted. Requests that are still in progress do not
    /// bring it back. [`AuthMetrics::admit`] resumes the export when a service with this id is registered again.
    pub fn withdraw_rate_limit_usage(&self, service_id: &str) {
        if let Some(series) = self.0.services.find(service_id) {
            series.withdraw_usage();
        }
    }

    /// Counts a request that a limit rejected.
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

    /// Starts an authentication. It is counted once: by [`AuthAttempt::finish`], or when it is dropped unfinished.
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

/// An authentication in progress.
///
/// If dropped without [`AuthAttempt::finish`], it is counted as `cancelled` of `_other`, or as `internal_error` if the
/// thread is panicking.
#[derive(Debug)]
#[must_use = "dropping it counts the attempt as cancelled"]
pub struct AuthAttempt {
    metrics: AuthMetrics,
    operation: AuthOperation,
    started: Started,
    finished: bool,
}

impl AuthAttempt {
    /// Counts the attempt, with its latency, for its service, if that is known: as a success, or under the reason of
    /// its failure.
    pub fn finish(mut self, service_id: Option<&str>, outcome: Result<(), AuthFailureReason>) {
        self.end(service_id, outcome);
    }

    /// Measures the latency from now on instead of from the start of the attempt.
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
