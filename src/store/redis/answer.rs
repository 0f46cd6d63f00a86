//! What scripts answer.

use std::time::Duration;

use redis::{FromRedisValue, Value};

use super::keys::session_of;
use crate::{
    accounts::{Role, UserId},
    error::StoreError,
    sessions::{EndReason, Ended},
};

/// An answer that is not what the script returns: somebody else answered, or another release.
fn not_understood() -> StoreError {
    StoreError::Corrupt("answer")
}

/// Reads an answer, or a part of one.
pub(super) fn read<T: FromRedisValue>(answer: Value) -> Result<T, StoreError> {
    redis::from_redis_value(answer).map_err(|_| not_understood())
}

/// What `TIME` answers, in ms.
pub(super) fn time(answer: Value) -> Result<i64, StoreError> {
    let (seconds, micros): (i64, i64) = read(answer)?;
    Ok(seconds * 1_000 + micros / 1_000)
}

/// The parts of an answer that has this many.
pub(super) fn parts<const N: usize>(answer: Value) -> Result<[Value; N], StoreError> {
    read::<Vec<Value>>(answer)?
        .try_into()
        .map_err(|_| not_understood())
}

/// The record that a script returned, if there is one.
pub(super) fn record(answer: Value) -> Result<Option<Vec<u8>>, StoreError> {
    match answer {
        Value::Nil => Ok(None),
        Value::BulkString(record) => Ok(Some(record)),
        // How the scripts say that a key holds something else.
        Value::Int(-1) => Err(StoreError::Corrupt("session")),
        _ => Err(not_understood()),
    }
}

/// What a script did that must name all keys: its result, or the sessions that it has to name too.
#[derive(Debug)]
pub(super) enum Done {
    /// Done.
    Finished(Vec<Value>),
    /// Nothing was written; these must be declared.
    Needs(Vec<String>),
    /// The id is taken.
    Taken,
}

impl Done {
    pub(super) fn read(answer: Value) -> Result<Self, StoreError> {
        let mut parts: Vec<Value> = read(answer)?;
        if parts.is_empty() {
            return Err(not_understood());
        }
        let code: i64 = read(parts.remove(0))?;
        match (code, parts.pop()) {
            (0, None) => Ok(Self::Taken),
            (1, Some(last)) => {
                parts.push(last);
                Ok(Self::Finished(parts))
            }
            (2, Some(needed)) => Ok(Self::Needs(read(needed)?)),
            _ => Err(not_understood()),
        }
    }
}

/// A role, by its place among them.
pub(super) fn role(answer: Value) -> Result<Role, StoreError> {
    Role::from_index(read(answer)?).ok_or_else(not_understood)
}

/// The ends that a script returned, of sessions in this shard. `owner` tells whose one was, by its sid.
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
            tracing::error!("a session ended whose name cannot be read");
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
