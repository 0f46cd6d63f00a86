//! Skriptoteket.
pub mod accounts;
pub mod audit;
pub mod clock;
pub mod config;
pub mod error;
pub mod guard;
pub mod login;
pub mod sessions;
pub mod store;
pub mod telemetry;
