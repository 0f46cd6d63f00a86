//! Another application that embeds the contract and has pages of its own, wired by hand as a user of the library does it.

use std::{net::TcpListener, sync::Arc, time::Duration};

use actix_session::Session;
use actix_web::{
    App, HttpResponse, HttpServer,
    dev::{Server, ServerHandle},
    http::header,
    web::{self, to},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use skriptoteket::{
    accounts::{Profile, Role},
    audit::AdminAudit,
    catalogue::CATALOGUE,
    clock::{Clock, ManualClock},
    config::{self, Environment},
    http::{Api, CookieSettings, Principal, matched, metrics::HttpMetrics},
    login::LoginService,
    services::{FailurePolicy, ServiceSettings},
    store::Stores,
    telemetry::{Telemetry, testing::CollectedMetrics},
};
use skriptoteket_testing::{
    parts::{CHEAP, LoginServices, SessionServices, budget, registration, service_parts},
    stores::{LONG_TIMEOUT, open_file},
};
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::{Browser, Ledger, Machine, ORIGIN, PASSWORD, PUBLIC, document};

/// The application. Its store has no cache, so that each request reaches the store.
pub(crate) struct Host {
    pub(crate) api: Api,
    pub(crate) stores: Stores,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) metrics: CollectedMetrics,
    pub(crate) telemetry: Telemetry,
    public: String,
    /// The signal that `/slow` waits for.
    pub(crate) slow: Arc<Slow>,
    document: Arc<Value>,
    server: ServerHandle,
    _dir: TempDir,
}

/// A page that blocks until the test releases it.
#[derive(Debug)]
pub(crate) struct Slow {
    reached: Semaphore,
    may_go_on: Semaphore,
}

impl Default for Slow {
    fn default() -> Self {
        Self {
            reached: Semaphore::new(0),
            may_go_on: Semaphore::new(0),
        }
    }
}

impl Slow {
    /// Waits until a request has reached the page.
    pub(crate) async fn reached(&self) {
        self.reached.acquire().await.unwrap().forget();
    }

    /// Releases one request.
    pub(crate) fn go_on(&self) {
        self.may_go_on.add_permits(1);
    }

    async fn pass(&self) {
        self.reached.add_permits(1);
        self.may_go_on.acquire().await.unwrap().forget();
    }
}

/// Starts an application with the account `ada`.
pub(crate) async fn host() -> Host {
    host_that(FailurePolicy::Closed).await
}

/// Starts an application with this policy for requests of services whose limits cannot be checked.
pub(crate) async fn host_that(on_failure: FailurePolicy) -> Host {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let time: Arc<dyn Clock> = clock.clone();
    let stores = open_file(&dir.path().join("host.db"), time.clone()).await;
    let (telemetry, metrics) = Telemetry::in_memory(CATALOGUE);
    let settings = settings(on_failure);
    let services = service_parts(&stores, &telemetry, &time, &settings, ORIGIN);
    assert!(services.key_rotator.rotate_if_due(true).await.unwrap());
    let api = wire(&stores, time, &telemetry, services);
    let password = SecretString::from(PASSWORD);
    api.registrar
        .register("ada", Role::User, Profile::default(), password)
        .await
        .unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let public = format!("http://{}", listener.local_addr().unwrap());
    let slow = Arc::<Slow>::default();
    let server = serve(api.clone(), Arc::clone(&slow), listener);
    let handle = server.handle();
    tokio::spawn(server);
    Host {
        api,
        stores,
        clock,
        metrics,
        telemetry,
        slow,
        document: document(&public).await,
        public,
        server: handle,
        _dir: dir,
    }
}

fn settings(limit_failure: FailurePolicy) -> ServiceSettings {
    let defaults = config::load(None, &Environment::default())
        .unwrap()
        .services;
    ServiceSettings {
        most: 10,
        audiences: vec![ORIGIN.into()],
        token_lifetime: Duration::from_mins(10),
        key_rotation: Duration::from_hours(24),
        key_lead: Duration::from_mins(10),
        credential_lifetime: Duration::from_hours(24 * 90),
        rate: "100/s".parse().unwrap(),
        burst: 200,
        limit_failure,
        degraded_after: Duration::from_mins(2),
        stale_after: Duration::from_mins(10),
        ..defaults
    }
}

fn wire(
    stores: &Stores,
    clock: Arc<dyn Clock>,
    telemetry: &Telemetry,
    services: skriptoteket::services::ServiceParts,
) -> Api {
    let (meter, observed) = (telemetry.meter(), telemetry.observed_meters());
    let sessions = SessionServices::new(stores, telemetry, &clock);
    let budgets = [budget(1000); 2];
    let login = LoginServices::new(stores, telemetry, &clock, &sessions, &CHEAP, budgets);
    tokio::spawn(login.writer.run());
    let trail = login.parts.audit.clone();
    let url = ORIGIN.parse().unwrap();
    Api {
        login: LoginService::new(login.parts),
        sessions: sessions.sessions,
        lifecycle: sessions.lifecycle,
        accounts: stores.accounts.clone(),
        registrar: login.registrar,
        trail: stores.audit.clone(),
        audit: AdminAudit::new(trail, stores.audit.clone(), clock.clone()),
        clients: services.clients,
        service_cache: services.service_cache,
        registry: services.registry,
        tokens: services.tokens,
        bearer: services.bearer,
        keys_kept: Duration::from_mins(5),
        limiter: services.limiter,
        auth_metrics: services.metrics,
        metrics: HttpMetrics::new(&meter, &observed, clock.clone()),
        traces: telemetry.request_traces(clock),
        cookie: CookieSettings::new(&"the host's own key material".into(), &url),
        origin: (&url).into(),
        trusted_proxies: Arc::from([]),
        wait_budget: LONG_TIMEOUT,
    }
}

/// Serves the contract and a few pages that use its sessions.
fn serve(api: Api, slow: Arc<Slow>, listener: TcpListener) -> Server {
    let waiting = web::Data::from(slow);
    let server = HttpServer::new(move || {
        let page = |path: &'static str| web::resource(path).guard(matched(path));
        let session = api.session_middleware();
        App::new()
            .app_data(waiting.clone())
            .configure(|config| api.routes(config))
            .service(
                page("/visits")
                    .route(web::post().to(visit))
                    .wrap(session.clone()),
            )
            .service(
                page("/slow")
                    .route(web::post().to(self::slow))
                    .wrap(session.clone()),
            )
            .service(
                page("/leave")
                    .route(web::post().to(leave))
                    .wrap(session.clone()),
            )
            .service(
                page("/renew")
                    .route(web::post().to(renew))
                    .wrap(session.clone()),
            )
            .service(
                page("/fall")
                    .route(web::post().to(fall))
                    .wrap(session.clone()),
            )
            .service(
                page("/logo")
                    .route(web::get().to(logo))
                    .wrap(session.clone()),
            )
            .service(page("/number").route(web::post().to(number)).wrap(session))
            .service(page("/panic").to(crash))
            .service(page("/teapot").to(teapot))
            .service(page("/leak").to(leak))
            .default_service(to(HttpResponse::NotFound))
            .wrap(api.layer())
    });
    server
        .workers(1)
        .h1_allow_half_closed(false)
        .disable_signals()
        .listen(listener)
        .unwrap()
        .run()
}

/// A page that is the same for all users.
async fn logo() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, PUBLIC))
        .json("logo")
}

async fn visit(session: Session) -> HttpResponse {
    let visits = session.get::<u32>("visits").unwrap().unwrap_or(0) + 1;
    session.insert("visits", visits).unwrap();
    HttpResponse::Ok().json(visits)
}

/// Changes the session after the test had time to end it.
async fn slow(principal: Principal, session: Session, slow: web::Data<Slow>) -> HttpResponse {
    session.insert("slow", true).unwrap();
    slow.pass().await;
    HttpResponse::Ok().json(principal.username.as_str())
}

async fn leave(session: Session) -> HttpResponse {
    session.purge();
    HttpResponse::NoContent().finish()
}

async fn renew(session: Session) -> HttpResponse {
    session.renew();
    HttpResponse::NoContent().finish()
}

async fn fall(_: Principal) -> HttpResponse {
    panic!("s3cret")
}

/// A page whose invalid requests the framework rejects with its own error text.
async fn number(_: Principal, number: web::Json<u32>) -> HttpResponse {
    HttpResponse::Ok().json(number)
}

async fn crash() -> HttpResponse {
    panic!("s3cret")
}

async fn teapot() -> HttpResponse {
    HttpResponse::ImATeapot()
        .content_type("text/html")
        .body("<p>short and stout")
}

/// Fails with the text of the error, as a careless handler does.
async fn leak() -> actix_web::Result<String> {
    let error = std::io::Error::other("s3cret");
    Err(actix_web::error::ErrorInternalServerError(error))
}

impl Host {
    /// Registers a service.
    pub(crate) async fn register(&self, id: &str) -> Machine {
        self.register_with(id, &[]).await
    }

    /// Registers a service that may request tokens with these scopes.
    pub(crate) async fn register_with(&self, id: &str, scopes: &[&str]) -> Machine {
        let registration = registration(id, scopes);
        let issued = self.api.registry.register(registration).await.unwrap();
        let secret = issued.secret.expose_secret();
        let body = json!({"client_id": id, "client_secret": secret});
        Machine::new(&self.public, Arc::clone(&self.document), &body)
    }

    /// Returns a ledger that counts events of services from now on.
    pub(crate) fn ledger(&self) -> Ledger {
        Ledger::open(&self.metrics)
    }

    /// Returns a browser without cookies.
    pub(crate) fn browser(&self) -> Browser {
        Browser::new(&self.public, Arc::clone(&self.document))
    }

    /// Returns a browser in which `ada` is logged in.
    pub(crate) async fn ada(&self) -> Browser {
        let browser = self.browser();
        browser.log_in("ada").await.expect_status(200);
        browser
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Sends the request without waiting for the response.
        drop(self.server.stop(false));
    }
}
