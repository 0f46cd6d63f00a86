//! A connection as its stream, its task and the layer around its requests see it together.

use std::{cell::Cell, rc::Rc, time::Duration};

use super::{
    head::Refusal,
    register::{Phase, Place, Register},
};

/// How long the parts of a connection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a request to the end of its head; of the first request, from the connection on.
    pub head: Duration,
    /// For the body of a request, all of it; and for a client that does not read its answer, until it reads again. One that
    /// reads slowly has ten times as long for all that waits for it.
    pub body: Duration,
    /// Between two requests.
    pub keep_alive: Duration,
    /// For the other side to close.
    pub close: Duration,
}

/// How many times as long as it may not read at all a client has to read its answers to the end: 100 s by default, in which 2 KB/s
/// are enough for the largest. One that reads a byte now and then would otherwise hold its connection for ever.
const READS_SLOWLY: u32 = 10;

/// What is read from a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// A head, of which there is nothing yet; since when.
    Nothing(Duration),
    /// A head; since its first byte.
    Head(Duration),
    /// A body; since its head.
    Body(Duration),
    /// Nothing more: the last request was refused, at this time.
    Over(Duration),
}

impl Reading {
    /// Since when.
    pub(super) const fn since(self) -> Duration {
        match self {
            Self::Nothing(since) | Self::Head(since) | Self::Body(since) | Self::Over(since) => {
                since
            }
        }
    }
}

/// A connection, shared between what runs on its thread.
pub(in crate::http) struct Connection {
    pub(super) place: Place,
    pub(super) timeouts: Timeouts,
    register: Register,
    pub(super) reading: Cell<Reading>,
    /// Heads that were handed over to the server.
    heads: Cell<u64>,
    /// Requests that the application has begun to answer, and has answered.
    begun: Cell<u64>,
    answered: Cell<u64>,
    /// The request that stands for one that was refused, and why.
    refused: Cell<Option<(u64, Refusal)>>,
    /// The head is not complete in time: the next read refuses it.
    overdue: Cell<bool>,
    /// Since when an answer cannot be written because the client does not read.
    blocked: Cell<Option<Duration>>,
    /// Since when there is something that the client has not let us write at once.
    unwritten: Cell<Option<Duration>>,
    /// Since when it is being closed.
    pub(super) closing: Cell<Option<Duration>>,
    told: Cell<Option<(Phase, Duration)>>,
}

/// What is to be done about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing before this.
    At(Duration),
    /// Refuse the head that is being read.
    Refuse,
    /// Close the connection at once.
    Close,
    /// Nothing at all, as long as a request is being answered.
    Never,
}

/// A request that is being answered; over when it is dropped.
pub(in crate::http) struct Answering(Rc<Connection>);

impl Answering {
    /// Whether the body of the request has not arrived to its end. Such a connection is not used again: what follows may be
    /// the body or the next request, and the client decides when it comes.
    pub(in crate::http) fn lacks_body(&self) -> bool {
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
            begun: Cell::new(0),
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

    /// How long the body of a request may take.
    pub(in crate::http) fn body_timeout(&self) -> Duration {
        self.timeouts.body
    }

    /// A request reached the application. If it stands for one that was refused: why.
    pub(in crate::http) fn begin(self: &Rc<Self>) -> (Answering, Option<Refusal>) {
        let begun = self.begun.get() + 1;
        self.begun.set(begun);
        let refused = self.refused.get().filter(|(number, _)| *number == begun);
        (Answering(Rc::clone(self)), refused.map(|(_, why)| why))
    }

    /// Whether the body of the request that was begun last has not arrived to its end.
    fn lacks_body(&self) -> bool {
        self.begun.get() == self.heads.get() && matches!(self.reading.get(), Reading::Body(_))
    }

    /// Whether no request has come yet.
    pub(super) fn is_first(&self) -> bool {
        self.heads.get() == 0
    }

    /// A head is handed over to the server.
    pub(super) fn hand_over(&self) {
        self.heads.set(self.heads.get() + 1);
    }

    /// The next request stands for one that is refused, and nothing more is read.
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

    /// What there is to do by now.
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
            // A handler that waits for the body has as long, and answers 408.
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

    /// When it began to do what it does.
    fn last_change(&self) -> Duration {
        self.told.get().map_or(Duration::ZERO, |(_, since)| since)
    }

    /// Whether a request has come that is not answered yet.
    fn is_answering(&self) -> bool {
        self.heads.get() > self.answered.get()
    }

    /// Tells the register what it is doing.
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

    /// The client takes nothing of an answer for now.
    pub(super) fn stalled(&self) {
        let now = self.now();
        for since in [&self.blocked, &self.unwritten] {
            since.set(since.get().or(Some(now)));
        }
    }

    /// The client has taken some of an answer.
    pub(super) fn progressed(&self) {
        self.blocked.set(None);
    }

    /// An answer was written to its end.
    pub(super) fn flushed(&self) {
        self.blocked.set(None);
        self.unwritten.set(None);
        let unread = self.lacks_body() || matches!(self.reading.get(), Reading::Over(_));
        let answered = self.answered.get() == self.heads.get() && self.heads.get() > 0;
        if unread && answered && self.closing.get().is_none() {
            self.closing.set(Some(self.now()));
        }
    }

    /// Whether the client may still be sending.
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
        let begun = connection.now();
        assert!(!is_over(begun + 9 * second) && is_over(begun + 11 * second));
        // It takes some, and keeps us waiting again.
        connection.progressed();
        assert!(!is_over(begun + 11 * second));
        connection.stalled();
        connection.progressed();
        assert!(!is_over(begun + 99 * second) && is_over(begun + 101 * second));
        connection.flushed();
        assert!(!is_over(begun + 101 * second));
    }
}
