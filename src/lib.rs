//! Skriptoteket: a login and session service with built-in metrics.
//!
//! `ARCHITECTURE.md` has the map of the workspace, the invariants, and the path of a request. The domains, the Redis store and
//! the request layer are crates under `crates/`, which this package re-exports under the names that they had as its
//! modules; other applications depend on the crates alone, see `docs/embedding.md`.
//!
//! # Layers of this package
//!
//! A module imports only from layers below its own. `tests/integration/architecture` checks this.
//!
//! ```text
//! 1  store | http         SQLite and the choice of the stores; the HTTP API. Independent of each other
//! 2  pages                web pages
//! 3  config               settings from a file and the environment
//!    catalogue            every metric
//! 4  app                  starts, wires and stops everything
//! 5  cli, main            one file per command; the demo
//! ```
//!
//! Some external crates belong to a module: `sqlx` to `store`, `actix_*` to `http`, `pages` and `app`, `clap` and `reqwest` to `cli`.

pub use skriptoteket_actix::{BuildError, Builder, Principal, ServiceIdentity, Skriptoteket};
pub use skriptoteket_core::{
    clock, detached, duration_text, error, label, metric, metrics, network, observer_state,
    repeats, user, wait_budget,
};

pub use skriptoteket_login::{account_lifecycle, accounts, audit, guard, login};
pub use skriptoteket_resource_server as resource_server;
pub use skriptoteket_services as services;
pub use skriptoteket_sessions as sessions;
pub use skriptoteket_telemetry as telemetry;

pub mod app;
pub mod catalogue;
pub mod cli;
pub mod config;
pub mod http;
pub mod pages;
pub mod store;
