//! Receives Alertmanager webhooks, for inspection of what is sent.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

use actix_web::{App, HttpResponse, HttpServer, dev::Server, web};
use anyhow::Context;
use serde::Deserialize;

use super::listeners::bind;

/// Maximum size of a notification, in bytes. Alertmanager sends all alerts of a group in one.
const LONGEST: usize = 4 * 1024 * 1024;

/// Body of an Alertmanager webhook. Members that are not shown are omitted.
///
/// Source: <https://prometheus.io/docs/alerting/latest/configuration/#webhook_config>, version 4.
#[derive(Debug, Deserialize)]
pub(crate) struct Notification {
    /// The name of the receiver in Alertmanager's configuration.
    pub(crate) receiver: String,
    /// At least one.
    pub(crate) alerts: Vec<Alert>,
}

/// One alert of a notification.
#[derive(Debug, Deserialize)]
pub(crate) struct Alert {
    /// `firing` or `resolved`.
    pub(crate) status: String,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Listens on `address` and passes every notification to `show`. Accepts any path; responds with 400 to a body that is
/// not a notification.
///
/// Returns the address and the server, which stops on Ctrl-C or SIGTERM.
///
/// # Errors
///
/// If it cannot listen there.
pub(crate) fn receive(
    address: SocketAddr,
    show: impl Fn(&Notification) + Send + Sync + 'static,
) -> anyhow::Result<(SocketAddr, Server)> {
    let (listener, address) = bind("--listen", address)?;
    let show: Arc<dyn Fn(&Notification) + Send + Sync> = Arc::new(show);
    let server = HttpServer::new(move || {
        let show = Arc::clone(&show);
        let take = move |notification: web::Json<Notification>| {
            show(&notification);
            std::future::ready(HttpResponse::NoContent().finish())
        };
        App::new()
            .app_data(web::JsonConfig::default().limit(LONGEST))
            .default_service(web::post().to(take))
    })
    .workers(1)
    .listen(listener)
    .context("the listener cannot be used")?;
    Ok((address, server.run()))
}
