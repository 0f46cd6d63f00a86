//! Connections: how many there may be, how long each part of one may take, and what becomes of bytes that are no request.
//!
//! actix-http times the head of the first request of a connection, and nothing after it; it has no time for a body that no
//! handler reads, and none for a client that does not read its answer. It answers bytes that are no request without telling the
//! application. So a stream of our own stands between the socket and actix-http.
//!
//! | file | what is in it |
//! |---|---|
//! | `head` | where a head ends, whether it is one, and what follows it |
//! | `chunks` | where a body in chunks ends |
//! | `stream` | the stream that gives actix-http whole heads only |
//! | `state` | what stream, task and layer know of a connection together; its deadlines |
//! | `task` | the task that serves a connection until a deadline |
//! | `register` | all connections of a listener: which one is closed for a new one |
//!
//! What is refused here (malformed, too large, too slow) becomes a request that stands for it. It runs through actix-http and
//! [`RequestLayer`](super::RequestLayer) like any other: answered in its turn with a problem document, counted, and the last of
//! its connection.

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
    /// The most file descriptors that its connections take.
    pub most: usize,
    /// How long the parts of a connection may take.
    pub timeouts: Timeouts,
}

impl ConnectionLimits {
    /// How many connections may be open before one is closed for a new one: less than `most`, so that new ones can come in
    /// while the others go.
    fn comfortable(&self) -> usize {
        self.most - (self.most / 16).clamp(1, 256).min(self.most / 2)
    }
}

/// How long requests that are under way may go on after a stop, in seconds.
const STOP_TIMEOUT: u64 = 1;

/// Serves the application that `factory` makes, on `listener` with `workers` threads, within `limits`. The server runs while
/// its future is polled; signals are not its business. A stop answers what is under way, for at most a second.
pub(super) fn serve<F, I, S, B>(
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
        // Each worker stops accepting here; together they stay below the limit.
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
            // The deadlines are ours; see `state`.
            .keep_alive(KeepAlive::Os)
            .client_request_timeout(std::time::Duration::ZERO)
            .client_disconnect_timeout(timeouts.close)
            // A client that has hung up gets no session and is counted as what it is. (One that closes its own side only and
            // still wants its answer looks the same, and no browser or proxy does that.)
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
