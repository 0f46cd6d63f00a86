//! The metrics of services: authentications, tokens, limits, and the registered services.
//!
//! | file | what is in it |
//! |---|---|
//! | `recorder` | records authentications, tokens and limits |
//! | `service_series`, `series` | which services have their own series, and the series of one service |
//! | `usage` | the limit usage of a service over time |
//! | `gauges` | the registered services, read from a snapshot in memory |

mod gauges;
mod recorder;
mod series;
mod service_series;
#[cfg(test)]
mod tests;
mod usage;

pub use gauges::{ServiceGauges, ServiceSample, ServiceSnapshot};
pub use recorder::{AuthAttempt, AuthMetrics, Started};
pub use usage::{DailyUsage, RateLimitUsage};

use super::Health;
use skriptoteket_core::{
    label,
    metric::{Attribute, Label},
    metrics,
};

/// The value of `service_id` for services that are not registered: names invented by clients create no series.
pub const OTHER_SERVICE: &str = "_other";

label! {
    /// The operation that an authentication is for.
    pub enum AuthOperation: "operation" {
        /// An access token is requested.
        TokenIssue = "token_issue",
        /// A request carries an access token.
        TokenVerification = "token_verification",
        /// A token is introspected.
        Introspection = "introspection",
        /// A token revocation is requested.
        Revocation = "revocation",
        /// A request is charged to the limits of a service.
        LimitCheck = "limit_check",
    }
}

label! {
    /// Why the authentication of a service failed.
    pub enum AuthFailureReason: "reason" {
        /// There is no such service.
        UnknownService = "unknown_service",
        /// The secret is wrong.
        BadSecret = "bad_secret",
        /// The secret has expired.
        ExpiredCredential = "expired_credential",
        /// The service is disabled.
        Disabled = "disabled",
        /// The signature of the token or assertion is wrong, or missing.
        BadSignature = "bad_signature",
        /// The token or assertion has expired, or is not valid yet.
        ExpiredToken = "expired_token",
        /// The token was revoked, or the assertion used before.
        RevokedToken = "revoked_token",
        /// The token or assertion is for another audience, or of another issuer.
        WrongAudience = "wrong_audience",
        /// There is no credential in the expected form, or more than one.
        Malformed = "malformed",
        /// A limit of the service is reached.
        RateLimited = "rate_limited",
        /// A store did not respond.
        StoreUnavailable = "store_unavailable",
        /// An internal error occurred.
        InternalError = "internal_error",
        /// The client disconnected before the response.
        Cancelled = "cancelled",
    }
}

label! {
    /// The result of checking an access token.
    pub enum TokenStatus: "status" {
        /// It is valid.
        Valid = "valid",
        /// The service that it was issued to is not registered.
        UnknownService = "unknown_service",
        /// That service is disabled.
        Disabled = "disabled",
        /// Its signature is wrong.
        BadSignature = "bad_signature",
        /// It has expired, or is not valid yet.
        ExpiredToken = "expired_token",
        /// It was revoked.
        RevokedToken = "revoked_token",
        /// It is for another audience, or of another issuer.
        WrongAudience = "wrong_audience",
        /// It is not an access token.
        Malformed = "malformed",
        /// A store did not respond.
        StoreUnavailable = "store_unavailable",
        /// An internal error occurred.
        InternalError = "internal_error",
    }
}

impl From<AuthFailureReason> for TokenStatus {
    /// Returns the status of a token that was rejected for this reason. A reason that does not apply to tokens is an
    /// internal error.
    fn from(reason: AuthFailureReason) -> Self {
        match reason {
            AuthFailureReason::UnknownService => Self::UnknownService,
            AuthFailureReason::Disabled => Self::Disabled,
            AuthFailureReason::BadSignature => Self::BadSignature,
            AuthFailureReason::ExpiredToken => Self::ExpiredToken,
            AuthFailureReason::RevokedToken => Self::RevokedToken,
            AuthFailureReason::WrongAudience => Self::WrongAudience,
            AuthFailureReason::Malformed => Self::Malformed,
            AuthFailureReason::StoreUnavailable => Self::StoreUnavailable,
            AuthFailureReason::InternalError
            | AuthFailureReason::BadSecret
            | AuthFailureReason::ExpiredCredential
            | AuthFailureReason::RateLimited
            | AuthFailureReason::Cancelled => Self::InternalError,
        }
    }
}

label! {
    /// A limit of a service.
    pub enum LimitType: "limit_type" {
        /// The rate, with its burst.
        Requests = "requests",
        /// The daily quota (UTC).
        DailyQuota = "daily_quota",
    }
}

label! {
    /// How a request is handled if its limit cannot be checked.
    pub enum FailurePolicy: "policy" {
        /// It is rejected.
        Closed = "closed",
        /// It is allowed.
        Open = "open",
    }
}

label! {
    /// A change to the registered services.
    pub enum RegistrationEvent: "event" {
        /// A service was registered.
        Registered = "registered",
        /// A service was deleted.
        Deleted = "deleted",
    }
}

label! {
    /// The result of a rotation of credentials.
    pub enum CredentialRotation: "result" {
        /// There is a new credential.
        Success = "success",
        /// The previous rotation was still overlapping.
        Refused = "refused",
    }
}

metrics! {
    SUCCESSFUL_AUTHS = Counter("skriptoteket.successful_auths", "{auth}", PerInstance, [Attribute::SERVICE_ID],
        "Successful authentications of services");
    FAILED_AUTHS = Counter("skriptoteket.failed_auths", "{auth}", PerInstance,
        [Attribute::SERVICE_ID, AuthFailureReason::ATTRIBUTE],
        "Failed authentications of services, by reason");
    TOKEN_VERIFICATIONS = Counter("skriptoteket.token_verifications", "{verification}", PerInstance,
        [Attribute::SERVICE_ID, TokenStatus::ATTRIBUTE],
        "Access tokens checked, by result");
    AUTH_LATENCY = Histogram("skriptoteket.auth_latency", "s", PerInstance, [Attribute::SERVICE_ID, AuthOperation::ATTRIBUTE],
        "Duration of service authentications, by operation");
    RATE_LIMIT_EXCEEDED = Counter("skriptoteket.rate_limit_exceeded", "{rejection}", PerInstance,
        [Attribute::SERVICE_ID, LimitType::ATTRIBUTE],
        "Requests of services rejected by a limit, by type of limit");
    RATE_LIMIT_CURRENT = ObservableGauge("skriptoteket.rate_limit_current", "{request}", PerInstance,
        [Attribute::SERVICE_ID, LimitType::ATTRIBUTE],
        "Requests counted against a limit, as last known to this replica in the past five minutes; aggregate with max");
    RATE_LIMIT_ALLOWED = ObservableGauge("skriptoteket.rate_limit_allowed", "{request}", PerInstance,
        [Attribute::SERVICE_ID, LimitType::ATTRIBUTE],
        "Requests that the limit allows, as configured");
    RATE_LIMIT_FAILURES = Counter("skriptoteket.rate_limit_failures", "{request}", PerInstance, [FailurePolicy::ATTRIBUTE],
        "Requests whose limit could not be checked, by policy; closed: rejected, open: allowed");
    RETIRED_CREDENTIAL_USES = Counter("skriptoteket.retired_credential_uses", "{use}", PerInstance, [Attribute::SERVICE_ID],
        "Authentications with a credential that a rotation has replaced");
    ACTIVE_SERVICES = ObservableGauge("skriptoteket.active_services", "{service}", ServiceWide, [],
        "Services that are healthy or degraded");
    SERVICES_BY_HEALTH = ObservableGauge("skriptoteket.services_by_health", "{service}", ServiceWide, [Health::ATTRIBUTE],
        "Registered services by health");
    SERVICE_HEALTH = ObservableGauge("skriptoteket.service_health", "{service}", ServiceWide,
        [Attribute::SERVICE_ID, Health::ATTRIBUTE],
        "1 for the current health of the service, 0 for the others");
    SERVICE_REGISTRATIONS = ObservableCounter("skriptoteket.service_registrations", "{registration}", ServiceWide,
        [RegistrationEvent::ATTRIBUTE],
        "Services registered and deleted, by event");
    CREDENTIAL_ROTATIONS = ObservableCounter("skriptoteket.credential_rotations", "{rotation}", ServiceWide,
        [CredentialRotation::ATTRIBUTE],
        "Rotations of client secrets, by result; refused: the previous rotation still overlaps");
    CREDENTIAL_EXPIRY = ObservableGauge("skriptoteket.credential_expiry", "s", ServiceWide, [Attribute::SERVICE_ID],
        "Time until the last credential of an enabled service expires; negative once expired");
    SIGNING_KEY_AGE = ObservableGauge("skriptoteket.signing_key_age", "s", ServiceWide, [],
        "Time for which the current signing key has been in use");
}
