//! The state of a connection, shared by its stream, its task and the request layer.

use std::{cell::Cell, rc::Rc, time::Duration};

use super::{
    head::Refusal,
    register::{Phase, Place, Register},
};

/// Timeouts of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a request to the end of its head; for the first request, from the start of the
    /// connection.
    pub head: Duration,
    /// For the whole body of a request, and for a client that does not read its response, until it reads again. A
    /// client that reads slowly has ten times as long to read everything that is pending.
    pub body: Duration,
    /// Between two requests.
    pub keep_alive: Duration,
    /// For the other side to close.
    pub close: Duration,
}

/// Time to read all pending responses, as a multiple of the time that a client may not read at all: 100 s by default,
/// for which 2 KB/s are enough even for the largest response. Otherwise a client that reads a byte now and then would
/// hold its connection forever.
const READS_SLOWLY: u32 = 10;

/// What is being read from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// A head, before its first byte; since this time.
    Nothing(Duration),
    /// A head; since its first byte.
    Head(Duration),
    /// A body; since its head.
    Body(Duration),
    /// Nothing more: the last request was rejected at this time.
    Over(Duration),
}

impl Reading {
    /// Returns the start of this state.
    pub(super) const fn since(self) -> Duration {
        match self {
            Self::Nothing(since) | Self::Head(since) | Self::Body(since) | Self::Over(since) => {
                since
            }
        }
    }
}

/// A connection, shared within its thread.
pub(crate) struct Connection {
    pub(super) place: Place,
    pub(super) timeouts: Timeouts,
    register: Register,
    pub(super) reading: Cell<Reading>,
    /// Number of heads passed to the server.
    heads: Cell<u64>,
    /// Numbers of requests that the application has started and has completed.
    started_at: Cell<u64>,
    answered: Cell<u64>,
    /// The number of the stand-in request, and why the original was rejected.
    refused: Cell<Option<(u64, Refusal)>>,
    /// The head was not complete in time: the next read rejects it.
    overdue: Cell<bool>,
    /// Since when a response cannot be written because the client does not read.
    blocked: Cell<Option<Duration>>,
    /// Since when data that could not be written immediately has been pending.
    unwritten: Cell<Option<Duration>>,
    /// Since when the connection has been closing.
    pub(super) closing: Cell<Option<Duration>>,
    told: Cell<Option<(Phase, Duration)>>,
}

/// The action that a deadline requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// No action before this time.
    At(Duration),
    /// Reject the head that is being read.
    Refuse,
    /// Close the connection now.
    Close,
    /// No action while a request is in progress.
    Never,
}

/// A request in progress; it is complete when this is dropped.
pub(crate) struct Answering(Rc<Connection>);

impl Answering {
    /// Returns whether the body of the request is incomplete. Such a connection is not reused: what follows may be the
    /// body or the next request, and the client decides when it arrives.
    pub(crate) fn lacks_body(&self) -> bool {
        self.0.lacks_body()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answered.set(self.0.answered.get() + 1);
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Connection").field(&self.reading).finish()
    }
}

impl Connection {
    pub(super) fn new(place: Place, register: Register, timeouts: Timeouts) -> Self {
        let now = register.now();
        Self {
            place,
            timeouts,
            register,
            reading: Cell::new(Reading::Nothing(now)),
            heads: Cell::new(0),
            started_at: Cell::new(0),
            answered: Cell::new(0),
            refused: Cell::new(None),
            overdue: Cell::new(false),
            blocked: Cell::new(None),
            unwritten: Cell::new(None),
            closing: Cell::new(None),
            told: Cell::new(None),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.register.now()
    }

    /// Returns the timeout for the body of a request.
    pub(crate) fn body_timeout(&self) -> Duration {
        self.timeouts.body
    }

    /// Starts the next request. Returns the reason if it stands for a rejected one.
    pub(crate) fn begin(self: &Rc<Self>) -> (Answering, Option<Refusal>) {
        let started_at = self.started_at.get() + 1;
        self.started_at.set(started_at);
        let refused = self
            .refused
            .get()
            .filter(|(number, _)| *number == started_at);
        (Answering(Rc::clone(self)), refused.map(|(_, why)| why))
    }

    /// Returns whether the body of the request started last is incomplete.
    fn lacks_body(&self) -> bool {
        self.started_at.get() == self.heads.get() && matches!(self.reading.get(), Reading::Body(_))
    }

    /// Returns whether no request has arrived yet.
    pub(super) fn is_first(&self) -> bool {
        self.heads.get() == 0
    }

    /// Counts a head that is passed to the server.
    pub(super) fn hand_over(&self) {
        self.heads.set(self.heads.get() + 1);
    }

    /// Marks the next request as a stand-in for a rejected one, and stops reading.
    pub(super) fn refuse(&self, why: Refusal) {
        self.register.tell_refusal(&why);
        self.hand_over();
        self.refused.set(Some((self.heads.get(), why)));
        self.reading.set(Reading::Over(self.now()));
        self.overdue.set(false);
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.overdue.get()
    }

    /// Returns the action that is due.
    pub(super) fn due(&self, now: Duration) -> Due {
        let Timeouts {
            head,
            body,
            keep_alive,
            close,
        } = self.timeouts;
        let answering = self.is_answering();
        let reading = match self.reading.get() {
            Reading::Nothing(since) if self.heads.get() > 0 => {
                (!answering).then_some((since.max(self.last_change()) + keep_alive, Due::Close))
            }
            Reading::Nothing(since) | Reading::Head(since) if !self.overdue.get() => {
                Some((since + head, Due::Refuse))
            }
            Reading::Nothing(since) | Reading::Head(since) => {
                Some((since + head + close, Due::Close))
            }
            // A handler that waits for the body has the same timeout, and responds with 408.
            Reading::Body(since) => Some((since + body + close, Due::Close)),
            Reading::Over(since) => (!answering).then_some((since + close, Due::Close)),
        };
        let blocked = self.blocked.get().map(|since| (since + body, Due::Close));
        let whole = body.saturating_mul(READS_SLOWLY);
        let unwritten = self.unwritten.get();
        let unwritten = unwritten.map(|since| (since.saturating_add(whole), Due::Close));
        let closing = self.closing.get().map(|since| (since + close, Due::Close));
        let first = [reading, blocked, unwritten, closing].into_iter().flatten();
        match first.min_by_key(|(at, _)| *at) {
            None => Due::Never,
            Some((at, Due::Refuse)) if at <= now => {
                self.overdue.set(true);
                Due::Refuse
            }
            Some((at, due)) if at <= now => due,
            Some((at, _)) => Due::At(at),
        }
    }

    /// Returns when the current phase started.
    fn last_change(&self) -> Duration {
        self.told.get().map_or(Duration::ZERO, |(_, since)| since)
    }

    /// Returns whether a request has arrived that has no complete response yet.
    fn is_answering(&self) -> bool {
        self.heads.get() > self.answered.get()
    }

    /// Publishes the phase in the register if it has changed.
    pub(super) fn publish(&self) {
        let waits = self.blocked.get().is_some() || self.closing.get().is_some();
        let phase = match self.reading.get() {
            _ if waits || self.lacks_body() => Phase::Waiting,
            _ if self.is_answering() => Phase::Busy,
            Reading::Nothing(_) => Phase::Idle,
            _ => Phase::Waiting,
        };
        if self.told.get().is_none_or(|(before, _)| before != phase) {
            let now = self.now();
            self.told.set(Some((phase, now)));
            self.place.entry.publish(phase, now);
        }
    }

    /// Records that the client currently reads nothing of a response.
    pub(super) fn stalled(&self) {
        let now = self.now();
        for since in [&self.blocked, &self.unwritten] {
            since.set(since.get().or(Some(now)));
        }
    }

    /// Records that the client has read some of a response.
    pub(super) fn progressed(&self) {
        self.blocked.set(None);
    }

    /// Records that all pending data was written.
    pub(super) fn flushed(&self) {
        self.blocked.set(None);
        self.unwritten.set(None);
        let unread = self.lacks_body() || matches!(self.reading.get(), Reading::Over(_));
        let answered = self.answered.get() == self.heads.get() && self.heads.get() > 0;
        if unread && answered && self.closing.get().is_none() {
            self.closing.set(Some(self.now()));
        }
    }

    /// Returns whether the client may still be sending.
    pub(super) fn may_be_sent_to(&self) -> bool {
        !matches!(self.reading.get(), Reading::Nothing(_))
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    #[test]
    fn a_client_that_reads_slowly_has_ten_times_as_long_as_one_that_does_not_read() {
        let second = Duration::from_secs(1);
        let timeouts = Timeouts {
            head: 1_000 * second,
            body: 10 * second,
            keep_alive: 1_000 * second,
            close: second,
        };
        let register = Register::new(3);
        let place = register.enter(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let connection = Connection::new(place, register, timeouts);
        let is_over = |at| connection.due(at) == Due::Close;
        connection.stalled();
        let started_at = connection.now();
        assert!(!is_over(started_at + 9 * second) && is_over(started_at + 11 * second));
        // The client reads some data, and then stalls again.
        connection.progressed();
        assert!(!is_over(started_at + 11 * second));
        connection.stalled();
        connection.progressed();
        assert!(!is_over(started_at + 99 * second) && is_over(started_at + 101 * second));
        connection.flushed();
        assert!(!is_over(started_at + 101 * second));
    }
}
