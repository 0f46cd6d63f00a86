//! Readiness: whether the stores respond.

use std::{fmt::Display, sync::Arc, time::Duration};

use actix_web::{HttpResponse, http::StatusCode, web::Data};
use skriptoteket_core::{error::StoreError, repeats};
use skriptoteket_login::accounts::AccountRepository;
use skriptoteket_sessions::SessionRepository;

use super::problem::{Kind, Problem};

/// The stores that must respond for a service to be ready. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Readiness {
    /// The account store.
    pub accounts: Arc<dyn AccountRepository>,
    /// The session store.
    pub sessions: Arc<dyn SessionRepository>,
    /// How long the stores may take to respond.
    pub timeout: Duration,
}

impl Readiness {
    /// Returns one text for each store that cannot be read and written. Logs each cause at most once a minute. Takes at
    /// most [`Readiness::timeout`].
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

/// Readiness, without the causes: an application's listener is public.
#[cfg(feature = "builder")]
pub(crate) async fn ready_in_public(readiness: Data<Readiness>) -> HttpResponse {
    if readiness.faults().await.is_empty() {
        return HttpResponse::Ok()
            .content_type("text/plain")
            .body("ready\n");
    }
    Problem::from(Kind::blank(StatusCode::SERVICE_UNAVAILABLE))
        .with_retry_after(Duration::from_secs(1))
        .response()
}

/// Readiness: the stores respond.
#[cfg(feature = "telemetry")]
pub(crate) async fn ready(readiness: Data<Readiness>) -> HttpResponse {
    let faults = readiness.faults().await;
    if faults.is_empty() {
        return HttpResponse::Ok()
            .content_type("text/plain")
            .body("ready\n");
    }
    // Unlike the public listener, this one may report causes.
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
