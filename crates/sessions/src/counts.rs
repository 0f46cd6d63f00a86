//! Session counts: live sessions, and the totals of all sessions ever started and ended.

use serde::{Deserialize, Serialize};

use skriptoteket_core::label;

label! {
    /// Why a session ended.
    pub enum EndReason: "reason" {
        /// The user logged out, or logged in again from the same browser.
        Logout = "logout",
        /// It was not used for the idle timeout.
        Idle = "idle",
        /// It reached its maximum age.
        Absolute = "absolute",
        /// The user or an administrator ended it, the password was changed, or the account was disabled.
        Revoked = "revoked",
        /// The user had too many sessions, and this was the oldest.
        Evicted = "evicted",
        /// It continues under another role: counted as ended under the old role and as started under the new one, so
        /// that started − ended = active holds for every role.
        RoleChanged = "role_changed",
        /// It was counted as started and does not exist: the store lost it, or its record cannot be read.
        Lost = "lost",
    }
}

/// All sessions that were ever started and ended in this store. Indexed by [`Role::index`](skriptoteket_core::user::Role::index)
/// and [`EndReason::index`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct Totals {
    /// Started, by role.
    pub started: [u64; 4],
    /// Ended, by role and reason.
    pub ended: [[u64; 7]; 4],
}

/// The numbers of sessions and users at one moment, and the totals at the same moment. Indexed by
/// [`Role::index`](skriptoteket_core::user::Role::index).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Live sessions by role.
    pub sessions: [u64; 4],
    /// Distinct users with a live session, by role.
    pub users: [u64; 4],
    /// Expired sessions that have not been ended yet, by role: started − ended = live + expired always holds.
    pub expired: [u64; 4],
    /// The totals of started and ended sessions.
    pub totals: Totals,
}

/// A census, and the totals of each part of the store that add up to its totals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// The sum.
    pub census: Census,
    /// By the name of the part, which never changes.
    pub parts: Vec<(String, PartTotals)>,
}

impl From<Census> for Count {
    /// Creates the count of a store that has one part.
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

/// Starts and ends that were added to the totals in one atomic step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When, in microseconds by the clock of the store. Identifies the change.
    pub at: u64,
    /// What was added to the totals.
    pub added: Totals,
    /// The sessions that started (`+`) and ended (`-`) with it, each by an identifier that does not change from its
    /// start to its end. Empty if the store does not record them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sessions: Vec<String>,
}

/// What one part of a store has counted since it began. A part is the unit of data loss: a shard, or a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartTotals {
    /// The totals of the part.
    pub totals: Totals,
    /// The time of the first change, which distinguishes two histories that both began at 0. None if there was no
    /// change, or the store does not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<u64>,
    /// The last changes, newest first; as many as the store keeps, possibly none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Change>,
}
