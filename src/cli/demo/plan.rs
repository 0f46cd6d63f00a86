//! The plan: who does what and when, without end. A pure function of a seed; it does not access the service.
//!
//! Future events are in an agenda, in the order of time. An entry is either one request, which is returned, or a
//! larger event, for example a visit or an attack, which adds its requests to the agenda when it is due.

mod attack;
mod machines;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::Ipv4Addr, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::{
    acts::{Act, Guess, Order, Step, Target, Task},
    cast::Cast,
    rhythm::Day,
};
use crate::accounts::Role;

/// Minimum time between requests: 20 per second, which leaves a small machine time for its password checks.
pub(super) const LEAST_GAP: Duration = Duration::from_millis(50);

/// Mean time until a user who has left comes back, in the busiest hour.
const MEAN_PAUSE: Duration = Duration::from_secs(6);

/// One visit in this many begins with a mistyped password, the third one first. Counted rather than drawn, so that the
/// share of failed logins is the same for every seed, and the first seconds have one.
const MISTYPED_EVERY: u64 = 50;

/// One visit in this many begins with a page of another site that tries to log the user in.
const LURED_EVERY: u64 = 200;

/// An entry of the agenda.
#[derive(Clone, Debug)]
enum Entry {
    Request(Act, Option<String>),
    Visit(usize),
    Attack,
    Prowler,
    RoleChange,
    Revocation,
    Suspension,
    Round,
    Stock,
    Pulse,
    Invoices,
    Batch,
    Mishap,
    Rotation,
}

/// The steps, in the order of time.
#[derive(Debug)]
pub(super) struct Plan {
    rng: StdRng,
    day: Day,
    /// The owner of each device.
    owners: Vec<usize>,
    /// The role of each person at the start.
    roles: Vec<Role>,
    /// The person whose role differs from the start.
    moved: Option<usize>,
    /// Number of visits so far.
    visits: u64,
    /// Ordered by time, then by insertion.
    agenda: BTreeMap<(Duration, u64), Entry>,
    entries: u64,
    last: Duration,
}

impl Plan {
    /// Creates a plan for this cast and day. The same seed creates the same plan.
    pub(super) fn new(seed: u64, day: Day, cast: &Cast) -> Self {
        let mut plan = Self {
            rng: StdRng::seed_from_u64(seed),
            day,
            owners: cast.devices.iter().map(|device| device.person).collect(),
            roles: cast.people.iter().map(|person| person.role).collect(),
            moved: None,
            visits: 0,
            agenda: BTreeMap::new(),
            entries: 0,
            last: Duration::ZERO,
        };
        for device in 0..plan.owners.len() {
            let at = plan.first_arrival();
            plan.put(at, Entry::Visit(device));
        }
        // Early enough that ten seconds show some of everything.
        let opening = [
            (0.3, Entry::Stock),
            (0.6, Entry::Batch),
            (1.0, Entry::Round),
            (1.2, Entry::Pulse),
            (1.5, Entry::Prowler),
            (2.0, Entry::Rotation),
            (2.5, Entry::Attack),
            (3.5, Entry::Invoices),
            (4.0, Entry::Mishap),
            (4.5, Entry::RoleChange),
            (6.0, Entry::Revocation),
            (7.0, Entry::Suspension),
        ];
        for (at, entry) in opening {
            plan.put(Duration::from_secs_f64(at), entry);
        }
        plan
    }

    fn put(&mut self, at: Duration, entry: Entry) {
        self.entries += 1;
        self.agenda.insert((at, self.entries), entry);
    }

    fn request(&mut self, at: Duration, act: Act) {
        self.put(at, Entry::Request(act, None));
    }

    /// Returns a random time, in this range of seconds after `at`.
    fn after(&mut self, at: Duration, seconds: std::ops::Range<f64>) -> Duration {
        at + Duration::from_secs_f64(self.rng.random_range(seconds))
    }

    /// Users who are active at the start arrive within a few seconds, the others as the day defines.
    fn first_arrival(&mut self) -> Duration {
        if self.rng.random_bool(self.day.activity(Duration::ZERO)) {
            self.after(Duration::ZERO, 0.0..6.0)
        } else {
            self.next_arrival(Duration::ZERO)
        }
    }

    /// Arrivals are a Poisson process whose rate follows the day: drawn at the maximum rate, and thinned.
    fn next_arrival(&mut self, left_at: Duration) -> Duration {
        let mut at = left_at;
        loop {
            let uniform: f64 = self.rng.random_range(f64::EPSILON..1.0);
            at += MEAN_PAUSE.mul_f64(-uniform.ln());
            if self.rng.random_bool(self.day.activity(at)) {
                return at;
            }
        }
    }

    /// Adds the requests of `entry` to the agenda, and its next occurrence.
    fn unfold(&mut self, at: Duration, entry: &Entry) {
        match *entry {
            Entry::Request(..) => {}
            Entry::Visit(device) => self.visit(at, device),
            Entry::Attack => self.attack(at),
            Entry::Prowler => self.prowler(at),
            Entry::RoleChange => self.role_change(at),
            Entry::Revocation => self.revocation(at),
            Entry::Suspension => self.suspension(at),
            Entry::Round => self.round(at),
            Entry::Stock => self.stock(at),
            Entry::Pulse => self.pulse(at),
            Entry::Invoices => self.invoices(at),
            Entry::Batch => self.batch(at),
            Entry::Mishap => self.mishap(at),
            Entry::Rotation => self.rotation(at),
        }
    }

    /// A user arrives, logs in, stays for a while, and logs out or just leaves.
    fn visit(&mut self, at: Duration, device: usize) {
        let mut at = at;
        let mut tasks = Vec::new();
        self.visits += 1;
        if self.visits % LURED_EVERY == 5 {
            tasks.push(Task::Lured);
        }
        if self.visits % MISTYPED_EVERY == 3 {
            tasks.push(Task::Mistype);
        }
        let remember_me = self.rng.random_bool(0.1);
        tasks.push(Task::Login { remember_me });
        for task in tasks {
            self.request(at, Act::AtDevice(device, task));
            at = self.after(at, 0.8..2.0);
        }
        // Most visits are short; a few outlast the maximum age of a session.
        let is_long = self.rng.random_bool(0.1);
        let looks = if is_long { 12..18 } else { 1..6 };
        for _ in 0..self.rng.random_range(looks) {
            at = self.after(at, 1.5..5.0);
            let rarely = self.rng.random_bool(0.1);
            let task = if rarely { Task::ListOwn } else { Task::Look };
            self.request(at, Act::AtDevice(device, task));
        }
        if self.rng.random_bool(0.5) {
            at = self.after(at, 0.5..2.0);
            self.request(at, Act::AtDevice(device, Task::Logout));
        }
        let next = self.next_arrival(at);
        self.put(next, Entry::Visit(device));
    }

    /// An attacker tries a name that does not exist.
    fn prowler(&mut self, at: Duration) {
        let guess = Guess {
            target: Target::Nobody(self.rng.random()),
            from: Ipv4Addr::new(198, 51, 100, self.rng.random_range(1..=254)).into(),
        };
        self.request(at, Act::Guess(guess));
        let next = self.after(at, 60.0..180.0);
        self.put(next, Entry::Prowler);
    }

    /// Every second change restores the role of the person, so that the roles stay the same on average.
    fn role_change(&mut self, at: Duration) {
        let (person, role) = if let Some(person) = self.moved.take() {
            (person, self.roles[person])
        } else {
            let person = self.anybody();
            self.moved = Some(person);
            let others = Role::ALL.into_iter();
            let others: Vec<Role> = others.filter(|it| *it != self.roles[person]).collect();
            let role = others.choose(&mut self.rng).copied();
            (person, role.unwrap_or(Role::User))
        };
        self.request(at, Act::Operate(Order::ChangeRole(person, role)));
        let next = self.after(at, 10.0..20.0);
        self.put(next, Entry::RoleChange);
    }

    fn revocation(&mut self, at: Duration) {
        let person = self.anybody();
        self.request(at, Act::Operate(Order::Revoke(person)));
        let next = self.after(at, 15.0..35.0);
        self.put(next, Entry::Revocation);
    }

    /// An account is disabled, a user who knows its password tries to log in, and it is enabled again.
    fn suspension(&mut self, at: Duration) {
        let device = self.rng.random_range(0..self.owners.len());
        let person = self.owners[device];
        self.request(at, Act::Operate(Order::SetDisabled(person, true)));
        let remember_me = false;
        let tried = self.after(at, 1.0..3.0);
        self.request(tried, Act::AtDevice(device, Task::Login { remember_me }));
        let enabled = self.after(tried, 3.0..6.0);
        self.request(enabled, Act::Operate(Order::SetDisabled(person, false)));
        let next = self.after(at, 60.0..120.0);
        self.put(next, Entry::Suspension);
    }

    /// Also keeps the operator's session from expiring.
    fn round(&mut self, at: Duration) {
        self.request(at, Act::Operate(Order::LookAround));
        self.put(at + Duration::from_secs(4), Entry::Round);
    }

    fn anybody(&mut self) -> usize {
        self.rng.random_range(0..self.roles.len())
    }
}

impl Iterator for Plan {
    type Item = Step;

    /// Returns the next step; there always is one.
    fn next(&mut self) -> Option<Step> {
        loop {
            let ((at, _), entry) = self.agenda.pop_first()?;
            self.unfold(at, &entry);
            if let Entry::Request(act, news) = entry {
                let at = at.max(self.last + LEAST_GAP);
                self.last = at;
                return Some(Step { at, act, news });
            }
        }
    }
}
