//! Sessions and budgets of guesses in Redis 7 (or Valkey): one server, a master that Sentinels watch, or a Cluster.
//!
//! | file | what is in it |
//! |---|---|
//! | `link/` | the connection: made, checked, lost and made again; timeouts and retries |
//! | `call` | a script call or a command |
//! | `keys` | what keys are called, and what is in them |

mod call;
mod keys;
mod link;

pub use link::{RedisFault, StoreClock};
