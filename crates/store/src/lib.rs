//! What every store of Skriptoteket has around its repositories: metrics, the wait budget, a cache, the ledger file.
//!
//! | file | what is in it |
//! |---|---|
//! | `decorated/` | bounds calls by the wait budget, and records them |
//! | `ledger` | the exported totals of sessions, in a file of their own |
//! | `metrics` | the metrics of store operations |
//! | `cached` | answers session checks from memory |

mod cached;
mod decorated;
mod ledger;
pub mod metrics;

pub use cached::Cached;
pub use decorated::Decorated;
pub use ledger::LedgerFile;
pub use metrics::{StoreMetrics, StoreOperation};
