//! The plan of the attacks: one on each simulated day, each from one network.

use std::{net::Ipv4Addr, ops::Range, time::Duration};

use rand::RngExt;

use super::{Entry, Plan};
use crate::cli::demo::acts::{Act, Guess, Target};

/// An attack takes this part of a day, 42 simulated minutes: seven seconds of a day of four minutes. So the number of
/// guesses follows the length of the day, as the number of logins does.
const PART_OF_DAY: u32 = 34;

/// Minimum number of guesses: enough to lock both the account and the address at the demo's own service.
const LEAST_GUESSES: usize = 28;

/// Time between two guesses, in seconds. Ordinary requests and guesses together stay below the maximum rate.
const GAP: Range<f64> = 0.2..0.3;

/// The hours at which an attack may begin, so that it ends on the same day.
const HOURS: Range<f64> = 1.0..20.0;

/// Minimum time between the beginnings of two attacks: on shorter days, not every day has one.
const LEAST_PAUSE: Duration = Duration::from_secs(20);

impl Plan {
    /// Half the guesses are at one account from four addresses: the limit of the account is reached. The others try one
    /// password on many accounts from a fifth address: the limit of the address is reached.
    pub(super) fn attack(&mut self, started_at: Duration) {
        let victim = self.anybody();
        let end = started_at + self.day.length() / PART_OF_DAY;
        let (mut at, mut guesses) = (started_at, Vec::new());
        for host in [1, 2, 1, 3, 1, 4, 1, 5].into_iter().cycle() {
            if guesses.len() >= LEAST_GUESSES && at >= end {
                break;
            }
            let target = match host {
                1 if self.rng.random_bool(0.5) => Target::Nobody(self.rng.random()),
                1 => Target::Person(self.anybody()),
                _ => Target::Person(victim),
            };
            let from = Ipv4Addr::new(203, 0, 113, host).into();
            guesses.push((at, Act::Guess(Guess { target, from })));
            at = self.after(at, GAP);
        }
        let mut news = Some(format!(
            "attack from one network: {} guesses, half of them at one account",
            guesses.len()
        ));
        for (at, act) in guesses {
            self.put(at, Entry::Request(act, news.take()));
        }
        let hour = self.rng.random_range(HOURS);
        let next = self.day.next_day_at(started_at, hour);
        self.put(next.max(started_at + LEAST_PAUSE), Entry::Attack);
    }
}
