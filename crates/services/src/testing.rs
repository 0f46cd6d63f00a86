//! Helpers of tests, also for those of other crates.

use std::time::Duration;

use crate::{
    AuthFailureReason, AuthMetrics, AuthOperation, DailyUsage, FailurePolicy, LimitType,
    RateLimitUsage, TokenStatus,
};

/// Ten of ten requests, gone in ten seconds; 40 of the 100 of a day that has an hour left.
pub const USAGE: RateLimitUsage = RateLimitUsage {
    requests: 10,
    allowed: 10,
    recovers_in: Duration::from_secs(10),
    daily: Some(DailyUsage {
        used: 40,
        allowed: 100,
        resets_in: Duration::from_hours(1),
    }),
};

/// Records every combination of labels for one service.
pub fn record_all(metrics: &AuthMetrics, service: &str) {
    metrics.record_successful_auth(service);
    for reason in AuthFailureReason::ALL {
        metrics.record_failed_auth(service, reason);
    }
    for status in TokenStatus::ALL {
        metrics.record_token_verification(service, status);
    }
    for operation in AuthOperation::ALL {
        metrics.record_auth_latency(service, operation, metrics.start());
    }
    for limit in LimitType::ALL {
        metrics.rate_limit_exceeded(service, limit);
    }
    metrics.update_rate_limit_usage(service, USAGE);
    metrics.retired_credential_used(service);
    for policy in FailurePolicy::ALL {
        metrics.limit_store_failed(policy);
    }
}
