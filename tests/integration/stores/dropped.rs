//! Callers that disconnect: when the future of an operation is dropped, the operation has happened completely or not at all.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use skriptoteket::{
    accounts::{AccountChange, Role, UserId},
    guard::{AttemptId, Budget, Charge, Decision, Entity},
    sessions::{EndReason, RoleUpdate},
};
use skriptoteket_testing::stores::new_session;

use crate::stores::world::{World, seconds};

on_every_store!(
    a_login_given_up_leaves_the_old_session_or_the_new_one,
    a_logout_given_up_leaves_the_session_or_counts_its_end,
    a_role_change_given_up_moves_all_sessions_or_none,
    a_charge_given_up_was_taken_from_both_or_from_neither,
    a_change_given_up_is_marked_if_it_was_made,
);

/// Polls `future` at most `polls` times, then drops it.
pub(crate) async fn give_up_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// More polls than any operation needs.
pub(crate) const ENOUGH: usize = 60;

/// Returns when all operations that were queued before have finished or were rolled back; writers are queued.
pub(crate) async fn settled(world: &World) {
    let nobody = UserId::generate();
    world
        .stores
        .sessions
        .set_role(nobody, RoleUpdate::new(Role::User, 1))
        .await
        .unwrap();
}

async fn a_login_given_up_leaves_the_old_session_or_the_new_one(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    let mut last = world.start(user, Role::User).await.id;
    let (mut given_up, mut made) = (0, 0);
    for polls in (0..ENOUGH).cycle().take(3 * ENOUGH) {
        let new = new_session(user, Role::ALL[polls % 4]);
        let id = new.id.clone();
        let before = sessions.census().await.unwrap();
        let finished = give_up_after(polls, sessions.create(new, 1))
            .await
            .is_some();
        settled(&world).await;
        let left = sessions.list_user(user).await.unwrap();
        assert_eq!(left.len(), 1, "after {polls} polls");
        assert!([&last, &id].contains(&&left[0].id));
        assert!(!finished || left[0].id == id);
        let after = sessions.census().await.unwrap();
        assert_eq!(after.sessions.iter().sum::<u64>(), 1);
        assert_eq!(after.users, after.sessions);
        assert_eq!(left[0].id == last, after == before);
        for role in 0..4 {
            let ended: u64 = after.totals.ended[role].iter().sum();
            assert_eq!(after.totals.started[role], ended + after.sessions[role]);
        }
        given_up += usize::from(!finished);
        made += usize::from(left[0].id == id);
        last = left[0].id.clone();
    }
    assert!(given_up > 3 && made > 3, "{given_up} given up, {made} made");
}

async fn a_logout_given_up_leaves_the_session_or_counts_its_end(world: World) {
    let sessions = &world.stores.sessions;
    for polls in 0..ENOUGH {
        let session = world.start(UserId::generate(), Role::Admin).await;
        let before = sessions.census().await.unwrap();
        let logout = sessions.end(&session.id, EndReason::Logout);
        let finished = give_up_after(polls, logout).await.is_some();
        settled(&world).await;
        let after = sessions.census().await.unwrap();
        let at = Role::Admin.index();
        let ends = after.totals.ended[at][0] - before.totals.ended[at][0];
        assert_eq!(before.sessions[at] - after.sessions[at], ends);
        let loaded = sessions.load(&session.id).await.unwrap();
        assert_eq!(loaded.is_none(), ends == 1, "after {polls} polls");
        assert!(!finished || ends == 1);
    }
}

async fn a_role_change_given_up_moves_all_sessions_or_none(world: World) {
    let sessions = &world.stores.sessions;
    let user = UserId::generate();
    for _ in 0..5 {
        world.start(user, Role::User).await;
    }
    for polls in 0..ENOUGH {
        let role = Role::ALL[polls % 4];
        let finished = give_up_after(polls, sessions.set_role(user, RoleUpdate::new(role, 1)))
            .await
            .is_some();
        settled(&world).await;
        let counted = sessions.census().await.unwrap();
        assert_eq!(counted.sessions.iter().filter(|n| **n == 5).count(), 1);
        assert_eq!(counted.sessions.map(|n| n / 5), counted.users);
        assert!(!finished || counted.sessions[role.index()] == 5);
        let left = sessions.list_user(user).await.unwrap();
        assert!(left.iter().all(|it| counted.sessions[it.role.index()] == 5));
    }
}

async fn a_charge_given_up_was_taken_from_both_or_from_neither(world: World) {
    let limits = &world.stores.limits;
    let budget = Budget {
        attempts: 2,
        refill: seconds(600),
        lock: seconds(30),
        longest_lock: seconds(30),
        forget: seconds(7200),
    };
    let of = |address, account| {
        [Entity::Address(address), Entity::UnknownName(account)]
            .map(|entity| Charge { entity, budget })
    };
    let passes = async |charges: &[Charge]| {
        let decision = limits.reserve(AttemptId::generate(), charges).await;
        decision.unwrap() == Decision::Go
    };
    for n in 0..ENOUGH {
        let bucket = u32::try_from(n).unwrap();
        let attempt = AttemptId::generate();
        give_up_after(n, limits.reserve(attempt, &of(bucket, bucket))).await;
        settled(&world).await;
        // What each budget has left, tested together with a new address or account.
        let mut of_address = 0;
        while passes(&of(bucket, 1000 + bucket)).await {
            of_address += 1;
        }
        let mut of_account = 0;
        while passes(&of(1000 + bucket, bucket)).await {
            of_account += 1;
        }
        assert_eq!(of_address, of_account, "after {n} polls");
    }
}

async fn a_change_given_up_is_marked_if_it_was_made(world: World) {
    let accounts = &world.stores.accounts;
    for polls in 0..ENOUGH {
        let user = world.add(&format!("user{polls}"), Role::User).await;
        let promotion = AccountChange {
            role: Some(Role::Admin),
            ..AccountChange::default()
        };
        let finished = give_up_after(polls, accounts.change(user.id, promotion))
            .await
            .is_some();
        settled(&world).await;
        let now = accounts.find(user.id).await.unwrap().unwrap().user;
        let made = now.role == Role::Admin;
        let version = user.version + i64::from(made);
        assert_eq!(now.version, version, "after {polls} polls");
        assert!(made || !finished);
        let marked = accounts.unsettled(100).await.unwrap();
        assert_eq!(marked.iter().any(|it| it.id == user.id), made);
    }
}
