//! The contract of `RateLimitRepository`. The arithmetic is tested in `services`.

use std::{collections::HashMap, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use skriptoteket::{
    error::StoreError,
    services::{InvalidLimits, LimitPolicy, LimitType, QuotaDecision, QuotaState, charge as model},
};
use tokio::task::JoinSet;

use crate::stores::{
    dropped::{ENOUGH, give_up_after, settled},
    world::{World, registration, seconds},
};

on_every_store!(
    a_burst_passes_and_then_one_per_interval,
    a_quota_ends_at_midnight,
    a_clock_that_steps_back_over_midnight_gives_no_second_quota,
    the_slowest_rate_and_greatest_burst_are_counted_exactly,
    what_is_refused_is_charged_to_neither,
    services_have_a_state_each,
    replicas_share_one_state,
    five_hundred_requests_at_once_pass_exactly_the_burst,
    five_hundred_requests_at_once_pass_exactly_the_quota,
    who_is_given_more_does_not_wait_for_what_was_used_of_less,
    what_was_forgotten_is_a_whole_burst_and_quota,
    every_decision_is_that_of_the_arithmetic,
    a_charge_given_up_was_made_or_not,
    what_was_used_survives_a_restart,
    a_store_that_is_closed_is_unavailable,
);

/// The time from noon, where the worlds' clock starts, to midnight.
const TO_MIDNIGHT: Duration = Duration::from_hours(12);

pub(crate) const fn policy(interval: Duration, burst: u32, quota: Option<u64>) -> LimitPolicy {
    LimitPolicy {
        interval,
        burst,
        daily_quota: quota,
    }
}

pub(crate) async fn charge(world: &World, service: &str, policy: &LimitPolicy) -> QuotaDecision {
    let quotas = &world.stores.quotas;
    quotas.charge(registration(service), policy).await.unwrap()
}

pub(crate) async fn forget(world: &World, service: &str) {
    let quotas = &world.stores.quotas;
    quotas.forget(registration(service)).await.unwrap();
}

async fn passes(world: &World, policy: &LimitPolicy) -> bool {
    charge(world, "orders", policy).await.refused.is_none()
}

async fn a_burst_passes_and_then_one_per_interval(world: World) {
    let policy = policy(seconds(10), 3, None);
    for left in [2, 1, 0] {
        let QuotaDecision { refused, allowance } = charge(&world, "orders", &policy).await;
        assert_eq!(refused, None);
        assert_eq!((allowance.burst, allowance.remaining), (3, left));
        assert_eq!(allowance.recovers_in, seconds(10) * (3 - left));
        assert_eq!(allowance.daily, None);
    }
    let QuotaDecision { refused, allowance } = charge(&world, "orders", &policy).await;
    assert_eq!(refused, Some((LimitType::Requests, seconds(10))));
    assert_eq!(
        (allowance.remaining, allowance.recovers_in),
        (0, seconds(30))
    );
    world.advance(Duration::from_millis(9_999));
    let wait = charge(&world, "orders", &policy).await.refused;
    assert_eq!(wait, Some((LimitType::Requests, Duration::from_millis(1))));
    world.advance(Duration::from_millis(1));
    assert!(passes(&world, &policy).await);
    assert!(!passes(&world, &policy).await);
    world.advance(seconds(1_000_000));
    for _ in 0..3 {
        assert!(passes(&world, &policy).await);
    }
    assert!(!passes(&world, &policy).await);
}

async fn a_quota_ends_at_midnight(world: World) {
    let policy = policy(Duration::from_micros(1), 1_000, Some(2));
    for left in [1, 0] {
        let decision = charge(&world, "orders", &policy).await;
        assert_eq!(decision.refused, None);
        let daily = decision.allowance.daily.unwrap();
        assert_eq!((daily.quota, daily.remaining), (2, left));
        assert_eq!(daily.resets_in, TO_MIDNIGHT);
    }
    world.advance(Duration::from_millis(12 * 3_600_000 - 1));
    let decision = charge(&world, "orders", &policy).await;
    let wait = Duration::from_millis(1);
    assert_eq!(decision.refused, Some((LimitType::DailyQuota, wait)));
    assert_eq!(decision.allowance.daily.unwrap().resets_in, wait);
    world.advance(wait);
    assert!(passes(&world, &policy).await);
    assert!(passes(&world, &policy).await);
    assert!(!passes(&world, &policy).await);
}

async fn a_clock_that_steps_back_over_midnight_gives_no_second_quota(world: World) {
    let policy = policy(Duration::from_micros(1), 1_000, Some(2));
    world.advance(TO_MIDNIGHT);
    for _ in 0..2 {
        assert!(passes(&world, &policy).await);
    }
    let behind = Duration::from_millis(250);
    let other = world.another_behind(behind).await;
    for _ in 0..3 {
        let there = other.quotas.charge(registration("orders"), &policy).await;
        let wait = seconds(86_400) + behind;
        let refused = there.unwrap().refused;
        assert_eq!(refused, Some((LimitType::DailyQuota, wait)));
        assert!(!passes(&world, &policy).await);
    }
}

async fn the_slowest_rate_and_greatest_burst_are_counted_exactly(world: World) {
    let most = 3_650;
    for (policy, step) in [
        (policy(seconds(86_400), most, None), most - 3),
        // As another program may have written it.
        (policy(seconds(86_400), 100_000, None), most - 3),
    ] {
        forget(&world, "orders").await;
        for _ in 0..step {
            assert!(passes(&world, &policy).await);
        }
        for left in [2, 1, 0] {
            let decision = charge(&world, "orders", &policy).await;
            assert_eq!(
                (decision.refused, decision.allowance.remaining),
                (None, left)
            );
        }
        for _ in 0..3 {
            let refused = charge(&world, "orders", &policy).await.refused;
            assert_eq!(refused, Some((LimitType::Requests, seconds(86_400))));
        }
    }
}

async fn what_is_refused_is_charged_to_neither(world: World) {
    let policy = policy(seconds(10), 1, Some(2));
    assert!(passes(&world, &policy).await);
    for _ in 0..20 {
        let refused = charge(&world, "orders", &policy).await;
        assert_eq!(refused.refused, Some((LimitType::Requests, seconds(10))));
        assert_eq!(refused.allowance.daily.unwrap().remaining, 1);
    }
    world.advance(seconds(10));
    assert!(passes(&world, &policy).await);
    world.advance(seconds(10));
    for _ in 0..20 {
        let refused = charge(&world, "orders", &policy).await;
        assert!(matches!(refused.refused, Some((LimitType::DailyQuota, _))));
        assert_eq!(refused.allowance.remaining, 1);
    }
}

async fn services_have_a_state_each(world: World) {
    let policy = policy(seconds(10), 1, None);
    for service in ["orders", "orders-2", "order", "a.b_c-d"] {
        assert_eq!(charge(&world, service, &policy).await.refused, None);
        assert!(charge(&world, service, &policy).await.refused.is_some());
    }
}

async fn replicas_share_one_state(world: World) {
    let other = world.another().await;
    let policy = policy(seconds(10), 2, None);
    assert!(passes(&world, &policy).await);
    let there = other.quotas.charge(registration("orders"), &policy).await;
    assert_eq!(there.unwrap().refused, None);
    assert!(!passes(&world, &policy).await);
}

/// Sends 500 concurrent requests through two replicas; returns how many pass.
async fn five_hundred(world: &World, policy: LimitPolicy) -> usize {
    let other = world.another().await;
    let mut requests = JoinSet::new();
    for n in 0..500 {
        let stores = if n % 2 == 0 { &world.stores } else { &other };
        let quotas = stores.quotas.clone();
        requests.spawn(async move {
            let charged = quotas.charge(registration("orders"), &policy).await;
            charged.unwrap().refused.is_none()
        });
    }
    let passed = requests.join_all().await;
    passed.iter().filter(|it| **it).count()
}

async fn five_hundred_requests_at_once_pass_exactly_the_burst(world: World) {
    let policy = policy(seconds(100), 100, None);
    assert_eq!(five_hundred(&world, policy).await, 100);
}

async fn five_hundred_requests_at_once_pass_exactly_the_quota(world: World) {
    let policy = policy(Duration::from_micros(1), 1_000_000, Some(123));
    assert_eq!(five_hundred(&world, policy).await, 123);
}

async fn who_is_given_more_does_not_wait_for_what_was_used_of_less(world: World) {
    let slow = policy(seconds(86_400), 100, None);
    for _ in 0..100 {
        assert!(passes(&world, &slow).await);
    }
    let fast = policy(Duration::from_millis(10), 2, None);
    assert!(passes(&world, &fast).await);
    let refused = charge(&world, "orders", &fast).await.refused;
    let wait = Duration::from_millis(10);
    assert_eq!(refused, Some((LimitType::Requests, wait)));
    world.advance(wait);
    assert!(passes(&world, &fast).await);
    assert!(!passes(&world, &fast).await);
}

async fn what_was_forgotten_is_a_whole_burst_and_quota(world: World) {
    let (quotas, policy) = (&world.stores.quotas, policy(seconds(100), 2, Some(2)));
    let (forgotten, kept) = (registration("orders"), registration("stock"));
    // A service that was never charged is not an error.
    quotas.forget(forgotten).await.unwrap();
    for service in [forgotten, kept] {
        for _ in 0..2 {
            quotas.charge(service, &policy).await.unwrap();
        }
    }
    quotas.forget(forgotten).await.unwrap();
    let decision = quotas.charge(forgotten, &policy).await.unwrap();
    assert_eq!(decision.refused, None);
    assert_eq!(decision.allowance.remaining, 1);
    assert_eq!(decision.allowance.daily.unwrap().remaining, 1);
    assert!(
        quotas
            .charge(kept, &policy)
            .await
            .unwrap()
            .refused
            .is_some()
    );
}

/// Returns a policy of any size; some have microsecond periods that are not whole milliseconds.
fn any_policy(random: &mut StdRng) -> LimitPolicy {
    let size = 10_u64.pow(random.random_range(0..11));
    let interval = Duration::from_micros(random.random_range(1..=size).min(86_400_000_000));
    let most = 10_u32.pow(random.random_range(0..4));
    let quota = random.random_range(0..40);
    policy(
        interval,
        random.random_range(1..=most),
        random.random_bool(0.6).then_some(quota),
    )
}

async fn every_decision_is_that_of_the_arithmetic(world: World) {
    let services = ["orders", "stock", "mail"];
    let mut met: HashMap<Option<&str>, u32> = HashMap::new();
    for seed in 0..12 {
        let mut random = StdRng::seed_from_u64(seed);
        let mut policy = any_policy(&mut random);
        let mut states: HashMap<&str, QuotaState> = HashMap::new();
        for service in services {
            forget(&world, service).await;
        }
        for step in 0..150 {
            let service = services[random.random_range(0..services.len())];
            match random.random_range(0..100) {
                0..75 => {
                    let decision = charge(&world, service, &policy).await;
                    let before = states.get(service).copied();
                    let (after, expected) = model(before, world.now(), &policy);
                    assert_eq!(decision, expected, "step {step}, seed {seed}, {policy:?}");
                    states.insert(service, after);
                    let limit = decision.refused.map(|(limit, _)| limit.as_str());
                    *met.entry(limit).or_default() += 1;
                }
                75..95 => {
                    let longest = 10_u64.pow(random.random_range(1..8));
                    world.advance(Duration::from_millis(random.random_range(0..longest)));
                }
                95..98 => policy = any_policy(&mut random),
                _ => {
                    forget(&world, service).await;
                    states.remove(service);
                }
            }
        }
    }
    assert_eq!(met.len(), 3, "each decision occurred: {met:?}");
}

async fn a_charge_given_up_was_made_or_not(world: World) {
    let policy = policy(seconds(100), 3, Some(3));
    let quotas = &world.stores.quotas;
    for polls in 0..ENOUGH {
        let service = registration(&format!("s{polls}"));
        let finished = give_up_after(polls, quotas.charge(service, &policy)).await;
        settled(&world).await;
        let allowance = quotas.charge(service, &policy).await.unwrap().allowance;
        let left = allowance.remaining;
        assert!(
            left == 1 || left == 2 && finished.is_none(),
            "after {polls} polls"
        );
        assert_eq!(allowance.daily.unwrap().remaining, u64::from(left));
    }
}

async fn what_was_used_survives_a_restart(world: World) {
    let policy = policy(seconds(100), 2, None);
    assert!(passes(&world, &policy).await);
    world.stores.close().await;
    let quotas = world.another().await.quotas;
    let decision = quotas.charge(registration("orders"), &policy).await;
    assert_eq!(decision.unwrap().allowance.remaining, 0);
}

async fn a_store_that_is_closed_is_unavailable(world: World) {
    let (quotas, id) = (&world.stores.quotas, registration("orders"));
    world.stores.close().await;
    let charged = quotas.charge(id, &policy(seconds(1), 1, None)).await;
    assert!(matches!(charged, Err(StoreError::Unavailable(_))));
    let forgotten = quotas.forget(id).await;
    assert!(matches!(forgotten, Err(StoreError::Unavailable(_))));
}

#[test]
fn limits_stay_within_what_is_counted_exactly() {
    let day = 86_400_000;
    let policy = |ms, burst, quota| policy(Duration::from_millis(ms), burst, quota);
    for (limits, wrong) in [
        (policy(1, 1_000_000, Some(1_000_000_000_000)), None),
        (policy(day, 3_650, Some(1)), None),
        (policy(0, 1, None), Some(InvalidLimits::Rate)),
        (policy(day + 1, 1, None), Some(InvalidLimits::Rate)),
        (policy(1, 0, None), Some(InvalidLimits::Burst)),
        (policy(1, 1_000_001, None), Some(InvalidLimits::Burst)),
        (
            policy(day, 3_651, None),
            Some(InvalidLimits::Window { most: 3_650 }),
        ),
        (policy(1, 1, Some(0)), Some(InvalidLimits::DailyQuota)),
        (
            policy(1, 1, Some(1_000_000_000_001)),
            Some(InvalidLimits::DailyQuota),
        ),
    ] {
        assert_eq!(limits.checked().err(), wrong, "{limits:?}");
    }
    let now_us = 1_767_268_800_000_000_i64;
    // Values that another program has written to a store stay within the range as well.
    let unchecked = policy(u64::from(u32::MAX), u32::MAX, None);
    assert!(now_us + 2 * unchecked.tolerance_us() < 1 << 53);
}
