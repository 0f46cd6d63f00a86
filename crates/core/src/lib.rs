//! What all crates of Skriptoteket share: clocks, errors of stores, users, declarations of metrics.
//!
//! | module | what is in it |
//! |---|---|
//! | [`clock`] | time as a dependency |
//! | [`detached`] | work that continues if its caller is dropped |
//! | [`duration_text`] | durations as text |
//! | [`error`] | errors of stores |
//! | [`metric`] | declarations of metrics and labels |
//! | [`network`] | networks of clients, loopback URLs |
//! | [`observer_state`] | which replica exports service-wide metrics, and whether the store answers |
//! | [`repeats`] | log messages that repeat |
//! | [`user`] | ID, name and role of a user |
//! | [`wait_budget`] | the time that one request may wait for stores |

pub mod clock;
pub mod detached;
pub mod duration_text;
pub mod error;
pub mod metric;
pub mod network;
pub mod observer_state;
pub mod repeats;
pub mod user;
pub mod wait_budget;
