//! The composition root: opens the stores, wires the services, starts and stops everything.
//!
//! | file | what is in it |
//! |---|---|
//! | `bootstrap` | the first superuser |
//! | `data_dir` | the lock that prevents conflicting servers, the generated cookie key |
//! | `files` | the open file limit of the process, and how the listeners share it |
//! | `listeners` | binding and shutdown of the listeners |
//! | `recorders` | the recorders of metrics |
//! | `services` | wiring of everything that services need |
//! | `session_location` | where sessions were stored when a server last started here |
//! | `alerts` | a receiver of Alertmanager webhooks |
//! | `warnings` | settings that are valid but probably wrong |
//! | `background` | the tasks that run beside the server, and their restart after a failure |

pub(crate) mod alerts;
mod background;
mod bootstrap;
mod data_dir;
mod files;
mod listeners;
mod recorders;
mod services;
pub(crate) mod session_location;
pub(crate) mod warnings;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::web::ServiceConfig;
use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use skriptoteket_actix::application::{
    SessionMeters, SessionServices, SessionSettings, SessionStores,
    exports::{first_export, last_count},
    instance_id::of_the_service,
};
use tokio::{runtime::Handle, task::JoinHandle};
use url::Url;
use uuid::Uuid;

use self::{
    background::{Background, CLOCK_SPAN, Housekeeping},
    data_dir::{DataDir, Tenancy},
    listeners::{Bound, Listening, bind, ended_early, stop_gracefully, with_real_port},
    recorders::Recorders,
    services::Keys,
};
use crate::{
    accounts::{password::Passwords, registration::Registrar},
    audit::{AdminAudit, AuditTrail, AuditWriter},
    clock::{Clock, ClockWatch},
    config::Config,
    guard::{Budget, Entities, GuardPolicy},
    http::{Api, CookieSettings, Management, Readiness, serve_management, serve_public},
    login::{LoginParts, LoginService},
    pages::{Branding, Pages},
    sessions::census::CensusPace,
    store::{self, Stores},
    telemetry::{ServiceWide, Telemetry},
};

/// How long the store may take, after the listeners are closed, to write the end of the audit trail and to answer the
/// last count, and then to close its file. This is not the store timeout, which may exceed the time of a shutdown.
const LAST_TASKS: Duration = Duration::from_millis(300);
const CLOSE: Duration = Duration::from_millis(150);

/// A service that is listening and ready to run.
#[derive(Debug)]
pub struct Application {
    public: Listening,
    management: Listening,
    background: Background,
    audit: AuditWriter,
    stores: Stores,
    /// Given to another replica at shutdown, if there may be one.
    hand_over: Option<ServiceWide>,
    public_url: Url,
    _data_dir: DataDir,
}

impl Application {
    /// Opens the stores, creates the first superuser if the configuration names one, counts the sessions once and binds
    /// both listeners. Takes the time of one password hash.
    ///
    /// # Errors
    ///
    /// Describes what could not be opened, created or bound, and why.
    pub async fn build(
        config: &Config,
        telemetry: &Telemetry,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        // First: an unusable logo and a port in use are reported before anything is changed.
        let branding = Branding::load(&config.pages).context("logo_file")?;
        let public = bind("listen", config.listen)?;
        let management_listener = bind("management_listen", config.management_listen)?;
        let public_url = with_real_port(&config.public_url, public.1);
        let recorders = Recorders::new(telemetry, &clock);
        let data_dir = DataDir::lock(&config.data_dir, tenancy(config))?;
        let stores =
            store::open(&config.store(), Arc::clone(&clock), Some(recorders.store)).await?;
        let key = cookie_key(config, &data_dir)?;
        session_location::remember(config);
        let service = of_the_service(&key, config.redis.as_ref().map(|it| it.key_prefix.as_str()));
        let service_wide = telemetry.service_wide(service)?;
        let passwords = Passwords::new(&config.argon2, recorders.passwords)?;
        let registrar = Registrar::new(Arc::clone(&stores.accounts), passwords.clone());
        let (trail, audit) = AuditTrail::new(Arc::clone(&stores.audit), recorders.audit);
        let admin_audit =
            AdminAudit::new(trail.clone(), Arc::clone(&stores.audit), Arc::clone(&clock));
        bootstrap::first_superuser(config, &stores, &registrar, &admin_audit).await?;

        let meters = SessionMeters {
            own: telemetry.observed_meters(),
            service_wide: service_wide.meters(),
        };
        let session = SessionServices::new(
            &session_stores(&stores),
            &session_settings(config, service),
            &meters,
            recorders.sessions,
            &clock,
        );
        let login = LoginService::new(LoginParts {
            accounts: Arc::clone(&stores.accounts),
            limits: Arc::clone(&stores.limits),
            policy: guard_policy(config),
            entities: Entities::keyed(key.expose_secret().as_bytes()),
            passwords,
            sessions: session.sessions.clone(),
            lifecycle: session.lifecycle.clone(),
            audit: trail,
            metrics: recorders.login,
            clock: Arc::clone(&clock),
            runtime: Handle::current(),
        });
        let services = services::open(config, &stores, &public_url, &recorders.auth, &clock);
        let keys = services.start(&admin_audit).await?;
        let meters = meters.service_wide;
        let service_census =
            services.service_census(config, &stores, &meters, &session.observer, &clock);
        // Counted before the listeners accept requests, so that the first scrape shows current values. An unavailable
        // store does not prevent the start; the gauges are absent until it responds.
        let _ = session.census.take().await;
        let _ = service_census.take().await;
        first_export(telemetry.all_metrics()).await;

        let api = Api {
            login,
            sessions: session.sessions.clone(),
            lifecycle: session.lifecycle.clone(),
            accounts: Arc::clone(&stores.accounts),
            registrar,
            trail: Arc::clone(&stores.audit),
            audit: admin_audit,
            clients: services.clients.clone(),
            service_cache: services.service_cache.clone(),
            registry: services.registry.clone(),
            tokens: services.tokens.clone(),
            keys_kept: services::keys_kept(config),
            bearer: services.bearer.clone(),
            limiter: services.limiter.clone(),
            auth_metrics: recorders.auth,
            metrics: recorders.http,
            traces: telemetry.request_traces(Arc::clone(&clock)),
            cookie: CookieSettings::new(&key, &public_url),
            origin: (&public_url).into(),
            trusted_proxies: config.trusted_proxies.clone().into(),
            wait_budget: config.store_timeout,
        };
        let pages = Pages::new(branding, &key, api.login_api(), Arc::clone(&api.accounts));
        let management = management(config, telemetry, &stores);
        let (public, management_listening) = serve(
            config,
            (api, pages, public),
            (management.clone(), management_listener),
        )?;
        let housekeeping = housekeeping(config, &stores, management.readiness, keys, clock);
        let hand_over = stores.is_shared().then_some(service_wide);
        Ok(Self {
            public,
            management: management_listening,
            background: Background {
                sessions: session,
                service_census: Arc::new(service_census),
                housekeeping: Arc::new(housekeeping),
            },
            audit,
            stores,
            hand_over,
            public_url,
            _data_dir: data_dir,
        })
    }

    /// Returns the address of the public listener.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.public.address
    }

    /// Returns the address of the management listener.
    #[must_use]
    pub const fn management_address(&self) -> SocketAddr {
        self.management.address
    }

    /// Returns the origin under which browsers see the service.
    #[must_use]
    pub const fn public_url(&self) -> &Url {
        &self.public_url
    }

    /// Serves until `stop` is ready, then completes the requests in flight, writes what is queued and returns. The
    /// shutdown takes at most a second and a half.
    ///
    /// # Errors
    ///
    /// If a listener fails.
    pub async fn run_until_stopped(self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self {
            public,
            management,
            background,
            audit,
            stores,
            hand_over,
            public_url: _,
            _data_dir,
        } = self;
        let census = Arc::clone(&background.sessions.census);
        let tasks = background.start();
        let mut audit = tokio::spawn(audit.run());
        let handles = [public.server.handle(), management.server.handle()];
        let mut public = tokio::spawn(public.server);
        let mut management = tokio::spawn(management.server);
        let result = tokio::select! {
            () = stop => Ok(()),
            ended = &mut public => ended_early("public", ended),
            ended = &mut management => ended_early("management", ended),
        };
        let [public, management] = handles;
        stop_gracefully(&public, &management).await;
        for task in tasks {
            task.abort();
        }
        // The event of the last login is in the queue by now, and the queue closes with the last worker. If the last
        // count is not answered, the gauges keep their values.
        let (written, _) = tokio::join!(
            tokio::time::timeout(LAST_TASKS, &mut audit),
            tokio::time::timeout(LAST_TASKS, last_count(&census, hand_over)),
        );
        if written.is_err() {
            // The writer counts the lost events, and the last export reports them. An event whose commit was not
            // confirmed may be stored anyway.
            audit.abort();
            let _ = audit.await;
        }
        if tokio::time::timeout(CLOSE, stores.close()).await.is_err() {
            tracing::warn!(
                "the store is still busy; its write-ahead log will be read at the next start"
            );
        }
        result
    }
}

fn housekeeping(
    config: &Config,
    stores: &Stores,
    readiness: Readiness,
    keys: Keys,
    clock: Arc<dyn Clock>,
) -> Housekeeping {
    Housekeeping {
        audit: Arc::clone(&stores.audit),
        limits: Arc::clone(&stores.limits),
        limits_horizon: guard_policy(config).horizon(),
        tokens: Arc::clone(&stores.tokens),
        keys,
        watch: ClockWatch::new(Arc::clone(&clock), CLOCK_SPAN),
        clock,
        readiness,
        audit_retention: config.audit_retention,
    }
}

/// Starts both servers on their listeners.
fn serve(
    config: &Config,
    (api, pages, (public, address)): (Api, Pages, Bound),
    (management, (management_listener, management_address)): (Management, Bound),
) -> anyhow::Result<(Listening, Listening)> {
    let (limits, management_limits) = files::connection_limits(config);
    let layer = api.layer().with_error_pages(pages.error_pages());
    let routes = move |config: &mut ServiceConfig| pages.routes(config);
    let public = Listening {
        server: serve_public(api, routes, layer, public, config.workers, limits)?,
        address,
    };
    let management = Listening {
        server: serve_management(management, management_listener, management_limits)?,
        address: management_address,
    };
    Ok((public, management))
}

fn session_stores(stores: &Stores) -> SessionStores {
    SessionStores {
        accounts: Arc::clone(&stores.accounts),
        sessions: Arc::clone(&stores.sessions),
        ledger: Arc::clone(&stores.ledger),
        observer: Arc::clone(&stores.observer),
    }
}

fn session_settings(config: &Config, instance: Uuid) -> SessionSettings {
    SessionSettings {
        policy: config.into(),
        pace: CensusPace {
            interval: config.census_interval,
            timeout: config.store_timeout,
        },
        instance,
    }
}

fn cookie_key(config: &Config, data_dir: &DataDir) -> anyhow::Result<SecretString> {
    match &config.cookie_key {
        Some(key) => Ok(key.clone()),
        None => data_dir.cookie_key(),
    }
}

fn management(config: &Config, telemetry: &Telemetry, stores: &Stores) -> Management {
    Management {
        page: telemetry.page(),
        token: config.metrics_token.clone(),
        readiness: Readiness {
            accounts: Arc::clone(&stores.accounts),
            sessions: Arc::clone(&stores.sessions),
            timeout: config.store_timeout,
        },
    }
}

fn tenancy(config: &Config) -> Tenancy {
    if config.store().is_shared() {
        Tenancy::Shared
    } else {
        Tenancy::Alone
    }
}

fn guard_policy(config: &Config) -> GuardPolicy {
    let guard = &config.guard;
    let budget = |attempts, refill| Budget {
        attempts,
        refill,
        lock: guard.lock,
        longest_lock: guard.longest_lock,
        forget: guard.forget,
    };
    GuardPolicy {
        account: budget(guard.account_attempts, guard.account_regain),
        address: budget(guard.address_attempts, guard.address_regain),
    }
}

/// Background tasks, aborted at shutdown.
type Tasks = Vec<JoinHandle<()>>;
