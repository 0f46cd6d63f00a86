//! Connections: their maximum number, their timeouts, and the handling of bytes that are not a request.
//!
//! actix-http limits the time of the first head of a connection and of nothing after it. It has no timeout for a body
//! that no handler reads, and none for a client that does not read its response. It responds to bytes that are not a
//! request without informing the application. For these reasons a stream of our own stands between the socket and
//! actix-http.
//!
//! | file | what is in it |
//! |---|---|
//! | `head` | finds the end of a head, validates it, and determines what follows it |
//! | `chunks` | finds the end of a chunked body |
//! | `stream` | the stream that passes only complete heads to actix-http |
//! | `state` | what stream, task and layer share about a connection; its deadlines |
//! | `task` | the task that serves a connection until a deadline |
//! | `register` | all connections of a listener: which one is closed for a new one |
//!
//! A rejected request (malformed, too large, too slow) is replaced by a stand-in request, which runs through actix-http
//! and [`RequestLayer`](super::RequestLayer) like any other: it gets a problem document in its turn, is counted, and is
//! the last request of its connection.

mod chunks;
mod head;
mod register;
mod state;
mod stream;
mod task;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, TcpListener},
    rc::Rc,
};

use actix_http::{HttpService, KeepAlive, Protocol, Request, Response, body::MessageBody};
use actix_server::Server;
use actix_service::{
    IntoServiceFactory, ServiceFactory, ServiceFactoryExt, apply_fn_factory, map_config,
};
use actix_web::{
    Error,
    dev::{AppConfig, Service},
};
use tokio::net::TcpStream;

pub use self::state::Timeouts;
pub(super) use self::{
    head::Refusal,
    state::{Answering, Connection},
};
use self::{register::Register, stream::Stream, task::Task};

/// The limits of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Maximum number of file descriptors for its connections.
    pub most: usize,
    /// Timeouts of a connection.
    pub timeouts: Timeouts,
}

impl ConnectionLimits {
    /// Number of open connections above which one is closed for each new one: less than `most`, so that new connections
    /// are accepted while others close.
    fn comfortable(&self) -> usize {
        self.most - (self.most / 16).clamp(1, 256).min(self.most / 2)
    }
}

/// How long requests in flight may continue after a stop, in seconds.
const STOP_TIMEOUT: u64 = 1;

/// Serves the application that `factory` creates, on `listener` with `workers` threads, within `limits`. The server
/// runs while its future is polled; it does not handle signals. A stop completes the requests in flight, for at most a
/// second.
///
/// # Errors
///
/// If the listener cannot be used.
pub fn serve<F, I, S, B>(
    factory: F,
    listener: TcpListener,
    workers: usize,
    limits: ConnectionLimits,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<Error> + 'static,
    S::InitError: std::fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let workers = workers.max(1);
    let register = Register::new(limits.comfortable());
    let timeouts = limits.timeouts;
    let builder = Server::build()
        .workers(workers)
        // Limit at which each worker stops accepting; the sum stays below the limit of the listener.
        .max_concurrent_connections((limits.most / workers).max(1))
        .shutdown_timeout(STOP_TIMEOUT)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let builder = builder.listen("http", listener, move || {
        let register = register.clone();
        let stopping = stopping.clone();
        let app = factory()
            .into_factory()
            .map_err(|error| error.into().error_response());
        let http = HttpService::build()
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            // Deadlines are enforced in `state`.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(std::time::Duration::ZERO)
            .client_disconnect_timeout(timeouts.close)
            // A client that has disconnected gets no session and is counted as disconnected. (A client that closes only
            // its own side and still expects the response looks the same, but no browser or proxy does that.)
            .h1_allow_half_closed(false)
            .on_connect_ext(|stream: &Stream, data| {
                data.insert(Rc::clone(stream.connection()));
            })
            .finish(map_config(app, |()| AppConfig::default()));
        apply_fn_factory(http, move |socket: TcpStream, http| {
            let peer = socket.peer_addr().ok();
            let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |it| it.ip());
            let place = register.enter(address);
            let connection = Rc::new(Connection::new(place, register.clone(), timeouts));
            let stream = Stream::new(socket, Rc::clone(&connection));
            Task::new(http.call((stream, Protocol::Http1, peer)), connection)
        })
    })?;
    Ok(builder.run())
}
