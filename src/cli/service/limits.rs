//! The limits of a service as arguments.

use clap::Args;

use crate::services::{LimitChange, Rate, ServiceSettings};

/// The limits that are given; the others are unchanged.
#[derive(Debug, Args)]
pub(super) struct Limits {
    /// Rate limit, for example 100/s, 30/m or 5000/d
    #[arg(long)]
    rate: Option<Rate>,
    /// Burst: requests that pass at once after a pause
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(ServiceSettings::MAX_BURST)))]
    burst: Option<u32>,
    /// Quota of requests per day (UTC); 0: no quota
    #[arg(long, value_name = "N", value_parser = quota)]
    daily_quota: Option<u64>,
}

fn quota(text: &str) -> Result<u64, String> {
    let most = ServiceSettings::MAX_DAILY_QUOTA;
    let quota = text.parse().ok().filter(|quota| *quota <= most);
    quota.ok_or_else(|| format!("expected a whole number in digits, from 0 to {most}"))
}

impl Limits {
    /// Returns these limits as a change.
    pub(super) fn change(&self) -> LimitChange {
        LimitChange {
            interval: self.rate.map(Rate::interval),
            burst: self.burst,
            daily_quota: self.daily_quota.map(|it| Some(it).filter(|it| *it > 0)),
        }
    }
}
