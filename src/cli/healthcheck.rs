//! `healthcheck`: checks whether the running service is ready.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail, ensure};

use super::{Source, output};

/// Timeout of the request.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// Maximum number of characters of a response that are printed.
const REPEATED_CHARS: usize = 200;

pub(super) async fn run(source: &Source) -> anyhow::Result<()> {
    let listener = source.load()?.management_listen;
    ensure!(
        listener.port() != 0,
        "management_listen has port 0, so the port of the service is unknown; set a fixed port"
    );
    let url = format!("http://{}/readyz", reachable(listener));
    // A proxy from the environment must not be used for the local machine.
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(TIME_LIMIT)
        .build()
        .context("the HTTP client cannot be set up")?;
    let answer = client.get(&url).send().await;
    let response = answer.map_err(reqwest::Error::without_url).with_context(|| {
        format!("no answer from {url}; is the service running, and is management_listen the same for both?")
    })?;
    let status = response.status();
    if !status.is_success() {
        let body = response.text().await.unwrap_or_default();
        let body: String = body.split_whitespace().collect::<Vec<_>>().join(" ");
        let said: String = body.chars().take(REPEATED_CHARS).collect();
        bail!("the service is not ready: {url} responded with {status} {said}");
    }
    output::line("ready")
}

/// Returns an address that reaches a listener on this machine, also if it listens on all addresses.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_asked_on_loopback() {
        let asked = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(asked("0.0.0.0:9464"), "127.0.0.1:9464");
        assert_eq!(asked("[::]:9464"), "[::1]:9464");
        assert_eq!(asked("192.0.2.7:9464"), "192.0.2.7:9464");
    }
}
