//! The start of an application: checks the settings, connects, and wires the parts.

use std::{io, sync::Arc, time::Duration};

use secrecy::ExposeSecret;
use skriptoteket_config::{
    forms::{Form, Span},
    redis_settings,
    redis_url::KeyPrefix,
};
use skriptoteket_core::clock::{Clock, SystemClock};
use skriptoteket_login::{
    accounts::{
        AccountRepository, ApplicationAccounts, metrics::PasswordMetrics, password::Passwords,
    },
    audit::AuditTrail,
    guard::{Entities, LoginThrottleRepository},
    login::{LoginParts, LoginService, metrics::LoginMetrics},
};
use skriptoteket_redis::{RedisSettings, RedisStore, RedisStoreSettings, StoreClock};
use skriptoteket_sessions::{LedgerRepository, SessionMetrics, census::CensusPace};
use skriptoteket_store::{Decorated, StoreMetrics};
use uuid::Uuid;

use super::{
    BuildError, Builder, SessionServices, SessionSettings, SessionStores, Skriptoteket,
    builder::{AccountSource, RedisSource},
    housekeeping::Housekeeping,
    inputs::{key, networks, public_url},
    instance_id::of_the_service,
    meters::Meters,
    own_runtime::OwnRuntime,
    running::Parts,
};
use crate::{
    cookie::CookieSettings,
    metrics::HttpMetrics,
    middleware::RequestLayer,
    readiness::Readiness,
    routes::LoginApi,
    trust_boundary::{Origin, TrustBoundary},
};

/// The limits of the server's settings.
const CENSUS_INTERVAL: Span = Span {
    least: Duration::from_millis(100),
    most: Duration::from_hours(1),
};
const STORE_TIMEOUT: Span = Span {
    least: Duration::from_millis(10),
    most: Duration::from_secs(30),
};
const LIFETIME: Span = Span {
    least: Duration::from_secs(1),
    most: Duration::from_hours(24 * 400),
};

impl Builder {
    /// Connects to Redis, counts the sessions once and starts the background tasks. Takes the time of one password
    /// hash, and some seconds if Redis or the Collector does not respond.
    ///
    /// # Errors
    ///
    /// [`BuildError`] says what is wrong: with a value, or with a Redis that responds and does not meet the requirements.
    /// A Redis that does not respond is no error: until it does, requests get 503.
    pub async fn start(self) -> Result<Skriptoteket, BuildError> {
        let runtime = OwnRuntime::start()?;
        let started = runtime.handle().spawn(self.start_on_own_runtime()).await;
        let parts = started.map_err(|error| BuildError::Runtime(io::Error::other(error)))??;
        Ok(Skriptoteket::new(parts, runtime))
    }

    async fn start_on_own_runtime(mut self) -> Result<Parts, BuildError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        self.check()?;
        let public_url = public_url(self.public_url.as_deref())?;
        let trusted_proxies = networks(&self.trusted_proxies)?;
        let redis = self.checked_redis()?;
        let accounts = accounts(self.accounts.take(), &clock)?;
        let (key, ledger) = key(self.cookie_key.take(), &redis, self.store_timeout)?;
        let instance = of_the_service(&key, Some(&redis.key_prefix));
        let settings = self.session_settings(instance);
        let store = RedisStore::open(
            &RedisStoreSettings {
                redis,
                timeout: self.store_timeout,
                clock: StoreClock::Server,
            },
            None,
        )
        .await?;
        let meters = Meters::new(self.meters, instance)?;
        let metrics = StoreMetrics::new(&meters.meter, Arc::clone(&clock));
        let stores = stores(accounts, &store, ledger, &metrics, &clock);
        let sessions = SessionServices::new(
            &stores,
            &settings,
            &meters.sessions,
            SessionMetrics::new(&meters.meter),
            &clock,
        );
        let limits: Arc<dyn LoginThrottleRepository> = Arc::new(Decorated::new(
            Arc::new(store.limits()),
            Arc::clone(&clock),
            Some(metrics),
        ));
        let housekeeping = Housekeeping {
            limits: Arc::clone(&limits),
            horizon: self.guard.horizon(),
            readiness: Readiness {
                accounts: Arc::clone(&stores.accounts),
                sessions: Arc::clone(&stores.sessions),
                timeout: self.store_timeout,
            },
        };
        let login = LoginService::new(LoginParts {
            accounts: Arc::clone(&stores.accounts),
            limits,
            policy: self.guard,
            entities: Entities::keyed(key.expose_secret().as_bytes()),
            passwords: Passwords::new(&self.hashing, PasswordMetrics::new(&meters.meter))?,
            sessions: sessions.sessions.clone(),
            lifecycle: sessions.lifecycle.clone(),
            audit: AuditTrail::off(),
            metrics: LoginMetrics::new(&meters.meter, Arc::clone(&clock)),
            clock: Arc::clone(&clock),
            runtime: tokio::runtime::Handle::current(),
        });
        let cookie = CookieSettings::new(&key, &public_url);
        let cookie = match &self.cookie_name {
            Some(name) => cookie.named(name),
            None => cookie,
        };
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
        let mut tasks = sessions.start();
        tasks.push(housekeeping.start());
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
            #[cfg(feature = "telemetry")]
            metrics_token: self.metrics_token,
            store,
            tasks,
            timeout: self.store_timeout,
            #[cfg(feature = "tokens")]
            bearer,
        })
    }

    fn session_settings(&self, instance: Uuid) -> SessionSettings {
        SessionSettings {
            policy: self.sessions,
            pace: CensusPace {
                interval: self.census_interval,
                timeout: self.store_timeout,
            },
            instance,
        }
    }

    fn checked_redis(&mut self) -> Result<RedisSettings, BuildError> {
        let mut settings = match self.redis.take() {
            None => return Err(BuildError::Missing("redis")),
            Some(RedisSource::Settings(settings)) => *settings,
            Some(RedisSource::Url(url)) => {
                redis_settings(&url).map_err(|problem| BuildError::RedisUrl(problem.to_string()))?
            }
        };
        if let Some(prefix) = self.redis_key_prefix.take() {
            settings.key_prefix = prefix;
        }
        settings.key_prefix = KeyPrefix
            .read(&settings.key_prefix)
            .map_err(|problem| BuildError::Value("redis_key_prefix", problem.to_string()))?;
        Ok(settings)
    }

    /// Checks the values with the limits of the server's settings.
    fn check(&self) -> Result<(), BuildError> {
        for (name, value, limits) in [
            ("census_interval", self.census_interval, CENSUS_INTERVAL),
            ("store_timeout", self.store_timeout, STORE_TIMEOUT),
            ("session_policy: idle", self.sessions.idle, LIFETIME),
            ("session_policy: absolute", self.sessions.absolute, LIFETIME),
            (
                "session_policy: remembered",
                self.sessions.remembered,
                LIFETIME,
            ),
        ] {
            if !(limits.least..=limits.most).contains(&value) {
                return Err(BuildError::Value(name, limits.expected()));
            }
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if let Some(name) = &self.cookie_name
            && (name.is_empty() || name.len() > 64 || !name.chars().all(is_plain))
        {
            let expected = "1 to 64 letters, digits, - and _".to_owned();
            return Err(BuildError::Value("cookie_name", expected));
        }
        if self.sessions.idle > self.sessions.absolute {
            let expected = "at most the absolute lifetime".to_owned();
            return Err(BuildError::Value("session_policy: idle", expected));
        }
        Ok(())
    }
}

/// Returns the accounts in the form of a store.
fn accounts(
    source: Option<AccountSource>,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn AccountRepository>, BuildError> {
    match source {
        Some(AccountSource::Application(accounts)) => Ok(Arc::new(ApplicationAccounts::new(
            accounts,
            Arc::clone(clock),
        ))),
        Some(AccountSource::Store(accounts)) => Ok(accounts),
        None => Err(BuildError::Missing("accounts")),
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
