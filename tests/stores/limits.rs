//! The contract of `LimitRepository`. The arithmetic itself is tested in `guard`.

use std::{sync::Arc, time::Duration};

use skriptoteket::{
    accounts::UserId,
    guard::{Budget, Checked, Decision, Entity, GuardPolicy},
    store::Stores,
};
use tokio::task::JoinSet;

use crate::world::{World, seconds};

on_every_store!(
    an_account_gets_exactly_its_budget_and_is_then_locked,
    a_lock_ends_and_leaves_a_whole_budget,
    an_address_that_is_out_charges_no_account,
    a_locked_account_still_costs_the_address,
    a_right_password_makes_the_account_whole_and_the_address_one_better,
    what_was_not_checked_costs_nobody_anything,
    what_was_never_charged_is_not_given_back,
    five_hundred_guesses_at_once_get_exactly_the_budget,
    only_what_says_nothing_any_more_is_forgotten,
    locks_survive_a_restart,
);

const ADDRESS: Entity = Entity::Address(7);
const ACCOUNT: Entity = Entity::UnknownName(9);

const fn budget(attempts: u32) -> Budget {
    Budget {
        attempts,
        regain: seconds(600),
        lock: seconds(30),
        longest_lock: seconds(3600),
        forget: seconds(7200),
    }
}

const fn policy(account: u32, address: u32) -> GuardPolicy {
    GuardPolicy {
        account: budget(account),
        address: budget(address),
    }
}

async fn charge(stores: &Stores, policy: &GuardPolicy) -> Decision {
    stores
        .limits
        .charge(ADDRESS, ACCOUNT, policy)
        .await
        .unwrap()
}

async fn give_back(stores: &Stores, policy: &GuardPolicy, checked: Checked) {
    let given = stores.limits.give_back(ADDRESS, ACCOUNT, policy, checked);
    given.await.unwrap();
}

const fn account_locked(wait: Duration) -> Decision {
    Decision::AccountLocked { retry_after: wait }
}

const fn address_limited(wait: Duration) -> Decision {
    Decision::AddressLimited { retry_after: wait }
}

async fn an_account_gets_exactly_its_budget_and_is_then_locked(world: World) {
    let policy = policy(3, 100);
    for _ in 0..3 {
        assert_eq!(charge(&world.stores, &policy).await, Decision::Go);
    }
    let locked = charge(&world.stores, &policy).await;
    assert_eq!(locked, account_locked(seconds(30)));
    world.advance(Duration::from_millis(29_999));
    let locked = charge(&world.stores, &policy).await;
    assert_eq!(locked, account_locked(Duration::from_millis(1)));
    let other = Entity::Account(UserId::generate());
    let other = world.stores.limits.charge(ADDRESS, other, &policy).await;
    assert_eq!(other.unwrap(), Decision::Go);
}

async fn a_lock_ends_and_leaves_a_whole_budget(world: World) {
    let policy = policy(3, 100);
    for wait in [30, 60, 120] {
        for _ in 0..3 {
            assert_eq!(charge(&world.stores, &policy).await, Decision::Go);
        }
        let locked = charge(&world.stores, &policy).await;
        assert_eq!(locked, account_locked(seconds(wait)));
        world.advance(seconds(wait));
    }
}

async fn an_address_that_is_out_charges_no_account(world: World) {
    let policy = policy(2, 1);
    assert_eq!(charge(&world.stores, &policy).await, Decision::Go);
    for _ in 0..10 {
        let limited = charge(&world.stores, &policy).await;
        assert_eq!(limited, address_limited(seconds(30)));
    }
    // From elsewhere the account still has its second guess, and no more.
    let elsewhere = |n| {
        world
            .stores
            .limits
            .charge(Entity::Address(n), ACCOUNT, &policy)
    };
    assert_eq!(elsewhere(1).await.unwrap(), Decision::Go);
    assert_eq!(elsewhere(2).await.unwrap(), account_locked(seconds(30)));
}

async fn a_locked_account_still_costs_the_address(world: World) {
    let policy = policy(1, 3);
    assert_eq!(charge(&world.stores, &policy).await, Decision::Go);
    for _ in 0..2 {
        let locked = charge(&world.stores, &policy).await;
        assert_eq!(locked, account_locked(seconds(30)));
    }
    let limited = charge(&world.stores, &policy).await;
    assert_eq!(limited, address_limited(seconds(30)));
}

async fn a_right_password_makes_the_account_whole_and_the_address_one_better(world: World) {
    let policy = policy(3, 4);
    for _ in 0..3 {
        assert_eq!(charge(&world.stores, &policy).await, Decision::Go);
    }
    give_back(&world.stores, &policy, Checked::Right).await;
    // The address had three charges and got one back: two more pass, and then it is the address that is out.
    for _ in 0..2 {
        assert_eq!(charge(&world.stores, &policy).await, Decision::Go);
    }
    let limited = charge(&world.stores, &policy).await;
    assert_eq!(limited, address_limited(seconds(30)));
}

async fn what_was_not_checked_costs_nobody_anything(world: World) {
    let policy = policy(1, 1);
    for _ in 0..20 {
        assert_eq!(charge(&world.stores, &policy).await, Decision::Go);
        give_back(&world.stores, &policy, Checked::NotChecked).await;
    }
}

async fn what_was_never_charged_is_not_given_back(world: World) {
    let policy = policy(1, 1);
    for checked in [Checked::Right, Checked::NotChecked] {
        give_back(&world.stores, &policy, checked).await;
    }
    assert_eq!(charge(&world.stores, &policy).await, Decision::Go);
    let limited = charge(&world.stores, &policy).await;
    assert_eq!(limited, address_limited(seconds(30)));
}

async fn five_hundred_guesses_at_once_get_exactly_the_budget(world: World) {
    let policy = Arc::new(policy(5, 1_000));
    let other = world.another().await;
    let mut guesses = JoinSet::new();
    for n in 0..500 {
        let stores = if n % 2 == 0 { &world.stores } else { &other };
        let (stores, policy) = (stores.clone(), Arc::clone(&policy));
        guesses.spawn(async move {
            let from = Entity::Address(n % 50);
            stores.limits.charge(from, ACCOUNT, &policy).await.unwrap()
        });
    }
    let decisions = guesses.join_all().await;
    let passed = decisions.iter().filter(|it| **it == Decision::Go).count();
    assert_eq!(passed, 5);
    let locked = decisions
        .iter()
        .filter(|it| **it == account_locked(seconds(30)));
    assert_eq!(locked.count(), 495);
}

async fn only_what_says_nothing_any_more_is_forgotten(world: World) {
    let limits = &world.stores.limits;
    let policy = policy(1, 100);
    for n in 0..5 {
        let account = Entity::UnknownName(n);
        limits.charge(ADDRESS, account, &policy).await.unwrap();
    }
    // Five accounts are locked for 30 s and remembered for two hours more; the address for two hours.
    assert_eq!(limits.prune(100).await.unwrap(), 0);
    world.advance(seconds(7200));
    assert_eq!(limits.prune(100).await.unwrap(), 1);
    world.advance(seconds(29));
    assert_eq!(limits.prune(100).await.unwrap(), 0);
    world.advance(seconds(1));
    assert_eq!(limits.prune(3).await.unwrap(), 3);
    assert_eq!(limits.prune(3).await.unwrap(), 2);
    assert_eq!(limits.prune(3).await.unwrap(), 0);
}

async fn locks_survive_a_restart(world: World) {
    let policy = policy(1, 100);
    assert_eq!(charge(&world.stores, &policy).await, Decision::Go);
    world.stores.close().await;
    let reopened = world.another().await;
    let locked = charge(&reopened, &policy).await;
    assert_eq!(locked, account_locked(seconds(30)));
}
