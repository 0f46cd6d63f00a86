//! How much a service may ask, as arguments.

use clap::Args;

use crate::{config::Rate, services::LimitPolicy};

/// The limits that are named; the others stay.
#[derive(Debug, Args)]
pub(super) struct Limits {
    /// How many requests it may make in a time, for example 100/s, 30/m or 5000/d
    #[arg(long)]
    rate: Option<Rate>,
    /// How many requests pass at once after a rest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    burst: Option<u32>,
    /// How many requests it may make in a day (UTC); 0 sets no quota
    #[arg(long, value_name = "N", value_parser = quota)]
    daily_quota: Option<u64>,
}

/// The most that a quota may be.
const LARGEST_QUOTA: u64 = 1_000_000_000_000;

fn quota(text: &str) -> Result<u64, String> {
    let quota = text.parse().ok().filter(|quota| *quota <= LARGEST_QUOTA);
    quota.ok_or_else(|| format!("expected a whole number in digits, from 0 to {LARGEST_QUOTA}"))
}

impl Limits {
    /// True where one is named.
    pub(super) const fn any(&self) -> bool {
        self.rate.is_some() || self.burst.is_some() || self.daily_quota.is_some()
    }

    /// These limits, and those of `policy` where none is named.
    pub(super) fn over(&self, policy: LimitPolicy) -> LimitPolicy {
        LimitPolicy {
            interval: self.rate.map_or(policy.interval, Rate::interval),
            burst: self.burst.unwrap_or(policy.burst),
            daily_quota: match self.daily_quota {
                None => policy.daily_quota,
                Some(quota) => Some(quota).filter(|it| *it > 0),
            },
        }
    }
}
