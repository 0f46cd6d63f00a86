//! The counts of all shards, added up.
//!
//! The totals of a shard are a hash: `s` and the role for those started, `e`, the role and the reason's
//! [index](crate::sessions::EndReason::index) for those ended, `lost` for those that ended without a readable record, `seq` for the order of
//! starts.

use redis::Value;

use super::answer;
use crate::{
    error::StoreError,
    sessions::{Census, Totals},
};

/// Adds up what the census script answered for each shard.
pub(super) fn census_of(shards: Vec<Value>) -> Result<Census, StoreError> {
    let mut census = Census::default();
    for shard in shards {
        let mut counts: Vec<Value> = answer::read(shard)?;
        let totals = counts.pop().unwrap_or_default();
        let counts: Vec<u64> = answer::read(Value::Array(counts))?;
        let groups = [&mut census.sessions, &mut census.users, &mut census.expired];
        if counts.len() != groups.len() * 4 {
            return Err(StoreError::Corrupt("answer"));
        }
        for (group, counts) in groups.into_iter().zip(counts.chunks(4)) {
            for (sum, count) in group.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        add(&mut census.totals, totals)?;
    }
    Ok(census)
}

fn add(totals: &mut Totals, hash: Value) -> Result<(), StoreError> {
    let fields: Vec<(String, u64)> =
        answer::read(hash).map_err(|_| StoreError::Corrupt("session totals"))?;
    for (field, count) in fields {
        let digit = |at: usize| {
            let digit = field.as_bytes().get(at)?;
            Some(usize::from(digit.checked_sub(b'0')?))
        };
        let place = match (field.as_bytes().first(), field.len()) {
            (Some(b's'), 2) => digit(1).and_then(|role| totals.started.get_mut(role)),
            (Some(b'e'), 3) => digit(1)
                .and_then(|role| totals.ended.get_mut(role))
                .and_then(|ended| ended.get_mut(digit(2)?)),
            _ => None,
        };
        if let Some(sum) = place {
            *sum += count;
        }
    }
    Ok(())
}
