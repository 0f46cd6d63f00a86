//! The cache of session checks: what it may answer from memory and what it may not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use skriptoteket::{
    accounts::{Role, UserId},
    clock::Timestamp,
    error::StoreError,
    sessions::{
        Census, EndReason, Ended, NewSession, RoleUpdate, RoleUpdated, SessionFilter, SessionId,
        SessionRecord, SessionRepository, SessionState,
    },
    store::Cached,
};
use skriptoteket_testing::stores::{IDLE, LIFETIME, new_session};
use tokio::sync::Semaphore;

use crate::stores::world::{Backend, World};

/// A store whose replies to loads can be delayed: the data is then older than the moment when it arrives.
#[derive(Debug)]
struct Barrier {
    inner: Arc<dyn SessionRepository>,
    loads: AtomicUsize,
    /// Each permit releases one reply.
    open: Semaphore,
    /// Each permit stands for one reply that is waiting or released.
    arrived: Semaphore,
}

impl Barrier {
    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }

    fn open_for(&self, answers: usize) {
        self.open.add_permits(answers);
    }

    async fn next_arrival(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl SessionRepository for Barrier {
    async fn load(&self, id: &SessionId) -> Result<Option<SessionRecord>, StoreError> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let answer = self.inner.load(id).await;
        self.arrived.add_permits(1);
        self.open.acquire().await.unwrap().forget();
        answer
    }

    async fn create(
        &self,
        session: NewSession,
        max_per_user: u32,
    ) -> Result<(SessionRecord, Vec<Ended>), StoreError> {
        self.inner.create(session, max_per_user).await
    }

    async fn touch(
        &self,
        id: &SessionId,
        idle: Duration,
        step: Duration,
    ) -> Result<Option<SessionRecord>, StoreError> {
        self.inner.touch(id, idle, step).await
    }

    async fn update(&self, id: &SessionId, state: &SessionState) -> Result<bool, StoreError> {
        self.inner.update(id, state).await
    }

    async fn renew(
        &self,
        old: &SessionId,
        user: UserId,
        new: &SessionId,
    ) -> Result<Option<SessionRecord>, StoreError> {
        self.inner.renew(old, user, new).await
    }

    async fn end(&self, id: &SessionId, reason: EndReason) -> Result<Option<Ended>, StoreError> {
        self.inner.end(id, reason).await
    }

    async fn end_user(
        &self,
        user: UserId,
        reason: EndReason,
        keep: Option<&SessionId>,
    ) -> Result<Vec<Ended>, StoreError> {
        self.inner.end_user(user, reason, keep).await
    }

    async fn end_older(&self, user: UserId, version: i64) -> Result<Vec<Ended>, StoreError> {
        self.inner.end_older(user, version).await
    }

    async fn set_role(&self, user: UserId, update: RoleUpdate) -> Result<RoleUpdated, StoreError> {
        self.inner.set_role(user, update).await
    }

    async fn list_user(&self, user: UserId) -> Result<Vec<SessionRecord>, StoreError> {
        self.inner.list_user(user).await
    }

    async fn page(
        &self,
        filter: SessionFilter,
        after: Option<&SessionId>,
        limit: u32,
    ) -> Result<Vec<SessionRecord>, StoreError> {
        self.inner.page(filter, after, limit).await
    }

    async fn reap(&self, limit: u32) -> Result<Vec<Ended>, StoreError> {
        self.inner.reap(limit).await
    }

    async fn settle_clock(&self, idle: Duration) -> Result<u64, StoreError> {
        self.inner.settle_clock(idle).await
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        self.inner.now().await
    }

    async fn census(&self) -> Result<Census, StoreError> {
        self.inner.census().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.inner.ping().await
    }
}

/// Creates a cache in front of a barrier in front of a store.
async fn cached() -> (World, Arc<Barrier>, Arc<Cached>) {
    let world = World::new(Backend::Sqlite).await;
    let barrier = Arc::new(Barrier {
        inner: Arc::clone(&world.stores.sessions),
        loads: AtomicUsize::new(0),
        open: Semaphore::new(0),
        arrived: Semaphore::new(0),
    });
    let cached = Cached::new(barrier.clone(), world.clock.clone());
    (world, barrier, Arc::new(cached))
}

#[tokio::test]
async fn a_session_is_checked_from_memory_for_half_a_second() {
    let (world, barrier, cached) = cached().await;
    barrier.open_for(10);
    let session = world.start(UserId::generate(), Role::User).await;
    for _ in 0..5 {
        let loaded = cached.load(&session.id).await.unwrap();
        assert_eq!(loaded.as_ref(), Some(&session));
        world.advance(Duration::from_millis(124));
    }
    assert_eq!(barrier.loads(), 1);
    world.advance(Duration::from_millis(4));
    cached.load(&session.id).await.unwrap();
    assert_eq!(barrier.loads(), 2);
}

#[tokio::test]
async fn an_expiry_is_seen_at_once() {
    let (world, barrier, cached) = cached().await;
    barrier.open_for(10);
    let session = world.start(UserId::generate(), Role::User).await;
    world.advance(IDLE.saturating_sub(Duration::from_millis(1)));
    assert!(cached.load(&session.id).await.unwrap().is_some());
    world.advance(Duration::from_millis(1));
    assert_eq!(cached.load(&session.id).await.unwrap(), None);
}

#[tokio::test]
async fn that_there_is_no_such_session_is_not_remembered() {
    let (world, barrier, cached) = cached().await;
    barrier.open_for(10);
    let new = new_session(UserId::generate(), Role::User);
    assert_eq!(cached.load(&new.id).await.unwrap(), None);
    let (record, _) = world.stores.sessions.create(new, 1).await.unwrap();
    assert_eq!(cached.load(&record.id).await.unwrap(), Some(record));
}

#[tokio::test]
async fn every_write_through_it_is_seen_at_once() {
    let (world, barrier, cached) = cached().await;
    barrier.open_for(100);
    let user = UserId::generate();
    let (session, _) = cached
        .create(new_session(user, Role::User), 2)
        .await
        .unwrap();
    let current = || async { cached.load(&session.id).await.unwrap() };
    let filled = || async { assert_eq!(current().await, current().await) };

    filled().await;
    world.advance(Duration::from_millis(100));
    let touched = cached
        .touch(&session.id, LIFETIME, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(current().await, touched);
    assert_ne!(touched, Some(session.clone()));

    let state: SessionState = [("a".to_owned(), "b".to_owned())].into();
    assert!(cached.update(&session.id, &state).await.unwrap());
    assert_eq!(current().await.unwrap().state, state);

    assert_eq!(
        cached
            .set_role(user, RoleUpdate::new(Role::Admin, 1))
            .await
            .unwrap()
            .moved(),
        1
    );
    assert_eq!(current().await.unwrap().role, Role::Admin);

    cached
        .create(new_session(user, Role::Contributor), 2)
        .await
        .unwrap();
    assert_eq!(current().await.unwrap().role, Role::Contributor);

    cached
        .create(new_session(user, Role::Contributor), 2)
        .await
        .unwrap();
    assert_eq!(current().await, None);

    let (second, _) = cached
        .create(new_session(user, Role::User), 9)
        .await
        .unwrap();
    assert!(cached.load(&second.id).await.unwrap().is_some());
    cached.end(&second.id, EndReason::Logout).await.unwrap();
    assert_eq!(cached.load(&second.id).await.unwrap(), None);

    let (third, _) = cached
        .create(new_session(user, Role::User), 9)
        .await
        .unwrap();
    assert!(cached.load(&third.id).await.unwrap().is_some());
    cached
        .end_user(user, EndReason::Revoked, None)
        .await
        .unwrap();
    assert_eq!(cached.load(&third.id).await.unwrap(), None);
}

/// The change to a session while a load of it is in progress.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Ended,
    UserEnded,
    RoleSet,
    Updated,
    Touched,
    LoggedInAgain,
}

#[tokio::test]
async fn a_load_that_a_write_overtakes_is_not_remembered() {
    use Meanwhile::{Ended, LoggedInAgain, RoleSet, Touched, Updated, UserEnded};
    for meanwhile in [Ended, UserEnded, RoleSet, Updated, Touched, LoggedInAgain] {
        let (world, barrier, cached) = cached().await;
        let user = UserId::generate();
        let session = world.start(user, Role::User).await;
        let slow = tokio::spawn({
            let (cached, id) = (Arc::clone(&cached), session.id.clone());
            async move { cached.load(&id).await.unwrap() }
        });
        barrier.next_arrival().await;
        world.advance(Duration::from_millis(5));
        match meanwhile {
            Ended => drop(cached.end(&session.id, EndReason::Logout).await.unwrap()),
            UserEnded => drop(
                cached
                    .end_user(user, EndReason::Revoked, None)
                    .await
                    .unwrap(),
            ),
            RoleSet => drop(
                cached
                    .set_role(user, RoleUpdate::new(Role::Admin, 1))
                    .await
                    .unwrap(),
            ),
            Updated => {
                let state: SessionState = [("a".to_owned(), "b".to_owned())].into();
                assert!(cached.update(&session.id, &state).await.unwrap());
            }
            Touched => drop(
                cached
                    .touch(&session.id, IDLE, Duration::ZERO)
                    .await
                    .unwrap(),
            ),
            LoggedInAgain => drop(
                cached
                    .create(new_session(user, Role::Admin), 1)
                    .await
                    .unwrap(),
            ),
        }
        barrier.open_for(10);
        // The load read the session before the write, so it may still return the old state.
        assert_eq!(slow.await.unwrap().as_ref(), Some(&session));
        let now = world.stores.sessions.load(&session.id).await.unwrap();
        assert_ne!(now.as_ref(), Some(&session), "{meanwhile:?}");
        assert_eq!(
            cached.load(&session.id).await.unwrap(),
            now,
            "{meanwhile:?}"
        );
    }
}

#[tokio::test]
async fn a_write_that_was_given_up_is_forgotten_too() {
    let (world, barrier, cached) = cached().await;
    barrier.open_for(10);
    let session = world.start(UserId::generate(), Role::User).await;
    assert!(cached.load(&session.id).await.unwrap().is_some());
    let write = cached.end(&session.id, EndReason::Logout);
    // The write was dropped before it reached the store, but the cache cannot know that.
    drop(tokio::time::timeout(Duration::ZERO, write).await);
    cached.load(&session.id).await.unwrap();
    assert_eq!(barrier.loads(), 2);
}
