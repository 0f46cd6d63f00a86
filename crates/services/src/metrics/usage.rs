//! The limit usage of a service.

use std::time::Duration;

use super::LimitType;

/// How long a replica exports the usage that it last saw. Other replicas may have charged the service since, or the
/// store may have been emptied.
pub(super) const HEARD_FOR: Duration = Duration::from_mins(5);

/// The limit usage of a service at the time of recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimitUsage {
    /// Requests that count against the burst.
    pub requests: u64,
    /// The burst.
    pub allowed: u64,
    /// Time until none of them counts any more; they expire evenly until then.
    pub recovers_in: Duration,
    /// The day's quota, if there is one.
    pub daily: Option<DailyUsage>,
}

/// The daily quota usage of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyUsage {
    /// Requests on this day.
    pub used: u64,
    /// The quota.
    pub allowed: u64,
    /// Time until the day ends.
    pub resets_in: Duration,
}

/// The requests that count against a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) limit: LimitType,
    pub(super) current: u64,
}

impl RateLimitUsage {
    /// Returns the values of the limits when the usage was recorded.
    pub(super) fn allowed(&self) -> [Option<u64>; LimitType::ALL.len()] {
        [Some(self.allowed), self.daily.map(|it| it.allowed)]
    }

    /// Returns the usage `later` after it was recorded.
    pub(super) fn after(&self, later: Duration) -> impl Iterator<Item = Counted> + use<> {
        let rate = Counted {
            limit: LimitType::Requests,
            current: self.requests_after(later),
        };
        let daily = self.daily.map(|it| Counted {
            limit: LimitType::DailyQuota,
            current: if later < it.resets_in { it.used } else { 0 },
        });
        [Some(rate), daily].into_iter().flatten()
    }

    /// Computed in whole numbers: with fractions, a full burst could be exported as one more than the limit.
    fn requests_after(&self, later: Duration) -> u64 {
        let left = self.recovers_in.saturating_sub(later).as_nanos();
        if left == 0 {
            return 0;
        }
        let whole = self.recovers_in.as_nanos();
        let product = u128::from(self.requests).checked_mul(left);
        let counting = product.map(|it| it.div_ceil(whole));
        // No limit lasts long enough for the product to overflow.
        counting
            .and_then(|it| u64::try_from(it).ok())
            .unwrap_or(self.requests)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usage(requests: u64, recovers_in: Duration) -> RateLimitUsage {
        RateLimitUsage {
            requests,
            allowed: requests,
            recovers_in,
            daily: Some(DailyUsage {
                used: 7,
                allowed: 1_000,
                resets_in: Duration::from_hours(1),
            }),
        }
    }

    fn current(usage: &RateLimitUsage, limit: LimitType, later: Duration) -> u64 {
        let found = usage.after(later).find(|it| it.limit == limit);
        found.unwrap().current
    }

    #[test]
    fn requests_go_evenly_and_the_day_goes_at_once() {
        let usage = usage(10, Duration::from_secs(5));
        let rate = |ms| current(&usage, LimitType::Requests, Duration::from_millis(ms));
        assert_eq!([0, 1, 499, 500, 2_500].map(rate), [10, 10, 10, 9, 5]);
        assert_eq!([4_999, 5_000, 5_001].map(rate), [1, 0, 0]);
        let daily = |s| current(&usage, LimitType::DailyQuota, Duration::from_secs(s));
        assert_eq!([0, 3_599, 3_600, 3_601].map(daily), [7, 7, 0, 0]);
    }

    #[test]
    fn without_a_quota_nothing_is_said_of_the_day() {
        let usage = RateLimitUsage {
            daily: None,
            ..usage(1, Duration::from_secs(1))
        };
        let limits = usage.after(Duration::ZERO).map(|it| it.limit);
        assert_eq!(limits.collect::<Vec<_>>(), [LimitType::Requests]);
    }

    proptest! {
        #[test]
        fn what_counts_begins_as_recorded_never_rises_and_ends_at_zero(
            requests in prop_oneof![0..2_000_u64, any::<u64>()],
            recovers_in in prop_oneof![1..10_000_000_000_u64, 1..u64::MAX].prop_map(Duration::from_nanos),
            mut moments in prop::collection::vec(any::<u64>(), 1..20),
        ) {
            let usage = usage(requests, recovers_in);
            let at = |later| current(&usage, LimitType::Requests, later);
            prop_assert_eq!(at(Duration::ZERO), requests);
            prop_assert_eq!(at(recovers_in), 0);
            prop_assert_eq!(at(Duration::MAX), 0);
            moments.sort_unstable();
            let whole = recovers_in.as_nanos();
            let mut before = requests;
            for moment in moments {
                let later = whole * u128::from(moment) / u128::from(u64::MAX);
                let now = at(Duration::from_nanos(u64::try_from(later).unwrap()));
                prop_assert!(now <= before);
                before = now;
            }
        }
    }

    #[test]
    fn limits_without_end_are_shown_without_a_panic() {
        let usage = usage(u64::MAX, Duration::MAX);
        assert_eq!(
            current(&usage, LimitType::Requests, Duration::ZERO),
            u64::MAX
        );
    }
}
