//! Sessions: who is logged in, from when to when, and how many of them there are.
//!
//! | file | what is in it |
//! |---|---|
//! | `key` | the secret key of a session and its public id |
//! | `policy` | how long they live, how many a user may have |
//! | `repository` | the record, and the contract every session store keeps |
//! | `service` | starts, checks, changes and ends sessions |
//! | `renewal` | a new key for a session that has outgrown its own |
//! | `counts` | numbers of sessions, and why they end |
//! | `census` | counts sessions periodically |
//! | `gauges`, `metrics` | the last count as gauges; all metrics of sessions |
//! | `bookkeeping` | counts the store into the ledger |
//! | `ledger` | the totals that are exported, whatever the store forgets |
//! | `reaper` | ends what has expired |
//! | `observer` | which of many replicas exports the counts |
//! | `integrity` | what an operator asks of a session store: recounts and repairs |

mod bookkeeping;
pub mod census;
mod counts;
mod gauges;
mod integrity;
mod key;
mod ledger;
pub mod metrics;
mod observer;
mod policy;
pub mod reaper;
mod renewal;
mod repository;
mod service;

pub use counts::{Census, Change, Count, EndReason, PartTotals, Totals};
pub use gauges::SessionGauges;
pub use integrity::{Difference, Finding, Recount, SessionIntegrity};
pub use key::{MalformedSessionName, SHARDS, SessionId, SessionKey, shard_of};
pub use ledger::{Ledger, LedgerRepository, MemoryLedger, Reconciled, SavedLedger};
pub use metrics::SessionMetrics;
pub use observer::{Lease, ObserverLease, SoleObserver};
pub use policy::SessionPolicy;
pub use renewal::{Renewed, Unclaimed};
pub use repository::{
    Ended, NewSession, RoleUpdate, RoleUpdated, SessionFilter, SessionRecord, SessionRepository,
    SessionState,
};
pub use service::{Sessions, StartSession, Started};
