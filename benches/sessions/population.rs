//! Our repository, as another program would open it, and how many sessions get into it.

use std::{
    future::Future,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use skriptoteket::{
    accounts::{Role, UserId},
    clock::SystemClock,
    config::{self, Environment},
    error::StoreError,
    sessions::{NewSession, SessionId, SessionKey, SessionState},
    store::{self, Stores},
};

/// Calls under way at the same time.
pub(crate) const IN_FLIGHT: usize = 64;

/// Longer than any session lives here.
const LIFETIME: Duration = Duration::from_hours(12);

/// What a common browser says it is.
const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

/// Sessions that were put into Redis by the repository, without a service.
pub(crate) struct Population {
    pub(crate) stores: Stores,
    /// Sessions that were started.
    pub(crate) size: u64,
}

impl Population {
    /// Opens the stores: accounts in `directory`, sessions in the Redis of this URL.
    pub(crate) async fn open(directory: &Path, redis_url: &str) -> anyhow::Result<Self> {
        Ok(Self {
            stores: open(directory, redis_url).await?,
            size: 0,
        })
    }

    /// Starts sessions until there are `size`, one per user; returns the seconds that took.
    pub(crate) async fn grow(&mut self, size: u64) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let sessions = &self.stores.sessions;
        in_flight(self.size..size, |n| async move {
            let session = session_of(UserId::generate(), n, LIFETIME);
            sessions.create(session, 10).await.map(drop)
        })
        .await?;
        self.size = size;
        Ok(begun.elapsed().as_secs_f64())
    }
}

/// Opens the stores of a service: its accounts in `directory`, its sessions in the Redis of this URL.
pub(crate) async fn open(directory: &Path, redis_url: &str) -> anyhow::Result<Stores> {
    let environment = Environment::default()
        .with("SKRIPTOTEKET_DATA_DIR", directory)
        .with("SKRIPTOTEKET_REDIS_URL", redis_url)
        .with("SKRIPTOTEKET_STORE_TIMEOUT", "30s");
    let config = config::load(None, &environment)?;
    let stores = store::open(&config.store(), Arc::new(SystemClock::default()), None).await;
    stores.context("the stores")
}

/// Does `call` for each item, [`IN_FLIGHT`] at a time.
pub(crate) async fn in_flight<T, R, F>(
    items: impl IntoIterator<Item = T>,
    call: impl Fn(T) -> F,
) -> Result<Vec<R>, StoreError>
where
    F: Future<Output = Result<R, StoreError>>,
{
    stream::iter(items)
        .map(call)
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await
}

/// A session that ends if nobody uses it for `idle`. Of a hundred users in turn, one is a superuser.
pub(crate) fn session_of(user: UserId, n: u64, idle: Duration) -> NewSession {
    NewSession {
        id: new_id(user),
        user_id: user,
        username: format!("user{n}")
            .parse()
            .unwrap_or_else(|_| unreachable!()),
        role: role_of(n),
        account_version: 1,
        idle,
        lifetime: LIFETIME + idle,
        user_agent: USER_AGENT.to_owned(),
        state: SessionState::new(),
    }
}

fn new_id(user: UserId) -> SessionId {
    SessionKey::generate(user).id()
}

/// 90 users, 7 contributors, 2 admins, 1 superuser, and so on.
pub(crate) const fn role_of(n: u64) -> Role {
    match n % 100 {
        0 => Role::Superuser,
        1..3 => Role::Admin,
        3..10 => Role::Contributor,
        _ => Role::User,
    }
}
