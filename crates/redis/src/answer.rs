//! Reads the replies of scripts.

use std::time::Duration;

use redis::{FromRedisValue, Value};

use super::keys::session_of;
use skriptoteket_core::error::StoreError;
use skriptoteket_login::accounts::{Role, UserId};
use skriptoteket_sessions::{EndReason, Ended};

/// A reply that the script does not return: from another server, or from another release.
fn not_understood() -> StoreError {
    StoreError::Corrupt("answer")
}

/// Reads a reply, or a part of one.
pub(super) fn read<T: FromRedisValue>(answer: Value) -> Result<T, StoreError> {
    redis::from_redis_value(answer).map_err(|_| not_understood())
}

/// Reads the reply to `TIME`, in ms.
pub(super) fn time(answer: Value) -> Result<i64, StoreError> {
    let (seconds, micros): (i64, i64) = read(answer)?;
    Ok(seconds * 1_000 + micros / 1_000)
}

/// Returns the parts of a reply that has this many.
pub(super) fn parts<const N: usize>(answer: Value) -> Result<[Value; N], StoreError> {
    read::<Vec<Value>>(answer)?
        .try_into()
        .map_err(|_| not_understood())
}

/// Returns the record in a script's reply, if there is one.
pub(super) fn record(answer: Value) -> Result<Option<Vec<u8>>, StoreError> {
    match answer {
        Value::Nil => Ok(None),
        Value::BulkString(record) => Ok(Some(record)),
        // The scripts return this if a key holds another type.
        Value::Int(-1) => Err(StoreError::Corrupt("session")),
        _ => Err(not_understood()),
    }
}

/// The result of a script that must declare all keys: done, or the sessions that it has to declare too.
#[derive(Debug)]
pub(super) enum Done {
    /// The script has finished, with this result.
    Finished(Vec<Value>),
    /// Nothing was written; these sessions must be declared.
    Needs(Vec<String>),
    /// The ID is taken.
    AlreadyExists,
}

impl Done {
    pub(super) fn read(answer: Value) -> Result<Self, StoreError> {
        let mut parts: Vec<Value> = read(answer)?;
        if parts.is_empty() {
            return Err(not_understood());
        }
        let code: i64 = read(parts.remove(0))?;
        match (code, parts.pop()) {
            (0, None) => Ok(Self::AlreadyExists),
            (1, Some(last)) => {
                parts.push(last);
                Ok(Self::Finished(parts))
            }
            (2, Some(needed)) => Ok(Self::Needs(read(needed)?)),
            _ => Err(not_understood()),
        }
    }
}

/// Reads a role, by its index.
pub(super) fn role(answer: Value) -> Result<Role, StoreError> {
    Role::from_index(read(answer)?).ok_or_else(not_understood)
}

/// Reads the ends that a script returned, of sessions in this shard. `owner` returns the user of a session, by its sid.
pub(super) fn ends(
    shard: u8,
    answer: Value,
    owner: impl Fn(&str) -> Option<UserId>,
) -> Result<Vec<Ended>, StoreError> {
    let ends: Vec<Value> = read(answer)?;
    let mut handed_out = Vec::with_capacity(ends.len());
    for end in ends {
        let [sid, role, reason, lasted] = parts(end)?;
        let sid: String = read(sid)?;
        let role = self::role(role)?;
        let reason: usize = read(reason)?;
        let reason = EndReason::ALL.get(reason).ok_or_else(not_understood)?;
        let lasted: u64 = read(lasted)?;
        let Some((id, user_id)) = session_of(shard, &sid).zip(owner(&sid)) else {
            tracing::error!("ended a session with an unreadable ID");
            continue;
        };
        handed_out.push(Ended {
            id,
            user_id,
            role,
            reason: *reason,
            lasted: Duration::from_millis(lasted),
        });
    }
    Ok(handed_out)
}
