//! Builds the whole [`Config`] from the individual settings, and checks settings against each other.
//!
//! Every setting is read before the first `?`: a fault in one must not hide the faults in the next.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    thread::available_parallelism,
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use skriptoteket_config::{
    Origin, Problem, Reported,
    forms::{Form, Span},
    otel,
};
use url::Url;

use super::{
    Bootstrap, Config, Database, GuardSettings, connections, pages,
    reader::{Given, Reader},
    settings as s, sharing,
};
use crate::{
    accounts::password::HashingPolicy,
    duration_text,
    services::{Rate, ServiceSettings},
    telemetry::LogSettings,
};

/// Returns the whole configuration. Faults are collected by the reader, even if a value is returned.
pub(super) fn config(reader: &mut Reader<'_>) -> Result<Config, Reported> {
    let listen = reader.get(&s::LISTEN);
    let management_listen = reader.get(&s::MANAGEMENT_LISTEN);
    let public_url = public_url(reader, &listen);
    let trusted_proxies = reader.get(&s::TRUSTED_PROXIES);
    let workers = reader.get_or(&s::WORKERS, &processors());
    let connections = connections::settings(reader);
    let metrics_token = metrics_token(reader);
    let data_dir = reader.get(&s::DATA_DIR);
    let database = database(reader, &data_dir);
    let redis = sharing::settings(reader);
    let store_timeout = reader.get(&s::STORE_TIMEOUT);
    let audit_retention = reader.get(&s::AUDIT_RETENTION);
    let cookie_key = reader.secret(&s::COOKIE_KEY);
    let absolute = reader.get(&s::SESSION_ABSOLUTE_TIMEOUT);
    let idle = beside(reader, &s::SESSION_IDLE_TIMEOUT, &absolute, Duration::min);
    let remember = beside(
        reader,
        &s::SESSION_REMEMBER_TIMEOUT,
        &absolute,
        Duration::max,
    );
    let max_sessions_per_user = reader.get(&s::MAX_SESSIONS_PER_USER);
    let census_interval = reader.get(&s::CENSUS_INTERVAL);
    let argon2 = argon2(reader);
    let guard = guard(reader);
    let services = services(reader, &public_url);
    let bootstrap = bootstrap(reader);
    let pages = pages::settings(reader);
    let log = log(reader);
    let otel = otel::settings(&mut reader.variables);

    listeners_differ(reader, &listen, &management_listen);
    at_most(reader, &idle, &absolute, s::SESSION_ABSOLUTE_TIMEOUT.name);
    at_most(
        reader,
        &absolute,
        &remember,
        s::SESSION_REMEMBER_TIMEOUT.name,
    );

    Ok(Config {
        file: reader.file(),
        secret_files: reader.secret_files.clone(),
        listen: listen?.value,
        management_listen: management_listen?.value,
        public_url: public_url?.value,
        data_dir: data_dir?.value,
        database: database?,
        redis: redis?,
        cookie_key: cookie_key?.map(|it| it.value),
        metrics_token: metrics_token?,
        session_idle_timeout: idle?.value,
        session_absolute_timeout: absolute?.value,
        session_remember_timeout: remember?.value,
        max_sessions_per_user: max_sessions_per_user?.value,
        census_interval: census_interval?.value,
        store_timeout: store_timeout?.value,
        trusted_proxies: trusted_proxies?.value,
        workers: workers?.value,
        connections: connections?,
        audit_retention: audit_retention?.value,
        argon2: argon2?,
        guard: guard?,
        services: services?,
        bootstrap: bootstrap?,
        pages: pages?,
        log: log?,
        otel: otel?,
        // Filled from the reader once everything has been read.
        warnings: Vec::new(),
    })
}

/// A setting that has been read.
type Setting<T> = Result<Given<T>, Reported>;

/// The number of processors of the machine, within the range of the setting.
fn processors() -> String {
    available_parallelism()
        .map_or(1, |it| it.get().min(256))
        .to_string()
}

fn public_url(reader: &mut Reader<'_>, listen: &Setting<SocketAddr>) -> Setting<Url> {
    if reader.is_given(&s::PUBLIC_URL) {
        return reader.get(&s::PUBLIC_URL);
    }
    let listen = listen.as_ref().map_err(|reported| *reported)?.value;
    if listen.ip().is_loopback() {
        return reader.get_or(&s::PUBLIC_URL, &format!("http://{listen}"));
    }
    let expected = s::PUBLIC_URL.form.expected();
    let problem = Problem::Missing(format!("{expected}, because listen is not on loopback"));
    let origin = Origin::Default(s::PUBLIC_URL.name);
    Err(reader.report(origin, None, problem))
}

fn metrics_token(reader: &mut Reader<'_>) -> Result<Option<SecretString>, Reported> {
    let Some(token) = reader.secret(&s::METRICS_TOKEN)? else {
        return Ok(None);
    };
    let mut bytes = token.value.expose_secret().bytes();
    if bytes.all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some(token.value));
    }
    // No header can carry such a token, so `/metrics` could never be read.
    let problem = s::METRICS_TOKEN.form.unexpected();
    Err(reader.report(token.origin, None, problem))
}

fn database(reader: &mut Reader<'_>, data_dir: &Setting<PathBuf>) -> Result<Database, Reported> {
    let Some(url) = reader.secret(&s::DATABASE_URL)? else {
        let data_dir = &data_dir.as_ref().map_err(|reported| *reported)?.value;
        let path = data_dir.join("skriptoteket.db");
        return Ok(Database::Sqlite { path });
    };
    match sqlite_path(url.value.expose_secret()) {
        Some(path) => Ok(Database::Sqlite { path }),
        None => Err(reader.report(
            url.origin,
            None,
            Problem::Unsupported(
                "expected sqlite:PATH, a file without parameters, or nothing for skriptoteket.db in data_dir; \
                 this build has no other database",
            ),
        )),
    }
}

/// Returns the path in `sqlite:PATH` or `sqlite://PATH`.
fn sqlite_path(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    // With an in-memory database every connection would have its own database.
    let is_file = !path.is_empty() && !path.contains(['?', '#', '\0']) && path != ":memory:";
    is_file.then(|| Path::new(path).to_path_buf())
}

fn argon2(reader: &mut Reader<'_>) -> Result<HashingPolicy, Reported> {
    let memory_kib = reader.get(&s::ARGON2_MEMORY_KIB);
    let iterations = reader.get(&s::ARGON2_ITERATIONS);
    let parallelism = reader.get(&s::ARGON2_PARALLELISM);
    let threads = reader.get_or(&s::ARGON2_THREADS, &processors());
    let queue = reader.get(&s::ARGON2_QUEUE);
    if let (Ok(memory), Ok(lanes)) = (&memory_kib, &parallelism)
        && memory.value < 8 * lanes.value
    {
        let least = 8 * lanes.value;
        let expected = format!("at least 8 times argon2_parallelism, which is {least}");
        reader.refuse(memory, expected);
    }
    Ok(HashingPolicy {
        memory_kib: memory_kib?.value,
        iterations: iterations?.value,
        parallelism: parallelism?.value,
        threads: threads?.value,
        queue: queue?.value,
    })
}

fn guard(reader: &mut Reader<'_>) -> Result<GuardSettings, Reported> {
    let account_attempts = reader.get(&s::GUARD_ACCOUNT_ATTEMPTS);
    let address_attempts = reader.get(&s::GUARD_ADDRESS_ATTEMPTS);
    let lock = reader.get(&s::GUARD_LOCK);
    let longest_lock = beside(reader, &s::GUARD_LONGEST_LOCK, &lock, Duration::max);
    let account_regain = reader.get(&s::GUARD_ACCOUNT_REGAIN);
    let address_regain = reader.get(&s::GUARD_ADDRESS_REGAIN);
    let forget = reader.get(&s::GUARD_FORGET);
    at_most(reader, &lock, &longest_lock, s::GUARD_LONGEST_LOCK.name);
    Ok(GuardSettings {
        account_attempts: account_attempts?.value,
        address_attempts: address_attempts?.value,
        lock: lock?.value,
        longest_lock: longest_lock?.value,
        account_regain: account_regain?.value,
        address_regain: address_regain?.value,
        forget: forget?.value,
    })
}

fn services(
    reader: &mut Reader<'_>,
    public_url: &Setting<Url>,
) -> Result<ServiceSettings, Reported> {
    let most = reader.get(&s::MAX_SERVICES);
    let audiences = match (reader.is_given(&s::TOKEN_AUDIENCES), public_url) {
        (false, Ok(url)) => {
            let origin = url.value.origin().ascii_serialization();
            reader.get_or(&s::TOKEN_AUDIENCES, &origin)
        }
        (false, Err(reported)) => Err(*reported),
        (true, _) => reader.get(&s::TOKEN_AUDIENCES),
    };
    let algorithm = reader.get(&s::TOKEN_ALGORITHM);
    let token_lifetime = reader.get(&s::TOKEN_LIFETIME);
    let key_rotation = reader.get(&s::SIGNING_KEY_ROTATION);
    let key_lead = beside(reader, &s::SIGNING_KEY_LEAD, &key_rotation, Duration::min);
    let credential_lifetime = reader.get(&s::SERVICE_CREDENTIAL_LIFETIME);
    let credential_overlap = reader.get(&s::SERVICE_CREDENTIAL_OVERLAP);
    let rate = reader.get(&s::SERVICE_RATE);
    let burst = reader.get(&s::SERVICE_BURST);
    refills_in_time(reader, &rate, &burst);
    let daily_quota = reader.get(&s::SERVICE_DAILY_QUOTA);
    let limit_failure = reader.get(&s::SERVICE_LIMIT_FAILURE);
    let stale_after = reader.get(&s::SERVICE_STALE_AFTER);
    let degraded_after = beside(
        reader,
        &s::SERVICE_DEGRADED_AFTER,
        &stale_after,
        Duration::min,
    );
    at_most(
        reader,
        &key_lead,
        &key_rotation,
        s::SIGNING_KEY_ROTATION.name,
    );
    at_most(
        reader,
        &degraded_after,
        &stale_after,
        s::SERVICE_STALE_AFTER.name,
    );
    Ok(ServiceSettings {
        most: most?.value,
        audiences: audiences?.value,
        algorithm: algorithm?.value,
        token_lifetime: token_lifetime?.value,
        key_rotation: key_rotation?.value,
        key_lead: key_lead?.value,
        credential_lifetime: credential_lifetime?.value,
        credential_overlap: credential_overlap?.value,
        rate: rate?.value,
        burst: burst?.value,
        daily_quota: Some(daily_quota?.value).filter(|it| *it > 0),
        limit_failure: limit_failure?.value,
        degraded_after: degraded_after?.value,
        stale_after: stale_after?.value,
    })
}

fn bootstrap(reader: &mut Reader<'_>) -> Result<Option<Bootstrap>, Reported> {
    let username = reader.get(&s::BOOTSTRAP_USERNAME);
    let password = reader.secret(&s::BOOTSTRAP_PASSWORD);
    let username = username?.value;
    Ok(password?.map(|password| Bootstrap {
        username,
        password: password.value,
    }))
}

fn log(reader: &mut Reader<'_>) -> Result<LogSettings, Reported> {
    let filter = reader.get(&s::LOG);
    let format = reader.get(&s::LOG_FORMAT);
    Ok(LogSettings {
        filter: filter?.value,
        format: format?.value,
    })
}

fn listeners_differ(
    reader: &mut Reader<'_>,
    public: &Setting<SocketAddr>,
    management: &Setting<SocketAddr>,
) {
    let (Ok(public), Ok(management)) = (public, management) else {
        return;
    };
    let (one, other) = (public.value, management.value);
    let overlap =
        one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    // Port 0 selects another free port each time.
    if one.port() != 0 && one.port() == other.port() && overlap {
        let expected = format!("a port other than that of listen, which is {one}");
        reader.refuse(management, expected);
    }
}

/// Rejects a burst that the rate refills too slowly.
fn refills_in_time(reader: &mut Reader<'_>, rate: &Setting<Rate>, burst: &Setting<u32>) {
    let (Ok(rate), Ok(size)) = (rate, burst) else {
        return;
    };
    let most = ServiceSettings::most_at_once(rate.value.interval());
    if size.value > most {
        let (name, shown) = (s::SERVICE_RATE.name, rate.value);
        reader.refuse(
            size,
            format!("at most {most}, which {name} = {shown} refills in 3650 days"),
        );
    }
}

/// Reads a duration whose default adapts to another setting, so that a change of one does not require a change of
/// both.
fn beside(
    reader: &mut Reader<'_>,
    setting: &'static s::Setting<Span>,
    other: &Setting<Duration>,
    give_way: fn(Duration, Duration) -> Duration,
) -> Setting<Duration> {
    if let (s::Preset::Fixed(text), Ok(other)) = (setting.preset, other)
        && let Ok(default) = setting.form.read(text)
        && give_way(default, other.value) != default
    {
        return reader.get_or(setting, &duration_text::write(other.value));
    }
    reader.get(setting)
}

/// Rejects `lesser` if it is greater than `greater`, the setting of this name.
fn at_most<T: PartialOrd>(
    reader: &mut Reader<'_>,
    lesser: &Setting<T>,
    greater: &Setting<T>,
    name: &'static str,
) {
    if let (Ok(lesser), Ok(greater)) = (lesser, greater)
        && lesser.value > greater.value
    {
        let limit = greater.shown.as_deref().unwrap_or_default();
        reader.refuse(lesser, format!("at most {name}, which is {limit}"));
    }
}
