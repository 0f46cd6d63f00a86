//! The table of all settings: name, form with its range, default and meaning. What is not in it is not a setting.

use std::time::Duration;

use super::forms::{
    Address, Audiences, Choice, FilePath, Form, KeyPrefix, LogFilter, Networks, Number, Optional,
    REDIS_URL as URL_OF_REDIS, RateForm, RedisUser, Secret, Span, Switch, Text, WebOrigin,
};
use crate::{
    services::{FailurePolicy, ServiceSettings, TokenAlgorithm},
    telemetry::LogFormat,
};

/// A setting whose values have the form `F`.
pub(super) struct Setting<F> {
    /// The name in the file; the environment's is `SKRIPTOTEKET_` and this in upper case.
    pub(super) name: &'static str,
    /// How a value is written, and its range.
    pub(super) form: F,
    /// What holds if it is not given.
    pub(super) preset: Preset,
    /// What it does.
    pub(super) help: &'static str,
}

/// What holds if a setting is not given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Preset {
    /// This value.
    Fixed(&'static str),
    /// Something that this text does not say by itself.
    Otherwise {
        /// What holds, in words.
        what: &'static str,
        /// A value that could be given, for the file that `config init` writes. Of a secret that has to be made up it is
        /// empty, which is refused: an example would end up in use.
        example: &'static str,
    },
}

/// A setting of whatever form, for all that goes through the whole table.
pub(super) trait Entry: Sync {
    fn name(&self) -> &'static str;
    fn preset(&self) -> Preset;
    fn help(&self) -> &'static str;
    fn is_secret(&self) -> bool;
    /// What a value looks like; see [`Form::expected`].
    fn expected(&self) -> String;
    /// A value as TOML; see [`Form::toml`].
    fn toml(&self, text: &str) -> String;
}

impl<F: Form> Entry for Setting<F> {
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

/// Every setting, in the order of the table.
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

/// Makes a static of each setting, and `SECTIONS` of them all, so that none can be left out.
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
            "Where the public listener binds: the API. Port 0 takes any free port.";
        MANAGEMENT_LISTEN: Address, "management_listen", Address, Fixed("127.0.0.1:9464"),
            "Where the management listener binds: /metrics, /livez, /readyz. Keep it off the internet.";
        PUBLIC_URL: WebOrigin, "public_url", WebOrigin,
            otherwise("http:// and `listen` where that is on loopback; elsewhere it has to be given", "https://login.example.org"),
            "The origin under which browsers see the service. Requests of other sites are refused by it, and it decides\nwhether the session cookie is Secure.";
        TRUSTED_PROXIES: Networks, "trusted_proxies", Networks, Fixed("127.0.0.0/8, ::1/128"),
            "The proxies whose X-Forwarded-For and X-Forwarded-Proto are believed. An empty list believes nobody.";
        WORKERS: Number<usize>, "workers", number(1, 256), otherwise("the number of processors", "4"),
            "HTTP worker threads.";
        MAX_CONNECTIONS: Number<usize>, "max_connections", number(8, 1_000_000), Fixed("20000"),
            "Open connections of the public listener. Near it, those that are idle are closed for new ones. Lowered at start to\nwhat the limit of open files leaves.";
        REQUEST_HEAD_TIMEOUT: Span, "request_head_timeout", span(MILLISECOND.saturating_mul(10), MINUTE.saturating_mul(10)), Fixed("5s"),
            "How long the head of a request may take to arrive. After it: 408.";
        REQUEST_BODY_TIMEOUT: Span, "request_body_timeout", span(MILLISECOND.saturating_mul(10), MINUTE.saturating_mul(10)), Fixed("10s"),
            "How long the body of a request may take to arrive (408), and how long a client may not read its answer.\nA client that reads slowly has ten times as long for the whole answer.";
        KEEP_ALIVE: Span, "keep_alive", span(MILLISECOND.saturating_mul(10), HOUR), Fixed("75s"),
            "How long a connection may be idle between requests: longer than the proxy in front holds its own, which is a\nminute by default, so that it sends no request into a connection that is just being closed.";
        METRICS_TOKEN: Secret, "metrics_token", secret(1, "visible ASCII without spaces"),
            otherwise("none: /metrics asks for nothing", ""),
            "The bearer token that /metrics asks for.";
    }
    "Stores" {
        DATA_DIR: FilePath, "data_dir", FilePath, Fixed("skriptoteket-data"),
            "The directory of the embedded store and of the generated cookie key. Made where it is missing. With redis_url\nseveral servers on one machine may share it.";
        DATABASE_URL: Secret, "database_url", secret(0, "sqlite:PATH, a file without parameters"),
            otherwise("skriptoteket.db in data_dir", "sqlite:skriptoteket-data/skriptoteket.db"),
            "Where accounts and the audit trail are kept, with or without redis_url, and without it sessions too.";
        REDIS_URL: Secret, "redis_url", secret(0, URL_OF_REDIS),
            otherwise("none: sessions are kept in the database", "redis://127.0.0.1:6379"),
            "Where sessions and budgets of guesses are kept, so that several servers can share them: Redis 7 or newer, or\nValkey. In user name and password, percent-encode what has a meaning in URLs.";
        REDIS_USERNAME: Optional<RedisUser>, "redis_username", Optional(RedisUser), Fixed(""),
            "The Redis user to log in as, where redis_url does not name one. Nothing is the default user.";
        REDIS_PASSWORD: Secret, "redis_password", secret(0, "the password as it is, without percent-encoding"),
            otherwise("that of redis_url, or none", ""),
            "The password of that user.";
        REDIS_SENTINEL_PASSWORD: Secret, "redis_sentinel_password", secret(0, "the password as it is"),
            otherwise("none", ""),
            "The password of the Sentinels, where they ask for one.";
        REDIS_TLS_CA: Optional<FilePath>, "redis_tls_ca", Optional(FilePath), Fixed(""),
            "A PEM file of the authorities that may sign Redis's certificate. Nothing takes those of the system.";
        REDIS_KEY_PREFIX: KeyPrefix, "redis_key_prefix", KeyPrefix, Fixed("skriptoteket"),
            "What every key begins with, behind a brace: all keys match {PREFIX:*, which is what an ACL has to allow. Replicas\nshare it; services that share a Redis do not.";
        REDIS_CONNECT_TIMEOUT: Span, "redis_connect_timeout", span(MILLISECOND.saturating_mul(10), SECOND.saturating_mul(30)), Fixed("1s"),
            "How long making a connection to Redis may take.";
        REDIS_ALLOW_EVICTION: Switch, "redis_allow_eviction", Switch, Fixed("false"),
            "Start with a Redis whose maxmemory-policy lets it evict keys. It ends sessions without counting them.";
        STORE_TIMEOUT: Span, "store_timeout", span(MILLISECOND.saturating_mul(10), SECOND.saturating_mul(30)), Fixed("500ms"),
            "How long a store may take to answer. After it: 503, and the session gauges are absent.";
        AUDIT_RETENTION: Span, "audit_retention", span(HOUR, DAY.saturating_mul(3_650)), Fixed("90d"),
            "How long audit events are kept.";
    }
    "Sessions" {
        COOKIE_KEY: Secret, "cookie_key", secret(32, "a random text of at least 32 bytes, as from `openssl rand -base64 48`"),
            otherwise("made at the first start and kept in data_dir", ""),
            "What the session cookie is encrypted under. Replicas share it, or data_dir; a new one ends all sessions.";
        SESSION_IDLE_TIMEOUT: Span, "session_idle_timeout", span(SECOND, DAY.saturating_mul(400)), Fixed("30m"),
            "How long a session lives without use. At most session_absolute_timeout, to which the default gives way.";
        SESSION_ABSOLUTE_TIMEOUT: Span, "session_absolute_timeout", span(SECOND, DAY.saturating_mul(400)), Fixed("12h"),
            "How long a session lives at most.";
        SESSION_REMEMBER_TIMEOUT: Span, "session_remember_timeout", span(SECOND, DAY.saturating_mul(400)), Fixed("30d"),
            "How long a session lives that was started with remember_me. At least session_absolute_timeout, to\nwhich the default gives way.";
        MAX_SESSIONS_PER_USER: Number<u32>, "max_sessions_per_user", number(1, 1_000), Fixed("10"),
            "Live sessions of one user; a login beyond it ends the oldest.";
        CENSUS_INTERVAL: Span, "census_interval", span(MILLISECOND.saturating_mul(100), HOUR), Fixed("5s"),
            "How often sessions are counted for the gauges.";
    }
    "Password hashing (Argon2id)" {
        ARGON2_MEMORY_KIB: Number<u32>, "argon2_memory_kib", number(8, 2_097_152), Fixed("19456"),
            "Memory of one hash, in KiB; at least 8 times argon2_parallelism. At login, hashes of other costs are renewed.";
        ARGON2_ITERATIONS: Number<u32>, "argon2_iterations", number(1, 100), Fixed("2"),
            "Passes over that memory.";
        ARGON2_PARALLELISM: Number<u32>, "argon2_parallelism", number(1, 64), Fixed("1"),
            "Lanes of one hash.";
        ARGON2_THREADS: Number<usize>, "argon2_threads", number(1, 256), otherwise("the number of processors", "4"),
            "Hashes made at the same time. Each takes argon2_memory_kib.";
        ARGON2_QUEUE: Number<usize>, "argon2_queue", number(0, 100_000), Fixed("64"),
            "Password checks that may wait for a thread; more are answered 503.";
    }
    "Login guard" {
        GUARD_ACCOUNT_ATTEMPTS: Number<u32>, "guard_account_attempts", number(1, 1_000_000), Fixed("10"),
            "Failed logins until an account is locked.";
        GUARD_ADDRESS_ATTEMPTS: Number<u32>, "guard_address_attempts", number(1, 1_000_000), Fixed("100"),
            "Failed logins until an address (IPv6: its /64) is locked out.";
        GUARD_LOCK: Span, "guard_lock", span(SECOND, DAY), Fixed("60s"),
            "How long the first lock lasts; each further one lasts twice as long.";
        GUARD_LONGEST_LOCK: Span, "guard_longest_lock", span(SECOND, DAY.saturating_mul(7)), Fixed("15m"),
            "How long a lock lasts at most. At least guard_lock, to which the default gives way.";
        GUARD_ACCOUNT_REGAIN: Span, "guard_account_regain", span(MILLISECOND.saturating_mul(100), DAY), Fixed("5m"),
            "In which time one failed login of an account is forgotten.";
        GUARD_ADDRESS_REGAIN: Span, "guard_address_regain", span(MILLISECOND.saturating_mul(100), DAY), Fixed("10s"),
            "In which time one failed login of an address is forgotten.";
        GUARD_FORGET: Span, "guard_forget", span(MINUTE, DAY.saturating_mul(400)), Fixed("24h"),
            "After which quiet time it is forgotten how often there was a lock.";
    }
    "Services" {
        MAX_SERVICES: Number<u32>, "max_services", number(1, 1_000), Fixed("500"),
            "Services that may be registered at a time. Each has series of its own in the metrics.";
        TOKEN_AUDIENCES: Audiences, "token_audiences", Audiences,
            otherwise("public_url", "https://api.example.org"),
            "For whom access tokens may be asked for (RFC 8707). The first is for those who do not say.";
        TOKEN_ALGORITHM: Choice<TokenAlgorithm>, "token_algorithm",
            Choice(&[("EdDSA", TokenAlgorithm::EdDsa), ("ES256", TokenAlgorithm::Es256)]), Fixed("EdDSA"),
            "How access tokens are signed. After a change a new key signs, and what was signed before stays valid.";
        TOKEN_LIFETIME: Span, "token_lifetime", span(SECOND.saturating_mul(10), DAY), Fixed("10m"),
            "How long an access token is valid.";
        SIGNING_KEY_ROTATION: Span, "signing_key_rotation", span(HOUR, DAY.saturating_mul(3_650)), Fixed("30d"),
            "How long a key signs until a new one takes its place.";
        SIGNING_KEY_LEAD: Span, "signing_key_lead", span(SECOND, DAY), Fixed("10m"),
            "How long a new key is published before it signs: longer than verifiers keep /.well-known/jwks.json, which they\nmay for 5m.";
        SERVICE_CREDENTIAL_LIFETIME: Span, "service_credential_lifetime", span(MINUTE, DAY.saturating_mul(3_650)), Fixed("365d"),
            "How long a client secret is accepted.";
        SERVICE_CREDENTIAL_OVERLAP: Span, "service_credential_overlap", span(Duration::ZERO, ServiceSettings::LONGEST_OVERLAP), Fixed("24h"),
            "How long the one before is still accepted after a rotation.";
        SERVICE_RATE: RateForm, "service_rate", RateForm, Fixed("100/s"),
            "The rate of requests of a service for which no other one is set.";
        SERVICE_BURST: Number<u32>, "service_burst", number(1, ServiceSettings::MAX_BURST), Fixed("200"),
            "How many requests of such a service pass at once after a rest. At service_rate they are refilled within 3650 days.";
        SERVICE_DAILY_QUOTA: Number<u64>, "service_daily_quota", number(0, ServiceSettings::MAX_DAILY_QUOTA), Fixed("0"),
            "Requests of such a service in a day (UTC). 0 sets no quota.";
        SERVICE_LIMIT_FAILURE: Choice<FailurePolicy>, "service_limit_failure",
            Choice(&[("closed", FailurePolicy::Closed), ("open", FailurePolicy::Open)]), Fixed("closed"),
            "What is done with a request whose limits cannot be checked because the store does not answer. closed: 503.\nopen: it passes, is counted and logged.";
        SERVICE_DEGRADED_AFTER: Span, "service_degraded_after", span(SECOND, DAY.saturating_mul(365)), Fixed("15m"),
            "After which silence a service is called degraded. At most service_stale_after, to which the default gives way.";
        SERVICE_STALE_AFTER: Span, "service_stale_after", span(SECOND, DAY.saturating_mul(365)), Fixed("1h"),
            "After which silence a service is called stale.";
    }
    "First superuser" {
        BOOTSTRAP_USERNAME: Text, "bootstrap_username", Text, Fixed("admin"),
            "The name of the superuser that is made at start where there is no account and bootstrap_password is given.";
        BOOTSTRAP_PASSWORD: Secret, "bootstrap_password", secret(1, "a password of 8 to 128 characters that is not easy to guess"),
            otherwise("none: `skriptoteket user add NAME --role superuser` makes the first account", ""),
            "The password of that superuser.";
    }
    "Logs" {
        LOG: LogFilter, "log", LogFilter, Fixed("info,actix_server=warn,actix_session=error"),
            "Which log lines are written: a level, or targets with levels. By default without the lines that any visitor\ncan cause with a cookie of his own making.";
        LOG_FORMAT: Choice<LogFormat>, "log_format",
            Choice(&[("auto", LogFormat::Auto), ("human", LogFormat::Human), ("json", LogFormat::Json)]), Fixed("auto"),
            "How they are written. auto: human on a terminal, JSON otherwise.";
    }
}
