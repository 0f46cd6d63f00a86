//! The management listener: what operators and probes ask. Nothing of it is on the public one.

use std::{fmt::Display, io, net::TcpListener, sync::Arc, time::Duration};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer, Route,
    dev::Server,
    guard,
    http::{
        StatusCode,
        header::{self, HeaderMap},
    },
    middleware::DefaultHeaders,
    web::{self, Data},
};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{
    CLOSE_TIMEOUT, HEAD_TIMEOUT, KEEP_ALIVE, STOP_TIMEOUT, no_such_path,
    problem::{Kind, Problem},
};
use crate::{
    accounts::AccountRepository, error::StoreError, repeats, sessions::SessionRepository,
    telemetry::MetricsPage,
};

/// What the management listener shows. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Management {
    /// The metrics.
    pub page: MetricsPage,
    /// What `/metrics` asks for as a bearer token; none asks for none.
    pub token: Option<SecretString>,
    /// Where accounts are; it must answer for the service to be ready.
    pub accounts: Arc<dyn AccountRepository>,
    /// Where sessions are; it must answer for the service to be ready.
    pub sessions: Arc<dyn SessionRepository>,
    /// How long they have for that.
    pub timeout: Duration,
}

impl Management {
    /// What keeps the stores from being read and written, one text for each that is not ready. Each cause is logged, at
    /// most once a minute. Takes at most [`Management::timeout`].
    pub async fn faults(&self) -> Vec<String> {
        let accounts = tokio::time::timeout(self.timeout, self.accounts.ping());
        let sessions = tokio::time::timeout(self.timeout, self.sessions.ping());
        let (accounts, sessions) = tokio::join!(accounts, sessions);
        let faults: Vec<String> = [fault("accounts", accounts), fault("sessions", sessions)]
            .into_iter()
            .flatten()
            .collect();
        for fault in &faults {
            if let Some(unlogged) = repeats::due("ready", fault) {
                tracing::warn!(error = %fault, unlogged, "the service is not ready: a store cannot be used");
            }
        }
        faults
    }
}

/// Serves `/metrics`, `/livez` and `/readyz` on `listener`. The server runs while its future is polled; signals are not
/// its business.
///
/// # Errors
///
/// If the listener cannot be used.
pub fn serve_management(management: Management, listener: TcpListener) -> io::Result<Server> {
    let management = Data::new(management);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(management.clone())
            .service(web::resource("/metrics").route(read().to(metrics)))
            .service(web::resource("/livez").route(read().to(alive)))
            .service(web::resource("/readyz").route(read().to(ready)))
            .default_service(web::to(no_such_path))
            .wrap(DefaultHeaders::new().add((header::CACHE_CONTROL, "no-store")))
    });
    let server = server
        .workers(1)
        .client_request_timeout(HEAD_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .client_disconnect_timeout(CLOSE_TIMEOUT)
        .shutdown_timeout(STOP_TIMEOUT)
        .disable_signals();
    Ok(server.listen(listener)?.run())
}

/// A route for `GET`, and for `HEAD`, which some probes send.
fn read() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// The metrics, for those who have the token where there is one.
async fn metrics(management: Data<Management>, request: HttpRequest) -> HttpResponse {
    if let Some(token) = &management.token
        && !presents(request.headers(), token)
    {
        let mut refused = Problem::from(Kind::blank(StatusCode::UNAUTHORIZED)).response();
        let challenge = header::HeaderValue::from_static(r#"Bearer realm="metrics""#);
        refused
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
        return refused;
    }
    match management.page.render() {
        Ok(page) => HttpResponse::Ok()
            .insert_header((header::CONTENT_TYPE, MetricsPage::CONTENT_TYPE))
            .body(page),
        Err(error) => {
            tracing::error!(error = %error, "the metrics page cannot be shown");
            Problem::from(Kind::blank(StatusCode::INTERNAL_SERVER_ERROR)).response()
        }
    }
}

/// Whether the request presents this bearer token. How long it takes tells nothing of the token, its length included.
fn presents(headers: &HeaderMap, token: &SecretString) -> bool {
    let presented = headers.get(header::AUTHORIZATION);
    let presented = presented.and_then(|value| value.as_bytes().split_at_checked(7));
    let Some((scheme, presented)) = presented else {
        return false;
    };
    let digest = |text: &[u8]| Sha256::digest(text);
    let same = digest(presented).ct_eq(&digest(token.expose_secret().as_bytes()));
    scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(same)
}

/// Alive: the process answers.
async fn alive() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// Ready: the stores answer.
async fn ready(management: Data<Management>) -> HttpResponse {
    let faults = management.faults().await;
    if faults.is_empty() {
        return HttpResponse::Ok()
            .content_type("text/plain")
            .body("ready\n");
    }
    // Unlike the public listener this one may say what is wrong.
    Problem::from(Kind::blank(StatusCode::SERVICE_UNAVAILABLE))
        .with_detail(faults.join("; "))
        .with_retry_after(Duration::from_secs(1))
        .response()
}

fn fault(store: &str, answer: Result<Result<(), StoreError>, impl Display>) -> Option<String> {
    match answer {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(format!("{store}: {}", error.in_full())),
        Err(_) => Some(format!("{store}: no answer in time")),
    }
}
