//! The command line as users and scripts run it: the real binary, with a separate directory for each test.

mod accounts;
mod alerts;
mod audit;
mod configuration;
mod harness;
mod help;
mod integrity;
mod metrics;
mod ports;
mod service;
mod services;
mod sessions;
