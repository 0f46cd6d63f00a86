//! Services and the authorization server as their clients use them: stock OAuth clients, constant load, bursts,
//! attackers and `kill -9`, all against the real program.
//!
//! | file | contents |
//! |---|---|
//! | `operator` | registers services and rotates secrets and keys; callers of the API |
//! | `clients` | third-party clients (`python/`, `node/`), which `make interop-clients` installs |
//! | `load` | requests at a constant rate, as far as the machine keeps up |
//! | `rotation` | secrets and keys rotate under load, and no request is rejected |
//! | `crowds` | many simultaneous requests against a limit |
//! | `strangers` | invented names add no series, cause no 500 and use up no memory |
//! | `secrecy` | no secret, token or assertion appears in logs, metrics or spans |
//! | `killed` | `kill -9` during requests loses no total, quota, revocation or used assertion |

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::float_cmp,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "tests fail loudly and print measurements, counts are whole numbers, and a process runs in real time"
)]

mod clients;
#[allow(dead_code, reason = "this crate does not use all of it")]
#[path = "../pipeline/collector.rs"]
mod collector;
mod crowds;
mod killed;
mod load;
mod operator;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "this crate does not use all of it"
)]
#[path = "../service/page.rs"]
mod page;
#[allow(
    dead_code,
    unreachable_pub,
    reason = "this crate does not use all of it"
)]
#[path = "../service/process.rs"]
mod process;
#[path = "../redis_servers/mod.rs"]
mod redis_servers;
mod rotation;
mod secrecy;
mod strangers;
