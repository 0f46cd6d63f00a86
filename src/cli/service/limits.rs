//! How much a service may ask, as arguments.

use clap::Args;

use crate::services::{LimitChange, Rate, ServiceSettings};

/// The limits that are named; the others stay.
#[derive(Debug, Args)]
pub(super) struct Limits {
    /// How many requests it may make in a time, for example 100/s, 30/m or 5000/d
    #[arg(long)]
    rate: Option<Rate>,
    /// How many requests pass at once after a rest
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(ServiceSettings::MAX_BURST)))]
    burst: Option<u32>,
    /// How many requests it may make in a day (UTC); 0 sets no quota
    #[arg(long, value_name = "N", value_parser = quota)]
    daily_quota: Option<u64>,
}

fn quota(text: &str) -> Result<u64, String> {
    let most = ServiceSettings::MAX_DAILY_QUOTA;
    let quota = text.parse().ok().filter(|quota| *quota <= most);
    quota.ok_or_else(|| format!("expected a whole number in digits, from 0 to {most}"))
}

impl Limits {
    /// These limits as a change of others.
    pub(super) fn change(&self) -> LimitChange {
        LimitChange {
            interval: self.rate.map(Rate::interval),
            burst: self.burst,
            daily_quota: self.daily_quota.map(|it| Some(it).filter(|it| *it > 0)),
        }
    }
}
