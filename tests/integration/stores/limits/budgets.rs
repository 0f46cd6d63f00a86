//! Budgets of guesses, and the locks that follow.

use std::time::Duration;

use skriptoteket::{
    accounts::UserId,
    guard::{Checked, Decision, Entity},
};
use tokio::task::JoinSet;

use super::{
    ACCOUNT, ADDRESS, HORIZON, account_locked, address_limited, fail, guess, guess_of, hold, is_go,
    policy, reserve, settle,
};
use crate::stores::world::{World, seconds};

on_every_store!(
    an_account_gets_exactly_its_budget_and_is_then_locked,
    a_lock_ends_and_leaves_a_whole_budget,
    an_address_that_is_out_charges_no_account,
    a_locked_account_still_costs_the_address,
    a_right_password_makes_the_account_whole_and_leaves_the_address_as_it_was,
    five_hundred_guesses_at_once_get_exactly_the_budget,
    a_cleared_account_has_a_whole_budget_and_keeps_what_is_in_flight,
    no_lock_outlasts_the_longest_when_the_clock_is_put_back,
    locks_survive_a_restart,
);

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

async fn locks_survive_a_restart(world: World) {
    let policy = policy(1, 100);
    fail(&world.stores, policy).await;
    world.stores.close().await;
    let reopened = world.another().await;
    let locked = guess(&reopened, policy).await;
    assert_eq!(locked, account_locked(seconds(30)));
}
