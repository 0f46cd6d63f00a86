//! The service's repository, opened as another program would open it, and filled with sessions.

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

/// Calls in progress at the same time.
pub(crate) const IN_FLIGHT: usize = 64;

/// Longer than the life of any session here.
const LIFETIME: Duration = Duration::from_hours(12);

/// The user agent of a common browser.
const USER_AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

/// Sessions that were put into Redis by the repository, without a service.
pub(crate) struct Population {
    pub(crate) stores: Stores,
    /// Number of sessions that were started.
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

    /// Starts sessions until there are `size`, one per user. Returns the seconds that this took.
    pub(crate) async fn grow(&mut self, size: u64) -> anyhow::Result<f64> {
        let started_at = Instant::now();
        let sessions = &self.stores.sessions;
        in_flight(self.size..size, |n| async move {
            let session = session_of(UserId::generate(), n, LIFETIME);
            sessions.create(session, 10).await.map(drop)
        })
        .await?;
        self.size = size;
        Ok(started_at.elapsed().as_secs_f64())
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

/// Makes `call` for each item, [`IN_FLIGHT`] at a time.
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

/// Returns a session that ends after `idle` without use. One user in a hundred is a superuser.
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
        network: None,
        state: SessionState::new(),
    }
}

fn new_id(user: UserId) -> SessionId {
    SessionKey::generate(user).id()
}

/// Returns the role of user `n`: of a hundred, 90 users, 7 contributors, 2 admins, 1 superuser.
pub(crate) const fn role_of(n: u64) -> Role {
    match n % 100 {
        0 => Role::Superuser,
        1..3 => Role::Admin,
        3..10 => Role::Contributor,
        _ => Role::User,
    }
}
