//! Budgets in Redis are charged by a script: it must say what the arithmetic of `guard` says, whatever comes.

use std::{collections::HashMap, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use skriptoteket::guard::{
    Budget, Checked, Decision, Entity, GuardPolicy, LimitState, Verdict, charge, refund,
};

use crate::{
    redis_servers::Reply,
    world::{Backend, World, redis_server, seconds},
};

/// The arithmetic, and a map.
#[derive(Default)]
struct Model(HashMap<Entity, LimitState>);

impl Model {
    fn charge_one(&mut self, entity: Entity, world: &World, budget: &Budget) -> Verdict {
        let (after, verdict) = charge(self.0.get(&entity).copied(), world.now(), budget);
        if verdict == Verdict::Go {
            self.0.insert(entity, after);
        }
        verdict
    }

    fn charge(
        &mut self,
        world: &World,
        address: Entity,
        account: Entity,
        policy: &GuardPolicy,
    ) -> Decision {
        if let Verdict::Wait(retry_after) = self.charge_one(address, world, &policy.address) {
            return Decision::AddressLimited { retry_after };
        }
        match self.charge_one(account, world, &policy.account) {
            Verdict::Go => Decision::Go,
            Verdict::Wait(retry_after) => Decision::AccountLocked { retry_after },
        }
    }

    fn give_back(&mut self, world: &World, entity: Entity, budget: &Budget, whole: bool) {
        if whole {
            self.0.remove(&entity);
        } else if let Some(state) = self.0.get_mut(&entity) {
            *state = refund(*state, world.now(), budget, false);
        }
    }
}

fn budget(random: &mut StdRng) -> Budget {
    let mut millis = |from, to| Duration::from_millis(random.random_range(from..to));
    let (regain, lock) = (millis(0, 90_000), millis(1, 60_000));
    let (longest, forget) = (millis(1, 600_000), millis(1, 900_000));
    Budget {
        attempts: random.random_range(1..6),
        regain,
        lock,
        longest_lock: lock.max(longest),
        forget,
    }
}

#[tokio::test]
async fn every_decision_is_that_of_the_guards_arithmetic() {
    for seed in 0..12 {
        let world = World::new(Backend::Redis).await;
        let limits = &world.stores.limits;
        let mut random = StdRng::seed_from_u64(seed);
        let policy = GuardPolicy {
            account: budget(&mut random),
            address: budget(&mut random),
        };
        let mut model = Model::default();
        let mut refused = 0;
        for step in 0..400 {
            let address = Entity::Address(random.random_range(0..3));
            let account = Entity::UnknownName(random.random_range(0..3));
            match random.random_range(0..10) {
                0..6 => {
                    let decision = limits.charge(address, account, &policy).await.unwrap();
                    let expected = model.charge(&world, address, account, &policy);
                    assert_eq!(decision, expected, "step {step}, seed {seed}, {policy:?}");
                    refused += usize::from(decision != Decision::Go);
                }
                6 | 7 => {
                    let checked = if random.random_bool(0.3) {
                        Checked::Right
                    } else {
                        Checked::NotChecked
                    };
                    let given = limits.give_back(address, account, &policy, checked);
                    given.await.unwrap();
                    let whole = checked == Checked::Right;
                    model.give_back(&world, address, &policy.address, false);
                    model.give_back(&world, account, &policy.account, whole);
                }
                _ => {
                    let longest = 10_u64.pow(random.random_range(1..7));
                    world.advance(Duration::from_millis(random.random_range(0..longest)));
                }
            }
        }
        assert!(refused > 0, "nothing was ever refused with seed {seed}");
    }
}

#[tokio::test]
async fn a_state_that_is_none_of_ours_is_a_whole_budget() {
    let world = World::new(Backend::Redis).await;
    let limits = &world.stores.limits;
    let budget = Budget {
        attempts: 1,
        regain: seconds(600),
        lock: seconds(30),
        longest_lock: seconds(30),
        forget: seconds(7200),
    };
    let policy = GuardPolicy {
        account: budget,
        address: budget,
    };
    let (address, account) = (Entity::Address(1), Entity::UnknownName(1));
    let mut wire = redis_server().wire();
    let key = format!("{{{}:limits}}:a:00001", world.prefix());
    for spoil in [["SET", &key, "1 2 3"], ["SADD", &key, "1"]] {
        wire.ask(&["DEL", &key]);
        wire.ask(&spoil);
        let given = limits.give_back(address, account, &policy, Checked::NotChecked);
        given.await.unwrap();
        let first = limits.charge(address, account, &policy).await.unwrap();
        assert_eq!(first, Decision::Go, "{spoil:?}");
        let second = limits.charge(address, account, &policy).await.unwrap();
        assert!(matches!(second, Decision::AddressLimited { .. }));
        let given = limits.give_back(address, account, &policy, Checked::Right);
        given.await.unwrap();
    }
}

#[tokio::test]
async fn nothing_of_a_budget_is_left_when_it_was_forgotten() {
    let world = World::new(Backend::Redis).await;
    let limits = &world.stores.limits;
    let budget = Budget {
        attempts: 2,
        regain: seconds(60),
        lock: seconds(30),
        longest_lock: seconds(30),
        forget: seconds(7200),
    };
    let policy = GuardPolicy {
        account: budget,
        address: budget,
    };
    for n in 0..700 {
        let (address, account) = (Entity::Address(n), Entity::UnknownName(n));
        limits.charge(address, account, &policy).await.unwrap();
    }
    let mut wire = redis_server().wire();
    let keys = world.keys();
    assert_eq!(keys.len(), 1401);
    for key in keys.iter().filter(|it| !it.ends_with(":due")) {
        let Reply::Number(left) = wire.ask(&["PTTL", key]) else {
            panic!("no number")
        };
        assert!(left > 7_200_000, "{key} must outlive what it says");
    }
    world.advance(seconds(7200));
    assert_eq!(limits.prune(1300).await.unwrap(), 1300);
    assert_eq!(limits.prune(1300).await.unwrap(), 100);
    assert_eq!(world.keys(), Vec::<String>::new());
}
