//! What an operator does with a session store: verify it, repair it, inspect it.

use std::fmt;

use async_trait::async_trait;

use super::Census;
use skriptoteket_core::error::StoreError;

/// A kind of inconsistency that a recount can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Difference {
    /// A live session in the index has no readable record: it is counted but cannot be used. (This excludes expired
    /// sessions, which the reaper ends.)
    IndexedWithoutRecord,
    /// A readable record of a live session is not in the index: the session can be used but is not counted.
    RecordNotIndexed,
    /// Index and record disagree about role or expiry.
    IndexedOtherwise,
    /// The index of users disagrees with the sessions of a user.
    UserIndexedOtherwise,
    /// A record under the service's key prefix that cannot be read and is not counted.
    UnreadableRecord,
    /// Started − ended differs from the number of sessions in the index, live and expired.
    TotalsDisagree,
}

impl Difference {
    /// Every kind, in the order in which findings are reported.
    pub const ALL: [Self; 6] = [
        Self::IndexedWithoutRecord,
        Self::RecordNotIndexed,
        Self::IndexedOtherwise,
        Self::UserIndexedOtherwise,
        Self::UnreadableRecord,
        Self::TotalsDisagree,
    ];

    /// Returns the machine-readable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IndexedWithoutRecord => "indexed_without_record",
            Self::RecordNotIndexed => "record_not_indexed",
            Self::IndexedOtherwise => "indexed_otherwise",
            Self::UserIndexedOtherwise => "user_indexed_otherwise",
            Self::UnreadableRecord => "unreadable_record",
            Self::TotalsDisagree => "totals_disagree",
        }
    }
}

/// One kind of inconsistency, with its number of occurrences and examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind.
    pub kind: Difference,
    /// The number of occurrences.
    pub count: u64,
    /// Some locations, as keys or IDs of the store; never a secret. At most [`Finding::EXAMPLES`].
    pub examples: Vec<String>,
}

impl Finding {
    /// Maximum number of examples for each kind.
    pub const EXAMPLES: usize = 10;
}

/// The result of a recount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recount {
    /// The content of the index: the numbers that the gauges show, and the totals.
    pub index: Census,
    /// The content of the records: live and expired sessions and distinct users by role, counted one by one. There
    /// are no totals, because no record exists of a session that ended.
    ///
    /// The store stays in use between the two counts, so they may differ without a finding.
    pub records: Census,
    /// All inconsistencies, each kind once, in the order of [`Difference::ALL`]. Empty if the store is consistent.
    pub findings: Vec<Finding>,
    /// The number of entries that were repaired; 0 without `repair`.
    pub repaired: u64,
}

impl Recount {
    /// Adds `count` inconsistencies of this kind, found at `place`. Does nothing if `count` is 0.
    pub fn add(&mut self, kind: Difference, count: u64, place: impl FnOnce() -> String) {
        if count == 0 {
            return;
        }
        let at = self
            .findings
            .binary_search_by_key(&kind, |finding| finding.kind)
            .unwrap_or_else(|at| {
                let finding = Finding {
                    kind,
                    count: 0,
                    examples: Vec::new(),
                };
                self.findings.insert(at, finding);
                at
            });
        let finding = &mut self.findings[at];
        finding.count += count;
        if finding.examples.len() < Finding::EXAMPLES {
            finding.examples.push(place());
        }
    }

    /// Returns the number of inconsistencies of this kind.
    #[must_use]
    pub fn count_of(&self, kind: Difference) -> u64 {
        let found = self.findings.iter().find(|finding| finding.kind == kind);
        found.map_or(0, |finding| finding.count)
    }
}

/// Operations on a session store that only operators use.
#[async_trait]
pub trait SessionIntegrity: fmt::Debug + Send + Sync {
    /// Counts the records one by one and compares them with the index, the index of users and the totals.
    ///
    /// The store stays in use meanwhile. Each comparison is of one moment, so a session that starts or ends during
    /// the recount is not a finding. Cost: one read of every record, in bounded steps; the store timeout applies to
    /// each step.
    ///
    /// With `repair` the index is rebuilt from the records, also in bounded steps. A session that is counted without
    /// a readable record ends (`lost`); a session whose index entry is added or corrected keeps its record.
    /// Afterwards started − ended = live + expired holds: sessions that exist but were never counted count as
    /// started, and sessions that were counted as started but do not exist count as ended (`lost`). A repair may be
    /// interrupted and started again.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the store does not respond; what was repaired before stays repaired.
    async fn recount(&self, repair: bool) -> Result<Recount, StoreError>;

    /// Returns information about the store as human-readable names and values: server, version, memory, current
    /// observer.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`] if the store does not respond.
    async fn facts(&self) -> Result<Vec<(String, String)>, StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_in_its_order_with_few_examples() {
        let mut recount = Recount::default();
        for kind in Difference::ALL.into_iter().rev() {
            recount.add(kind, 0, || "nowhere".to_owned());
            for place in 0..20 {
                recount.add(kind, 2, || place.to_string());
            }
        }
        let kinds: Vec<_> = recount.findings.iter().map(|it| it.kind).collect();
        assert_eq!(kinds, Difference::ALL);
        for finding in &recount.findings {
            assert_eq!(finding.count, 40);
            assert_eq!(finding.examples.len(), Finding::EXAMPLES);
            assert_eq!(finding.examples[0], "0");
        }
        assert_eq!(recount.count_of(Difference::TotalsDisagree), 40);
        assert_eq!(Recount::default().count_of(Difference::TotalsDisagree), 0);
    }
}
