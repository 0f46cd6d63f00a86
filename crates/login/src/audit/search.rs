//! Searches of the audit trail: the conditions, the rows that are found, and a position among them.

use std::{fmt, net::IpAddr, str::FromStr};

use super::{event::Actor, kind::Kind};
use crate::accounts::UserId;
use skriptoteket_core::clock::Timestamp;

/// A row read from the audit trail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// The position of the row in the trail, increasing.
    pub seq: i64,
    /// When the attempt ended; of several attempts, the first one.
    pub at: Timestamp,
    /// When the last of several attempts ended.
    pub last_at: Timestamp,
    /// Number of attempts that this row represents: 1, or more for rejected attempts of one kind, outcome, entity and
    /// minute.
    pub count: u64,
    /// What was attempted: a [`Kind`], or a kind of a newer release.
    pub kind: String,
    /// The outcome; see [`AuditEvent::outcome`](super::AuditEvent::outcome).
    pub outcome: String,
    /// The actor: an [`Actor`] as text.
    pub actor: Option<String>,
    /// The account concerned.
    pub user_id: Option<UserId>,
    /// What else is concerned.
    pub target: Option<String>,
    /// What was changed.
    pub detail: Option<String>,
    /// The client's address.
    pub address: Option<IpAddr>,
}

/// The conditions of a search; `None` leaves a condition out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Rows that concern this account.
    pub user_id: Option<UserId>,
    /// Rows of this actor. `cli` without a user id matches every user of the operating system.
    pub actor: Option<Actor>,
    /// Rows of this kind.
    pub kind: Option<Kind>,
    /// Rows with this outcome.
    pub outcome: Option<String>,
    /// Rows of this address.
    pub address: Option<IpAddr>,
    /// Rows at or after this time.
    pub since: Option<Timestamp>,
    /// Rows before this time.
    pub until: Option<Timestamp>,
    /// Rows that follow this position in the order of the results.
    pub after: Option<AuditCursor>,
}

/// A position in the order of the results: the last row read. As text: `<milliseconds>-<seq>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditCursor {
    /// [`AuditRow::at`].
    pub at: Timestamp,
    /// [`AuditRow::seq`].
    pub seq: i64,
}

impl From<&AuditRow> for AuditCursor {
    fn from(row: &AuditRow) -> Self {
        Self {
            at: row.at,
            seq: row.seq,
        }
    }
}

impl fmt::Display for AuditCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at.as_millis(), self.seq)
    }
}

/// The text is not a cursor.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a cursor of this list")]
pub struct UnknownCursor;

impl FromStr for AuditCursor {
    type Err = UnknownCursor;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (at, seq) = text.rsplit_once('-').ok_or(UnknownCursor)?;
        Ok(Self {
            at: Timestamp::from_millis(at.parse().map_err(|_| UnknownCursor)?),
            seq: seq.parse().map_err(|_| UnknownCursor)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_are_written() {
        let cursor = AuditCursor {
            at: Timestamp::from_millis(-5),
            seq: 7,
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in ["", "-", "5", "5-", "x-1", "1-x"] {
            assert_eq!(bad.parse::<AuditCursor>(), Err(UnknownCursor), "{bad}");
        }
    }
}
