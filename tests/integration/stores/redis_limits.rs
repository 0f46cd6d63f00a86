//! Budgets in Redis are charged by a script. Its decisions must equal those of the arithmetic in `guard` for all inputs.

use std::{collections::HashMap, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use skriptoteket::guard::{
    AttemptId, Budget, Charge, Checked, Decision, Entity, Hold, LimitState, Reserved, reserve,
    settle,
};
use skriptoteket_testing::redis::Reply;

use crate::stores::world::{Backend, World, redis_server, seconds};

const HORIZON: Duration = seconds(100_000);

/// The arithmetic on an in-memory map.
#[derive(Default)]
struct Model(HashMap<Entity, LimitState>, HashMap<AttemptId, Hold>);

impl Model {
    fn reserve(&mut self, attempt: AttemptId, world: &World, charges: &[Charge]) -> Decision {
        let state = |it: &Charge| self.0.get(&it.entity).copied().unwrap_or_default();
        let mut states: Vec<_> = charges.iter().map(state).collect();
        let budgets: Vec<_> = charges.iter().map(|it| it.budget).collect();
        let (decision, changed) = match reserve(&mut states, &budgets, world.now()) {
            Reserved::Go(hold) => {
                self.1.insert(attempt, hold);
                (Decision::Go, charges.len())
            }
            Reserved::Busy(at) => (Decision::Busy(charges[at].entity), 0),
            Reserved::Locked(at, retry_after) => {
                let entity = charges[at].entity;
                let locked = Decision::Locked {
                    entity,
                    retry_after,
                };
                (locked, at + 1)
            }
        };
        for (charge, state) in charges.iter().zip(states).take(changed) {
            self.0.insert(charge.entity, state);
        }
        decision
    }

    fn settle(&mut self, world: &World, attempt: AttemptId, charges: &[Charge], checked: Checked) {
        let Some(hold) = self.1.remove(&attempt) else {
            return;
        };
        for Charge { entity, budget } in charges {
            if let Some(state) = self.0.get_mut(entity) {
                let person = entity.is_person();
                *state = settle(*state, world.now(), budget, hold, checked, person);
                if state.is_empty() {
                    self.0.remove(entity);
                }
            }
        }
    }

    fn clear(&mut self, entity: Entity) -> bool {
        let Some(state) = self.0.get_mut(&entity) else {
            return false;
        };
        let before = *state;
        *state = state.cleared(state.as_of);
        let had_any = before != *state;
        if state.is_empty() {
            self.0.remove(&entity);
        }
        had_any
    }
}

fn charges(address: Entity, account: Entity, budgets: [Budget; 2]) -> [Charge; 2] {
    let [of_address, of_account] = budgets;
    [(address, of_address), (account, of_account)].map(|(entity, budget)| Charge { entity, budget })
}

fn budget(random: &mut StdRng) -> Budget {
    let mut millis = |from, to| Duration::from_millis(random.random_range(from..to));
    let (refill, lock) = (millis(0, 90_000), millis(1, 60_000));
    let (longest, forget) = (millis(1, 600_000), millis(1, 900_000));
    Budget {
        attempts: random.random_range(1..6),
        refill,
        lock,
        longest_lock: lock.max(longest),
        forget,
    }
}

#[tokio::test]
async fn every_decision_is_that_of_the_guards_arithmetic() {
    for seed in 0..16 {
        let world = World::new(Backend::Redis).await;
        let limits = &world.stores.limits;
        let mut random = StdRng::seed_from_u64(seed);
        let budgets = [budget(&mut random), budget(&mut random)];
        let mut model = Model::default();
        let mut holds = Vec::new();
        let (mut locked, mut busy) = (0, 0);
        for step in 0..400 {
            let address = Entity::Address(random.random_range(0..3));
            let account = Entity::UnknownName(random.random_range(0..3));
            match random.random_range(0..12) {
                0..5 => {
                    let charges = charges(address, account, budgets);
                    let attempt = AttemptId::generate();
                    let decision = limits.reserve(attempt, &charges).await.unwrap();
                    let expected = model.reserve(attempt, &world, &charges);
                    assert_eq!(decision, expected, "step {step}, seed {seed}, {budgets:?}");
                    match decision {
                        Decision::Go => holds.push((attempt, charges)),
                        Decision::Busy(_) => busy += 1,
                        Decision::Locked { .. } => locked += 1,
                    }
                }
                5..9 => {
                    if holds.is_empty() {
                        continue;
                    }
                    // Some are never settled, some late, and some twice.
                    let at = random.random_range(0..holds.len());
                    let (attempt, charges) = if random.random_range(0..4) == 0 {
                        holds[at]
                    } else {
                        holds.swap_remove(at)
                    };
                    let checked = [
                        Checked::Right,
                        Checked::Wrong,
                        Checked::Wrong,
                        Checked::NotChecked,
                    ][random.random_range(0..4)];
                    limits.settle(attempt, &charges, checked).await.unwrap();
                    model.settle(&world, attempt, &charges, checked);
                }
                9 => {
                    let cleared = limits.clear(account).await.unwrap();
                    let expected = model.clear(account);
                    assert_eq!(cleared, expected, "step {step}, seed {seed}, {budgets:?}");
                }
                _ => {
                    let longest = 10_u64.pow(random.random_range(1..6));
                    world.advance(Duration::from_millis(random.random_range(0..longest)));
                }
            }
        }
        assert!(locked > 0, "nothing was ever locked with seed {seed}");
        assert!(busy > 0, "no attempt ever waited with seed {seed}");
    }
}

const fn fixed(attempts: u32) -> Budget {
    Budget {
        attempts,
        refill: seconds(60),
        lock: seconds(30),
        longest_lock: seconds(30),
        forget: seconds(7200),
    }
}

#[tokio::test]
async fn a_state_that_is_none_of_ours_is_a_whole_budget() {
    let world = World::new(Backend::Redis).await;
    let limits = &world.stores.limits;
    let charges = charges(Entity::Address(1), Entity::UnknownName(1), [fixed(1); 2]);
    let mut wire = redis_server().wire();
    let key = format!("{{{}:limits}}:a:00001", world.prefix());
    for spoil in [
        ["SET", &key, "1 2 3"],
        ["SET", &key, "9 2 3 4 5 6"],
        ["SADD", &key, "1"],
    ] {
        wire.ask(&["DEL", &key]);
        wire.ask(&spoil);
        let [first, second] = [(); 2].map(|()| AttemptId::generate());
        let decision = limits.reserve(first, &charges).await.unwrap();
        assert_eq!(decision, Decision::Go, "{spoil:?}");
        let decision = limits.reserve(second, &charges).await.unwrap();
        assert_eq!(decision, Decision::Busy(Entity::Address(1)));
        wire.ask(&["DEL", &key]);
        wire.ask(&spoil);
        let settled = limits.settle(first, &charges, Checked::Right);
        settled.await.unwrap();
    }
}

/// State written by an earlier release.
#[tokio::test]
async fn a_state_without_attempts_in_flight_is_read() {
    let world = World::new(Backend::Redis).await;
    let charges = charges(Entity::Address(1), Entity::UnknownName(1), [fixed(3); 2]);
    let now = world.now().as_millis();
    let key = format!("{{{}:limits}}:a:00001", world.prefix());
    let text = format!("3 {now} {} 1", now + 20_000);
    redis_server().wire().ask(&["SET", &key, &text]);
    let attempt = AttemptId::generate();
    let decision = world.stores.limits.reserve(attempt, &charges).await;
    let decision = decision.unwrap();
    let locked = Decision::Locked {
        entity: Entity::Address(1),
        retry_after: seconds(20),
    };
    assert_eq!(decision, locked);
}

#[tokio::test]
async fn attempts_that_cost_nothing_leave_no_key() {
    let world = World::new(Backend::Redis).await;
    let limits = &world.stores.limits;
    for n in 0..100 {
        let charges = charges(Entity::Address(n), Entity::UnknownName(n), [fixed(10); 2]);
        let attempt = AttemptId::generate();
        let decision = limits.reserve(attempt, &charges).await.unwrap();
        assert_eq!(decision, Decision::Go);
        let checked = if n % 2 == 0 {
            Checked::NotChecked
        } else {
            Checked::Right
        };
        limits.settle(attempt, &charges, checked).await.unwrap();
    }
    assert_eq!(world.keys(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_of_a_budget_is_left_when_it_was_forgotten() {
    let world = World::new(Backend::Redis).await;
    let limits = &world.stores.limits;
    for n in 0..700 {
        let charges = charges(Entity::Address(n), Entity::UnknownName(n), [fixed(2); 2]);
        let attempt = AttemptId::generate();
        let decision = limits.reserve(attempt, &charges).await.unwrap();
        assert_eq!(decision, Decision::Go);
        let settled = limits.settle(attempt, &charges, Checked::Wrong);
        settled.await.unwrap();
    }
    let mut wire = redis_server().wire();
    let keys = world.keys();
    assert_eq!(keys.len(), 1401);
    for key in keys.iter().filter(|it| !it.ends_with(":due")) {
        let Reply::Number(left) = wire.ask(&["PTTL", key]) else {
            panic!("not a number")
        };
        assert!(
            left > 60_000,
            "{key} must not expire before its content does"
        );
    }
    world.advance(seconds(60));
    assert_eq!(limits.prune(1300, HORIZON).await.unwrap(), 1300);
    assert_eq!(limits.prune(1300, HORIZON).await.unwrap(), 100);
    assert_eq!(world.keys(), Vec::<String>::new());
}
