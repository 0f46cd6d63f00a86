//! `alerts`: prints the alerts that Alertmanager sends to a webhook.

use std::{fmt::Write, net::SocketAddr};

use anyhow::Context;

use super::output::{self, line, printable};
use crate::{
    app::alerts::{Alert, Notification, receive},
    clock::{Clock, SystemClock},
};

/// Arguments of `skriptoteket alerts`.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct AlertsArgs {
    /// Address of the webhook
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9095")]
    listen: SocketAddr,
}

/// Prints alerts until Ctrl-C.
///
/// # Errors
///
/// If it cannot listen on the address.
pub(super) async fn run(args: AlertsArgs) -> anyhow::Result<()> {
    let clock = SystemClock::default();
    let show = move |notification: &Notification| {
        let now = clock.now().to_rfc3339();
        let now = output::to_the_second(&now);
        for alert in &notification.alerts {
            // If standard output is closed, the alert cannot be printed.
            let _ = line(described(&now, &notification.receiver, alert));
        }
    };
    let (address, server) = receive(args.listen, show)?;
    line(format_args!(
        "Waiting for alerts at http://{address}/; set this as the url of a webhook_config in Alertmanager."
    ))?;
    server.await.context("the webhook failed")
}

/// Labels with a fixed position in the output.
const PLACED: [&str; 3] = ["alertname", "severity", "service"];

/// Formats one alert in a few lines: state, severity, name and labels; annotations; links.
fn described(now: &str, receiver: &str, alert: &Alert) -> String {
    let label = |name: &str| alert.labels.get(name).map_or("-", String::as_str);
    let mut text = format!(
        "{now} {} {} {}",
        alert.status.to_uppercase(),
        label("severity"),
        label("alertname")
    );
    let others = alert.labels.iter();
    for (name, value) in others.filter(|(name, _)| !PLACED.contains(&name.as_str())) {
        // Writing to a string does not fail.
        let _ = write!(text, " {name}={value}");
    }
    let _ = write!(text, " (receiver {receiver})");
    let mut lines = vec![printable(&text)];
    for name in ["summary", "description", "runbook_url", "dashboard_url"] {
        if let Some(annotation) = alert.annotations.get(name) {
            lines.push(format!("    {}", printable(annotation)));
        }
    }
    lines.join("\n")
}
