//! The sum of the counts of all shards.
//!
//! The totals of a shard are a hash: `s` and the role for started sessions, `e`, the role and the reason's
//! [index](skriptoteket_sessions::EndReason::index) for ended ones, `lost` for those that ended without a readable record,
//! `seq` for the last sequence number, `c` and a digit for the last changes of these totals, `changes` for their
//! number, `origin` for the time of the first one.

use std::cmp::Reverse;

use redis::Value;

use super::answer;
use skriptoteket_core::error::StoreError;
use skriptoteket_sessions::{Change, Count, PartTotals, Totals};

/// Adds up the results of the census script of all shards.
pub(super) fn count_of(shards: Vec<Value>) -> Result<Count, StoreError> {
    let mut count = Count::default();
    let census = &mut count.census;
    for (shard, answer) in shards.into_iter().enumerate() {
        let mut counts: Vec<Value> = answer::read(answer)?;
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
        let part = part_of(totals)?;
        census.totals.add(&part.totals);
        count.parts.push((format!("{shard:02}"), part));
    }
    Ok(count)
}

fn part_of(hash: Value) -> Result<PartTotals, StoreError> {
    let fields: Vec<(String, String)> =
        answer::read(hash).map_err(|_| StoreError::Corrupt("session totals"))?;
    let mut part = PartTotals::default();
    for (field, value) in fields {
        if field == "origin" {
            part.origin = value.parse().ok();
        } else if let Some(total) = part.totals.of_name(&field) {
            let number = value.parse();
            *total = number.map_err(|_| StoreError::Corrupt("session totals"))?;
        } else if field.len() == 2 && field.starts_with('c') {
            part.recent.extend(change_of(&value));
        }
    }
    part.recent
        .sort_unstable_by_key(|change| Reverse(change.at));
    Ok(part)
}

/// A change: the time, what it added, and the sessions that were added and removed, by their sequence numbers: their
/// IDs may change in between.
fn change_of(text: &str) -> Option<Change> {
    let (at, what) = text.split_once(' ')?;
    let sessions = what.split(' ').filter(|it| it.starts_with(['+', '-']));
    Some(Change {
        at: at.parse().ok()?,
        added: Totals::from(what.to_owned()),
        sessions: sessions.map(str::to_owned).collect(),
    })
}
