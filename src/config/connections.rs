//! The settings of connections.

use std::time::Duration;

use super::{faults::Reported, reader::Reader, settings as s};

/// How many connections the public listener has, and how long each part of one may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// Open connections of the public listener. Fewer where the file limit of the process is lower.
    pub most: usize,
    /// How long the head of a request may take to arrive.
    pub head_timeout: Duration,
    /// How long the body of a request may take to arrive, and how long a client may not read its answer;
    /// one that reads slowly has ten times as long for the whole answer.
    pub body_timeout: Duration,
    /// How long a connection may be idle between requests.
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
