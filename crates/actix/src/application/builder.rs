//! The settings of an application, and its start.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use opentelemetry::metrics::MeterProvider;
use secrecy::{ExposeSecret, SecretString};
use skriptoteket_config::redis_settings;
use skriptoteket_core::clock::{Clock, SystemClock};
use skriptoteket_login::{
    accounts::{
        AccountRepository, Accounts, ApplicationAccounts,
        metrics::PasswordMetrics,
        password::{HashingPolicy, Passwords},
    },
    audit::AuditTrail,
    guard::{Entities, GuardPolicy},
    login::{LoginParts, LoginService, metrics::LoginMetrics},
};
use skriptoteket_redis::{RedisSettings, RedisStore, RedisStoreSettings, StoreClock};
use skriptoteket_sessions::{LedgerRepository, SessionMetrics, SessionPolicy, census::CensusPace};
use skriptoteket_store::{Decorated, StoreMetrics};

use super::{
    BuildError, SessionServices, SessionSettings, SessionStores, Skriptoteket,
    inputs::{KeySource, key, networks, public_url},
    instance_id::of_the_service,
    meters::{MeterSource, Meters},
    running::Parts,
};
use crate::{
    cookie::CookieSettings,
    metrics::HttpMetrics,
    middleware::RequestLayer,
    routes::LoginApi,
    trust_boundary::{Origin, TrustBoundary},
};

/// Threads of the runtime that telemetry, background tasks and unfinished logins run on.
const WORKERS: usize = 2;

/// The settings of an application with sessions. [`Skriptoteket::builder`] creates it.
///
/// Required: [`redis`](Builder::redis), [`accounts`](Builder::accounts) or
/// [`account_store`](Builder::account_store), [`cookie_key_file`](Builder::cookie_key_file) or
/// [`cookie_key`](Builder::cookie_key), and [`public_url`](Builder::public_url). The defaults of the others are those
/// of the server.
#[must_use = "nothing starts before Builder::start"]
pub struct Builder {
    redis: Option<String>,
    redis_key_prefix: Option<String>,
    accounts: Option<AccountSource>,
    cookie_key: Option<KeySource>,
    public_url: Option<String>,
    trusted_proxies: Vec<String>,
    sessions: SessionPolicy,
    guard: GuardPolicy,
    hashing: HashingPolicy,
    census_interval: Duration,
    store_timeout: Duration,
    pub(super) meters: MeterSource,
    #[cfg(feature = "tokens")]
    tokens_of: Option<(String, String)>,
}

enum AccountSource {
    Application(Arc<dyn Accounts>),
    Store(Arc<dyn AccountRepository>),
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Builder")
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            redis: None,
            redis_key_prefix: None,
            accounts: None,
            cookie_key: None,
            public_url: None,
            trusted_proxies: vec!["127.0.0.0/8".into(), "::1/128".into()],
            sessions: SessionPolicy::default(),
            guard: GuardPolicy::default(),
            hashing: HashingPolicy::default(),
            census_interval: Duration::from_secs(5),
            store_timeout: Duration::from_millis(500),
            meters: MeterSource::Nothing,
            #[cfg(feature = "tokens")]
            tokens_of: None,
        }
    }
}

impl Skriptoteket {
    /// Creates a builder with the defaults of the server.
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Sets the Redis (or Valkey) that keeps sessions and login throttling, as a URL: `redis://[USER:PASSWORD@]HOST[:PORT]`,
    /// `rediss://` for TLS, `redis+sentinel://…/MASTER`, `redis+cluster://HOST,…`.
    pub fn redis(mut self, url: impl Into<String>) -> Self {
        self.redis = Some(url.into());
        self
    }

    /// Sets the prefix of every key in Redis; the default is `skriptoteket`. Separate applications on one Redis must
    /// have different prefixes.
    pub fn redis_key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.redis_key_prefix = Some(prefix.into());
        self
    }

    /// Sets the accounts, which the application manages itself.
    pub fn accounts(mut self, accounts: impl Accounts + 'static) -> Self {
        self.accounts = Some(AccountSource::Application(Arc::new(accounts)));
        self
    }

    /// Sets a store of accounts that implements the whole contract, for example the server's.
    pub fn account_store(mut self, accounts: Arc<dyn AccountRepository>) -> Self {
        self.accounts = Some(AccountSource::Store(accounts));
        self
    }

    /// Reads the key that encrypts the session cookie from this file, which is created if it is missing. All replicas
    /// need the same key. The exported totals of sessions are kept beside it, in `PATH.session-totals`.
    pub fn cookie_key_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.cookie_key = Some(KeySource::File(path.into()));
        self
    }

    /// Sets the key that encrypts the session cookie: a random text of at least 32 bytes. The exported totals of sessions
    /// start again at every start.
    pub fn cookie_key(mut self, key: SecretString) -> Self {
        self.cookie_key = Some(KeySource::Key(key));
        self
    }

    /// Sets the origin under which browsers reach the application. Requests of other sites are rejected by it, and with
    /// `https` the cookie is `Secure`.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// Sets the proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are trusted, in CIDR form. The default is
    /// loopback.
    pub fn trusted_proxies<T: Into<String>>(
        mut self,
        networks: impl IntoIterator<Item = T>,
    ) -> Self {
        self.trusted_proxies = networks.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the lifetimes of sessions, and how many a user may have.
    pub const fn session_policy(mut self, policy: SessionPolicy) -> Self {
        self.sessions = policy;
        self
    }

    /// Sets the budgets of failed logins.
    pub const fn guard_policy(mut self, policy: GuardPolicy) -> Self {
        self.guard = policy;
        self
    }

    /// Sets the cost of password hashes.
    pub const fn hashing(mut self, policy: HashingPolicy) -> Self {
        self.hashing = policy;
        self
    }

    /// Sets how often sessions are counted; the default is 5 s.
    pub const fn census_interval(mut self, interval: Duration) -> Self {
        self.census_interval = interval;
        self
    }

    /// Sets the timeout of a store operation; the default is 500 ms.
    pub const fn store_timeout(mut self, timeout: Duration) -> Self {
        self.store_timeout = timeout;
        self
    }

    /// Records metrics with the application's own provider. It is also the application that exports them.
    ///
    /// A provider with several readers shows a gauge to all of them if one reads it: use one reader, or
    /// `telemetry_from_env`.
    pub fn meter_provider(mut self, provider: &dyn MeterProvider) -> Self {
        self.meters = MeterSource::Application(provider.meter("skriptoteket"));
        self
    }

    /// Exports metrics according to the standard `OTEL_…` variables, and shows the metrics page.
    #[cfg(feature = "telemetry")]
    pub fn telemetry_from_env(mut self) -> Self {
        self.meters = MeterSource::Environment;
        self
    }

    /// Exports metrics according to these settings, and shows the metrics page.
    #[cfg(feature = "telemetry")]
    pub fn telemetry(mut self, settings: skriptoteket_telemetry::OtelSettings) -> Self {
        self.meters = MeterSource::Settings(Box::new(settings));
        self
    }

    /// Accepts access tokens of the Skriptoteket at `issuer` for `audience`, verified by its public keys. Handlers take
    /// [`ServiceIdentity`](crate::ServiceIdentity).
    #[cfg(feature = "tokens")]
    pub fn tokens_of(mut self, issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        self.tokens_of = Some((issuer.into(), audience.into()));
        self
    }

    /// Connects to Redis, counts the sessions once and starts the background tasks. Takes the time of one password
    /// hash, and some seconds if Redis or the Collector does not respond.
    ///
    /// # Errors
    ///
    /// [`BuildError`] says what is wrong: with a value, or with a Redis that responds and does not meet the requirements.
    /// A Redis that does not respond is no error: until it does, requests get 503.
    pub async fn start(self) -> Result<Skriptoteket, BuildError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("skriptoteket")
            .enable_all()
            .build()
            .map_err(BuildError::Runtime)?;
        let started = runtime.spawn(self.start_on_own_runtime());
        match started.await {
            Ok(Ok(parts)) => Ok(Skriptoteket::new(parts, runtime)),
            Ok(Err(error)) => {
                runtime.shutdown_background();
                Err(error)
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(BuildError::Runtime(std::io::Error::other(error)))
            }
        }
    }

    async fn start_on_own_runtime(self) -> Result<Parts, BuildError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let public_url = public_url(self.public_url.as_deref())?;
        let trusted_proxies = networks(&self.trusted_proxies)?;
        let redis = self.redis_settings()?;
        let accounts: Arc<dyn AccountRepository> = match self.accounts {
            Some(AccountSource::Application(accounts)) => {
                Arc::new(ApplicationAccounts::new(accounts, Arc::clone(&clock)))
            }
            Some(AccountSource::Store(accounts)) => accounts,
            None => return Err(BuildError::Missing("accounts")),
        };
        let (key, ledger) = key(self.cookie_key, &redis, self.store_timeout)?;
        let instance = of_the_service(&key, Some(&redis.key_prefix));
        let meters = Meters::new(self.meters, instance)?;
        let store = RedisStore::open(
            &RedisStoreSettings {
                redis,
                timeout: self.store_timeout,
                clock: StoreClock::Server,
            },
            None,
        )
        .await?;
        let metrics = StoreMetrics::new(&meters.meter, Arc::clone(&clock));
        let stores = stores(accounts, &store, ledger, &metrics, &clock);
        let settings = SessionSettings {
            policy: self.sessions,
            pace: CensusPace {
                interval: self.census_interval,
                timeout: self.store_timeout,
            },
            instance,
        };
        let sessions = SessionServices::new(
            &stores,
            &settings,
            &meters.sessions,
            SessionMetrics::new(&meters.meter),
            &clock,
        );
        let passwords = Passwords::new(&self.hashing, PasswordMetrics::new(&meters.meter))?;
        let login = LoginService::new(LoginParts {
            accounts: Arc::clone(&stores.accounts),
            limits: Arc::new(Decorated::new(
                Arc::new(store.limits()),
                Arc::clone(&clock),
                Some(metrics),
            )),
            policy: self.guard,
            entities: Entities::keyed(key.expose_secret().as_bytes()),
            passwords,
            sessions: sessions.sessions.clone(),
            lifecycle: sessions.lifecycle.clone(),
            audit: AuditTrail::off(),
            metrics: LoginMetrics::new(&meters.meter, Arc::clone(&clock)),
            clock: Arc::clone(&clock),
            runtime: tokio::runtime::Handle::current(),
        });
        let cookie = CookieSettings::new(&key, &public_url);
        let http = HttpMetrics::new(&meters.meter, &meters.sessions.own, Arc::clone(&clock));
        let boundary = TrustBoundary::new(Origin::from(&public_url), trusted_proxies.into());
        let requests = RequestLayer::new(http, boundary, self.store_timeout)
            .with_session_cookie(cookie.clone())
            .around_pages();
        #[cfg(feature = "traces")]
        let requests = requests.traced(meters.traces(&clock));
        #[cfg(feature = "tokens")]
        let bearer = match self.tokens_of {
            Some((issuer, audience)) => Some(bearer(&issuer, &audience, &meters, &clock)?),
            None => None,
        };
        // Counted before the first request, so that the first scrape shows current values. If Redis does not respond,
        // the gauges are absent until it does.
        let _ = sessions.census.take().await;
        #[cfg(feature = "telemetry")]
        meters.first_export().await;
        let tasks = sessions.start();
        Ok(Parts {
            api: LoginApi {
                login,
                sessions: sessions.sessions.clone(),
                cookie,
            },
            stores,
            sessions,
            requests,
            #[cfg(feature = "telemetry")]
            meters,
            store,
            tasks,
            timeout: self.store_timeout,
            #[cfg(feature = "tokens")]
            bearer,
        })
    }

    fn redis_settings(&self) -> Result<RedisSettings, BuildError> {
        let url = self.redis.as_deref().ok_or(BuildError::Missing("redis"))?;
        let mut settings =
            redis_settings(url).map_err(|problem| BuildError::RedisUrl(problem.to_string()))?;
        if let Some(prefix) = &self.redis_key_prefix {
            settings.key_prefix.clone_from(prefix);
        }
        Ok(settings)
    }
}

/// Returns the stores with the application's accounts, metrics and the wait budget around each call.
fn stores(
    accounts: Arc<dyn AccountRepository>,
    store: &RedisStore,
    ledger: Arc<dyn LedgerRepository>,
    metrics: &StoreMetrics,
    clock: &Arc<dyn Clock>,
) -> SessionStores {
    SessionStores {
        accounts: Arc::new(Decorated::new(
            accounts,
            Arc::clone(clock),
            Some(metrics.clone()),
        )),
        sessions: Arc::new(Decorated::new(
            Arc::new(store.sessions()),
            Arc::clone(clock),
            Some(metrics.clone()),
        )),
        ledger,
        observer: Arc::new(store.observer()),
    }
}

#[cfg(feature = "tokens")]
fn bearer(
    issuer: &str,
    audience: &str,
    meters: &Meters,
    clock: &Arc<dyn Clock>,
) -> Result<skriptoteket_services::BearerAuthenticator, BuildError> {
    use skriptoteket_resource_server::ResourceServer;
    use skriptoteket_services::{AuthMetrics, BearerAuthenticator};

    let metrics = AuthMetrics::new(&meters.meter, &meters.sessions.own, Arc::clone(clock));
    let server = ResourceServer::of(issuer, metrics.clone()).audience(audience);
    let verifier = server.clock(Arc::clone(clock)).verify_locally()?;
    Ok(BearerAuthenticator::new(Arc::new(verifier), metrics))
}
