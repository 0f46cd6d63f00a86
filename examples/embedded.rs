//! Another application: its one page is for services that come with a token of a Skriptoteket.
//!
//! ```text
//! cargo run --example embedded -- http://127.0.0.1:8080 8090
//! ```
//!
//! The first argument is the issuer, the second a port on loopback. Tokens have to be for the issuer itself, which is the
//! audience of those who ask for none; an application with a name of its own in `token_audiences` names that.

use std::{net::SocketAddr, sync::Arc};

use actix_web::{
    App, HttpResponse, HttpServer,
    dev::Server,
    error::ErrorInternalServerError,
    web::{Data, get},
};
use anyhow::Context;
use skriptoteket::{
    clock::SystemClock,
    config::{self, Environment},
    http::ServiceIdentity,
    relying::RelyingParty,
    services::Gate,
    telemetry::{MetricsPage, Telemetry, instruments::AuthMetrics},
};

/// A page for services: whoever gets here has shown a valid token, and is counted.
async fn greet(service: ServiceIdentity) -> String {
    format!("hello, {}\n", service.service)
}

/// What Prometheus reads.
async fn show(page: Data<MetricsPage>) -> actix_web::Result<HttpResponse> {
    let text = page.render().map_err(ErrorInternalServerError)?;
    let mut response = HttpResponse::Ok();
    Ok(response.content_type(MetricsPage::CONTENT_TYPE).body(text))
}

/// The application on `address`, and where it listens. It exports for as long as the telemetry is kept.
pub(crate) fn serve(
    issuer: &str,
    address: SocketAddr,
) -> anyhow::Result<(Server, SocketAddr, Telemetry)> {
    // glue: begin
    let otel = config::load(None, &Environment::from_process().standard_only())?.otel;
    let telemetry = Telemetry::start(&otel)?;
    let clock = Arc::new(SystemClock::default());
    let metrics = AuthMetrics::new(&telemetry.meter(), &telemetry.observed_meters(), clock);
    let party = RelyingParty::of(issuer, metrics.clone()).audience(issuer);
    let gate = Data::new(Gate::new(Arc::new(party.verify_locally()?), metrics));
    let page = Data::new(telemetry.page());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(gate.clone())
            .app_data(page.clone())
            .route("/hello", get().to(greet))
            .route("/metrics", get().to(show))
    });
    // glue: end
    let server = server.workers(2).bind(address)?;
    let address = server.addrs().first().copied().context("no listener")?;
    Ok((server.run(), address, telemetry))
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let issuer = arguments
        .next()
        .context("the first argument is missing: the issuer")?;
    let port = arguments
        .next()
        .context("the second argument is missing: a port")?;
    let address = SocketAddr::from(([127, 0, 0, 1], port.parse().context("not a port")?));
    let (server, address, _telemetry) = serve(&issuer, address)?;
    #[expect(clippy::print_stdout, reason = "says where it listens")]
    {
        println!("http://{address}/hello");
    }
    server.await.context("the server failed")
}
