//! The parts of a server without their listeners: the services of the domain, wired like those of the application over
//! stores, telemetry and a clock that the test has.

mod logins;
mod services;
mod sessions;

pub use logins::{CHEAP, LoginServices, budget, passwords};
pub use services::{registration, service_parts};
pub use sessions::{POLICY, SessionServices, census_taker};
