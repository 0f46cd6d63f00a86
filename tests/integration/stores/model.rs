//! Thousands of random operations on sessions. Each is compared with an in-memory model, followed by a census.

mod reference;

use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use skriptoteket::{
    accounts::{Role, UserId},
    sessions::{
        EndReason, Ended, NewSession, RoleUpdate, SessionFilter, SessionId, SessionRecord,
        SessionRepository, SessionState,
    },
};
use skriptoteket_testing::stores::new_session;

use self::reference::{MAX_PER_USER, Model};
use crate::stores::world::{World, seconds};

on_every_store!(
    three_thousand_random_operations_do_what_the_model_does,
    a_few_users_with_many_sessions_do_what_the_model_does,
);

async fn three_thousand_random_operations_do_what_the_model_does(world: World) {
    Run::new(world, 20_260_101, 12).operations(3_000).await;
}

async fn a_few_users_with_many_sessions_do_what_the_model_does(world: World) {
    Run::new(world, 7, 3).operations(1_500).await;
}

/// A random walk: the store and the model side by side.
struct Run {
    world: World,
    random: StdRng,
    seed: u64,
    users: Vec<UserId>,
    /// All IDs so far, so that ended sessions are looked up, too.
    ids: Vec<SessionId>,
    model: Model,
}

impl Run {
    fn new(world: World, seed: u64, users: usize) -> Self {
        Self {
            world,
            random: StdRng::seed_from_u64(seed),
            seed,
            users: (0..users).map(|_| UserId::generate()).collect(),
            ids: Vec::new(),
            model: Model::default(),
        }
    }

    async fn operations(&mut self, n: usize) {
        for step in 0..n {
            let operation = self.step().await;
            let now = self.world.now();
            let counted = self.world.stores.sessions.census().await.unwrap();
            let context = format!("{operation}, step {step}, seed {}", self.seed);
            assert_eq!(counted, self.model.census(now), "{context}");
            for role in 0..4 {
                let ended: u64 = counted.totals.ended[role].iter().sum();
                let there = counted.sessions[role] + counted.expired[role];
                assert_eq!(counted.totals.started[role], ended + there, "{context}");
            }
        }
        let ended: u64 = self.model.totals.ended.iter().flatten().sum();
        assert!(ended > 100, "the walk must end sessions to mean something");
        for reason in EndReason::ALL {
            let of_reason = self.model.totals.ended.iter().map(|it| it[reason.index()]);
            // No sessions are lost here; all other reasons occur.
            assert_eq!(
                of_reason.sum::<u64>() > 0,
                reason != EndReason::Lost,
                "{reason:?}"
            );
        }
    }

    fn user(&mut self) -> UserId {
        self.users[self.random.random_range(0..self.users.len())]
    }

    fn role(&mut self) -> Role {
        Role::ALL[self.random.random_range(0..4)]
    }

    /// Returns the ID of a live session mostly, sometimes of one that has ended.
    fn id(&mut self) -> SessionId {
        let known = self.model.sessions.len();
        if known > 0 && self.random.random_bool(0.8) {
            return self.model.sessions[self.random.random_range(0..known)]
                .id
                .clone();
        }
        if self.ids.is_empty() {
            let user = self.user();
            return new_session(user, Role::User).id;
        }
        self.ids[self.random.random_range(0..self.ids.len())].clone()
    }

    fn state(&mut self) -> SessionState {
        let n = self.random.next_u32();
        [("n".to_owned(), n.to_string())].into()
    }

    async fn step(&mut self) -> &'static str {
        let store = self.world.stores.sessions.clone();
        let store = store.as_ref();
        match self.random.random_range(0..100) {
            0..25 => self.create(store).await,
            25..40 => self.load(store).await,
            40..52 => self.touch(store).await,
            52..56 => self.update(store).await,
            56..58 => self.renew(store).await,
            58..64 => self.end(store).await,
            64..66 => self.end_user(store).await,
            66..72 => self.set_role(store).await,
            72..78 => self.list_user(store).await,
            78..84 => self.page(store).await,
            84..90 => self.reap(store).await,
            _ => {
                let by = self.random.random_range(0..200_000);
                self.world.advance(Duration::from_millis(by));
                "advance"
            }
        }
    }

    async fn create(&mut self, store: &dyn SessionRepository) -> &'static str {
        // No two sessions start in the same millisecond, so that the oldest session is unambiguous.
        self.world.advance(Duration::from_millis(1));
        let (user, role) = (self.user(), self.role());
        let new = NewSession {
            idle: seconds(self.random.random_range(1..1_800)),
            lifetime: seconds(self.random.random_range(1..3_600)),
            state: self.state(),
            ..new_session(user, role)
        };
        self.ids.push(new.id.clone());
        let created = store.create(new.clone(), MAX_PER_USER).await.unwrap();
        assert_eq!(created, self.model.create(new, self.world.now()));
        "create"
    }

    async fn load(&mut self, store: &dyn SessionRepository) -> &'static str {
        let id = self.id();
        let loaded = store.load(&id).await.unwrap();
        assert_eq!(
            loaded.as_ref(),
            self.model.live(&id, self.world.now()).as_deref()
        );
        "load"
    }

    async fn touch(&mut self, store: &dyn SessionRepository) -> &'static str {
        let id = self.id();
        let idle = seconds(self.random.random_range(1..1_800));
        let step = seconds(self.random.random_range(0..120));
        let now = self.world.now();
        let touched = store.touch(&id, idle, step).await.unwrap();
        let expected = self.model.live(&id, now).map(|session| {
            let to = now.plus(idle).min(session.ends_at);
            let is_worth_it = to.since(session.expires_at) >= step || to == session.ends_at;
            if to > session.expires_at && is_worth_it {
                session.expires_at = to;
                session.last_seen_at = now;
            }
            session.clone()
        });
        assert_eq!(touched, expected);
        "touch"
    }

    async fn update(&mut self, store: &dyn SessionRepository) -> &'static str {
        let (id, state) = (self.id(), self.state());
        let updated = store.update(&id, &state).await.unwrap();
        let session = self.model.live(&id, self.world.now());
        assert_eq!(updated, session.is_some());
        if let Some(session) = session {
            session.state = state;
        }
        "update"
    }

    async fn renew(&mut self, store: &dyn SessionRepository) -> &'static str {
        let (id, user) = (self.id(), self.user());
        let owner = self.model.live(&id, self.world.now());
        let user = owner.map_or(user, |it| it.user_id);
        let new = new_session(user, Role::User).id;
        self.ids.push(new.clone());
        let renewed = store.renew(&id, user, &new).await.unwrap();
        let expected = self.model.live(&id, self.world.now()).map(|session| {
            session.id = new;
            session.key_role = session.role;
            session.clone()
        });
        assert_eq!(renewed, expected);
        "renew"
    }

    async fn end(&mut self, store: &dyn SessionRepository) -> &'static str {
        let id = self.id();
        let ended = store.end(&id, EndReason::Logout).await.unwrap();
        let expected = self.model.end(&id, EndReason::Logout, self.world.now());
        assert_eq!(ended, expected);
        "end"
    }

    async fn end_user(&mut self, store: &dyn SessionRepository) -> &'static str {
        let (user, keep) = (self.user(), self.id());
        let keep = self.random.random_bool(0.7).then_some(keep);
        let now = self.world.now();
        let mut ended = store
            .end_user(user, EndReason::Revoked, keep.as_ref())
            .await
            .unwrap();
        let all = self.model.sessions.iter();
        let doomed: Vec<SessionId> = all
            .filter(|it| it.user_id == user && Some(&it.id) != keep.as_ref())
            .map(|it| it.id.clone())
            .collect();
        let mut expected: Vec<Ended> = doomed
            .iter()
            .filter_map(|id| self.model.end(id, EndReason::Revoked, now))
            .collect();
        ended.sort_by(|a, b| a.id.cmp(&b.id));
        expected.sort_by(|a, b| a.id.cmp(&b.id));
        assert_eq!(ended, expected);
        "end_user"
    }

    async fn set_role(&mut self, store: &dyn SessionRepository) -> &'static str {
        let (user, role) = (self.user(), self.role());
        let update = RoleUpdate::new(role, 1);
        let moved = store.set_role(user, update).await.unwrap().moved();
        assert_eq!(moved, self.model.set_role(user, role, self.world.now()));
        "set_role"
    }

    async fn list_user(&mut self, store: &dyn SessionRepository) -> &'static str {
        let user = self.user();
        let listed = store.list_user(user).await.unwrap();
        let mut expected: Vec<SessionRecord> = self
            .model
            .live_of(user, self.world.now())
            .cloned()
            .collect();
        expected.reverse();
        assert_eq!(listed, expected);
        "list_user"
    }

    async fn page(&mut self, store: &dyn SessionRepository) -> &'static str {
        let (user, role, after) = (self.user(), self.role(), self.id());
        let filter = SessionFilter {
            role: self.random.random_bool(0.5).then_some(role),
            user: self.random.random_bool(0.5).then_some(user),
        };
        let after = self.random.random_bool(0.5).then_some(after);
        let limit = self.random.random_range(1..8);
        let page = store.page(filter, after.as_ref(), limit).await.unwrap();
        let now = self.world.now();
        let mut expected: Vec<SessionRecord> = (self.model.sessions.iter())
            .filter(|it| it.expires_at > now)
            .filter(|it| filter.role.is_none_or(|role| it.role == role))
            .filter(|it| filter.user.is_none_or(|user| it.user_id == user))
            .filter(|it| after.as_ref().is_none_or(|after| it.id > *after))
            .cloned()
            .collect();
        expected.sort_by(|a, b| a.id.cmp(&b.id));
        expected.truncate(limit as usize);
        assert_eq!(page, expected);
        "page"
    }

    /// The store chooses which of the expired sessions it reaps first.
    async fn reap(&mut self, store: &dyn SessionRepository) -> &'static str {
        let limit = self.random.random_range(1..12);
        let now = self.world.now();
        let all = self.model.sessions.iter();
        let expired = all.filter(|it| it.expires_at <= now).count();
        let reaped = store.reap(limit).await.unwrap();
        assert_eq!(reaped.len(), expired.min(limit as usize));
        for end in reaped {
            let expected = self.model.end(&end.id, EndReason::Logout, now);
            assert_eq!(Some(end), expected);
        }
        "reap"
    }
}
