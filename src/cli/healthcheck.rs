//! `healthcheck`: is the running service ready?

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context, bail, ensure};

use super::{Source, output};

/// How long the service may take to answer.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// How much of an answer is repeated, in characters.
const REPEATED_CHARS: usize = 200;

pub(super) async fn run(source: &Source) -> anyhow::Result<()> {
    let listener = source.load()?.management_listen;
    ensure!(
        listener.port() != 0,
        "management_listen has port 0, so nobody knows where the service listens; give it a port of its own"
    );
    let url = format!("http://{}/readyz", reachable(listener));
    // A proxy of the environment has no business between this process and its own machine.
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
        bail!("the service is not ready: {url} answers {status} {said}");
    }
    output::line("ready")
}

/// An address under which a listener that takes every address is reached from the same machine.
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
