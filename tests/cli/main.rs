//! The command line as people and scripts use it: the real binary, each test in a directory of its own.

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod accounts;
mod configuration;
mod house;
mod service;
mod sessions;
