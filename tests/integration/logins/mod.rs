//! Every exit of a login on the real embedded store: its result, its counts, and the data that it leaves behind.

mod audited;
mod clocks;
mod exits;
mod faulty;
mod harness;
mod in_flight;
mod interleaved;
mod observer;
mod passwords;
mod races;
