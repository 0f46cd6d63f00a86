//! Skriptoteket: a login-and-session service you can see into.
//!
//! # Floor plan
//!
//! A module imports from floors below its own, never from its own floor or above. `tests/architecture.rs` holds it.
//!
//! ```text
//! floor 0  clock, error, metric, network, user, wait_budget
//! floor 1  config, observer_state, repeats
//! floor 2  telemetry        instruments, providers, logs
//! floor 3  accounts         names, roles, passwords, the account repository's contract
//!          audit, guard     login trail; budgets of guesses, client addresses   (they know accounts)
//!          services         machines that call: register, credentials, tokens, limits
//! floor 4  sessions         keys, records, the session repository's contract, census, reaper
//!          resource_server  verification of our access tokens in other applications
//! floor 5  login            guard → password → session: the one place that records a login
//! floor 6  store | http     two rooms on one floor: neither sees the other
//! floor 7  app              the composition root
//!          cli, main        one file per command
//! ```
//!
//! Outside crates have homes: `opentelemetry*` in `telemetry`, `sqlx` in `store`, `actix_*` in `http` and `app`, `clap`
//! in `cli`, `reqwest` in `resource_server`, `telemetry` and `cli`; the environment is read in `config`, the clocks in `clock`.
//!
//! # A request's walk
//!
//! `POST /api/login` → `http::middleware` (metrics, span, panics become problems) → actix-session with
//! `http::session_store` → `http::login` (JSON, client address, same site) → `login::LoginService` (counts the attempt,
//! whatever happens) → `guard` budgets through a [`guard::LoginThrottleRepository`] → `accounts::password` on its own threads →
//! `sessions::Sessions` → a [`sessions::SessionRepository`]: `store::Cached<store::Decorated<…>>` → back up, through
//! `http::error` if it failed.
//!
//! `POST /oauth2/token` → `http::middleware` → `http::oauth` (form, who the client says it is) → [`services::Tokens`] (counts the
//! attempt, whatever happens) → [`services::ClientAuthenticator`] and [`services::ServiceCache`] (services in memory) →
//! [`services::Limiter`] through a [`services::RateLimitRepository`] → the signing keys. A request with the token →
//! [`http::ServiceIdentity`] → [`services::BearerAuthenticator`], which counts it.
//!
//! Meanwhile `sessions::census` counts, `sessions::SessionGauges` holds the count in memory, and the
//! exporters read it there.
//!
//! # 30-second finder
//!
//! | you have | look in |
//! |---|---|
//! | a URL | `http/mod.rs` |
//! | a status code | `http/error.rs`; of OAuth `http/oauth/error.rs` |
//! | a metric's name | `metrics` of the domain; all in `catalogue` |
//! | a setting | `config/settings.rs` |
//! | an `OTEL_…` variable | `config/otel/variables.rs` |
//! | a table or a query | `store/<backend>/<entity>.rs` |
//! | a rule of login | `login/mod.rs` |
//! | a rule of tokens | `services/tokens.rs`, `services/bearer.rs` |
//! | who starts and stops what | `app/mod.rs` |
//! | a command | `cli/` |
//! | another application that takes our tokens | `resource_server/mod.rs`, `examples/embedded.rs` |

pub mod account_lifecycle;
pub mod accounts;
pub mod app;
pub mod audit;
pub mod catalogue;
pub mod cli;
pub mod clock;
pub mod config;
pub mod detached;
pub mod duration_text;
pub mod error;
pub mod guard;
pub mod http;
pub mod login;
pub mod metric;
pub mod network;
pub mod observer_state;
pub mod repeats;
pub mod resource_server;
pub mod services;
pub mod sessions;
pub mod store;
pub mod telemetry;
pub mod user;
pub mod wait_budget;
