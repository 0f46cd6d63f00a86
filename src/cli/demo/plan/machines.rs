//! The plan of the machines: steady calls, bursts, and occasional errors.

use std::time::Duration;

use super::{Entry, Plan};
use crate::cli::demo::{
    acts::{Act, Order},
    machines::{BILLING, INVENTORY, Job, NIGHTLY, OVERLAP},
};

impl Plan {
    fn job(&mut self, at: Duration, machine: usize, job: Job) {
        self.request(at, Act::Machine(machine, job));
    }

    /// About one call per second, day and night.
    pub(super) fn stock(&mut self, at: Duration) {
        self.job(at, INVENTORY, Job::Work);
        let next = self.after(at, 0.8..1.4);
        self.put(next, Entry::Stock);
    }

    /// A heartbeat, which charges nothing.
    pub(super) fn pulse(&mut self, at: Duration) {
        self.job(at, INVENTORY, Job::Heartbeat);
        let next = self.after(at, 5.0..8.0);
        self.put(next, Entry::Pulse);
    }

    /// More calls at once than the burst, and then one by one until the next time.
    pub(super) fn invoices(&mut self, at: Duration) {
        let next = self.after(at, 18.0..40.0);
        let mut at = at;
        for _ in 0..9 {
            self.job(at, BILLING, Job::Work);
            at = self.after(at, 0.06..0.12);
        }
        loop {
            at = self.after(at, 1.1..1.9);
            if at >= next {
                break;
            }
            self.job(at, BILLING, Job::Work);
        }
        self.put(next, Entry::Invoices);
    }

    /// Work with one token for as long as it is accepted.
    pub(super) fn batch(&mut self, at: Duration) {
        self.job(at, NIGHTLY, Job::Work);
        let next = self.after(at, 1.0..1.8);
        self.put(next, Entry::Batch);
    }

    /// The token is revoked while it is in use, and a wrong secret is used. The time between two of these is long
    /// enough for a token of the demo's own service to expire.
    pub(super) fn mishap(&mut self, at: Duration) {
        self.job(at, NIGHTLY, Job::GiveBack);
        let mistyped = self.after(at, 1.0..3.0);
        self.job(mistyped, NIGHTLY, Job::Mistype);
        let next = self.after(at, 85.0..120.0);
        self.put(next, Entry::Mishap);
    }

    /// A new secret. The previous one is used twice while it is accepted and once when it is not.
    pub(super) fn rotation(&mut self, at: Duration) {
        let order = Order::RotateSecret(INVENTORY);
        self.request(at, Act::Operate(order));
        for soon in [0.7..1.5, 1.8..3.0] {
            let at = self.after(at, soon);
            self.job(at, INVENTORY, Job::UseRetired);
        }
        let late = self.after(at + OVERLAP, 1.5..3.0);
        self.job(late, INVENTORY, Job::UseRetired);
        let next = self.after(at, 60.0..110.0);
        self.put(next, Entry::Rotation);
    }
}
