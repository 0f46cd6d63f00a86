//! What the tests and the benchmarks share. Not published.
//!
//! | module | contents |
//! |---|---|
//! | [`process`] | child processes that end with the test process, and signals to them |
//! | [`ports`], [`wait`], [`variables`] | free ports, waits for a condition, variables that change the length of a test |
//! | [`isolation`] | tests that need a process of their own, or the machine for themselves |
//! | [`redis`], [`proxy`], [`certificates`] | Redis servers, Sentinels, Clusters, a network with faults, TLS |
//! | [`program`], [`service`], [`page`] | the program as a command and as a server, and its `/metrics` page |
//! | [`collector`], [`prometheus`] | the OpenTelemetry Collector, Prometheus |
//! | [`application`] | the service in this process |
//! | [`parts`] | its parts without listeners: sessions, logins, registered services |
//! | [`stores`] | settings of stores, their files, sessions to put into them |
//! | [`operator`] | an operator of a started service, and the machines that call it |
//! | [`http`], [`jwt`] | HTTP clients, JSON Web Tokens |
//! | [`files`] | files of the repository |
//! | [`load`] | building blocks of the benchmarks, and how they judge promises |
//! | [`fuzzing`] | bodies of the fuzz targets |
//!
//! Every server is a real one. It listens on a free loopback port, keeps its files in a temporary directory, and ends
//! when its value is dropped, or with the test process however that ends.
//!
//! All functions panic if a precondition fails, so that the test fails.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::disallowed_methods,
    clippy::float_cmp,
    reason = "tests fail loudly, processes run in real time, and counts are whole numbers"
)]

pub mod application;
pub mod certificates;
pub mod collector;
pub mod files;
pub mod fuzzing;
pub mod http;
pub mod isolation;
pub mod jwt;
pub mod load;
pub mod operator;
pub mod page;
pub mod parts;
pub mod ports;
pub mod process;
pub mod program;
pub mod prometheus;
pub mod proxy;
pub mod redis;
pub mod service;
pub mod stores;
pub mod variables;
pub mod wait;
