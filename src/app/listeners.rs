//! The listeners: how they are bound, what happens when one ends, how both are stopped.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use actix_web::dev::{Server, ServerHandle};
use anyhow::Context;
use tokio::net::TcpSocket;
use url::Url;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// How long the other side of a connection may take to close.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A server with the address it got.
pub(super) struct Listening {
    pub(super) server: Server,
    pub(super) address: SocketAddr,
}

impl std::fmt::Debug for Listening {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Listening").field(&self.address).finish()
    }
}

pub(super) fn bind(
    setting: &str,
    address: SocketAddr,
) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let bind = || -> std::io::Result<(TcpListener, SocketAddr)> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        // The standard library's queue of 128 makes clients of a burst wait a second for their second try.
        let listener = socket.listen(BACKLOG)?.into_std()?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bind().with_context(|| {
        format!("{setting} = {address}: cannot listen there; choose an address of this machine and a free port")
    })
}

/// The URL that follows from `listen = …:0`, with the port that the system gave.
pub(super) fn with_real_port(url: &Url, address: SocketAddr) -> Url {
    let mut url = url.clone();
    if url.port() == Some(0) {
        // Fails for URLs without a host only, and this one has one.
        let _ = url.set_port(Some(address.port()));
    }
    url
}

pub(super) fn ended_early(
    which: &str,
    ended: Result<std::io::Result<()>, tokio::task::JoinError>,
) -> anyhow::Result<()> {
    ended
        .with_context(|| format!("the {which} listener crashed"))?
        .with_context(|| format!("the {which} listener failed"))?;
    anyhow::bail!("the {which} listener ended by itself")
}

/// The management listener stays until the public one is done, so that probes see a service that is stopping.
pub(super) async fn stop_gracefully(public: &ServerHandle, management: &ServerHandle) {
    public.stop(true).await;
    management.stop(true).await;
}
