//! The programs to compare with, each in its own process: actix-web with two workers and one handler, and the same with
//! bearer authentication, as another application would have it. All send the same response.

use std::sync::Arc;

use actix_web::{
    App, HttpResponse, HttpServer, rt,
    web::{Bytes, Data, Path, get, post},
};
use anyhow::{Context, bail};
use skriptoteket::{
    catalogue::CATALOGUE,
    clock::{Clock, SystemClock},
    config::{self, Config, Environment},
    http::ServiceIdentity,
    resource_server::ResourceServer,
    services::{
        AuthMetrics, BearerAuthenticator, ClientAuthenticator, Limiter, ServiceCache, TokenParts,
        TokenPolicy, TokenVerifier, Tokens,
    },
    store,
    telemetry::Telemetry,
};
use skriptoteket_testing::{
    load::{Server, ending_with_thread},
    ports::free_port,
};

use super::{issuer::Issuer, ours::CHECK};

/// The first argument of this program when it runs as one of these.
pub(crate) const NAME: &str = "application";

/// The path of introspection, at a handler that checks nothing.
pub(crate) const INTROSPECT: &str = "/oauth2/introspect";

/// The path of a handler that sends as many bytes as its last segment says.
pub(crate) const BYTES: &str = "/bytes";

/// As long as the response to `GET /api/session`.
const SESSION: &str = r#"{"user":{"id":"019a8f3e-0000-7000-8000-000000000000","username":"admin","role":"superuser"},"session":{"id":"00AAAAAAAAAAAAAAAAAAAAAA","created_at":"2026-01-01T12:00:00.000Z","expires_at":"2026-01-01T12:30:00.000Z"}}"#;

/// As long as the response to an introspection.
pub(crate) const INTROSPECTION: &str = r#"{"active":true,"client_id":"service-0","sub":"service-0","aud":"http://127.0.0.1:12000","iss":"http://127.0.0.1:12000","exp":1767268800,"iat":1767265200,"jti":"019a8f3e-0000-7000-8000-000000000000","token_type":"Bearer"}"#;

/// How an application verifies a token.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// Reads the store of the issuer: revocations take effect.
    Store,
    /// Uses the public keys of the issuer.
    Keys,
}

/// Starts a bare application.
pub(crate) async fn bare() -> anyhow::Result<Server> {
    let port = free_port();
    let mut command = ending_with_thread(std::env::current_exe()?);
    command.args([NAME, &port.to_string()]);
    let mut server = Server::spawn(&mut command, port)?;
    server.ready().await?;
    Ok(server)
}

/// Starts an application that accepts the access tokens of `issuer`.
pub(crate) async fn with_bearer(
    issuer: &Issuer,
    way: Way,
    metrics: bool,
) -> anyhow::Result<Server> {
    let port = free_port();
    let mut command = ending_with_thread(std::env::current_exe()?);
    command
        .args([NAME, &port.to_string()])
        .arg(issuer.server.url(""))
        .arg(match way {
            Way::Store => "store",
            Way::Keys => "keys",
        })
        .env_clear()
        .env("SKRIPTOTEKET_DATA_DIR", issuer.data_dir())
        .env("OTEL_SDK_DISABLED", (!metrics).to_string());
    let mut server = Server::spawn(&mut command, port)?;
    server.ready().await?;
    Ok(server)
}

/// Runs as one of these programs, until killed.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let (port, bearer) = match arguments {
        [port] => (port, None),
        [port, issuer, way] => (port, Some((issuer, way))),
        _ => bail!("expected a port, or a port, an issuer and a method"),
    };
    let port: u16 = port.parse()?;
    rt::System::new().block_on(async {
        match bearer {
            None => serve_bare(port).await,
            Some((issuer, way)) => serve_with_bearer(port, issuer, way).await,
        }
    })
}

fn json(body: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(body)
}

async fn serve_bare(port: u16) -> anyhow::Result<()> {
    let server = HttpServer::new(|| {
        App::new()
            .route(CHECK, get().to(async || json(SESSION)))
            .route(
                &format!("{BYTES}/{{number}}"),
                get().to(async |number: Path<usize>| {
                    HttpResponse::Ok()
                        .content_type("text/html; charset=utf-8")
                        .body("x".repeat(*number))
                }),
            )
            // Reads the body: if no handler does, actix closes the connection, which costs more than everything else.
            .route(INTROSPECT, post().to(async |_: Bytes| json(INTROSPECTION)))
    });
    let server = server.workers(2).bind(("127.0.0.1", port))?;
    Ok(server.run().await?)
}

async fn serve_with_bearer(port: u16, issuer: &str, way: &str) -> anyhow::Result<()> {
    let config = config::load(None, &Environment::from_process())?;
    let telemetry = Telemetry::start(&config.otel, CATALOGUE)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let metrics = AuthMetrics::new(
        &telemetry.meter(),
        &telemetry.observed_meters(),
        Arc::clone(&clock),
    );
    let verifier: Arc<dyn TokenVerifier> = match way {
        "keys" => Arc::new(
            ResourceServer::of(issuer, metrics.clone())
                .audience(issuer)
                .verify_locally()?,
        ),
        _ => Arc::new(tokens(&config, issuer, &metrics, clock).await?),
    };
    let bearer = Data::new(BearerAuthenticator::new(verifier, metrics));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(bearer.clone())
            .route(CHECK, get().to(async |_: ServiceIdentity| json(SESSION)))
    });
    let server = server.workers(2).bind(("127.0.0.1", port))?;
    Ok(server.run().await?)
}

/// Returns the tokens of an issuer whose embedded store this process also opens.
async fn tokens(
    config: &Config,
    issuer: &str,
    metrics: &AuthMetrics,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Tokens> {
    config.store().find().context("the issuer's store")?;
    let stores = store::open(&config.store(), Arc::clone(&clock), None).await?;
    let service_cache = ServiceCache::new(
        Arc::clone(&stores.services),
        Arc::clone(&stores.tokens),
        metrics.clone(),
        Arc::clone(&clock),
    );
    let clients = ClientAuthenticator::new(
        service_cache.clone(),
        Arc::clone(&stores.services),
        Arc::clone(&stores.tokens),
        metrics.clone(),
        Arc::clone(&clock),
        vec![issuer.to_owned()],
    );
    let limiter = Limiter::new(
        Arc::clone(&stores.quotas),
        config.services.limit_failure,
        metrics.clone(),
        Arc::clone(&clock),
    );
    Ok(Tokens::new(TokenParts {
        clients,
        service_cache,
        tokens: Arc::clone(&stores.tokens),
        limiter,
        metrics: metrics.clone(),
        clock,
        policy: TokenPolicy {
            issuer: issuer.to_owned(),
            audiences: vec![issuer.to_owned()],
            lifetime: config.services.token_lifetime,
        },
    }))
}
