//! What an operator does with a session store: recount it, mend it, look at it.

use std::fmt;

use async_trait::async_trait;

use super::Census;
use crate::error::StoreError;

/// A kind of difference that a recount can find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Difference {
    /// A live session that the index counts has no record, or one that cannot be read: it is counted and nobody can use
    /// it. (One that has expired is not meant: the reaper ends it.)
    IndexedWithoutRecord,
    /// A readable record of a live session is not in the index: it can be used and is not counted.
    RecordNotIndexed,
    /// Index and record disagree about role or expiry.
    IndexedOtherwise,
    /// The index of users disagrees with the sessions of a user.
    UserIndexedOtherwise,
    /// A record under our names that cannot be read, and that nothing counts.
    UnreadableRecord,
    /// Started − ended is not what the index holds, live and expired.
    TotalsDisagree,
}

impl Difference {
    /// Every kind, in the order in which findings are told.
    pub const ALL: [Self; 6] = [
        Self::IndexedWithoutRecord,
        Self::RecordNotIndexed,
        Self::IndexedOtherwise,
        Self::UserIndexedOtherwise,
        Self::UnreadableRecord,
        Self::TotalsDisagree,
    ];

    /// Its name for machines.
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

/// One kind of difference, how often, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Difference,
    /// How often.
    pub count: u64,
    /// Some places, as keys or ids of the store; never a secret. At most [`Finding::EXAMPLES`].
    pub examples: Vec<String>,
}

impl Finding {
    /// How many places are told of one kind.
    pub const EXAMPLES: usize = 10;
}

/// What a recount found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recount {
    /// What the index says: the numbers that the gauges show, and the totals.
    pub index: Census,
    /// What the records say: live and expired sessions and distinct users by role, counted one by one. No totals: no
    /// record tells of a session that ended.
    ///
    /// The store goes on between the two counts, so that they may differ where there is no finding.
    pub records: Census,
    /// Every difference, each kind once, in the order of [`Difference::ALL`]. Empty if all is well.
    pub findings: Vec<Finding>,
    /// How many entries were mended; 0 without `repair`.
    pub repaired: u64,
}

impl Recount {
    /// Adds `count` differences of this kind, found at `place`. Nothing is added of 0.
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

    /// How many differences of this kind were found.
    #[must_use]
    pub fn count_of(&self, kind: Difference) -> u64 {
        let found = self.findings.iter().find(|finding| finding.kind == kind);
        found.map_or(0, |finding| finding.count)
    }
}

/// What only operators ask of a session store.
#[async_trait]
pub trait SessionIntegrity: fmt::Debug + Send + Sync {
    /// Counts the records one by one and compares them with the index, the index of users and the totals.
    ///
    /// The store goes on meanwhile: each comparison is of one moment, so that a session that started or ended during the
    /// recount is no finding. Cost: one read of every record, in bounded steps; the store timeout is for each step.
    ///
    /// With `repair` the index is rebuilt from the records, in bounded steps too. A session that is counted without a
    /// readable record ends (`lost`); a session that is indexed again, or otherwise, keeps its record. Afterwards
    /// started − ended = live + expired holds: what is there and was never counted counts as started, what was counted
    /// as started and is nowhere counts as ended (`lost`). Mending may be broken off and begun again.
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
