//! The audit trail: login attempts, password changes and administrative actions, kept in the account store.
//!
//! Unlike telemetry it may name accounts (by id) and addresses, because it stays in the operator's own database. It never
//! holds a name or a password that was typed.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the contract of a store of the trail |
//! | `event` | events, rows, filters |
//! | `action` | an administrative action under way: who acts, and its row in the transaction of the change |
//! | `trail` | the queue, and the task that writes it |

mod action;
mod event;
pub mod metrics;
mod trail;

use std::fmt;

use async_trait::async_trait;

use crate::{clock::Timestamp, error::StoreError};

pub use action::{Action, AdminAudit, Recording, announce, carried, current, under_way};
pub use event::{
    Actor, AuditCursor, AuditEvent, AuditFilter, AuditRow, Kind, PENDING, SUCCESS, UnknownActor,
    UnknownCursor, UnknownKind,
};
pub use metrics::AuditMetrics;
pub use trail::{AuditTrail, AuditWriter};

/// A place that keeps the audit trail.
///
/// All methods fail with [`StoreError::Unavailable`] if the store does not answer within its timeout.
#[async_trait]
pub trait AuditRepository: fmt::Debug + Send + Sync {
    /// Adds events, all or none.
    ///
    /// Refused attempts of one kind, outcome, entity ([`AuditEvent::aggregate_entity`]) and minute become one row that
    /// counts them. An event whose id is already there is left out; one that was announced gives the row its outcome, also
    /// where the one who announced it never heard that the row was written. The
    /// same events appended twice in a row by one caller are counted once, so an append whose answer was lost may be
    /// repeated. One caller at a time.
    async fn append(&self, events: &[AuditEvent]) -> Result<(), StoreError>;

    /// Adds one event as a row of its own, durably, before the action that it announces.
    async fn announce(&self, event: &AuditEvent) -> Result<(), StoreError>;

    /// At most `limit` rows that pass `filter`, newest first.
    ///
    /// Rows of an account, of an address, of other kinds than logins, and refused ones are found by an index.
    async fn search(&self, filter: &AuditFilter, limit: u32) -> Result<Vec<AuditRow>, StoreError>;

    /// Removes at most `limit` rows from before `before`. A row from more than a minute ahead is of a clock that was wrong: it
    /// would outlive all others and stand before them in every list, so it gets the time of now, and says which one it had;
    /// at most `limit` rows. Returns how many rows were removed or changed.
    async fn prune(&self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}
