//! The exported totals: they never decrease, even if the session store loses data.
//!
//! A store keeps its own totals, updated in the same step as each start and end. If it is restored to an earlier
//! state (a failover to a replica that is behind, an older file, `FLUSHALL`), its totals decrease too. A counter that
//! decreases looks like one that was reset, so the whole total would be counted as new. Therefore the exported totals
//! are kept in a ledger outside the store, and each count of the store is entered there: see [`Ledger::enter`].

use std::{
    collections::{BTreeMap, HashSet},
    fmt::{self, Debug},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Census, Count, EndReason, PartTotals, Totals};
use skriptoteket_core::{error::StoreError, user::Role};

impl Count {
    /// Returns the census with the totals that are exported once this count is entered in `ledger`.
    #[must_use]
    pub fn as_exported(&self, ledger: &Ledger) -> Census {
        let mut ledger = ledger.clone();
        ledger.enter(&self.parts);
        Census {
            totals: ledger.totals,
            ..self.census
        }
    }
}

/// The corrections that a count made to the ledger, in addition to what happened in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Sessions that the store has lost. They are counted as ended, with the reason [`EndReason::Lost`].
    pub lost: u64,
    /// Sessions whose end the store has lost: they exist again and are counted as started again.
    pub restored: u64,
}

/// The exported totals, and the state of the store that they were taken from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The exported totals.
    pub totals: Totals,
    /// The parts of the store, by name, as last counted.
    parts: BTreeMap<String, PartTotals>,
    /// The time of the latest change that was ever entered; 0 if there was none.
    #[serde(default)]
    seen_at: u64,
}

impl Ledger {
    /// Returns true until the first count is entered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Enters a count. Afterwards no total has decreased, and started − ended equals what the parts hold, by role.
    ///
    /// Each part has three states: A, the one entered last; B, the one that it was restored to; and C, the current
    /// one. If nothing was restored, A and B are the same. Changes between B and C are added as they were counted.
    /// Changes between B and A are forgotten by the store but stay counted. Of the sessions held in A, as many are
    /// `lost` as starts were forgotten, by role, and all of them if the part has another history. A session whose end
    /// was forgotten exists again and counts as started again. A session that both started and ended in the forgotten
    /// time is neither lost nor restored.
    ///
    /// State B, and the sessions that started and ended since, are known from the last changes that the part keeps.
    /// If these do not reach back far enough, a part counts as restored if its totals have decreased. What was added
    /// to the totals since then is then not noticed, and a session that both started and ended in the forgotten time
    /// may count as lost and as restored.
    ///
    /// The very first count is taken as it is.
    pub fn enter(&mut self, parts: &[(String, PartTotals)]) -> Reconciled {
        let mut reconciled = Reconciled::default();
        if self.is_empty() {
            for (_, part) in parts {
                self.totals.add(&part.totals);
            }
        } else {
            let seen_at = self.seen_at;
            let mut before = std::mem::take(&mut self.parts);
            for (name, part) in parts {
                let before = before.remove(name);
                reconciled.add(self.totals.follow(before.as_ref(), Some(part), seen_at));
            }
            for gone in before.values() {
                reconciled.add(self.totals.follow(Some(gone), None, seen_at));
            }
        }
        self.parts = parts.iter().cloned().collect();
        let latest = self.parts.values().filter_map(PartTotals::changed_at).max();
        self.seen_at = self.seen_at.max(latest.unwrap_or(0));
        reconciled
    }
}

impl Reconciled {
    fn add(&mut self, other: Self) {
        self.lost += other.lost;
        self.restored += other.restored;
    }
}

impl PartTotals {
    fn changed_at(&self) -> Option<u64> {
        self.recent.first().map(|change| change.at)
    }

    /// Returns the sum of the changes after this time.
    fn added_after(&self, at: u64) -> Totals {
        let mut sum = Totals::default();
        for change in self.recent.iter().take_while(|change| change.at > at) {
            sum.add(&change.added);
        }
        sum
    }

    /// Returns what happened in the part since `before`, or, if it was restored, since the state that it was restored
    /// to.
    fn added_since(&self, before: &Self, seen_at: u64) -> Totals {
        let common = before.recent.iter().find(|it| self.recent.contains(it));
        match common {
            // Restored: what came after the last change that both states contain.
            Some(common) if before.changed_at() != Some(common.at) => self.added_after(common.at),
            Some(_) => self.totals.above(&before.totals),
            None => {
                let (risen, late) = (self.totals.above(&before.totals), self.added_after(seen_at));
                let was_put_back = before.totals.above(&self.totals) != Totals::default();
                if was_put_back {
                    risen.or_more(&late)
                } else {
                    risen
                }
            }
        }
    }

    /// Returns the number of sessions that both started and ended, by role, in the changes of this part that `now`
    /// has forgotten.
    fn came_and_went(&self, now: &Self) -> [i64; 4] {
        let forgotten = self.recent.iter().take_while(|it| !now.recent.contains(it));
        let forgotten: Vec<_> = forgotten.collect();
        let names = |sign| {
            let all = forgotten.iter().flat_map(|it| &it.sessions);
            all.filter_map(move |it| it.strip_prefix(sign))
        };
        let gone: HashSet<&str> = names('-').collect();
        let mut count = [0; 4];
        for change in &forgotten {
            let came = change.sessions.iter().filter_map(|it| it.strip_prefix('+'));
            let both = came.filter(|it| gone.contains(it)).count();
            let role = change.added.started.iter().position(|n| *n > 0);
            if let Some(role) = role.filter(|_| both > 0) {
                count[role] += 1;
            }
        }
        count
    }

    /// Returns true if this part has another history than `before`. False if that is not known, because one of them
    /// began before it could record its origin, or cannot record it.
    fn is_other_than(&self, before: &Self, seen_at: u64) -> bool {
        match before.origin {
            None if before.totals == Totals::default() => !self.began_after(seen_at),
            None => false,
            origin => self.origin != origin,
        }
    }

    /// Returns false if the history is known to have begun earlier.
    fn began_after(&self, at: u64) -> bool {
        self.origin.is_none_or(|origin| origin > at)
    }

    /// Returns what this part adds to totals that were exported without it.
    fn added_anew(&self, seen_at: u64) -> Totals {
        match self.origin {
            Some(origin) if seen_at > 0 && origin > seen_at => self.totals,
            // If no change was ever seen, it is not known which changes are older.
            _ if seen_at == 0 => Totals::default(),
            _ => self.added_after(seen_at),
        }
    }
}

impl Totals {
    /// Returns the total with this name in stores and ledgers: `s` and the role's index for started sessions, `e` and
    /// the indices of role and reason for ended ones.
    pub fn of_name(&mut self, name: &str) -> Option<&mut u64> {
        let digit = |at: usize| {
            let digit = name.as_bytes().get(at)?;
            Some(usize::from(digit.checked_sub(b'0')?))
        };
        match (name.as_bytes().first(), name.len()) {
            (Some(b's'), 2) => self.started.get_mut(digit(1)?),
            (Some(b'e'), 3) => self.ended.get_mut(digit(1)?)?.get_mut(digit(2)?),
            _ => None,
        }
    }

    /// Returns started − ended, by role: live sessions, and expired sessions that have not been ended yet.
    #[must_use]
    pub fn held(&self) -> [i64; 4] {
        Role::ALL.map(|role| {
            let ended: u64 = self.ended[role.index()].iter().sum();
            self.started[role.index()].cast_signed() - ended.cast_signed()
        })
    }

    /// Adds these totals.
    pub fn add(&mut self, other: &Self) {
        *self = self.with(other, u64::saturating_add);
    }

    /// Returns how far each total exceeds that of `other`; 0 if it does not.
    fn above(&self, other: &Self) -> Self {
        self.with(other, u64::saturating_sub)
    }

    /// Returns the maximum of each total.
    fn or_more(&self, other: &Self) -> Self {
        self.with(other, u64::max)
    }

    fn with(&self, other: &Self, of_two: fn(u64, u64) -> u64) -> Self {
        let mut result = *self;
        for role in 0..result.started.len() {
            result.started[role] = of_two(self.started[role], other.started[role]);
            for (reason, ended) in result.ended[role].iter_mut().enumerate() {
                *ended = of_two(*ended, other.ended[role][reason]);
            }
        }
        result
    }

    /// Adds what happened in a part between two counts, and corrects for what it has forgotten.
    fn follow(
        &mut self,
        before: Option<&PartTotals>,
        now: Option<&PartTotals>,
        seen_at: u64,
    ) -> Reconciled {
        let nothing = PartTotals::default();
        // The history of a part that did not exist before is unknown.
        let known = before
            .zip(now)
            .is_some_and(|(before, now)| !now.is_other_than(before, seen_at));
        let (before, now) = (before.unwrap_or(&nothing), now.unwrap_or(&nothing));
        let added = if known {
            now.added_since(before, seen_at)
        } else {
            now.added_anew(seen_at)
        };
        self.add(&added);
        let mut reconciled = Reconciled::default();
        let (had, has, grown) = (before.totals.held(), now.totals.held(), added.held());
        let passed = before.came_and_went(now);
        for role in Role::ALL.map(Role::index) {
            let forgotten = (before.totals.started[role] + added.started[role])
                .saturating_sub(now.totals.started[role])
                .cast_signed();
            // Missing sessions are lost in any case: they were held, or have started since, but do not exist.
            let missing = had[role] + grown[role] - has[role];
            let perhaps = if known {
                (forgotten - passed[role]).min(had[role])
            } else {
                had[role]
            };
            let lost = missing.max(perhaps).max(0);
            let restored = lost - missing;
            let (lost, restored) = (lost.unsigned_abs(), restored.unsigned_abs());
            self.ended[role][EndReason::Lost.index()] += lost;
            self.started[role] += restored;
            reconciled.add(Reconciled { lost, restored });
        }
        reconciled
    }
}

/// The totals that are not 0, each with its name.
impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut gap = "";
        let mut tell = |name: fmt::Arguments<'_>, n: u64| -> fmt::Result {
            if n > 0 {
                write!(f, "{gap}{name}={n}")?;
                gap = " ";
            }
            Ok(())
        };
        for (role, started) in self.started.iter().enumerate() {
            tell(format_args!("s{role}"), *started)?;
            for (reason, ended) in self.ended[role].iter().enumerate() {
                tell(format_args!("e{role}{reason}"), *ended)?;
            }
        }
        Ok(())
    }
}

impl From<Totals> for String {
    fn from(totals: Totals) -> Self {
        totals.to_string()
    }
}

/// Ignores the totals that only a later release knows.
impl From<String> for Totals {
    fn from(text: String) -> Self {
        let mut totals = Self::default();
        for part in text.split(' ') {
            if let Some((name, n)) = part.split_once('=')
                && let (Some(total), Ok(n)) = (totals.of_name(name), n.parse())
            {
                *total = n;
            }
        }
        totals
    }
}

/// A ledger as it was read; written back only if no other process has written it meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedLedger {
    /// Increases with every write.
    pub revision: u64,
    /// The last ledger that was written; empty if there is none.
    pub ledger: Ledger,
}

/// Stores the ledger outside the session store, shared by all replicas.
///
/// All methods fail with [`StoreError::Unavailable`] if it cannot be read or written.
#[async_trait]
pub trait LedgerRepository: Debug + Send + Sync {
    /// Reads the ledger of the current session location. If sessions were kept in another location until now, it
    /// continues from what was exported there.
    async fn load(&self) -> Result<SavedLedger, StoreError>;

    /// Writes the ledger if its revision is still the one that was read, and returns the new revision. Returns `None`
    /// if another process has written meanwhile.
    async fn save(&self, read: u64, ledger: &Ledger) -> Result<Option<u64>, StoreError>;
}

/// A ledger that lives as long as the process, for a store that does too.
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<SavedLedger>);

#[async_trait]
impl LedgerRepository for MemoryLedger {
    async fn load(&self) -> Result<SavedLedger, StoreError> {
        let saved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(saved.clone())
    }

    async fn save(&self, read: u64, ledger: &Ledger) -> Result<Option<u64>, StoreError> {
        let mut saved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if saved.revision != read {
            return Ok(None);
        }
        *saved = SavedLedger {
            revision: read + 1,
            ledger: ledger.clone(),
        };
        Ok(Some(saved.revision))
    }
}

#[cfg(test)]
mod tests;
