//! The audit trail: login attempts, password changes and administrative actions, kept in the account store.
//!
//! Unlike telemetry, the audit trail may identify accounts (by id) and addresses, because it stays in the operator's
//! own database. It never contains a name or password that was typed.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the contract of an audit store |
//! | `kind` | the kinds of events |
//! | `event` | events: the actor, the outcome, which rejected attempts share a row |
//! | `search` | filters, rows, positions |
//! | `action` | administrative actions in progress: the actor, and the row in the transaction of the change |
//! | `trail` | the queue, and the task that writes events |

mod action;
mod event;
mod kind;
pub mod metrics;
mod search;
mod trail;

use std::fmt;

use async_trait::async_trait;

use skriptoteket_core::{clock::Timestamp, error::StoreError};

pub use action::{Action, AdminAudit, Recording, announce, current, under_way};
pub use event::{Actor, AuditEvent, PENDING, SUCCESS, UnknownActor};
pub use kind::{Kind, UnknownKind};
pub use metrics::AuditMetrics;
pub use search::{AuditCursor, AuditFilter, AuditRow, UnknownCursor};
pub use trail::{AuditTrail, AuditWriter};

/// A repository of audit events.
///
/// All methods fail with [`StoreError::Unavailable`] if the store does not respond within its timeout.
#[async_trait]
pub trait AuditRepository: fmt::Debug + Send + Sync {
    /// Adds events, all or none.
    ///
    /// Rejected attempts of one kind, outcome, entity ([`AuditEvent::aggregate_entity`]) and minute become one row that
    /// counts them. An event whose id already exists is left out; an announced event updates the outcome of its row,
    /// even if its caller never received the confirmation that the row was written. If one caller appends the same
    /// events twice in a row, they are counted once, so an append without a reply may be repeated. One caller at a
    /// time.
    async fn append(&self, events: &[AuditEvent]) -> Result<(), StoreError>;

    /// Adds one event as a row of its own, durably, before the action that it announces.
    async fn announce(&self, event: &AuditEvent) -> Result<(), StoreError>;

    /// Returns at most `limit` rows that match `filter`, newest first.
    ///
    /// Searches by account, by address, by kinds other than logins, and for rejected attempts use an index.
    async fn search(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>, StoreError>;

    /// Deletes at most `limit` rows older than `before`. A row more than a minute in the future comes from a wrong
    /// clock: it would outlive all others and precede them in every list. Such rows, at most `limit`, get the current
    /// time, and their detail notes the original one. Returns the number of rows deleted or changed.
    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
