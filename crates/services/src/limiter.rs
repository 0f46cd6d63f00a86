//! The rate limiter: charges requests to the limits of services, and handles store failures.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    Allowance, AuthFailure, AuthMetrics, FailurePolicy, LimitType, RateLimitRepository, Service,
};
use skriptoteket_core::{clock::Clock, error::StoreError};

/// The outcome of a charged request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charged {
    /// The request passes; this is left.
    Passed(Allowance),
    /// The request is rejected; this is left, and the next one may pass after the time.
    Refused {
        /// The limit that rejects it.
        limit: LimitType,
        /// Time until the next request may pass; never zero.
        retry_after: Duration,
        /// What is left.
        allowance: Allowance,
    },
    /// The request passes unchecked: the store did not respond, and the configuration allows requests in that case.
    Unchecked,
}

impl Charged {
    /// Returns what is left, if known.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::RateLimited`] if the request does not pass.
    pub const fn passed(self) -> Result<Option<Allowance>, AuthFailure> {
        match self {
            Self::Passed(allowance) => Ok(Some(allowance)),
            Self::Unchecked => Ok(None),
            Self::Refused {
                limit,
                retry_after,
                allowance,
            } => Err(AuthFailure::RateLimited {
                limit,
                retry_after,
                allowance,
            }),
        }
    }
}

/// Minimum time between log records about a failing and a recovered store. Without it, a store that responds to every
/// other request would fill the log.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// The last log record about the store.
#[derive(Debug, Default)]
struct Said {
    /// True if it reported a failure, and no recovery since.
    failing: bool,
    /// When it was written, by the monotonic clock.
    at: Option<Duration>,
}

impl Said {
    /// Returns whether to log at `now` that the store fails, or that it has recovered.
    fn is_told(&mut self, failing: bool, now: Duration) -> bool {
        let lately = self
            .at
            .is_some_and(|at| now.saturating_sub(at) < SAID_EVERY);
        if self.failing == failing || lately {
            return false;
        }
        *self = Self {
            failing,
            at: Some(now),
        };
        true
    }
}

/// Charges requests to the limits of services. Cheap to clone.
#[derive(Clone)]
pub struct Limiter {
    quotas: Arc<dyn RateLimitRepository>,
    on_failure: FailurePolicy,
    metrics: AuthMetrics,
    clock: Arc<dyn Clock>,
    said: Arc<Mutex<Said>>,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limiter({:?})", self.on_failure)
    }
}

impl Limiter {
    /// Creates a limiter that uses `quotas`.
    #[must_use]
    pub fn new(
        quotas: Arc<dyn RateLimitRepository>,
        on_failure: FailurePolicy,
        metrics: AuthMetrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            quotas,
            on_failure,
            metrics,
            clock,
            said: Arc::default(),
        }
    }

    /// Charges one request to the limits of `service`, in one atomic step of the store.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::Store`] if the store does not respond and the configuration rejects requests in that case.
    pub async fn charge(&self, service: &Service) -> Result<Charged, AuthFailure> {
        let id = service.id.as_str();
        let decision = match self
            .quotas
            .charge(service.registration, &service.limits)
            .await
        {
            Ok(decision) => decision,
            Err(error) => return self.unchecked(error),
        };
        if self.has_news(false) {
            tracing::info!("rate limits of services can be checked again");
        }
        let allowance = decision.allowance;
        self.metrics
            .update_rate_limit_usage(id, (&allowance).into());
        Ok(match decision.refused {
            None => Charged::Passed(allowance),
            Some((limit, retry_after)) => {
                self.metrics.rate_limit_exceeded(id, limit);
                Charged::Refused {
                    limit,
                    retry_after,
                    allowance,
                }
            }
        })
    }

    fn has_news(&self, failing: bool) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.is_told(failing, self.clock.monotonic())
    }

    fn unchecked(&self, error: StoreError) -> Result<Charged, AuthFailure> {
        let policy = self.on_failure;
        let open = policy == FailurePolicy::Open;
        self.metrics.limit_store_failed(policy);
        if self.has_news(true) {
            tracing::error!(
                error.type = error.error_type(), error = error.in_full(), policy = policy.as_str(),
                "rate limits of services cannot be checked; until they can, requests are allowed (open) or rejected (closed)"
            );
        }
        if open {
            Ok(Charged::Unchecked)
        } else {
            Err(error.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_answers_now_and_then_fills_no_log() {
        let mut said = Said::default();
        let told = (0..60_000_u64)
            .map(Duration::from_millis)
            .filter(|now| said.is_told(now.as_millis().is_multiple_of(2), *now))
            .count();
        assert_eq!(told, 6);
        // Each of the two is logged once.
        let later = Duration::from_hours(1);
        let failing = said.failing;
        assert!(said.is_told(!failing, later));
        assert!(!said.is_told(!failing, later * 2));
        assert!(said.is_told(failing, later * 3));
    }
}
