//! Numbers of sessions: live ones, and all that ever started and ended.

use serde::{Deserialize, Serialize};

use crate::label;

label! {
    /// Why a session ended.
    pub enum EndReason: "reason" {
        /// Its owner logged out, or logged in again from the same browser.
        Logout = "logout",
        /// Nobody used it for the idle timeout.
        Idle = "idle",
        /// It reached its greatest age.
        Absolute = "absolute",
        /// Its owner, an administrator, a password change or a disabled account ended it.
        Revoked = "revoked",
        /// The user had too many, and it was the oldest.
        Evicted = "evicted",
        /// It goes on under another role: counted as ended under the old one and as started under the new one, so that
        /// started − ended = active holds for every role.
        RoleChanged = "role_changed",
        /// It was counted as started and is nowhere: the store lost it, or its record cannot be found any more.
        Lost = "lost",
    }
}

/// All sessions that were ever started and ended in this store. Indexed by [`Role::index`](crate::user::Role::index) and [`EndReason::index`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Totals {
    /// Started, by role.
    pub started: [u64; 4],
    /// Ended, by role and reason.
    pub ended: [[u64; 7]; 4],
}

/// How many are logged in at one moment, and the totals at the same moment. Indexed by [`Role::index`](crate::user::Role::index).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Live sessions by role.
    pub sessions: [u64; 4],
    /// Distinct users with a live session, by role.
    pub users: [u64; 4],
    /// Sessions that have expired, by role, and were not ended yet: started − ended = live + expired, always.
    pub expired: [u64; 4],
    /// What was ever started and ended.
    pub totals: Totals,
}

/// A census, and the totals of each part of the store from which its totals are added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// The sum.
    pub census: Census,
    /// By the name of the part, which never changes.
    pub parts: Vec<(String, PartTotals)>,
}

impl From<Census> for Count {
    /// A store that has one part.
    fn from(census: Census) -> Self {
        let part = PartTotals {
            totals: census.totals,
            ..PartTotals::default()
        };
        Self {
            census,
            parts: vec![("all".to_owned(), part)],
        }
    }
}

/// Starts and ends that were added to the totals in one step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When, in microseconds by the clock of the store. Tells the change from all others.
    pub at: u64,
    /// What was added.
    pub added: Totals,
    /// The sessions that started (`+`) and ended (`-`) with it, each by what it keeps from its start to its end. Empty where the
    /// store does not say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<String>,
}

/// What one part of a store has counted since it began. A part loses its data as a whole: a shard, or a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartTotals {
    /// What it has counted.
    pub totals: Totals,
    /// The time of the first change, which tells apart two histories that both began at 0. None where there was no change,
    /// or the store does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<u64>,
    /// The last changes, newest first; as many as the store remembers, perhaps none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Change>,
}
