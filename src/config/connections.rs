//! The settings of connections.

use std::time::Duration;

use skriptoteket_config::Reported;

use super::{reader::Reader, settings as s};

/// Limits of the public listener: the number of connections, and the timeouts of each part of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Maximum number of open connections of the public listener. Reduced if the file limit of the process is lower.
    pub most: usize,
    /// Timeout for the head of a request to arrive.
    pub head_timeout: Duration,
    /// Timeout for the body of a request to arrive, and for a client that does not read its response; a client that
    /// reads slowly has ten times as long for the whole response.
    pub body_timeout: Duration,
    /// Maximum idle time of a connection between requests.
    pub keep_alive: Duration,
}

pub(super) fn settings(reader: &mut Reader<'_>) -> Result<ConnectionSettings, Reported> {
    let most = reader.get(&s::MAX_CONNECTIONS);
    let head_timeout = reader.get(&s::REQUEST_HEAD_TIMEOUT);
    let body_timeout = reader.get(&s::REQUEST_BODY_TIMEOUT);
    let keep_alive = reader.get(&s::KEEP_ALIVE);
    Ok(ConnectionSettings {
        most: most?.value,
        head_timeout: head_timeout?.value,
        body_timeout: body_timeout?.value,
        keep_alive: keep_alive?.value,
    })
}
