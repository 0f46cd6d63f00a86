//! Tests in this process: the library, the stores on real servers, the HTTP API of an application that runs here, and
//! rules about the sources and the documents.
//!
//! | module | what is tested |
//! |---|---|
//! | `api` | the HTTP API |
//! | `architecture` | the layers of `src/` |
//! | `benchmark_limits` | how benchmarks judge promises |
//! | `docs` | the documents, the boards and the rules agree with the program |
//! | `embedding` | sessions in another application: `Skriptoteket::builder` |
//! | `fuzzing` | the fuzz targets, on random input |
//! | `logins` | every exit of a login |
//! | `pages` | the web pages, without a browser |
//! | `pipeline` | the telemetry that a Collector receives |
//! | `redis` | failures of Redis |
//! | `resource_server` | another application that accepts the tokens of a service |
//! | `stores` | the contracts of the repositories, on every store |
//! | `tokens` | services at several replicas |
//!
//! `tests/system` has the tests that start other programs.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::float_cmp,
    clippy::cast_precision_loss,
    reason = "tests fail loudly, and results are compared with exact values"
)]

mod api;
mod architecture;
mod benchmark_limits;
mod docs;
mod embedding;
mod fuzzing;
mod logins;
mod pages;
mod pipeline;
mod redis;
mod resource_server;
mod stores;
mod tokens;
