//! The limiter: charges requests to the limits of services, and says what is done when that cannot be.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use super::{Allowance, AuthFailure, QuotaRepository, Service};
use crate::{
    config::LimitFailure,
    telemetry::instruments::{AuthMetrics, LimitType},
};

/// What became of a request that was charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charged {
    /// It passes; this is left.
    Passed(Allowance),
    /// It does not; this is left, and the next one may pass after the time.
    Refused {
        /// Which limit refuses it.
        limit: LimitType,
        /// When the next one may pass; never zero.
        retry_after: std::time::Duration,
        /// What is left.
        allowance: Allowance,
    },
    /// It passes unchecked: the store did not answer, and the configuration lets requests through then.
    Unchecked,
}

/// Charges requests to the limits of services. Cheap to clone.
#[derive(Clone)]
pub struct Limiter {
    quotas: Arc<dyn QuotaRepository>,
    on_failure: LimitFailure,
    metrics: AuthMetrics,
    /// The store did not answer the last request: said once in the log, and once when it answers again.
    failing: Arc<AtomicBool>,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Limiter({:?})", self.on_failure)
    }
}

impl Limiter {
    /// A limiter on what `quotas` keeps.
    #[must_use]
    pub fn new(
        quotas: Arc<dyn QuotaRepository>,
        on_failure: LimitFailure,
        metrics: AuthMetrics,
    ) -> Self {
        Self {
            quotas,
            on_failure,
            metrics,
            failing: Arc::default(),
        }
    }

    /// Charges one request to the limits of `service`. One step of the store.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::Store`] if the store does not answer and the configuration refuses requests then.
    pub async fn charge(&self, service: &Service) -> Result<Charged, AuthFailure> {
        let id = service.id.as_str();
        let decision = match self.quotas.charge(&service.id, &service.limits).await {
            Ok(decision) => decision,
            Err(error) => return self.unchecked(error),
        };
        if self.failing.swap(false, Relaxed) {
            tracing::info!("the limits of services are checked again");
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

    fn unchecked(&self, error: crate::error::StoreError) -> Result<Charged, AuthFailure> {
        let open = self.on_failure == LimitFailure::Open;
        self.metrics.limit_store_failed(open);
        if !self.failing.swap(true, Relaxed) {
            let policy = if open { "open" } else { "closed" };
            tracing::error!(
                error.type = error.error_type(), policy,
                "the limits of services cannot be checked; requests pass (open) or are refused (closed) until they can"
            );
        }
        if open {
            Ok(Charged::Unchecked)
        } else {
            Err(error.into())
        }
    }
}
