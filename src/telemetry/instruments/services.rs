//! Authentications, tokens and limits of services.
//!
//! Whoever calls a recorder names the service. A name that was not admitted is recorded as `_other`: names that callers
//! make up make no series.

use std::{
    array,
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError, RwLock},
    time::Duration,
};

use opentelemetry::{
    KeyValue,
    metrics::{BoundCounter, BoundHistogram, Counter, Histogram, Meter},
};

use super::{
    AUTH_FAILURES, AUTH_OPERATIONS, LIMIT_POLICIES, LIMIT_TYPES, LabelledCounter, OTHER_SERVICE,
    SERVICE_LABELS, TOKEN_STATUSES, presence::guarded,
};
use crate::clock::Clock;

/// Bounds in seconds: from a token that is remembered to a store that times out.
const LATENCY_BOUNDS: [f64; 14] = [
    0.000_01, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.5, 1.0,
];

/// What an authentication is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum AuthOperation {
    /// An access token is asked for.
    TokenIssue = 0,
    /// A request comes with an access token.
    TokenVerification = 1,
    /// It is asked what a token is.
    Introspection = 2,
    /// A token is to be revoked.
    Revocation = 3,
    /// A request is charged to the limits of a service.
    LimitCheck = 4,
}

impl AuthOperation {
    /// The value of `operation`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        AUTH_OPERATIONS[self as usize]
    }
}

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum LimitType {
    /// The rate, with its burst.
    Requests = 0,
    /// The quota of a day (UTC).
    DailyQuota = 1,
}

impl LimitType {
    /// The value of `limit_type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        LIMIT_TYPES[self as usize]
    }
}

/// How much of its limits a service uses, at the moment at which that is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitUsage {
    /// Requests that count against the burst.
    pub requests: u64,
    /// The burst.
    pub allowed: u64,
    /// When none of them counts any more; they go evenly until then.
    pub recovers_in: Duration,
    /// The day's quota, where there is one.
    pub daily: Option<DailyUsage>,
}

/// How much of the day's quota a service has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyUsage {
    /// Requests of this day.
    pub used: u64,
    /// Requests that the day has.
    pub allowed: u64,
    /// When the day ends.
    pub resets_in: Duration,
}

impl RateLimitUsage {
    /// What counts `later` after it was recorded: `(current, allowed)` by [`LimitType`].
    fn after(&self, later: Duration) -> [Option<(u64, u64)>; 2] {
        let left = self.recovers_in.saturating_sub(later).as_secs_f64();
        let whole = self.recovers_in.as_secs_f64();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a count of requests, shown to people; it is not negative and not above `requests`"
        )]
        let requests = if left > 0.0 {
            (self.requests as f64 * left / whole).ceil() as u64
        } else {
            0
        };
        let daily = self.daily.map(|it| {
            let used = if later < it.resets_in { it.used } else { 0 };
            (used, it.allowed)
        });
        [Some((requests, self.allowed)), daily]
    }
}

/// The moment from which a latency is measured.
#[derive(Clone, Copy, Debug)]
pub struct Started(Duration);

/// Records what services do. Cheap to clone, safe from any thread; no method fails or waits for anything.
///
/// A recording costs some tens of nanoseconds: each service has its series bound once, when it is admitted.
#[derive(Clone)]
pub struct AuthMetrics(Arc<AuthInstruments>);

struct AuthInstruments {
    successes: Counter<u64>,
    failures: Counter<u64>,
    verifications: Counter<u64>,
    latency: Histogram<f64>,
    exceeded: Counter<u64>,
    retired: Counter<u64>,
    limit_failures: LabelledCounter<2>,
    known: RwLock<HashMap<Arc<str>, Arc<Series>>>,
    other: OnceLock<Arc<Series>>,
    clock: Arc<dyn Clock>,
}

/// The series of one service.
struct Series {
    service: Arc<str>,
    successes: BoundCounter<u64>,
    failures: [BoundCounter<u64>; AUTH_FAILURES.len()],
    verifications: [BoundCounter<u64>; TOKEN_STATUSES.len()],
    latency: [OnceLock<BoundHistogram<f64>>; AUTH_OPERATIONS.len()],
    exceeded: [BoundCounter<u64>; LIMIT_TYPES.len()],
    retired: BoundCounter<u64>,
    usage: Mutex<Option<(RateLimitUsage, Duration)>>,
}

impl fmt::Debug for AuthMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthMetrics")
    }
}

impl AuthMetrics {
    /// Builds the instruments on `meter`, with every series of `_other` at 0, and registers the use of limits on each of
    /// `observed`.
    #[must_use]
    pub fn new(meter: &Meter, observed: &[Meter], clock: Arc<dyn Clock>) -> Self {
        let counter = |name, unit, description| {
            let counter = meter.u64_counter(name).with_unit(unit);
            counter.with_description(description).build()
        };
        let limit_failures = counter(
            "skriptoteket.rate_limit_failures",
            "{request}",
            "Requests whose limit the store could not check: closed = refused, open = let through",
        );
        let metrics = Self(Arc::new(AuthInstruments {
            successes: counter(
                "skriptoteket.successful_auths",
                "{auth}",
                "Authentications of services that succeeded",
            ),
            failures: counter(
                "skriptoteket.failed_auths",
                "{auth}",
                "Authentications of services that failed, by reason",
            ),
            verifications: counter(
                "skriptoteket.token_verifications",
                "{verification}",
                "Access tokens looked at, by what they were found to be",
            ),
            latency: meter
                .f64_histogram("skriptoteket.auth_latency")
                .with_unit("s")
                .with_description("How long authentications of services took, by what for")
                .with_boundaries(LATENCY_BOUNDS.to_vec())
                .build(),
            exceeded: counter(
                "skriptoteket.rate_limit_exceeded",
                "{rejection}",
                "Requests of services refused because a limit was reached",
            ),
            retired: counter(
                "skriptoteket.retired_credential_uses",
                "{use}",
                "Authentications with a credential that a rotation has replaced",
            ),
            limit_failures: LabelledCounter::new(limit_failures, "policy", LIMIT_POLICIES),
            known: RwLock::default(),
            other: OnceLock::new(),
            clock,
        }));
        metrics.0.other();
        for meter in observed {
            metrics.register_usage(meter);
        }
        metrics
    }

    /// Lets a service have series of its own, all at 0. Returns whether it has them now: a process gives them to
    /// [`SERVICE_LABELS`] − 1 services in its life, those deleted meanwhile included.
    ///
    /// Admit only what is registered. Costs a look-up where it is admitted already.
    pub fn admit(&self, service_id: &str) -> bool {
        if service_id == OTHER_SERVICE {
            return false;
        }
        let read = self.0.known.read();
        if read
            .unwrap_or_else(PoisonError::into_inner)
            .contains_key(service_id)
        {
            return true;
        }
        let mut known = self.0.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.contains_key(service_id) {
            return true;
        }
        if known.len() + 1 >= SERVICE_LABELS {
            return false;
        }
        let service: Arc<str> = service_id.into();
        let series = Arc::new(self.0.series(&service));
        known.insert(service, series);
        true
    }

    /// Counts a service that has proved who it is.
    pub fn record_successful_auth(&self, service_id: &str) {
        self.0.of(service_id).successes.add(1);
    }

    /// Counts a service that has not; `reason` is one of [`AUTH_FAILURES`], anything else counts as `internal_error`.
    pub fn record_failed_auth(&self, service_id: &str, reason: &str) {
        let index = place(&AUTH_FAILURES, reason);
        self.0.of(service_id).failures[index].add(1);
    }

    /// Counts a token that was looked at; `status` is one of [`TOKEN_STATUSES`], anything else counts as
    /// `internal_error`.
    pub fn record_token_verification(&self, service_id: &str, status: &str) {
        let index = place(&TOKEN_STATUSES, status);
        self.0.of(service_id).verifications[index].add(1);
    }

    /// The moment that it is now, for [`AuthMetrics::record_auth_latency`].
    #[must_use]
    pub fn start(&self) -> Started {
        Started(self.0.clock.monotonic())
    }

    /// Records how long an authentication took that began at `start`.
    pub fn record_auth_latency(&self, service_id: &str, operation: AuthOperation, start: Started) {
        let took = self.0.clock.monotonic().saturating_sub(start.0);
        let series = self.0.of(service_id);
        let latency = series.latency[operation as usize].get_or_init(|| {
            self.0.latency.bind(&[
                KeyValue::new("service_id", Arc::clone(&series.service)),
                KeyValue::new("operation", operation.as_str()),
            ])
        });
        latency.record(took.as_secs_f64());
    }

    /// Shows from now on how much of its limits a service uses. What counts falls by itself as time goes on. Of `_other`
    /// nothing is shown.
    pub fn update_rate_limit_usage(&self, service_id: &str, usage: RateLimitUsage) {
        let now = self.0.clock.monotonic();
        let series = self.0.of(service_id);
        *series.usage.lock().unwrap_or_else(PoisonError::into_inner) = Some((usage, now));
    }

    /// Shows nothing of the limits of a service any more: it was deleted.
    pub fn withdraw_rate_limit_usage(&self, service_id: &str) {
        let series = self.0.of(service_id);
        *series.usage.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Counts a request that a limit has refused.
    pub fn rate_limit_exceeded(&self, service_id: &str, limit: LimitType) {
        self.0.of(service_id).exceeded[limit as usize].add(1);
    }

    /// Counts a request whose limit could not be checked; `open` says that it was let through.
    pub fn limit_store_failed(&self, open: bool) {
        self.0.limit_failures.add(usize::from(open), 1);
    }

    /// Counts an authentication with a credential that has been replaced.
    pub fn retired_credential_used(&self, service_id: &str) {
        self.0.of(service_id).retired.add(1);
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

    fn register_usage(&self, meter: &Meter) {
        let gauge = |name, description, value: fn((u64, u64)) -> u64| {
            let this = self.clone();
            meter
                .u64_observable_gauge(name)
                .with_unit("{request}")
                .with_description(description)
                .with_callback(guarded(move |observer| {
                    let now = this.0.clock.monotonic();
                    let known = this.0.known.read().unwrap_or_else(PoisonError::into_inner);
                    for series in known.values() {
                        let usage = *series.usage.lock().unwrap_or_else(PoisonError::into_inner);
                        let Some((usage, then)) = usage else { continue };
                        let limits = usage.after(now.saturating_sub(then));
                        for (limit, used) in LIMIT_TYPES.iter().zip(limits) {
                            let Some(used) = used else { continue };
                            let labels = [
                                KeyValue::new("service_id", Arc::clone(&series.service)),
                                KeyValue::new("limit_type", *limit),
                            ];
                            observer.observe(value(used), &labels);
                        }
                    }
                }))
                .build();
        };
        gauge(
            "skriptoteket.rate_limit_current",
            "Requests that count against a limit, as this replica last heard; take max over replicas",
            |(current, _)| current,
        );
        gauge(
            "skriptoteket.rate_limit_allowed",
            "Requests that the limit allows; take max over replicas",
            |(_, allowed)| allowed,
        );
    }
}

impl AuthInstruments {
    fn of(&self, service_id: &str) -> Arc<Series> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        match known.get(service_id) {
            Some(series) => Arc::clone(series),
            None => Arc::clone(self.other()),
        }
    }

    fn other(&self) -> &Arc<Series> {
        self.other
            .get_or_init(|| Arc::new(self.series(&OTHER_SERVICE.into())))
    }

    fn series(&self, service: &Arc<str>) -> Series {
        let own = || KeyValue::new("service_id", Arc::clone(service));
        let born = |counter: &Counter<u64>, labels: &[KeyValue]| {
            let bound = counter.bind(labels);
            bound.add(0);
            bound
        };
        let each =
            |counter: &Counter<u64>, key, value| born(counter, &[own(), KeyValue::new(key, value)]);
        Series {
            successes: born(&self.successes, &[own()]),
            failures: AUTH_FAILURES.map(|it| each(&self.failures, "reason", it)),
            verifications: TOKEN_STATUSES.map(|it| each(&self.verifications, "status", it)),
            latency: array::from_fn(|_| OnceLock::new()),
            exceeded: LIMIT_TYPES.map(|it| each(&self.exceeded, "limit_type", it)),
            retired: born(&self.retired, &[own()]),
            usage: Mutex::default(),
            service: Arc::clone(service),
        }
    }
}

/// Where a value stands among those that there are; that of `internal_error` if it is none.
fn place(values: &[&str], value: &str) -> usize {
    let internal = || values.iter().position(|it| *it == "internal_error");
    let found = values.iter().position(|it| *it == value);
    found.or_else(internal).unwrap_or_default()
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
    /// `reason`, one of [`AUTH_FAILURES`].
    pub fn finish(mut self, service_id: Option<&str>, outcome: Result<(), &'static str>) {
        self.end(service_id, outcome);
    }

    fn end(&mut self, service_id: Option<&str>, outcome: Result<(), &'static str>) {
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
            "internal_error"
        } else {
            "cancelled"
        };
        self.end(None, Err(reason));
    }
}
