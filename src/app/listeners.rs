//! The listeners: binding, unexpected ends, shutdown.

use std::{
    io::{self, ErrorKind},
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_web::dev::{Server, ServerHandle};
use anyhow::Context;
use tokio::net::TcpSocket;
use url::Url;

/// Maximum number of connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Linux's default of `net.ipv4.ip_unprivileged_port_start`.
const PRIVILEGED_BELOW: u16 = 1_024;

/// How long the other side of a connection may take to close.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A server and its actual address.
pub(super) struct Listening {
    pub(super) server: Server,
    pub(super) address: SocketAddr,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Listening").field(&self.address).finish()
    }
}

/// A listener and its actual address.
pub(super) type Bound = (TcpListener, SocketAddr);

pub(super) fn bind(setting: &str, address: SocketAddr) -> anyhow::Result<Bound> {
    let bind = || -> io::Result<Bound> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        // With the standard library's queue of 128, clients of a burst would wait a second before they retry.
        let listener = socket.listen(BACKLOG)?.into_std()?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bind().map_err(|error| {
        let advice = advice(address, error.kind());
        anyhow::Error::new(error).context(format!(
            "{setting} = {address}: cannot listen there; {advice}"
        ))
    })
}

/// Returns advice for an address on which the system does not let this process listen.
fn advice(address: SocketAddr, kind: ErrorKind) -> String {
    let port = address.port();
    match kind {
        ErrorKind::AddrInUse => format!(
            "another process uses port {port} (`ss -ltnp sport = :{port}` shows which): stop it, or choose another port"
        ),
        ErrorKind::PermissionDenied if (1..PRIVILEGED_BELOW).contains(&port) => format!(
            "ports below {PRIVILEGED_BELOW} need a privilege: choose a port from {PRIVILEGED_BELOW} on behind a proxy, or give \
             the process CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE), or set the sysctl \
             net.ipv4.ip_unprivileged_port_start to {port}"
        ),
        ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: choose one that it has (`ip address` shows them), or 0.0.0.0 or [::] for all".into()
        }
        _ => "choose an address of this machine and a free port".into(),
    }
}

/// Returns the URL that follows from `listen = …:0`, with the port that the system assigned.
pub(super) fn with_real_port(url: &Url, address: SocketAddr) -> Url {
    let mut url = url.clone();
    if url.port() == Some(0) {
        // This fails only for URLs without a host, and this URL has one.
        let _ = url.set_port(Some(address.port()));
    }
    url
}

pub(super) fn ended_early(
    which: &str,
    ended: Result<io::Result<()>, tokio::task::JoinError>,
) -> anyhow::Result<()> {
    ended
        .with_context(|| format!("the {which} listener crashed"))?
        .with_context(|| format!("the {which} listener failed"))?;
    anyhow::bail!("the {which} listener ended unexpectedly")
}

/// Stops the public listener first, then the management listener, so that probes can see that the service is stopping.
pub(super) async fn stop_gracefully(public: &ServerHandle, management: &ServerHandle) {
    public.stop(true).await;
    management.stop(true).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_own_advice() {
        let of = |address: &str, kind| advice(address.parse().unwrap(), kind);
        let privileged = of("0.0.0.0:80", ErrorKind::PermissionDenied);
        for way in [
            "from 1024 on behind a proxy",
            "CAP_NET_BIND_SERVICE",
            "net.ipv4.ip_unprivileged_port_start to 80",
        ] {
            assert!(privileged.contains(way), "{privileged}");
        }
        // The port number is not the cause here; SELinux may be.
        let other = of("0.0.0.0:8080", ErrorKind::PermissionDenied);
        assert!(!other.contains("CAP_NET_BIND_SERVICE"), "{other}");
        assert!(of("[::1]:81", ErrorKind::AddrInUse).contains("ss -ltnp sport = :81"));
        assert!(of("192.0.2.1:81", ErrorKind::AddrNotAvailable).contains("ip address"));
    }
}
