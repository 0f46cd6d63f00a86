//! Rate limits and quotas of services: the arithmetic, independent of stores and clocks, and the contract of a store.
//!
//! The **rate** uses the generic cell rate algorithm. Each request advances a *theoretical arrival time* by one
//! `interval`; a request passes while that time is no more than `burst` intervals ahead. So `burst` requests pass at
//! once after an idle period, and then one per interval. Rejected requests cost nothing. The **quota** counts the
//! requests of a day, from midnight to midnight UTC. A request is charged to both or to neither.

use std::time::Duration;

use async_trait::async_trait;
use uuid::Uuid;

use super::{DailyUsage, LimitType, RateLimitUsage};
use crate::{Rate, ServiceSettings};
use skriptoteket_core::{clock::Timestamp, error::StoreError};

/// A day, in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// The limits of a service. Registered limits have passed [`checked`](LimitPolicy::checked).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitPolicy {
    /// Time in which one request is refilled: 10 ms is a rate of 100 requests a second. From 1 µs to a day, in whole
    /// microseconds.
    pub interval: Duration,
    /// Requests that pass at once after an idle period; from 1 to [`ServiceSettings::MAX_BURST`], and refilled within
    /// [`ServiceSettings::LONGEST_WINDOW`].
    pub burst: u32,
    /// Requests that pass in a day (UTC), if limited; from 1 to [`ServiceSettings::MAX_DAILY_QUOTA`].
    pub daily_quota: Option<u64>,
}

/// Why limits are invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLimits {
    /// The interval is too short or too long.
    #[error("rate: from 1/d to 10000/s")]
    Rate,
    /// The burst is zero or too large.
    #[error("burst: from 1 to {}", ServiceSettings::MAX_BURST)]
    Burst,
    /// The burst is refilled too slowly.
    #[error(
        "burst: at most {most} at this rate: all of it has to be refilled within {} days",
        ServiceSettings::LONGEST_WINDOW.as_secs() / 86_400
    )]
    Window {
        /// The maximum burst at this rate.
        most: u32,
    },
    /// The quota is zero or too large.
    #[error("daily_quota: from 1 to {}", ServiceSettings::MAX_DAILY_QUOTA)]
    DailyQuota,
}

/// Changes to limits; `None` leaves a value unchanged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitChange {
    /// Time in which one request is refilled.
    pub interval: Option<Duration>,
    /// Requests that pass at once after an idle period.
    pub burst: Option<u32>,
    /// Requests that pass in a day; `Some(None)` removes the quota.
    pub daily_quota: Option<Option<u64>>,
}

impl LimitChange {
    /// Returns these limits, with the values of `policy` where none are set.
    #[must_use]
    pub fn over(&self, policy: LimitPolicy) -> LimitPolicy {
        LimitPolicy {
            interval: self.interval.unwrap_or(policy.interval),
            burst: self.burst.unwrap_or(policy.burst),
            daily_quota: self.daily_quota.unwrap_or(policy.daily_quota),
        }
    }
}

/// The stored state of a service's limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaState {
    /// The theoretical arrival time, in microseconds since the Unix epoch.
    pub arrival_us: i64,
    /// The day that `used` belongs to: days since the Unix epoch.
    pub day: i64,
    /// Requests of that day.
    pub used: u64,
}

/// The decision about one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaDecision {
    /// The limit that rejects the request, and the time until the next one may pass (never zero); `None` if it passes.
    pub refused: Option<(LimitType, Duration)>,
    /// What is left after the request.
    pub allowance: Allowance,
}

/// What is left of the limits of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The burst.
    pub burst: u32,
    /// Requests that would pass now.
    pub remaining: u32,
    /// Time in which the whole burst is refilled.
    pub window: Duration,
    /// Time until the whole burst is available again.
    pub recovers_in: Duration,
    /// The day's quota, if there is one.
    pub daily: Option<DailyAllowance>,
}

/// What is left of the day's quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyAllowance {
    /// The quota.
    pub quota: u64,
    /// Requests left.
    pub remaining: u64,
    /// Time until the day ends.
    pub resets_in: Duration,
}

impl From<&Allowance> for RateLimitUsage {
    fn from(allowance: &Allowance) -> Self {
        Self {
            requests: u64::from(allowance.burst - allowance.remaining.min(allowance.burst)),
            allowed: allowance.burst.into(),
            recovers_in: allowance.recovers_in,
            daily: allowance.daily.map(|it| DailyUsage {
                used: it.quota.saturating_sub(it.remaining),
                allowed: it.quota,
                resets_in: it.resets_in,
            }),
        }
    }
}

impl LimitPolicy {
    /// Returns these limits if they are valid.
    ///
    /// # Errors
    ///
    /// [`InvalidLimits`] with the first violation.
    pub fn checked(self) -> Result<Self, InvalidLimits> {
        if self.interval.is_zero() || self.interval > Rate::SLOWEST {
            return Err(InvalidLimits::Rate);
        }
        if !(1..=ServiceSettings::MAX_BURST).contains(&self.burst) {
            return Err(InvalidLimits::Burst);
        }
        let most = ServiceSettings::most_at_once(self.interval);
        if self.burst > most {
            return Err(InvalidLimits::Window { most });
        }
        let quotas = 1..=ServiceSettings::MAX_DAILY_QUOTA;
        if self.daily_quota.is_some_and(|it| !quotas.contains(&it)) {
            return Err(InvalidLimits::DailyQuota);
        }
        Ok(self)
    }

    /// Returns the interval by which requests are charged, rounded to whole microseconds, from one to a day. At the
    /// highest rates the rounding error is up to half a per cent.
    #[must_use]
    pub fn interval_us(&self) -> i64 {
        let half = Duration::from_nanos(500);
        whole_micros(self.interval.min(Rate::SLOWEST) + half).max(1)
    }

    /// Returns how far ahead the theoretical arrival time may be, in microseconds: at most
    /// [`ServiceSettings::LONGEST_WINDOW`], even for limits that were not checked, so that no script exceeds the
    /// integer range of a double.
    #[must_use]
    pub fn tolerance_us(&self) -> i64 {
        let whole = self.interval_us().saturating_mul(self.burst.max(1).into());
        whole.min(whole_micros(ServiceSettings::LONGEST_WINDOW))
    }

    /// Returns what is left if the theoretical arrival time is `ahead_us` ahead, and `used` requests have passed on a
    /// day that ends in `resets_in`.
    #[must_use]
    pub fn allowance(&self, ahead_us: i64, used: u64, resets_in: Duration) -> Allowance {
        let ahead_us = ahead_us.max(0);
        let room = self.tolerance_us().saturating_sub(ahead_us).max(0);
        let remaining = room / self.interval_us();
        Allowance {
            burst: self.burst.max(1),
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            window: micros(self.tolerance_us()),
            recovers_in: micros(ahead_us),
            daily: self.daily_quota.map(|quota| DailyAllowance {
                quota,
                remaining: quota.saturating_sub(used),
                resets_in,
            }),
        }
    }
}

/// Charges one request at `now`. A rejected request is not counted; the state is only updated to `now` and `policy`.
#[must_use]
pub fn charge(
    state: Option<QuotaState>,
    now: Timestamp,
    policy: &LimitPolicy,
) -> (QuotaState, QuotaDecision) {
    let mut state = state.unwrap_or_default();
    let now_us = now.as_millis().saturating_mul(1_000);
    let day = now.as_millis().div_euclid(DAY_MS);
    // The next day is possible if the clock steps back over midnight, for example between two servers: that must not
    // give a second quota. A day further ahead comes from a wrong clock.
    if !(day..=day + 1).contains(&state.day) {
        (state.day, state.used) = (day, 0);
    }
    // This policy never advances further: the limits were changed, or the clock was set back. A service with raised
    // limits must not wait for what it used under the lower ones: one request passes.
    let most_ahead = now_us.saturating_add(policy.tolerance_us());
    if state.arrival_us > most_ahead {
        state.arrival_us = most_ahead - policy.interval_us();
    }
    let resets_in = until_end_of(state.day, now);
    let arrival = state
        .arrival_us
        .max(now_us)
        .saturating_add(policy.interval_us());
    let too_early = (arrival - now_us).saturating_sub(policy.tolerance_us());
    let refused = if policy.daily_quota.is_some_and(|quota| state.used >= quota) {
        // Checked first, because its wait is longer.
        Some((LimitType::DailyQuota, resets_in))
    } else if too_early > 0 {
        Some((LimitType::Requests, micros(too_early)))
    } else {
        (state.arrival_us, state.used) = (arrival, state.used.saturating_add(1));
        None
    };
    let allowance = policy.allowance(state.arrival_us - now_us, state.used, resets_in);
    (state, QuotaDecision { refused, allowance })
}

/// Returns the time until the midnight (UTC) that ends this day or the next; never zero.
fn until_end_of(day: i64, now: Timestamp) -> Duration {
    let left = (day + 1) * DAY_MS - now.as_millis();
    Duration::from_millis(u64::try_from(left).unwrap_or(1))
}

fn whole_micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn micros(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

/// A repository of the limit states of services, shared by all replicas. State is kept per registration: a service that
/// is registered under the id of a deleted one starts with unused limits.
///
/// Both methods are one atomic step, in Redis one round trip, and fail with [`StoreError::Unavailable`] if the store
/// does not respond within its timeout. The store's own clock decides.
#[async_trait]
pub trait RateLimitRepository: std::fmt::Debug + Send + Sync {
    /// Charges one request, as [`charge`] does.
    async fn charge(
        &self,
        registration: Uuid,
        policy: &LimitPolicy,
    ) -> Result<QuotaDecision, StoreError>;

    /// Deletes the state of a service.
    async fn forget(&self, registration: Uuid) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn policy(interval_ms: u64, burst: u32, daily_quota: Option<u64>) -> LimitPolicy {
        LimitPolicy {
            interval: Duration::from_millis(interval_ms),
            burst,
            daily_quota,
        }
    }

    fn passes(state: &mut Option<QuotaState>, now: Timestamp, policy: &LimitPolicy) -> bool {
        let (after, decision) = charge(*state, now, policy);
        *state = Some(after);
        decision.refused.is_none()
    }

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let policy = policy(100_000, 3, None);
        let mut state = None;
        let passed = (0..10)
            .filter(|_| passes(&mut state, START, &policy))
            .count();
        assert_eq!(passed, 3);
        let (_, refused) = charge(state, START, &policy);
        let wait = Duration::from_secs(100);
        assert_eq!(refused.refused, Some((LimitType::Requests, wait)));
        assert_eq!(
            (refused.allowance.remaining, refused.allowance.burst),
            (0, 3)
        );
        assert!(!passes(
            &mut state,
            START.plus(Duration::from_millis(99_999)),
            &policy
        ));
        assert!(passes(&mut state, START.plus(wait), &policy));
        assert!(!passes(&mut state, START.plus(wait), &policy));
    }

    #[test]
    fn a_quota_ends_at_midnight_and_what_is_refused_is_not_charged() {
        let policy = policy(1, 1_000, Some(2));
        let late =
            Timestamp::from_millis(START.as_millis().div_euclid(DAY_MS) * DAY_MS + DAY_MS - 5);
        let mut state = None;
        assert!(passes(&mut state, late, &policy) && passes(&mut state, late, &policy));
        let before = state;
        let (after, decision) = charge(state, late, &policy);
        assert_eq!(
            decision.refused,
            Some((LimitType::DailyQuota, Duration::from_millis(5)))
        );
        assert_eq!(Some(after), before);
        assert!(passes(
            &mut state,
            late.plus(Duration::from_millis(5)),
            &policy
        ));
    }

    #[test]
    fn what_was_used_of_less_does_not_hold_up_who_is_given_more() {
        let (slow, fast) = (policy(100_000, 100, None), policy(10, 2, None));
        let mut state = None;
        while passes(&mut state, START, &slow) {}
        assert!(passes(&mut state, START, &fast));
        let (_, refused) = charge(state, START, &fast);
        let wait = Duration::from_millis(10);
        assert_eq!(refused.refused, Some((LimitType::Requests, wait)));
        assert!(passes(&mut state, START.plus(wait), &fast));
        assert!(!passes(&mut state, START.plus(wait), &fast));
    }

    #[test]
    fn a_clock_that_is_set_back_over_midnight_gives_no_second_quota() {
        let policy = policy(1, 100, Some(10));
        let midnight = (START.as_millis().div_euclid(DAY_MS) + 1) * DAY_MS;
        let (before, after) = (midnight - 250, midnight + 250);
        let (mut state, mut passed) = (None, 0);
        for n in 0..100 {
            let now = if n / 10 % 2 == 0 { after } else { before };
            passed += u32::from(passes(&mut state, Timestamp::from_millis(now), &policy));
        }
        assert_eq!(passed, 10);
        let (_, refused) = charge(state, Timestamp::from_millis(before), &policy);
        let wait = Duration::from_millis(86_400_250);
        assert_eq!(refused.refused, Some((LimitType::DailyQuota, wait)));
        // A clock that was years ahead for a moment must not use up a quota for years.
        let ahead = Timestamp::from_millis(midnight + 700 * DAY_MS);
        while passes(&mut state, ahead, &policy) {}
        assert!(passes(&mut state, Timestamp::from_millis(after), &policy));
    }

    proptest! {
        #[test]
        fn no_more_pass_than_burst_and_rate_allow(
            steps in prop::collection::vec(0_u64..50, 1..300), interval in 1_u64..40, burst in 1_u32..20,
        ) {
            let policy = policy(interval, burst, None);
            let (mut state, mut now, mut passed) = (None, START, 0_u64);
            for step in steps {
                now = now.plus(Duration::from_millis(step));
                passed += u64::from(passes(&mut state, now, &policy));
                let gone = u64::try_from(now.since(START).as_millis()).unwrap();
                prop_assert!(passed <= u64::from(burst) + gone / interval);
            }
        }
    }
}
