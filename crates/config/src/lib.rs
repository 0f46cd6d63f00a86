//! The parts of the configuration that do not depend on the server: an application that embeds sessions reads the
//! standard `OTEL_…` variables and a Redis URL with the same rules and the same error messages.
//!
//! ```
//! # #[cfg(feature = "telemetry")]
//! # fn main() -> Result<(), skriptoteket_config::Faults> {
//! use skriptoteket_config::{Environment, otel_settings};
//!
//! let environment = Environment::default().with("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
//! let (settings, warnings) = otel_settings(&environment)?;
//! assert!(settings.metrics.is_some() && warnings.is_empty());
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "telemetry"))]
//! # fn main() {}
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `environment` | the process environment as a value |
//! | `variables` | reads single variables, and collects faults and warnings |
//! | [`forms`] | the syntax of values: durations, numbers, words, … |
//! | `faults` | faults: the location, the problem and what was expected |
//! | `nearest` | suggestions for misspelt names |
//! | `redis_url` | the Redis URL (feature `redis`) |
//! | `otel` | the standard `OTEL_…` variables (feature `telemetry`) |
//!
//! The settings of the server, its file and its command line are in the package `skriptoteket`.

mod environment;
mod faults;
pub mod forms;
mod nearest;
#[cfg(feature = "telemetry")]
pub mod otel;
#[cfg(feature = "redis")]
pub mod redis_url;
mod variables;

pub use environment::{Environment, SETTINGS_PREFIX};
pub use faults::{Fault, Faults, Origin, Problem, Reported, one_line};
pub use nearest::nearest;
#[cfg(feature = "telemetry")]
pub use otel::{OTEL_VARIABLES, OTEL_WITHOUT_EFFECT, OtelVariable, otel_settings};
#[cfg(feature = "redis")]
pub use redis_url::{RedisUrl, redis_settings};
pub use variables::{Found, Variables, edge};
