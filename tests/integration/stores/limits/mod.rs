//! The contract of `LoginThrottleRepository`. The arithmetic is tested in `guard`.

mod attempts;
mod budgets;

use std::time::Duration;

use skriptoteket::{
    guard::{AttemptId, Budget, Charge, Checked, Decision, Entity},
    store::Stores,
};

use crate::stores::world::seconds;

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
