//! Finds out why a connection failed: one side may use TLS and the other not, or the server may not be Redis. The
//! client does not report that: it sees unreadable data as a broken connection.

use std::io;

use redis::RedisConnectionInfo;
use tokio::{net::TcpStream, time::timeout};

use super::{
    connect::Dialer,
    fault::{ConnectError, RedisFault, TlsError, Unavailable},
    tls,
};
use crate::RedisAddress;

/// How a server reacts to plain text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// It replies like Redis.
    Redis,
    /// It replies with something else.
    Foreign,
    /// It closes the connection.
    HangsUp,
    /// It is unreachable or silent.
    Absent,
}

impl Dialer {
    /// Returns the fault that prevents a connection to `server`, if there is one; otherwise `seen`. Takes at most twice
    /// the connect timeout.
    pub(super) async fn diagnosed(&self, server: &RedisAddress, seen: Unavailable) -> Unavailable {
        let fault = match &seen {
            Unavailable::Disconnected {
                cause: ConnectError::Broken(error),
                ..
            } if error.is_connection_refusal() => None,
            Unavailable::Disconnected {
                cause: ConnectError::Broken(error),
                ..
            } => self.fault(server, tls::error_of(error)).await,
            // A server without TLS waits for the rest of what it takes for a command. A server that expects TLS closes
            // the connection.
            Unavailable::Disconnected {
                cause: ConnectError::Silent(_),
                ..
            } if self.speaks_tls() => self.fault(server, None).await,
            _ => None,
        };
        fault.map_or(seen, Unavailable::Fault)
    }

    async fn fault(&self, server: &RedisAddress, error: Option<&TlsError>) -> Option<RedisFault> {
        let place = server.to_string();
        if let Some(fault) = error.and_then(|error| tls::fault(&place, error)) {
            return Some(fault);
        }
        let protocol = timeout(self.time_limit(), protocol(server)).await;
        let protocol = protocol.unwrap_or(Protocol::Absent);
        match (protocol, self.speaks_tls()) {
            (Protocol::Absent, _) | (Protocol::Redis, false) => return None,
            (Protocol::Redis, true) => return Some(RedisFault::PlainPort { place }),
            (Protocol::Foreign | Protocol::HangsUp, _) => {}
        }
        let greeted = timeout(self.time_limit(), self.greet_by_tls(server)).await;
        match (greeted, self.speaks_tls()) {
            (Ok(Err(Some(error))), true) => tls::fault(&place, &error),
            (Ok(Ok(())), false) => Some(RedisFault::TlsPort { place }),
            (Ok(Err(Some(error))), false) if tls::is_spoken(&error) => {
                Some(RedisFault::TlsPort { place })
            }
            (Ok(Err(_)), _) if protocol == Protocol::Foreign => {
                Some(RedisFault::NotRedis { place })
            }
            _ => None,
        }
    }

    /// Opens a connection with TLS, whether or not it is configured, and waits for the first reply: only the reply
    /// shows whether the server accepts us. The error is the TLS error, if TLS failed.
    async fn greet_by_tls(&self, server: &RedisAddress) -> Result<(), Option<TlsError>> {
        // As in `new`: a service without TLS has not needed a provider so far.
        tls::install_provider();
        match self.raw(server, true, RedisConnectionInfo::default()).await {
            Ok(_) => Ok(()),
            Err(Unavailable::Disconnected {
                cause: ConnectError::Broken(error),
                ..
            }) => Err(tls::error_of(&error).cloned()),
            Err(_) => Err(None),
        }
    }
}

async fn protocol(server: &RedisAddress) -> Protocol {
    match first_byte(server).await {
        Ok(Some(b'+' | b'-')) => Protocol::Redis,
        Ok(Some(_)) => Protocol::Foreign,
        Ok(None) => Protocol::HangsUp,
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Protocol::HangsUp,
        Err(_) => Protocol::Absent,
    }
}

/// Returns the first byte of a server's reply; `None` if it closes the connection instead.
async fn first_byte(server: &RedisAddress) -> io::Result<Option<u8>> {
    let stream = TcpStream::connect((server.host.as_str(), server.port)).await?;
    stream.writable().await?;
    stream.try_write(b"PING\r\n")?;
    let mut byte = [0];
    loop {
        stream.readable().await?;
        match stream.try_read(&mut byte) {
            Ok(read) => return Ok((read > 0).then_some(byte[0])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}
