//! What an operator does with a session store: recount it, mend it, look at it.

use std::fmt;

use async_trait::async_trait;

use super::Census;
use crate::error::StoreError;

/// A kind of difference that a recount can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Difference {
    /// A session that the index counts has no record, or one that cannot be read: it is counted and nobody can use it.
    IndexedWithoutRecord,
    /// A readable record of a live session is not in the index: it can be used and is not counted.
    RecordNotIndexed,
    /// Index and record disagree about role or expiry.
    IndexedOtherwise,
    /// The index of users disagrees with the sessions of a user.
    UserIndexedOtherwise,
    /// A record under our names that cannot be read.
    UnreadableRecord,
    /// Started − ended is not what the index holds.
    TotalsDisagree,
}

/// One kind of difference, how often, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Difference,
    /// How often.
    pub count: u64,
    /// Some places, as keys or ids of the store; never a secret. At most ten.
    pub examples: Vec<String>,
}

/// What a recount found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recount {
    /// What the index says: the numbers that the gauges show.
    pub index: Census,
    /// What the records say: live sessions and distinct users by role, counted one by one.
    pub records: Census,
    /// Every difference, each kind once. Empty if all is well.
    pub findings: Vec<Finding>,
    /// How many entries were mended; 0 without `repair`.
    pub repaired: u64,
}

/// What only operators ask of a session store.
#[async_trait]
pub trait SessionUpkeep: fmt::Debug + Send + Sync {
    /// Counts the records one by one and compares them with the index, the index of users and the totals.
    ///
    /// The store goes on meanwhile: what differs is looked at again before it is reported, so that a session that started
    /// or ended during the recount is no finding. With `repair` the index is rebuilt from the records in bounded
    /// batches, and a session that is counted without a readable record is ended (`revoked` if it is live).
    /// Cost: one read of every record.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the store does not answer; what was mended before stays mended.
    async fn recount(&self, repair: bool) -> Result<Recount, StoreError>;

    /// What the store says of itself, as names and values for people: server, version, memory, who observes.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the store does not answer.
    async fn facts(&self) -> Result<Vec<(String, String)>, StoreError>;
}
