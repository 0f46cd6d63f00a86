//! The settings of services.

use std::time::Duration;

use super::{FailurePolicy, Rate};

/// Services: how many, how their tokens are made, what is given to those for which nothing else is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSettings {
    /// Services that may be registered at a time.
    pub most: u32,
    /// For whom tokens may be asked for; never empty, the first for those who do not say.
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
    /// How long the one before is accepted after a rotation.
    pub credential_overlap: Duration,
    /// The rate of a service for which no other is set.
    pub rate: Rate,
    /// Its burst.
    pub burst: u32,
    /// Its daily quota; `None` sets none.
    pub daily_quota: Option<u64>,
    /// What is done with a request whose limits cannot be checked.
    pub limit_failure: FailurePolicy,
    /// After which silence a service is degraded.
    pub degraded_after: Duration,
    /// After which silence a service is stale.
    pub stale_after: Duration,
}

impl ServiceSettings {
    /// The greatest burst of any service.
    pub const MAX_BURST: u32 = 1_000_000;
    /// The greatest daily quota of any service. It is also told in a header, where a number has 15 digits at most (RFC 9651).
    pub const MAX_DAILY_QUOTA: u64 = 1_000_000_000_000;
    /// The longest time in which a whole burst is refilled. In microseconds it stays far below 2^53 also when it is added to
    /// the time: scripts in Redis count in doubles.
    pub const LONGEST_WINDOW: Duration = Duration::from_hours(3_650 * 24);
    /// The longest time for which the secret before is accepted after a rotation.
    pub const LONGEST_OVERLAP: Duration = Duration::from_hours(365 * 24);

    /// The greatest burst where one request is refilled in this time.
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
