//! Attempts in flight: what is reserved for them, and when it is settled.

use skriptoteket::guard::{AttemptId, Checked, Decision, Entity, HOLD_WINDOW};

use super::{
    ACCOUNT, ADDRESS, HORIZON, account_locked, address_limited, charges, fail, guess, guess_of,
    hold, is_go, policy, reserve, reserve_as, settle,
};
use crate::stores::world::{World, seconds};

on_every_store!(
    what_was_not_checked_costs_nobody_anything,
    what_was_never_held_is_not_given_back,
    an_attempt_is_settled_once_whether_its_places_were_told_or_not,
    an_attempt_that_was_settled_before_it_arrived_takes_no_place,
    attempts_in_flight_lock_nothing_and_are_no_failures,
    what_a_dead_replica_held_becomes_failures,
    nothing_is_kept_of_attempts_that_cost_nothing,
    only_what_says_nothing_any_more_is_forgotten,
);

async fn what_was_not_checked_costs_nobody_anything(world: World) {
    let policy = policy(1, 1);
    for _ in 0..20 {
        let unchecked = hold(&world.stores, policy).await;
        settle(&world.stores, policy, unchecked, Checked::NotChecked).await;
    }
}

async fn what_was_never_held_is_not_given_back(world: World) {
    let policy = policy(1, 1);
    for checked in [Checked::Right, Checked::NotChecked, Checked::Wrong] {
        settle(&world.stores, policy, AttemptId::generate(), checked).await;
    }
    fail(&world.stores, policy).await;
    let limited = guess(&world.stores, policy).await;
    assert_eq!(limited, address_limited(seconds(30)));
}

async fn an_attempt_is_settled_once_whether_its_places_were_told_or_not(world: World) {
    let policy = policy(2, 100);
    // The result of the first reservation is ignored.
    let untold = AttemptId::generate();
    reserve_as(untold, &world.stores, policy).await;
    let other = hold(&world.stores, policy).await;
    let busy = reserve(&world.stores, policy).await;
    assert_eq!(busy, Decision::Busy(ACCOUNT));
    for _ in 0..3 {
        settle(&world.stores, policy, untold, Checked::NotChecked).await;
    }
    // One place is free; the place of the other attempt is not.
    fail(&world.stores, policy).await;
    let busy = reserve(&world.stores, policy).await;
    assert_eq!(busy, Decision::Busy(ACCOUNT));
    for _ in 0..3 {
        settle(&world.stores, policy, other, Checked::Wrong).await;
    }
    let locked = guess(&world.stores, policy).await;
    assert_eq!(locked, account_locked(seconds(30)));
    world.advance(seconds(30));
    fail(&world.stores, policy).await;
    fail(&world.stores, policy).await;
}

async fn an_attempt_that_was_settled_before_it_arrived_takes_no_place(world: World) {
    let policy = policy(1, 1);
    let late = AttemptId::generate();
    settle(&world.stores, policy, late, Checked::NotChecked).await;
    let other = world.another().await;
    let decision = reserve_as(late, &other, policy).await;
    assert_eq!(decision, Decision::Busy(ADDRESS));
    let decision = reserve(&world.stores, policy).await;
    assert_eq!(decision, Decision::Go, "nothing is held");
    // The record of such an attempt is deleted.
    world.advance(seconds(100_000));
    world.stores.limits.prune(10, HORIZON).await.unwrap();
    assert_eq!(world.stores.limits.prune(10, HORIZON).await.unwrap(), 0);
}

async fn attempts_in_flight_lock_nothing_and_are_no_failures(world: World) {
    let wide = policy(3, 100);
    let mut holds = Vec::new();
    for _ in 0..3 {
        holds.push(hold(&world.stores, wide).await);
    }
    for _ in 0..10 {
        let busy = reserve(&world.stores, wide).await;
        assert_eq!(busy, Decision::Busy(ACCOUNT), "and costs nothing");
    }
    // One attempt is wrong, then one is right, which clears the failure. Of the three places one is still reserved.
    let [wrong, right, last] = holds[..] else {
        unreachable!()
    };
    settle(&world.stores, wide, wrong, Checked::Wrong).await;
    settle(&world.stores, wide, right, Checked::Right).await;
    for _ in 0..2 {
        fail(&world.stores, wide).await;
    }
    let busy = reserve(&world.stores, wide).await;
    assert_eq!(busy, Decision::Busy(ACCOUNT));
    settle(&world.stores, wide, last, Checked::Wrong).await;
    let locked = guess(&world.stores, wide).await;
    assert_eq!(locked, account_locked(seconds(30)));

    let narrow = policy(100, 2);
    let of = |n| charges(Entity::Address(99), Entity::UnknownName(n), narrow);
    for n in 100..102 {
        let attempt = AttemptId::generate();
        let decision = world.stores.limits.reserve(attempt, &of(n)).await.unwrap();
        assert!(is_go(decision), "{decision:?}");
    }
    let attempt = AttemptId::generate();
    let busy = world.stores.limits.reserve(attempt, &of(102)).await;
    let busy = busy.unwrap();
    assert_eq!(busy, Decision::Busy(Entity::Address(99)));
}

async fn what_a_dead_replica_held_becomes_failures(world: World) {
    let policy = policy(2, 100);
    let late = hold(&world.stores, policy).await;
    hold(&world.stores, policy).await;
    assert_eq!(
        reserve(&world.stores, policy).await,
        Decision::Busy(ACCOUNT)
    );
    world.advance(2 * HOLD_WINDOW);
    let locked = guess(&world.stores, policy).await;
    assert_eq!(locked, account_locked(seconds(30)));
    // The process was alive, only slow: its result is counted now.
    settle(&world.stores, policy, late, Checked::NotChecked).await;
    fail(&world.stores, policy).await;
    let locked = guess(&world.stores, policy).await;
    assert_eq!(locked, account_locked(seconds(30)));
}

async fn nothing_is_kept_of_attempts_that_cost_nothing(world: World) {
    let policy = policy(10, 10);
    for n in 0..100 {
        let charges = charges(Entity::Address(n), Entity::UnknownName(n), policy);
        let attempt = AttemptId::generate();
        let decision = world.stores.limits.reserve(attempt, &charges).await;
        assert_eq!(decision.unwrap(), Decision::Go);
        let checked = if n % 2 == 0 {
            Checked::NotChecked
        } else {
            Checked::Right
        };
        let settled = world.stores.limits.settle(attempt, &charges, checked);
        settled.await.unwrap();
    }
    world.advance(seconds(100_000));
    assert_eq!(
        world.stores.limits.prune(1_000, HORIZON).await.unwrap(),
        0,
        "there is nothing to prune"
    );
}

async fn only_what_says_nothing_any_more_is_forgotten(world: World) {
    let limits = &world.stores.limits;
    let policy = policy(1, 100);
    for n in 0..5 {
        guess_of(&world.stores, ADDRESS, Entity::UnknownName(n), policy).await;
    }
    // Five accounts are locked for 30 s and kept for two more hours; the budget of the address refills its five
    // attempts in 50 minutes.
    assert_eq!(limits.prune(100, HORIZON).await.unwrap(), 0);
    world.advance(seconds(2999));
    assert_eq!(limits.prune(100, HORIZON).await.unwrap(), 0);
    world.advance(seconds(1));
    assert_eq!(limits.prune(100, HORIZON).await.unwrap(), 1);
    world.advance(seconds(4229));
    assert_eq!(limits.prune(100, HORIZON).await.unwrap(), 0);
    world.advance(seconds(1));
    assert_eq!(limits.prune(3, HORIZON).await.unwrap(), 3);
    assert_eq!(limits.prune(3, HORIZON).await.unwrap(), 2);
    assert_eq!(limits.prune(3, HORIZON).await.unwrap(), 0);
}
