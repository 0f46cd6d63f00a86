//! The settings of an application.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use opentelemetry::metrics::MeterProvider;
use secrecy::SecretString;
use skriptoteket_login::{
    accounts::{AccountRepository, Accounts, password::HashingPolicy},
    guard::GuardPolicy,
};
use skriptoteket_redis::RedisSettings;
use skriptoteket_sessions::SessionPolicy;

use super::{Skriptoteket, inputs::KeySource, meters::MeterSource};

/// The settings of an application with sessions. [`Skriptoteket::builder`] creates it.
///
/// Required: [`redis`](Builder::redis), [`accounts`](Builder::accounts) or
/// [`account_store`](Builder::account_store), [`cookie_key_file`](Builder::cookie_key_file) or
/// [`cookie_key`](Builder::cookie_key), and [`public_url`](Builder::public_url). The defaults of the others are those
/// of the server.
#[must_use = "nothing starts before Builder::start"]
pub struct Builder {
    pub(super) redis: Option<RedisSource>,
    pub(super) redis_key_prefix: Option<String>,
    pub(super) accounts: Option<AccountSource>,
    pub(super) cookie_key: Option<KeySource>,
    pub(super) cookie_name: Option<String>,
    pub(super) public_url: Option<String>,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) sessions: SessionPolicy,
    pub(super) guard: GuardPolicy,
    pub(super) hashing: HashingPolicy,
    pub(super) census_interval: Duration,
    pub(super) store_timeout: Duration,
    pub(super) meters: MeterSource,
    #[cfg(feature = "telemetry")]
    pub(super) metrics_token: Option<SecretString>,
    #[cfg(feature = "tokens")]
    pub(super) tokens_of: Option<(String, String)>,
}

/// Where Redis is.
pub(super) enum RedisSource {
    Url(String),
    Settings(Box<RedisSettings>),
}

/// Whose accounts are used.
pub(super) enum AccountSource {
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
            cookie_name: None,
            public_url: None,
            trusted_proxies: vec!["127.0.0.0/8".into(), "::1/128".into()],
            sessions: SessionPolicy::default(),
            guard: GuardPolicy::default(),
            hashing: HashingPolicy::default(),
            census_interval: Duration::from_secs(5),
            store_timeout: Duration::from_millis(500),
            meters: MeterSource::Nothing,
            #[cfg(feature = "telemetry")]
            metrics_token: None,
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
        self.redis = Some(RedisSource::Url(url.into()));
        self
    }

    /// Sets the Redis by all of its settings: certificate authorities, the password of Sentinels, a server that may evict
    /// keys.
    pub fn redis_settings(mut self, settings: RedisSettings) -> Self {
        self.redis = Some(RedisSource::Settings(Box::new(settings)));
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

    /// Sets the name of the session cookie, of letters, digits, `-` and `_`; the default is `skriptoteket`. Over https the
    /// name gets the prefix `__Host-`.
    ///
    /// Browsers send cookies to all ports of a host, so applications on one host, the server of Skriptoteket included,
    /// need separate names: a login at one of them replaces the cookie of the other.
    pub fn cookie_name(mut self, name: impl Into<String>) -> Self {
        self.cookie_name = Some(name.into());
        self
    }

    /// Sets the origin under which browsers reach the application. Requests from other sites are rejected, and with
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

    /// Records metrics with the application's own provider. The application also exports them.
    ///
    /// Use one provider for one application: a second one, or the same one after a restart in this process, would report its
    /// gauges as the same series.
    ///
    /// If a provider has several readers, a collection by one of them writes gauges into all: use one reader, or
    /// `telemetry_from_env`.
    pub fn meter_provider(mut self, provider: &dyn MeterProvider) -> Self {
        self.meters = MeterSource::Application(provider.meter("skriptoteket"));
        self
    }

    /// Exports metrics according to the standard `OTEL_…` variables, and serves the metrics page.
    #[cfg(feature = "telemetry")]
    pub fn telemetry_from_env(mut self) -> Self {
        self.meters = MeterSource::Environment;
        self
    }

    /// Exports metrics according to these settings, and serves the metrics page.
    #[cfg(feature = "telemetry")]
    pub fn telemetry(mut self, settings: skriptoteket_telemetry::OtelSettings) -> Self {
        self.meters = MeterSource::Settings(Box::new(settings));
        self
    }

    /// Sets the bearer token that the metrics page requires. Without it, everyone who reaches the page can read it.
    #[cfg(feature = "telemetry")]
    pub fn metrics_token(mut self, token: SecretString) -> Self {
        self.metrics_token = Some(token);
        self
    }

    /// Accepts access tokens of the Skriptoteket at `issuer` for `audience`, verified by its public keys. Handlers take
    /// [`ServiceIdentity`](crate::ServiceIdentity).
    #[cfg(feature = "tokens")]
    pub fn tokens_of(mut self, issuer: impl Into<String>, audience: impl Into<String>) -> Self {
        self.tokens_of = Some((issuer.into(), audience.into()));
        self
    }
}
