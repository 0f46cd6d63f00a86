//! An application with one page, for services that send an access token of a Skriptoteket.
//!
//! ```text
//! cargo run --example embedded -- http://127.0.0.1:8080 8090
//! ```
//!
//! The first argument is the issuer, the second a port on loopback; its metrics are on the next port, which only Prometheus
//! should reach. Tokens must be for the issuer itself, which is the audience of tokens that were requested without one; an
//! application with its own audience in `token_audiences` uses that.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::Server,
    error::ErrorInternalServerError,
    web::{Data, get},
};
use anyhow::Context;
use skriptoteket::{
    catalogue::CATALOGUE,
    clock::SystemClock,
    config::{self, Environment},
    http::ServiceIdentity,
    resource_server::ResourceServer,
    services::{AuthMetrics, BearerAuthenticator},
    telemetry::{MetricsPage, Telemetry},
};

/// A page for services. Every caller has sent a valid token and is counted.
async fn greet(service: ServiceIdentity) -> String {
    format!("hello, {}\n", service.service)
}

/// The page that Prometheus scrapes.
async fn show(page: Data<MetricsPage>) -> actix_web::Result<HttpResponse> {
    let text = page.render().map_err(ErrorInternalServerError)?;
    let mut response = HttpResponse::Ok();
    Ok(response.content_type(MetricsPage::CONTENT_TYPE).body(text))
}

/// The application, where it listens, and where its metrics are.
pub(crate) struct Application {
    pub(crate) server: Server,
    pub(crate) address: SocketAddr,
    management: Server,
    pub(crate) management_address: SocketAddr,
    /// Exports for as long as it is kept. Its shutdown exports the last data.
    telemetry: Telemetry,
}

/// The application on `address`, and its metrics on a listener of their own.
pub(crate) fn serve(
    issuer: &str,
    address: SocketAddr,
    management: SocketAddr,
) -> anyhow::Result<Application> {
    // glue: begin
    let otel = config::load(None, &Environment::from_process().standard_only())?.otel;
    let telemetry = Telemetry::start(&otel, CATALOGUE)?;
    let clock = Arc::new(SystemClock::default());
    let metrics = AuthMetrics::new(&telemetry.meter(), &telemetry.observed_meters(), clock);
    let server = ResourceServer::of(issuer, metrics.clone()).audience(issuer);
    let bearer = Data::new(BearerAuthenticator::new(
        Arc::new(server.verify_locally()?),
        metrics,
    ));
    let page = Data::new(telemetry.page());
    let server = HttpServer::new(move || {
        let app = App::new().app_data(bearer.clone());
        app.route("/hello", get().to(greet))
    });
    let metrics = HttpServer::new(move || {
        let app = App::new().app_data(page.clone());
        app.route("/metrics", get().to(show))
    });
    // glue: end
    let server = server.workers(2).bind(address)?;
    let metrics = metrics.workers(1).disable_signals().bind(management)?;
    let first = |addresses: Vec<SocketAddr>| addresses.first().copied().context("no listener");
    Ok(Application {
        address: first(server.addrs())?,
        management_address: first(metrics.addrs())?,
        server: server.run(),
        management: metrics.run(),
        telemetry,
    })
}

/// Runs until the server is stopped, by Ctrl-C or SIGTERM too, and exports the last counts.
pub(crate) async fn run(application: Application) -> anyhow::Result<()> {
    let management = application.management.handle();
    let metrics = tokio::spawn(application.management);
    application.server.await.context("the server failed")?;
    management.stop(true).await;
    metrics.await?.context("the listener of metrics failed")?;
    let limit = Duration::from_secs(2);
    tokio::task::spawn_blocking(move || application.telemetry.shutdown(limit))
        .await?
        .context("the last metrics were not sent")
}

// Not `actix_web::main`: under its runtime the OTLP exporter's shutdown over gRPC times out and loses the last data.
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let issuer = arguments
        .next()
        .context("the first argument is missing: the issuer")?;
    let port = arguments
        .next()
        .context("the second argument is missing: a port")?;
    let port: u16 = port.parse().context("not a port")?;
    let next = port.checked_add(1).context("no port is left for metrics")?;
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let application = serve(&issuer, loopback(port), loopback(next))?;
    #[expect(clippy::print_stdout, reason = "prints where it listens")]
    {
        println!("http://{}/hello", application.address);
        println!("http://{}/metrics", application.management_address);
    }
    run(application).await
}
