//! The service cache: services, signing keys and revocations in memory, with a bounded age.
//!
//! Every authentication reads the cache and not the store. The cache is at most [`FRESH`] old: a caller that finds it
//! older asks the store for its revision, one small read that all concurrent callers share, and reads what has changed.
//! If the store does not respond, the result is an error, never an outdated snapshot.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use tokio::sync::Mutex;

use super::{
    AuthFailure, AuthMetrics, LimitPolicy, Register, Revision, Service, ServiceId,
    ServiceRepository, SigningKeys, TokenId, TokenRepository, failure::SharedFailure,
};
use skriptoteket_core::{
    clock::{Clock, Timestamp},
    error::StoreError,
    wait_budget,
};

/// Maximum age of the cache: a disabled service or a revoked token is rejected on every replica within this plus one
/// read of the store.
pub const FRESH: Duration = Duration::from_millis(500);

/// Minimum time between two requests to the store by [`ServiceCache::snapshot_since`]. Invented keys and guessed secrets
/// cause such requests.
const PACE: Duration = Duration::from_millis(50);

/// The content of the cache at one moment. Immutable.
#[derive(Debug)]
pub struct Snapshot {
    revision: Revision,
    services: HashMap<ServiceId, Arc<Service>>,
    keys: SigningKeys,
    /// Increases when the keys change: signatures by the old keys have to be verified again.
    generation: u64,
    /// When the first of the keys expires. Expiry does not change the revision.
    keys_hold_until: Option<Timestamp>,
}

/// Revoked tokens that have not expired.
#[derive(Debug, Default)]
struct Revoked {
    /// The position of the last revocation read.
    sequence: i64,
    /// The revision at that time.
    as_of: Revision,
    tokens: HashMap<TokenId, Timestamp>,
}

impl Snapshot {
    /// Returns the service with this id, if it is registered.
    #[must_use]
    pub fn service(&self, id: &str) -> Option<&Arc<Service>> {
        self.services.get(id)
    }

    /// Returns the signing keys.
    #[must_use]
    pub const fn keys(&self) -> &SigningKeys {
        &self.keys
    }

    /// Identifies the set of keys: snapshots with the same number have the same keys.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    fn holds(&self, revision: Revision, now: Timestamp) -> bool {
        self.revision == revision && self.keys_hold_until.is_none_or(|until| now < until)
    }
}

/// Returns snapshots. Cheap to clone.
#[derive(Clone)]
pub struct ServiceCache(Arc<Inner>);

struct Inner {
    services: Arc<dyn ServiceRepository>,
    tokens: Arc<dyn TokenRepository>,
    metrics: AuthMetrics,
    clock: Arc<dyn Clock>,
    current: RwLock<Option<Answer>>,
    revoked: RwLock<Revoked>,
    /// Increases when this process has changed something: earlier responses are outdated then.
    changes: AtomicU64,
    /// The last request to the store that has begun.
    begun: RwLock<Begun>,
    /// Held while the store is asked.
    asking: Mutex<()>,
    /// The last failed request: when it failed, in monotonic time, and the error.
    failed: RwLock<Option<(Duration, SharedFailure)>>,
}

/// A snapshot, and when it was known to be current.
#[derive(Clone, Debug)]
struct Answer {
    snapshot: Arc<Snapshot>,
    /// The monotonic time at which the store was asked.
    asked_at: Duration,
    /// The number of the request to the store, counted from 1.
    number: u64,
    /// The number of changes by this process up to then.
    changes: u64,
}

/// A request to the store that has begun.
#[derive(Clone, Copy, Debug, Default)]
struct Begun {
    /// Its number, counted from 1; 0 if there was none.
    number: u64,
    /// The monotonic time at which it began.
    at: Duration,
}

/// When a caller arrived, relative to the requests to the store.
#[derive(Clone, Copy, Debug)]
pub struct Arrival(u64);

impl fmt::Debug for ServiceCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceCache")
    }
}

impl ServiceCache {
    /// Creates a cache of these repositories. The services that it reads are admitted to `metrics`.
    #[must_use]
    pub fn new(
        services: Arc<dyn ServiceRepository>,
        tokens: Arc<dyn TokenRepository>,
        metrics: AuthMetrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Inner {
            services,
            tokens,
            metrics,
            clock,
            current: RwLock::default(),
            revoked: RwLock::default(),
            changes: AtomicU64::default(),
            begun: RwLock::default(),
            asking: Mutex::default(),
            failed: RwLock::default(),
        }))
    }

    /// Returns the snapshot if it is recent enough not to ask the store. Does not wait.
    #[must_use]
    pub fn cached(&self) -> Option<Arc<Snapshot>> {
        self.0.young(FRESH).map(|answer| answer.snapshot)
    }

    /// Returns a snapshot that was current at most [`FRESH`] ago.
    ///
    /// # Errors
    ///
    /// [`AuthFailure::Store`] if the store does not respond; [`AuthFailure::Internal`] if a signing key cannot be read.
    pub async fn snapshot(&self) -> Result<Arc<Snapshot>, AuthFailure> {
        match self.cached() {
            Some(snapshot) => Ok(snapshot),
            None => self.0.ask(|inner| inner.young(FRESH)).await,
        }
    }

    /// Notes that a caller arrives now, for [`ServiceCache::snapshot_since`].
    #[must_use]
    pub fn arrival(&self) -> Arrival {
        self.0.arrival()
    }

    /// Returns a snapshot that the store was asked for after the arrival. It contains everything that was committed
    /// before. Used for data that may be new, for example an unknown key, and before a request is rejected because of
    /// what is registered.
    ///
    /// Concurrent callers share one request to the store. It begins at least 50 ms after the previous one, so that
    /// invented keys do not keep the store busy: the caller waits up to 50 ms plus the request.
    ///
    /// # Errors
    ///
    /// As for [`ServiceCache::snapshot`].
    pub async fn snapshot_since(&self, arrival: Arrival) -> Result<Arc<Snapshot>, AuthFailure> {
        if let Some(answer) = self.0.answer_since(arrival) {
            return Ok(answer.snapshot);
        }
        let pause = self.0.pause();
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        self.0.ask(|inner| inner.answer_since(arrival)).await
    }

    /// True if this token was revoked, as of the last snapshot.
    #[must_use]
    pub fn is_revoked(&self, token: &TokenId) -> bool {
        let revoked = self
            .0
            .revoked
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        revoked.tokens.contains_key(token)
    }

    /// Makes this process reject a token at once that it has just revoked.
    pub fn note_revoked(&self, token: TokenId, expires_at: Timestamp) {
        let mut revoked = self
            .0
            .revoked
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        revoked.tokens.insert(token, expires_at);
    }

    /// Makes a change by this process visible to it at once: the next snapshot is a new one.
    pub fn changed(&self) {
        self.0.changes.fetch_add(1, SeqCst);
    }
}

impl Inner {
    fn last(&self) -> Option<Answer> {
        let current = self.current.read();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn young(&self, limit: Duration) -> Option<Answer> {
        let changes = self.changes.load(SeqCst);
        let now = self.clock.monotonic();
        let young = |it: &Answer| it.changes == changes && now.saturating_sub(it.asked_at) < limit;
        self.last().filter(young)
    }

    fn answer_since(&self, arrival: Arrival) -> Option<Answer> {
        let changes = self.changes.load(SeqCst);
        let since = |it: &Answer| it.changes == changes && it.number > arrival.0;
        self.last().filter(since)
    }

    fn begun(&self) -> Begun {
        *self.begun.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrival(&self) -> Arrival {
        Arrival(self.begun().number)
    }

    /// Returns how long to wait before the store is asked again, also while a request is under way.
    fn pause(&self) -> Duration {
        let due = self.begun().at + PACE;
        due.saturating_sub(self.clock.monotonic())
    }

    /// Asks the store, unless another caller did so while this one waited for its turn, or the cached one is good
    /// `enough`.
    ///
    /// A response that was requested after this caller arrived is always good enough. So is a failure that it has
    /// waited for, even if that request began earlier: otherwise, during a store outage, all waiting callers would time
    /// out one after the other.
    async fn ask(
        &self,
        enough: impl Fn(&Self) -> Option<Answer> + Send + Sync,
    ) -> Result<Arc<Snapshot>, AuthFailure> {
        let arrival = self.arrival();
        let came_at = self.clock.monotonic();
        let _asking = self.asking.lock().await;
        let asked_at = self.clock.monotonic();
        // Waiting for another caller's request counts as waiting for the store.
        wait_budget::spend(asked_at.saturating_sub(came_at));
        if let Some(answer) = self.answer_since(arrival).or_else(|| enough(self)) {
            return Ok(answer.snapshot);
        }
        if let Some(failed) = self.failed_since(came_at) {
            return Err(failed.into());
        }
        // The number, the changes and the time are read before the request: what happens after it is not in the
        // response.
        let number = self.begun().number + 1;
        *self.begun.write().unwrap_or_else(PoisonError::into_inner) = Begun {
            number,
            at: asked_at,
        };
        let changes = self.changes.load(SeqCst);
        let result = self.question().await;
        if let Err(failure) = &result {
            let mut failed = self.failed.write().unwrap_or_else(PoisonError::into_inner);
            *failed = Some((self.clock.monotonic(), SharedFailure::of(failure)));
        }
        let snapshot = result?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Some(Answer {
            snapshot: Arc::clone(&snapshot),
            asked_at,
            number,
            changes,
        });
        Ok(snapshot)
    }

    fn failed_since(&self, came_at: Duration) -> Option<SharedFailure> {
        let failed = self.failed.read().unwrap_or_else(PoisonError::into_inner);
        let recent = failed.as_ref().filter(|(known_at, _)| *known_at > came_at);
        recent.map(|(_, failed)| failed.clone())
    }

    async fn question(&self) -> Result<Arc<Snapshot>, AuthFailure> {
        let revision = self.services.revision().await?;
        let before = self.last().map(|answer| answer.snapshot);
        if let Some(snapshot) = &before
            && snapshot.holds(revision, self.clock.now())
        {
            return Ok(Arc::clone(snapshot));
        }
        let snapshot = self.load(revision, before.as_deref()).await?;
        self.tell_metrics(before.as_deref(), &snapshot);
        Ok(Arc::new(snapshot))
    }

    /// Reads everything except the revocations that are known already. The revision was read first, so changes in the
    /// meantime are read again next time.
    async fn load(
        &self,
        revision: Revision,
        before: Option<&Snapshot>,
    ) -> Result<Snapshot, AuthFailure> {
        self.learn_revocations(revision).await?;
        let Register { services, .. } = self.services.all().await?;
        let keys = self.tokens.keys().await?;
        let keys_hold_until = keys.iter().filter_map(|key| key.expires_at).min();
        let keys = SigningKeys::read(&keys).map_err(|error| AuthFailure::Internal(error.into()))?;
        let generation = match before {
            Some(snapshot) if snapshot.keys.jwks() == keys.jwks() => snapshot.generation,
            Some(snapshot) => snapshot.generation + 1,
            None => 0,
        };
        let services = services.into_iter();
        Ok(Snapshot {
            revision,
            services: services.map(|it| (it.id.clone(), Arc::new(it))).collect(),
            keys,
            generation,
            keys_hold_until,
        })
    }

    /// Gives registered services their series, and withdraws the limit usage of deleted services.
    fn tell_metrics(&self, before: Option<&Snapshot>, now: &Snapshot) {
        for (id, service) in &now.services {
            self.metrics.admit(id.as_str());
            let LimitPolicy {
                burst, daily_quota, ..
            } = service.limits;
            self.metrics
                .set_rate_limits(id.as_str(), burst.into(), daily_quota);
        }
        let gone = before
            .into_iter()
            .flat_map(|snapshot| snapshot.services.keys());
        for id in gone.filter(|id| !now.services.contains_key(*id)) {
            self.metrics.withdraw_rate_limit_usage(id.as_str());
        }
    }

    async fn learn_revocations(&self, revision: Revision) -> Result<(), StoreError> {
        let (sequence, as_of) = {
            let revoked = self.revoked.read().unwrap_or_else(PoisonError::into_inner);
            (revoked.sequence, revoked.as_of)
        };
        // A lower revision means that the store file was replaced, and positions of revocations start anew.
        let after = if revision < as_of { 0 } else { sequence };
        let new = self.tokens.revocations(after).await?;
        let now = self.clock.now();
        let mut revoked = self.revoked.write().unwrap_or_else(PoisonError::into_inner);
        revoked.tokens.retain(|_, expires_at| *expires_at > now);
        revoked.sequence = new.iter().map(|it| it.sequence).fold(after, i64::max);
        revoked.as_of = revision;
        let new = new.iter().map(|it| (it.token, it.expires_at));
        revoked.tokens.extend(new);
        Ok(())
    }
}
