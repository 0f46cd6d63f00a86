//! The contract of `LoginThrottleRepository`. The arithmetic is tested in `guard`.

use std::time::Duration;

use skriptoteket::{
    accounts::UserId,
    guard::{AttemptId, Budget, Charge, Checked, Decision, Entity, HOLD_WINDOW},
    store::Stores,
};
use tokio::task::JoinSet;

use crate::world::{World, seconds};

on_every_store!(
    an_account_gets_exactly_its_budget_and_is_then_locked,
    a_lock_ends_and_leaves_a_whole_budget,
    an_address_that_is_out_charges_no_account,
    a_locked_account_still_costs_the_address,
    a_right_password_makes_the_account_whole_and_leaves_the_address_as_it_was,
    what_was_not_checked_costs_nobody_anything,
    what_was_never_held_is_not_given_back,
    an_attempt_is_settled_once_whether_its_places_were_told_or_not,
    an_attempt_that_was_settled_before_it_arrived_takes_no_place,
    five_hundred_guesses_at_once_get_exactly_the_budget,
    attempts_in_flight_lock_nothing_and_are_no_failures,
    what_a_dead_replica_held_becomes_failures,
    a_cleared_account_has_a_whole_budget_and_keeps_what_is_in_flight,
    nothing_is_kept_of_attempts_that_cost_nothing,
    no_lock_outlasts_the_longest_when_the_clock_is_put_back,
    only_what_says_nothing_any_more_is_forgotten,
    locks_survive_a_restart,
);

const ADDRESS: Entity = Entity::Address(7);
const ACCOUNT: Entity = Entity::UnknownName(9);

const fn budget(attempts: u32) -> Budget {
    Budget {
        attempts,
        refill: seconds(600),
        lock: seconds(30),
        longest_lock: seconds(3600),
        forget: seconds(7200),
    }
}

const HORIZON: Duration = seconds(100_000);

/// Budgets with these numbers of attempts, of the account and of the address.
#[derive(Clone, Copy)]
struct Policy {
    account: u32,
    address: u32,
}

const fn policy(account: u32, address: u32) -> Policy {
    Policy { account, address }
}

fn charges(address: Entity, account: Entity, policy: Policy) -> [Charge; 2] {
    [
        Charge {
            entity: address,
            budget: budget(policy.address),
        },
        Charge {
            entity: account,
            budget: budget(policy.account),
        },
    ]
}

async fn reserve_as(attempt: AttemptId, stores: &Stores, policy: Policy) -> Decision {
    let charges = charges(ADDRESS, ACCOUNT, policy);
    stores.limits.reserve(attempt, &charges).await.unwrap()
}

async fn reserve(stores: &Stores, policy: Policy) -> Decision {
    reserve_as(AttemptId::generate(), stores, policy).await
}

async fn settle(stores: &Stores, policy: Policy, attempt: AttemptId, checked: Checked) {
    let charges = charges(ADDRESS, ACCOUNT, policy);
    let settled = stores.limits.settle(attempt, &charges, checked);
    settled.await.unwrap();
}

async fn hold(stores: &Stores, policy: Policy) -> AttemptId {
    let attempt = AttemptId::generate();
    assert_eq!(reserve_as(attempt, stores, policy).await, Decision::Go);
    attempt
}

/// Makes one wrong guess, from the reservation to the result.
async fn guess_of(stores: &Stores, address: Entity, account: Entity, policy: Policy) -> Decision {
    let charges = charges(address, account, policy);
    let attempt = AttemptId::generate();
    let decision = stores.limits.reserve(attempt, &charges).await.unwrap();
    if is_go(decision) {
        let settled = stores.limits.settle(attempt, &charges, Checked::Wrong);
        settled.await.unwrap();
    }
    decision
}

async fn guess(stores: &Stores, policy: Policy) -> Decision {
    guess_of(stores, ADDRESS, ACCOUNT, policy).await
}

/// Makes a wrong guess that was checked.
async fn fail(stores: &Stores, policy: Policy) {
    let decision = guess(stores, policy).await;
    assert!(is_go(decision), "{decision:?}");
}

fn is_go(decision: Decision) -> bool {
    decision == Decision::Go
}

const fn account_locked(wait: Duration) -> Decision {
    Decision::Locked {
        entity: ACCOUNT,
        retry_after: wait,
    }
}

const fn address_limited(wait: Duration) -> Decision {
    Decision::Locked {
        entity: ADDRESS,
        retry_after: wait,
    }
}

async fn an_account_gets_exactly_its_budget_and_is_then_locked(world: World) {
    let policy = policy(3, 100);
    for _ in 0..3 {
        fail(&world.stores, policy).await;
    }
    let locked = guess(&world.stores, policy).await;
    assert_eq!(locked, account_locked(seconds(30)));
    world.advance(Duration::from_millis(29_999));
    let locked = guess(&world.stores, policy).await;
    assert_eq!(locked, account_locked(Duration::from_millis(1)));
    let other = Entity::Account(UserId::generate());
    assert!(is_go(guess_of(&world.stores, ADDRESS, other, policy).await));
}

async fn a_lock_ends_and_leaves_a_whole_budget(world: World) {
    let policy = policy(3, 100);
    for wait in [30, 60, 120] {
        for _ in 0..3 {
            fail(&world.stores, policy).await;
        }
        let locked = guess(&world.stores, policy).await;
        assert_eq!(locked, account_locked(seconds(wait)));
        world.advance(seconds(wait));
    }
}

async fn an_address_that_is_out_charges_no_account(world: World) {
    let policy = policy(2, 1);
    fail(&world.stores, policy).await;
    for _ in 0..10 {
        let limited = guess(&world.stores, policy).await;
        assert_eq!(limited, address_limited(seconds(30)));
    }
    // From another address the account still has its second guess, and no more.
    let elsewhere = |n| guess_of(&world.stores, Entity::Address(n), ACCOUNT, policy);
    assert!(is_go(elsewhere(1).await));
    assert_eq!(elsewhere(2).await, account_locked(seconds(30)));
}

async fn a_locked_account_still_costs_the_address(world: World) {
    let policy = policy(1, 3);
    fail(&world.stores, policy).await;
    for _ in 0..2 {
        let locked = guess(&world.stores, policy).await;
        assert_eq!(locked, account_locked(seconds(30)));
    }
    let limited = guess(&world.stores, policy).await;
    assert_eq!(limited, address_limited(seconds(30)));
}

async fn a_right_password_makes_the_account_whole_and_leaves_the_address_as_it_was(world: World) {
    let policy = policy(3, 4);
    fail(&world.stores, policy).await;
    fail(&world.stores, policy).await;
    let right = hold(&world.stores, policy).await;
    settle(&world.stores, policy, right, Checked::Right).await;
    // The address still has two failures. Two more attempts pass; then the budget of the address is exhausted.
    for _ in 0..2 {
        fail(&world.stores, policy).await;
    }
    let limited = guess(&world.stores, policy).await;
    assert_eq!(limited, address_limited(seconds(30)));
}

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

async fn five_hundred_guesses_at_once_get_exactly_the_budget(world: World) {
    let policy = policy(5, 1_000);
    let other = world.another().await;
    let mut guesses = JoinSet::new();
    for n in 0..500 {
        let stores = if n % 2 == 0 { &world.stores } else { &other };
        let stores = stores.clone();
        guesses.spawn(async move {
            let from = Entity::Address(n % 50);
            guess_of(&stores, from, ACCOUNT, policy).await
        });
    }
    let decisions = guesses.join_all().await;
    let passed = decisions.iter().filter(|it| is_go(**it)).count();
    assert_eq!(passed, 5);
    let refused = decisions
        .iter()
        .filter(|it| **it == account_locked(seconds(30)) || **it == Decision::Busy(ACCOUNT));
    assert_eq!(refused.count(), 495);
    let locked = guess(&world.stores, policy).await;
    assert_eq!(locked, account_locked(seconds(30)));
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

async fn a_cleared_account_has_a_whole_budget_and_keeps_what_is_in_flight(world: World) {
    let policy = policy(3, 100);
    let limits = &world.stores.limits;
    assert!(!limits.clear(ACCOUNT).await.unwrap(), "there was nothing");
    for _ in 0..3 {
        fail(&world.stores, policy).await;
    }
    assert_eq!(
        guess(&world.stores, policy).await,
        account_locked(seconds(30))
    );
    assert!(limits.clear(ACCOUNT).await.unwrap());
    assert!(!limits.clear(ACCOUNT).await.unwrap(), "nothing is left");
    fail(&world.stores, policy).await;
    let guess_in_flight = hold(&world.stores, policy).await;
    assert!(limits.clear(ACCOUNT).await.unwrap());
    for _ in 0..2 {
        fail(&world.stores, policy).await;
    }
    assert_eq!(
        reserve(&world.stores, policy).await,
        Decision::Busy(ACCOUNT)
    );
    settle(&world.stores, policy, guess_in_flight, Checked::Wrong).await;
    let locked = guess(&world.stores, policy).await;
    assert_eq!(
        locked,
        account_locked(seconds(30)),
        "the first lock once more"
    );
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

async fn no_lock_outlasts_the_longest_when_the_clock_is_put_back(world: World) {
    let policy = policy(1, 1);
    let ahead = seconds(400 * 86_400);
    world.advance(ahead);
    fail(&world.stores, policy).await;
    for n in 0..5 {
        guess_of(
            &world.stores,
            Entity::Address(100 + n),
            Entity::UnknownName(100 + n),
            policy,
        )
        .await;
    }
    // The clock is corrected and continues from there.
    let after = |time| world.another_behind(ahead.saturating_sub(time));
    let limited = guess(&after(seconds(0)).await, policy).await;
    assert_eq!(limited, address_limited(seconds(3600)));
    // The shortened lock is stored: asking again does not extend it.
    let limited = guess(&after(seconds(3599)).await, policy).await;
    assert_eq!(limited, address_limited(seconds(1)));
    let then = after(seconds(3600)).await;
    let locked = guess_of(&then, Entity::Address(1), ACCOUNT, policy).await;
    assert_eq!(
        locked,
        account_locked(seconds(3600)),
        "asked for the first time now"
    );
    // Entries that are never used again are deleted, too, in the end.
    assert_eq!(then.limits.prune(100, HORIZON).await.unwrap(), 0);
    let then = after(seconds(3600) + HORIZON).await;
    assert!(then.limits.prune(100, HORIZON).await.unwrap() >= 10);
    assert_eq!(world.stores.limits.prune(100, HORIZON).await.unwrap(), 0);
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

async fn locks_survive_a_restart(world: World) {
    let policy = policy(1, 100);
    fail(&world.stores, policy).await;
    world.stores.close().await;
    let reopened = world.another().await;
    let locked = guess(&reopened, policy).await;
    assert_eq!(locked, account_locked(seconds(30)));
}
