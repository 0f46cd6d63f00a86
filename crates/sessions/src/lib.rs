//! Sessions: their life cycle and their counts.
//!
//! | file | contents |
//! |---|---|
//! | `key` | the secret key of a session and its public ID |
//! | `policy` | lifetimes, and the number of sessions per user |
//! | `repository` | the record, and the contract of every session store |
//! | `service` | starts, checks, changes and ends sessions |
//! | `renewal` | replaces the key of a session whose role has risen |
//! | `counts` | session counts, and the reasons why sessions end |
//! | `census` | counts sessions periodically |
//! | `gauges`, `metrics` | the last count as gauges; all metrics of sessions |
//! | `bookkeeping` | enters counts of the store in the ledger |
//! | `ledger` | the exported totals, which survive data loss in the store |
//! | `reaper` | ends expired sessions |
//! | `observer` | the lease that selects the replica that exports the counts |
//! | `integrity` | recounts and repairs a session store |

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
