//! Services over real stores and several replicas: what one does the others see, and when.
//!
//! | file | what is in it |
//! |---|---|
//! | `harness` | replicas on one file, with a clock that tests set |
//! | `sight` | how soon a replica sees what another one did, and how often it asks the store |
//! | `keys` | signing keys that change while tokens are in use |
//! | `clients` | client secrets and assertions |
//! | `counted` | that each request is counted once, whatever the store and the caller do meanwhile |
//! | `gauges` | what the gauges of services show |
//! | `limits` | what services used, where its store is away or its service deleted |

#![expect(clippy::unwrap_used, reason = "tests fail loudly")]

mod clients;
mod counted;
mod gauges;
mod harness;
mod keys;
mod limits;
mod sight;
