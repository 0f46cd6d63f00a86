//! The table of all settings: name, form with its range, default and help. It is complete: there are no other
//! settings.

use std::time::Duration;

use skriptoteket_config::{
    forms::{Choice, FilePath, Number, Optional, Secret, Span, Switch, Text},
    redis_url::{self, KeyPrefix, RedisUser},
};

use super::forms::{
    AccentColor, Address, Audiences, LogFilter, Networks, ProductName, RateForm, TomlForm,
    WebOrigin,
};
use crate::{
    pages::{DARK, LIGHT, Language},
    services::{FailurePolicy, ServiceSettings, TokenAlgorithm},
    telemetry::LogFormat,
};

/// A setting whose values have the form `F`.
pub(super) struct Setting<F> {
    /// The name in the file; the variable is `SKRIPTOTEKET_` followed by this in upper case.
    pub(super) name: &'static str,
    /// The syntax of a value, and its range.
    pub(super) form: F,
    /// The value if it is not given.
    pub(super) preset: Preset,
    pub(super) help: &'static str,
}

/// The value of a setting that is not given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Preset {
    /// This value.
    Fixed(&'static str),
    /// A value that depends on something else.
    Otherwise {
        /// The value in words.
        what: &'static str,
        /// An example value for the file that `config init` writes. It is empty, and therefore rejected, for a secret
        /// that the operator has to generate: an example would end up in use.
        example: &'static str,
    },
}

/// A setting of any form, for code that processes the whole table.
pub(super) trait Entry: Sync {
    fn name(&self) -> &'static str;
    fn preset(&self) -> Preset;
    fn help(&self) -> &'static str;
    fn is_secret(&self) -> bool;
    /// Describes the expected value; see [`skriptoteket_config::forms::Form::expected`].
    fn expected(&self) -> String;
    /// Formats a value as TOML; see [`TomlForm::toml`].
    fn toml(&self, text: &str) -> String;
}

impl<F: TomlForm> Entry for Setting<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn preset(&self) -> Preset {
        self.preset
    }

    fn help(&self) -> &'static str {
        self.help
    }

    fn is_secret(&self) -> bool {
        self.form.is_secret()
    }

    fn expected(&self) -> String {
        self.form.expected()
    }

    fn toml(&self, text: &str) -> String {
        self.form.toml(text)
    }
}

/// Returns every setting, in the order of the table.
pub(super) fn all() -> impl Iterator<Item = &'static dyn Entry> {
    SECTIONS
        .iter()
        .flat_map(|(_, entries)| entries.iter().copied())
}

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

const fn span(least: Duration, most: Duration) -> Span {
    Span { least, most }
}

const fn number<T>(least: T, most: T) -> Number<T> {
    Number { least, most }
}

const fn secret(least_bytes: usize, expected: &'static str) -> Secret {
    Secret {
        least_bytes,
        expected,
    }
}

const fn otherwise(what: &'static str, example: &'static str) -> Preset {
    Preset::Otherwise { what, example }
}

/// Declares a static for each setting, and `SECTIONS` with all of them, so that none can be left out.
macro_rules! table {
    ($($title:literal {$(
        $id:ident: $kind:ty, $name:literal, $form:expr, $preset:expr, $help:literal;
    )*})*) => {
        $($(pub(super) static $id: Setting<$kind> = Setting {
            name: $name,
            form: $form,
            preset: $preset,
            help: $help,
        };)*)*

        /// Every setting under the title of its section.
        pub(super) static SECTIONS: &[(&str, &[&dyn Entry])] = &[$(($title, &[$(&$id),*])),*];
    };
}

use Preset::Fixed;

table! {
    "Listeners" {
        LISTEN: Address, "listen", Address, Fixed("127.0.0.1:8080"),
            "Address of the public listener, which serves the API. Port 0 selects a free port.";
        MANAGEMENT_LISTEN: Address, "management_listen", Address, Fixed("127.0.0.1:9464"),
            "Address of the management listener: /metrics, /livez, /readyz. Do not expose it to the internet.";
        PUBLIC_URL: WebOrigin, "public_url", WebOrigin,
            otherwise("http:// and `listen` on loopback; otherwise it must be set", "https://login.example.org"),
            "Origin under which browsers reach the service. Requests from other sites are rejected. If it is https, the session\ncookie is Secure.";
        TRUSTED_PROXIES: Networks, "trusted_proxies", Networks, Fixed("127.0.0.0/8, ::1/128"),
            "Proxies whose X-Forwarded-For and X-Forwarded-Proto are trusted. If the list is empty, none is trusted.";
        WORKERS: Number<usize>, "workers", number(1, 256), otherwise("the number of processors", "4"),
            "HTTP worker threads.";
        MAX_CONNECTIONS: Number<usize>, "max_connections", number(8, 1_000_000), Fixed("20000"),
            "Open connections of the public listener. Near the limit, idle connections are closed for new ones. Reduced at start to\nfit the limit of open files.";
        REQUEST_HEAD_TIMEOUT: Span, "request_head_timeout", span(MILLISECOND.saturating_mul(10), MINUTE.saturating_mul(10)), Fixed("5s"),
            "Time in which the head of a request must arrive. After it: 408.";
        REQUEST_BODY_TIMEOUT: Span, "request_body_timeout", span(MILLISECOND.saturating_mul(10), MINUTE.saturating_mul(10)), Fixed("10s"),
            "Time in which the body of a request must arrive (after it: 408), and after which the connection of a client that reads\nnothing of its response is closed. A client that reads slowly has ten times as long for the whole response.";
        KEEP_ALIVE: Span, "keep_alive", span(MILLISECOND.saturating_mul(10), HOUR), Fixed("75s"),
            "Idle time of a connection between requests. It should be longer than that of the proxy in front, which is usually a\nminute, so that the proxy does not send a request on a connection that is being closed.";
        METRICS_TOKEN: Secret, "metrics_token", secret(1, "visible ASCII without spaces"),
            otherwise("none: /metrics requires no token", ""),
            "Bearer token that /metrics requires.";
    }
    "Stores" {
        DATA_DIR: FilePath, "data_dir", FilePath, Fixed("skriptoteket-data"),
            "Directory of the embedded store and of the generated cookie key. Created if it is missing. With redis_url, several\nservers on one machine may share it.";
        DATABASE_URL: Secret, "database_url", secret(0, "sqlite:PATH, a file without parameters"),
            otherwise("skriptoteket.db in data_dir", "sqlite:skriptoteket-data/skriptoteket.db"),
            "Database of accounts and the audit trail; without redis_url also of sessions and limits.";
        REDIS_URL: Secret, "redis_url", secret(0, redis_url::EXPECTED),
            otherwise("none: sessions are in the database", "redis://127.0.0.1:6379"),
            "Redis 7 or newer, or Valkey, for sessions and limits, so that several servers can share them. Percent-encode\ncharacters in user name and password that have a meaning in URLs.";
        REDIS_USERNAME: Optional<RedisUser>, "redis_username", Optional(RedisUser), Fixed(""),
            "Redis user, if redis_url does not name one. Empty: the default user.";
        REDIS_PASSWORD: Secret, "redis_password", secret(0, "the password as it is, without percent-encoding"),
            otherwise("that of redis_url, or none", ""),
            "Password of that user.";
        REDIS_SENTINEL_PASSWORD: Secret, "redis_sentinel_password", secret(0, "the password as it is"),
            otherwise("none", ""),
            "Password of the Sentinels, if they require one.";
        REDIS_TLS_CA: Optional<FilePath>, "redis_tls_ca", Optional(FilePath), Fixed(""),
            "PEM file of the certificate authorities for Redis. Empty: those of the system.";
        REDIS_KEY_PREFIX: KeyPrefix, "redis_key_prefix", KeyPrefix, Fixed(redis_url::DEFAULT_KEY_PREFIX),
            "Prefix of every key, after a brace: all keys match {PREFIX:*, which an ACL has to allow. Replicas share it;\nseparate services on one Redis must not.";
        REDIS_CONNECT_TIMEOUT: Span, "redis_connect_timeout", redis_url::CONNECT_TIMEOUT, Fixed(redis_url::DEFAULT_CONNECT_TIMEOUT),
            "Timeout of a new connection to Redis.";
        REDIS_ALLOW_EVICTION: Switch, "redis_allow_eviction", Switch, Fixed(redis_url::DEFAULT_ALLOW_EVICTION),
            "Start although the maxmemory-policy of Redis allows it to evict keys. Evicted sessions are lost.";
        STORE_TIMEOUT: Span, "store_timeout", span(MILLISECOND.saturating_mul(10), SECOND.saturating_mul(30)), Fixed("500ms"),
            "Timeout of a store operation. After it: 503, and the session gauges are absent.";
        AUDIT_RETENTION: Span, "audit_retention", span(HOUR, DAY.saturating_mul(3_650)), Fixed("90d"),
            "Retention of the audit trail.";
    }
    "Sessions" {
        COOKIE_KEY: Secret, "cookie_key", secret(32, "a random text of at least 32 bytes, for example from `openssl rand -base64 48`"),
            otherwise("generated at the first start and kept in data_dir", ""),
            "Key material that encrypts the session cookie. Replicas share it, or data_dir. A new key ends all sessions.";
        SESSION_IDLE_TIMEOUT: Span, "session_idle_timeout", span(SECOND, DAY.saturating_mul(400)), Fixed("30m"),
            "Lifetime of a session without use. At most session_absolute_timeout; the default is reduced to it.";
        SESSION_ABSOLUTE_TIMEOUT: Span, "session_absolute_timeout", span(SECOND, DAY.saturating_mul(400)), Fixed("12h"),
            "Maximum lifetime of a session.";
        SESSION_REMEMBER_TIMEOUT: Span, "session_remember_timeout", span(SECOND, DAY.saturating_mul(400)), Fixed("30d"),
            "Lifetime of a session that was started with remember_me. At least session_absolute_timeout; the default is raised\nto it.";
        MAX_SESSIONS_PER_USER: Number<u32>, "max_sessions_per_user", number(1, 1_000), Fixed("10"),
            "Live sessions of one user. A further login ends the oldest.";
        CENSUS_INTERVAL: Span, "census_interval", span(MILLISECOND.saturating_mul(100), HOUR), Fixed("5s"),
            "Interval at which sessions are counted for the gauges.";
    }
    "Password hashing (Argon2id)" {
        ARGON2_MEMORY_KIB: Number<u32>, "argon2_memory_kib", number(8, 2_097_152), Fixed("19456"),
            "Memory of one hash in KiB; at least 8 times argon2_parallelism. Hashes with other costs are renewed at login.";
        ARGON2_ITERATIONS: Number<u32>, "argon2_iterations", number(1, 100), Fixed("2"),
            "Passes over that memory.";
        ARGON2_PARALLELISM: Number<u32>, "argon2_parallelism", number(1, 64), Fixed("1"),
            "Lanes of one hash.";
        ARGON2_THREADS: Number<usize>, "argon2_threads", number(1, 256), otherwise("the number of processors", "4"),
            "Concurrent password hashes. Each uses argon2_memory_kib.";
        ARGON2_QUEUE: Number<usize>, "argon2_queue", number(0, 100_000), Fixed("64"),
            "Password checks that may wait for a thread. Further ones are rejected with 503.";
    }
    "Login guard" {
        GUARD_ACCOUNT_ATTEMPTS: Number<u32>, "guard_account_attempts", number(1, 1_000_000), Fixed("10"),
            "Failed logins before an account is locked.";
        GUARD_ADDRESS_ATTEMPTS: Number<u32>, "guard_address_attempts", number(1, 1_000_000), Fixed("100"),
            "Failed logins before an address (IPv6: its /64) is locked.";
        GUARD_LOCK: Span, "guard_lock", span(SECOND, DAY), Fixed("60s"),
            "Duration of the first lock. Each further lock lasts twice as long as the previous one.";
        GUARD_LONGEST_LOCK: Span, "guard_longest_lock", span(SECOND, DAY.saturating_mul(7)), Fixed("15m"),
            "Maximum duration of a lock. At least guard_lock; the default is raised to it.";
        GUARD_ACCOUNT_REGAIN: Span, "guard_account_regain", span(MILLISECOND.saturating_mul(100), DAY), Fixed("5m"),
            "Time after which one failed login of an account no longer counts.";
        GUARD_ADDRESS_REGAIN: Span, "guard_address_regain", span(MILLISECOND.saturating_mul(100), DAY), Fixed("10s"),
            "Time after which one failed login of an address no longer counts.";
        GUARD_FORGET: Span, "guard_forget", span(MINUTE, DAY.saturating_mul(400)), Fixed("24h"),
            "Idle time after which the lock back-off resets.";
    }
    "Services" {
        MAX_SERVICES: Number<u32>, "max_services", number(1, 1_000), Fixed("500"),
            "Maximum number of registered services. Each has time series of its own.";
        TOKEN_AUDIENCES: Audiences, "token_audiences", Audiences,
            otherwise("public_url", "https://api.example.org"),
            "Audiences for which access tokens are issued (RFC 8707). The first is the default.";
        TOKEN_ALGORITHM: Choice<TokenAlgorithm>, "token_algorithm",
            Choice(&[("EdDSA", TokenAlgorithm::EdDsa), ("ES256", TokenAlgorithm::Es256)]), Fixed("EdDSA"),
            "Signature algorithm of access tokens. After a change, a new key signs, and older tokens stay valid.";
        TOKEN_LIFETIME: Span, "token_lifetime", span(SECOND.saturating_mul(10), DAY), Fixed("10m"),
            "Lifetime of an access token.";
        SIGNING_KEY_ROTATION: Span, "signing_key_rotation", span(HOUR, DAY.saturating_mul(3_650)), Fixed("30d"),
            "Time for which a key signs before a new one replaces it.";
        SIGNING_KEY_LEAD: Span, "signing_key_lead", span(SECOND, DAY), Fixed("10m"),
            "Time for which a new key is published before it signs. It should be longer than the time for which\nverifiers may cache /.well-known/jwks.json, which is 5m.";
        SERVICE_CREDENTIAL_LIFETIME: Span, "service_credential_lifetime", span(MINUTE, DAY.saturating_mul(3_650)), Fixed("365d"),
            "Lifetime of a client secret.";
        SERVICE_CREDENTIAL_OVERLAP: Span, "service_credential_overlap", span(Duration::ZERO, ServiceSettings::LONGEST_OVERLAP), Fixed("24h"),
            "Time for which the previous secret is accepted after a rotation.";
        SERVICE_RATE: RateForm, "service_rate", RateForm, Fixed("100/s"),
            "Default rate limit of a service.";
        SERVICE_BURST: Number<u32>, "service_burst", number(1, ServiceSettings::MAX_BURST), Fixed("200"),
            "Default burst of a service: requests that pass at once after a pause. service_rate must refill it within 3650 days.";
        SERVICE_DAILY_QUOTA: Number<u64>, "service_daily_quota", number(0, ServiceSettings::MAX_DAILY_QUOTA), Fixed("0"),
            "Default quota of requests of a service per day (UTC). 0: no quota.";
        SERVICE_LIMIT_FAILURE: Choice<FailurePolicy>, "service_limit_failure",
            Choice(&[("closed", FailurePolicy::Closed), ("open", FailurePolicy::Open)]), Fixed("closed"),
            "Reject or allow requests when rate limits are unavailable because the store does not respond. closed: 503.\nopen: the request passes, is counted and logged.";
        SERVICE_DEGRADED_AFTER: Span, "service_degraded_after", span(SECOND, DAY.saturating_mul(365)), Fixed("15m"),
            "Idle time after which a service is degraded. At most service_stale_after; the default is reduced to it.";
        SERVICE_STALE_AFTER: Span, "service_stale_after", span(SECOND, DAY.saturating_mul(365)), Fixed("1h"),
            "Idle time after which a service is stale.";
    }
    "First superuser" {
        BOOTSTRAP_USERNAME: Text, "bootstrap_username", Text, Fixed("admin"),
            "Name of the superuser that is created at start if there is no account and bootstrap_password is set.";
        BOOTSTRAP_PASSWORD: Secret, "bootstrap_password", secret(1, "a password of 8 to 128 characters that is not easy to guess"),
            otherwise("none: `skriptoteket user add NAME --role superuser` creates the first account", ""),
            "Password of that superuser.";
    }
    "Pages" {
        PRODUCT_NAME: ProductName, "product_name", ProductName, Fixed("Skriptoteket"),
            "Name in the titles and the header of the pages.";
        LOGO_FILE: Optional<FilePath>, "logo_file", Optional(FilePath), Fixed(""),
            "SVG or PNG file of the logo in the header, at most 256 KiB. Empty: no logo.";
        ACCENT_COLOR: AccentColor, "accent_color", AccentColor(LIGHT), Fixed("#1d4ed8"),
            "Color of links and buttons in the light theme.";
        ACCENT_COLOR_DARK: AccentColor, "accent_color_dark", AccentColor(DARK), Fixed("#93c5fd"),
            "The same in the dark theme.";
        LANGUAGE: Choice<Option<Language>>, "language",
            Choice(&[("auto", None), ("en", Some(Language::English)), ("sv", Some(Language::Swedish))]), Fixed("auto"),
            "Language of the pages. auto: the one that the browser prefers, English if it prefers neither.";
    }
    "Logs" {
        LOG: LogFilter, "log", LogFilter, Fixed("info,actix_server=warn,actix_session=error"),
            "Log filter: a level, or targets with levels. The default omits lines that requests with a forged cookie cause.";
        LOG_FORMAT: Choice<LogFormat>, "log_format",
            Choice(&[("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)]), Fixed("auto"),
            "Log format. auto: human on a terminal, JSON otherwise.";
    }
}
