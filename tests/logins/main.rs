//! Every exit of login, on the real embedded store: what it answers, what it counts, what it leaves behind.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests fail loudly, and one plants a panic"
)]

mod exits;
mod house;
mod interleaved;
mod races;
