//! Every exit of login, on the real embedded store: what it answers, what it counts, what it leaves behind.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod clocks;
mod exits;
mod faulty;
mod harness;
mod in_flight;
mod interleaved;
mod observer;
mod passwords;
mod races;
