//! The settings of services.

use std::time::Duration;

use super::{FailurePolicy, Rate};

/// Settings of services: their number, their tokens, and the defaults of their limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Maximum number of registered services.
    pub most: u32,
    /// Audiences that tokens may be requested for; never empty, the first is the default.
    pub audiences: Vec<String>,
    /// How tokens are signed.
    pub algorithm: TokenAlgorithm,
    /// How long a token is valid.
    pub token_lifetime: Duration,
    /// How long a key signs.
    pub key_rotation: Duration,
    /// How long a new key is published before it signs.
    pub key_lead: Duration,
    /// How long a client secret is accepted.
    pub credential_lifetime: Duration,
    /// How long the previous secret is accepted after a rotation.
    pub credential_overlap: Duration,
    /// The default rate of a service.
    pub rate: Rate,
    /// The default burst.
    pub burst: u32,
    /// The default daily quota; `None` sets none.
    pub daily_quota: Option<u64>,
    /// Whether requests are rejected or allowed if their limits cannot be checked.
    pub limit_failure: FailurePolicy,
    /// Time without activity after which a service is degraded.
    pub degraded_after: Duration,
    /// Time without activity after which a service is stale.
    pub stale_after: Duration,
}

impl ServiceSettings {
    /// The maximum burst of any service.
    pub const MAX_BURST: u32 = 1_000_000;
    /// The maximum daily quota of any service. It also appears in a header, where a number has at most 15 digits (RFC
    /// 9651).
    pub const MAX_DAILY_QUOTA: u64 = 1_000_000_000_000;
    /// The maximum time in which a whole burst is refilled. In microseconds, and added to the current time, it stays
    /// far below 2^53: scripts in Redis compute with doubles.
    pub const LONGEST_WINDOW: Duration = Duration::from_hours(3_650 * 24);
    /// The maximum time for which the previous secret is accepted after a rotation.
    pub const LONGEST_OVERLAP: Duration = Duration::from_hours(365 * 24);

    /// Returns the maximum burst if one request is refilled in this time.
    #[must_use]
    pub fn most_at_once(interval: Duration) -> u32 {
        let most = Self::LONGEST_WINDOW.as_micros() / interval.as_micros().max(1);
        u32::try_from(most).map_or(Self::MAX_BURST, |it| it.min(Self::MAX_BURST))
    }
}

/// How access tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// Ed25519.
    EdDsa,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}
