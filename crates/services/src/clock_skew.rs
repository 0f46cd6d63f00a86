//! The tolerance for clocks that differ.

use std::time::Duration;

/// The maximum clock difference between replicas, and between issuers and verifiers of tokens.
pub const SKEW: Duration = Duration::from_mins(1);
