//! The open connections of a listener: their number, and which of them are closed if there are too many.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::task::AtomicWaker;

use skriptoteket_core::{
    clock::{Clock, SystemClock},
    network::network,
};

/// How long a repeated log message is suppressed.
const QUIET: Duration = Duration::from_mins(1);

/// What a connection is doing. If there are too many, connections are closed in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Waits for a request.
    Idle = 0,
    /// Waits for its client: for the rest of a head or of a body, or for the client to read its response.
    Waiting = 1,
    /// Processes a request. Such a connection is not closed.
    Busy = 2,
}

/// The open connections of a listener, on all of its threads. Cheap to clone.
#[derive(Clone)]
pub(super) struct Register(Arc<Inner>);

struct Inner {
    /// Above this number, one connection is closed for each new one.
    most: usize,
    clock: SystemClock,
    open: Mutex<Open>,
    refusal_told: Seldom,
    closing_told: Seldom,
}

#[derive(Default)]
struct Open {
    entries: HashMap<u64, Arc<Entry>>,
    next: u64,
    /// Number of entries that were asked to close.
    closing: usize,
}

/// The shared state of a connection.
pub(super) struct Entry {
    /// The client's address, or its network for IPv6, where a client can use any number of addresses.
    peer: IpAddr,
    phase: AtomicU8,
    /// Start of the phase, in microseconds of the register's clock.
    since: AtomicU64,
    shed: AtomicBool,
    /// Wakes the task of the connection.
    pub(super) waker: AtomicWaker,
}

/// A place in the register; released when dropped.
pub(super) struct Place {
    register: Register,
    number: u64,
    pub(super) entry: Arc<Entry>,
}

impl Register {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Inner {
            most: most.max(1),
            clock: SystemClock::default(),
            open: Mutex::default(),
            refusal_told: Seldom::default(),
            closing_told: Seldom::default(),
        }))
    }

    /// Returns the time since an arbitrary start.
    pub(super) fn now(&self) -> Duration {
        self.0.clock.monotonic()
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a new connection. If there are too many, asks waiting connections to close: a thirty-second of the limit at
    /// a time, so that the cost of one scan is shared by many new connections.
    pub(super) fn enter(&self, peer: IpAddr) -> Place {
        let entry = Arc::new(Entry {
            peer: network(peer),
            phase: AtomicU8::new(Phase::Idle as u8),
            since: AtomicU64::new(micros(self.now())),
            shed: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        });
        let mut open = self.open();
        let told = if open.entries.len() - open.closing >= self.0.most {
            open.shed((self.0.most / 32).max(1))
        } else {
            0
        };
        let number = open.next;
        open.next += 1;
        open.entries.insert(number, Arc::clone(&entry));
        drop(open);
        if told > 0 && self.0.closing_told.is_due(self.now()) {
            tracing::warn!(
                limit = self.0.most,
                closed = told,
                "the maximum number of connections is open; those that have waited longest are closed for new ones"
            );
        }
        Place {
            register: self.clone(),
            number,
            entry,
        }
    }

    /// Logs a rejected request, at most once a minute.
    pub(super) fn tell_refusal(&self, why: &dyn std::fmt::Debug) {
        if self.0.refusal_told.is_due(self.now()) {
            tracing::warn!(why = ?why, "a request head was rejected; further ones are not logged for a minute");
        } else {
            tracing::debug!(why = ?why, "a request head was rejected");
        }
    }
}

impl Open {
    /// Asks up to `number` connections to close, and returns how many. Idle connections come first, then those that
    /// wait for their client. Within each group, connections of the client with the most connections come first, and of
    /// these the ones that have waited longest.
    fn shed(&mut self, number: usize) -> usize {
        let mut by_peer: HashMap<IpAddr, usize> = HashMap::new();
        for entry in self.entries.values() {
            *by_peer.entry(entry.peer).or_default() += 1;
        }
        let mut waiting: Vec<_> = self
            .entries
            .values()
            .filter_map(|entry| {
                let phase = entry.phase.load(Ordering::Relaxed);
                let may_close = phase < Phase::Busy as u8 && !entry.is_shed();
                let others = by_peer.get(&entry.peer).copied().unwrap_or_default();
                let since = entry.since.load(Ordering::Relaxed);
                may_close.then_some(((phase, usize::MAX - others, since), entry))
            })
            .collect();
        let number = number.min(waiting.len());
        if number > 0 && number < waiting.len() {
            waiting.select_nth_unstable_by_key(number - 1, |(order, _)| *order);
        }
        for (_, entry) in &waiting[..number] {
            entry.shed.store(true, Ordering::Relaxed);
            entry.waker.wake();
        }
        self.closing += number;
        number
    }
}

impl Entry {
    /// Returns whether the connection was asked to close.
    pub(super) fn is_shed(&self) -> bool {
        self.shed.load(Ordering::Relaxed)
    }

    /// Publishes the phase and its start.
    pub(super) fn publish(&self, phase: Phase, since: Duration) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.since.store(micros(since), Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.register.open();
        open.entries.remove(&self.number);
        if self.entry.is_shed() {
            open.closing = open.closing.saturating_sub(1);
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Limits the rate of a log message.
#[derive(Default)]
struct Seldom(Mutex<Option<Duration>>);

impl Seldom {
    fn is_due(&self, now: Duration) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| now.saturating_sub(last) >= QUIET);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const BO: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    fn closed(places: &[Place]) -> Vec<bool> {
        places.iter().map(|it| it.entry.is_shed()).collect()
    }

    fn at(place: &Place, phase: Phase, seconds: u64) {
        place.entry.publish(phase, Duration::from_secs(seconds));
    }

    #[test]
    fn the_one_that_is_idle_longest_makes_room() {
        let register = Register::new(3);
        let mut places: Vec<_> = (0..3).map(|_| register.enter(ADA)).collect();
        at(&places[0], Phase::Busy, 1);
        at(&places[1], Phase::Idle, 9);
        at(&places[2], Phase::Idle, 5);
        places.push(register.enter(ADA));
        assert_eq!(closed(&places), [false, false, true, false]);
        // It is still open, but no longer counted.
        places.remove(2);
        assert_eq!(register.open().entries.len(), 3);
        at(&places[2], Phase::Idle, 20);
        places.push(register.enter(ADA));
        assert_eq!(closed(&places), [false, true, false, false]);
    }

    #[test]
    fn one_that_waits_for_its_client_makes_room_where_none_is_idle_and_a_busy_one_never() {
        let register = Register::new(3);
        let mut places: Vec<_> = (0..3).map(|_| register.enter(ADA)).collect();
        at(&places[0], Phase::Busy, 1);
        at(&places[1], Phase::Waiting, 2);
        at(&places[2], Phase::Waiting, 3);
        places.push(register.enter(ADA));
        at(&places[3], Phase::Busy, 4);
        assert_eq!(closed(&places), [false, true, false, false]);
        places.push(register.enter(ADA));
        at(&places[4], Phase::Busy, 4);
        assert_eq!(closed(&places), [false, true, true, false, false]);
        places.push(register.enter(ADA));
        assert_eq!(closed(&places), [false, true, true, false, false, false]);
    }

    #[test]
    fn the_client_that_has_most_makes_room_first() {
        let register = Register::new(4);
        let mut places = vec![register.enter(BO)];
        places.extend((0..3).map(|_| register.enter(ADA)));
        at(&places[0], Phase::Idle, 1);
        (1..4).for_each(|it| at(&places[it], Phase::Idle, 5));
        places.push(register.enter(BO));
        assert!(!closed(&places)[0]);
        assert_eq!(closed(&places).iter().filter(|it| **it).count(), 1);
        let ours: IpAddr = "2001:db8::1".parse().unwrap();
        let next: IpAddr = "2001:db8::ffff:2".parse().unwrap();
        assert_eq!(network(ours), network(next));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), ADA);
    }

    #[test]
    fn a_place_is_given_back() {
        let register = Register::new(1);
        for _ in 0..3 {
            let place = register.enter(ADA);
            assert_eq!(closed(std::slice::from_ref(&place)), [false]);
        }
        let places: Vec<_> = (0..3).map(|_| register.enter(ADA)).collect();
        assert_eq!(closed(&places), [true, true, false]);
        drop(places);
        let open = register.open();
        assert_eq!((open.entries.len(), open.closing), (0, 0));
    }
}
