//! Skriptoteket: a login and session service with built-in metrics.
//!
//! # Layers
//!
//! A module imports only from layers below its own. `tests/integration/architecture` checks this.
//!
//! ```text
//!  1  clock, duration_text, error, network, wait_budget
//!     metric               declarations of metrics and labels
//!  2  user                 ID, name and role of a user
//!  3  observer_state       which replica exports service-wide metrics, and whether the store answers
//!     repeats              log lines that repeat
//!  4  telemetry            providers, exporters, spans, log lines
//!  5  accounts             passwords, the repository of accounts
//!  6  audit, guard         audit trail; login throttling, client addresses
//!     services             programs that authenticate with access tokens: register, credentials, tokens, limits
//!  7  detached             work that goes on if its caller goes away
//!  8  sessions             keys, records, the repository of sessions, census, reaper, gauges
//!     resource_server      verification of our access tokens in other applications
//!  9  account_lifecycle    changes of accounts, applied to their sessions
//! 10  login                throttling → password → session: the only place that records a login
//! 11  store | http         independent of each other
//! 12  config               settings from a file and the environment
//!     catalogue            every metric
//! 13  app                  starts, wires and stops everything
//! 14  cli, main            one file per command
//! ```
//!
//! Some external crates belong to a module: `opentelemetry_sdk` and the exporters to `telemetry`, `sqlx` and `redis` to `store`, `actix_*` to
//! `http` and `app`, `clap` to `cli`, `reqwest` to `resource_server`, `telemetry` and `cli`. The environment is read in
//! `skriptoteket_config`, the clocks in `clock`. A domain declares its own metrics with the `opentelemetry` API.
//!
//! # The path of a request
//!
//! `POST /api/login` → `http::middleware` (metrics, span, panics become problems) → actix-session with `http::session_store` →
//! `http::login` (JSON, client address, same site) → `login::LoginService` (counts the attempt, however it ends) → `guard::LoginThrottle`
//! with a [`guard::LoginThrottleRepository`] → `accounts::password` on its own threads → `sessions::Sessions` → a
//! [`sessions::SessionRepository`]: `store::Cached<store::Decorated<…>>` → back up, through `http::error` if it failed.
//!
//! `POST /oauth2/token` → `http::middleware` → `http::oauth` (form, credentials of the client) → [`services::Tokens`] (counts the attempt,
//! however it ends) → [`services::ClientAuthenticator`] and [`services::ServiceCache`] (services in memory) → [`services::Limiter`] with a
//! [`services::RateLimitRepository`] → the signing keys. A request with the token → [`http::ServiceIdentity`] →
//! [`services::BearerAuthenticator`], which counts it.
//!
//! Meanwhile `sessions::census` counts sessions, [`sessions::SessionGauges`] holds the count in memory, and the exporters read it there.
//!
//! # Where to find what
//!
//! | you have | look in |
//! |---|---|
//! | a URL | `http/mod.rs` |
//! | a status code | `http/error.rs`; of OAuth `http/oauth/error.rs` |
//! | a metric or a label | the `metrics` module of its domain; all metrics in `catalogue` |
//! | a setting | `config/settings.rs` |
//! | an `OTEL_…` variable | `crates/config/src/otel/variables.rs` |
//! | a table or a query | `store/<backend>/<entity>.rs` |
//! | a rule of login | `login/mod.rs` |
//! | a rule of tokens | `services/tokens.rs`, `services/bearer.rs` |
//! | what is started and stopped | `app/mod.rs` |
//! | a command | `cli/` |
//! | another application that accepts our tokens | `resource_server/mod.rs`, `examples/embedded.rs` |

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
pub mod store;
