//! The demo's own service: the real one, in this process, in a temporary directory.

use std::{
    fmt::Write as _,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use secrecy::ExposeSecret;
use tokio::{sync::oneshot, task::JoinHandle};
use url::Url;

use super::{DemoArgs, api::Credentials, cast::new_password, keys::Keys, leftovers::Home};
use crate::{
    app::Application,
    catalogue::CATALOGUE,
    cli::output::line,
    clock::Clock,
    config::{self, Config, Environment},
    telemetry::{self, Telemetry},
};

/// Interval at which the demo's sessions are counted: the minimum of the setting.
pub(super) const CENSUS_INTERVAL: Duration = Duration::from_secs(1);

/// The default address.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const MANAGEMENT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9464);

const SUPERUSER: &str = "demo";

/// Timeout of the last export of telemetry.
const FLUSH: Duration = Duration::from_secs(1);

/// Settings that show in minutes what otherwise takes hours. All others have production values, including the cost of
/// a password check.
const COMPRESSED: [(&str, &str); 14] = [
    // The service should also respond on a small machine that is busy.
    ("STORE_TIMEOUT", "2s"),
    ("SESSION_IDLE_TIMEOUT", "12s"),
    ("SESSION_ABSOLUTE_TIMEOUT", "45s"),
    ("SESSION_REMEMBER_TIMEOUT", "90s"),
    ("CENSUS_INTERVAL", "1s"),
    // A token is accepted for one more minute, the tolerance for clock differences.
    ("TOKEN_LIFETIME", "10s"),
    ("SERVICE_DEGRADED_AFTER", "20s"),
    ("SERVICE_STALE_AFTER", "60s"),
    ("GUARD_ACCOUNT_ATTEMPTS", "6"),
    ("GUARD_ADDRESS_ATTEMPTS", "12"),
    ("GUARD_LOCK", "5s"),
    ("GUARD_LONGEST_LOCK", "20s"),
    ("GUARD_ACCOUNT_REGAIN", "10s"),
    ("GUARD_ADDRESS_REGAIN", "5s"),
];

/// A service that is running.
#[derive(Debug)]
pub(super) struct Service {
    /// The origin of the API.
    pub(super) api: Url,
    /// The origin of the management listener.
    pub(super) management: Url,
    /// Its first superuser.
    pub(super) superuser: Credentials,
    telemetry: Telemetry,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
    keys: Option<Keys>,
    home: Home,
}

impl Service {
    /// Starts a service. If the default port is taken and no other was requested, it selects a free one and prints a
    /// message.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub(super) async fn start(
        args: &DemoArgs,
        environment: &Environment,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let home = Home::make()?;
        let superuser = Credentials {
            username: SUPERUSER.to_owned(),
            password: new_password(),
        };
        let listen = or_free(args.listen, LISTEN, "the API")?;
        let management = or_free(args.management_listen, MANAGEMENT_LISTEN, "/metrics")?;
        let keys = Keys::of(args)?;
        let environment = match &keys {
            Some(keys) => keys.told(environment.clone().standard_only()),
            None => environment.clone().standard_only(),
        };
        let config = configuration(environment, home.path(), listen, management, &superuser)?;
        if let Some(keys) = &keys {
            keys.try_out().await?;
        }
        let telemetry = Telemetry::start(&config.otel, CATALOGUE)?;
        telemetry::tracing::install(&config.log, &telemetry)?;
        let application = match Application::build(&config, &telemetry, clock).await {
            Ok(application) => application,
            Err(error) => {
                shut_down(telemetry).await;
                if let Some(keys) = keys {
                    // The first error is the one to report.
                    let _ = keys.delete().await;
                }
                return Err(error);
            }
        };
        let (api, management) = (application.address(), application.management_address());
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(application.run_until_stopped(async {
            let _ = stopped.await;
        }));
        Ok(Self {
            api: url_of(api)?,
            management: url_of(management)?,
            superuser,
            telemetry,
            stop,
            running,
            keys,
            home,
        })
    }

    /// Returns an introduction for new users. The superuser's password is printed only on a terminal, never to a
    /// file.
    pub(super) fn introduction(&self, to_a_person: bool) -> String {
        let (api, management) = (&self.api, &self.management);
        let name = &self.superuser.username;
        let mut text = format!(
            "Skriptoteket is running here, in a temporary directory that is deleted at the end.\n\n  \
             log in     {api}login\n  \
             API        {api}api/openapi.json\n  \
             metrics    {management}metrics\n"
        );
        if let Some(keys) = &self.keys {
            let _ = writeln!(text, "  sessions   {keys}");
        }
        if to_a_person {
            let password = self.superuser.password.expose_secret();
            let _ = write!(
                text,
                "  superuser  {name}, password {password}\n\n\
                 Try, in another terminal:\n  \
                 curl -s {management}metrics | grep ^skriptoteket_\n  \
                 curl -s -c /tmp/jar {api}api/login \\\n    \
                 --json '{{\"username\":\"{name}\",\"password\":\"{password}\"}}'\n  \
                 curl -s -b /tmp/jar '{api}api/admin/sessions?limit=3'\n"
            );
        }
        text
    }

    /// Stops the service, and deletes its data.
    ///
    /// # Errors
    ///
    /// If it failed while it ran, or something is left behind.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        let _ = self.stop.send(());
        let ran = self.running.await;
        shut_down(self.telemetry).await;
        let deleted = match &self.keys {
            Some(keys) => keys.delete().await,
            None => Ok(()),
        };
        let emptied = self.home.delete();
        ran.context("the service crashed")
            .flatten()
            .and(deleted)
            .and(emptied)
    }
}

/// Exports the last telemetry. An unavailable Collector is not an error of the demo.
async fn shut_down(telemetry: Telemetry) {
    let sent = tokio::task::spawn_blocking(move || telemetry.shutdown(FLUSH)).await;
    if let Ok(Err(error)) = sent {
        tracing::warn!(error = %error, "the last telemetry was not delivered");
    }
}

fn configuration(
    mut environment: Environment,
    dir: &Path,
    listen: SocketAddr,
    management: SocketAddr,
    superuser: &Credentials,
) -> anyhow::Result<Config> {
    let mut set = |name: &str, value: &str| {
        let all = std::mem::take(&mut environment);
        environment = all.with(format!("SKRIPTOTEKET_{name}"), value);
    };
    for (name, value) in COMPRESSED {
        set(name, value);
    }
    set("LISTEN", &listen.to_string());
    set("MANAGEMENT_LISTEN", &management.to_string());
    set("PUBLIC_URL", url_of(listen)?.as_str());
    set("DATA_DIR", &dir.display().to_string());
    set("BOOTSTRAP_USERNAME", &superuser.username);
    set("BOOTSTRAP_PASSWORD", superuser.password.expose_secret());
    // The screen is reserved for the live view, and rejected logins are expected.
    set("LOG", "error");
    Ok(config::load(None, &environment)?)
}

/// Returns the requested address, or the default one, or a free one.
fn or_free(asked: Option<SocketAddr>, usual: SocketAddr, what: &str) -> anyhow::Result<SocketAddr> {
    if let Some(asked) = asked {
        return Ok(asked);
    }
    match TcpListener::bind(usual) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            line(format_args!(
                "Port {} is taken: {what} uses a free one.",
                usual.port()
            ))?;
            Ok(SocketAddr::new(usual.ip(), 0))
        }
        _ => Ok(usual),
    }
}

/// Returns the URL that reaches a listener at `address` from this machine.
fn url_of(address: SocketAddr) -> anyhow::Result<Url> {
    let mut reached = address;
    if reached.ip().is_unspecified() {
        reached.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    Ok(Url::parse(&format!("http://{reached}/"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_reached_on_loopback() {
        let of = |address: &str| url_of(address.parse().unwrap()).unwrap().to_string();
        assert_eq!(of("0.0.0.0:81"), "http://127.0.0.1:81/");
        assert_eq!(of("[::]:81"), "http://[::1]:81/");
        assert_eq!(of("127.0.0.2:81"), "http://127.0.0.2:81/");
    }

    #[test]
    fn the_configuration_of_the_demo_is_valid_and_stays_in_its_directory() {
        let environment = Environment::default()
            .with("SKRIPTOTEKET_DATABASE_URL", "sqlite:/in/earnest.db")
            .with("SKRIPTOTEKET_NO_SUCH_SETTING", "1")
            .with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        let dir = tempfile::tempdir().unwrap();
        let superuser = Credentials {
            username: SUPERUSER.to_owned(),
            password: new_password(),
        };
        let environment = environment.standard_only();
        let (api, management) = (LISTEN, MANAGEMENT_LISTEN);
        let config = configuration(environment, dir.path(), api, management, &superuser).unwrap();
        assert_eq!(config.data_dir, dir.path());
        let config::Database::Sqlite { path } = &config.database;
        assert!(path.starts_with(dir.path()), "{}", path.display());
        assert!(config.otel.metrics.is_some(), "OTEL_… variables hold");
        assert_eq!(config.census_interval, CENSUS_INTERVAL);
        assert_eq!(config.argon2.memory_kib, 19_456);
    }

    #[test]
    fn a_port_that_is_taken_is_left_to_its_owner_unless_it_was_asked_for() {
        let owner = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = owner.local_addr().unwrap();
        assert_eq!(or_free(None, taken, "test").unwrap().port(), 0);
        assert_eq!(or_free(Some(taken), LISTEN, "test").unwrap(), taken);
        drop(owner);
        assert_eq!(or_free(None, taken, "test").unwrap(), taken);
    }
}
