//! One SCAN of all keys: finds records and users that are missing in the index.

use std::collections::BTreeMap;

use redis::Value;

use super::{
    super::{
        answer::read,
        call::Call,
        connection::SCAN_START,
        keys::{Place, ShardKeys},
    },
    Audit, BATCH,
    look::{Known, Record, Sight},
};
use skriptoteket_core::error::StoreError;
use skriptoteket_sessions::Difference;

/// Keys of one shard that SCAN returned.
#[derive(Debug, Default)]
struct Shown {
    sids: Vec<String>,
    uids: Vec<String>,
}

impl Audit<'_> {
    /// Finds records of live sessions that are not indexed, users without an entry, and unreadable records.
    ///
    /// A key that moves to another node in the meantime may be missed: the next check finds it.
    pub(super) async fn strays(&mut self) -> Result<(), StoreError> {
        let pattern = self.keys.pattern();
        for node in self.connection.masters().await? {
            let mut cursor = Some(String::from(SCAN_START));
            while let Some(at) = cursor {
                let (keys, next) = self.connection.scan(&node, &pattern, &at).await?;
                self.sort(keys).await?;
                cursor = next;
            }
        }
        Ok(())
    }

    async fn sort(&mut self, keys: Vec<Vec<u8>>) -> Result<(), StoreError> {
        let mut shown: BTreeMap<u8, Shown> = BTreeMap::new();
        for key in keys {
            let key = String::from_utf8_lossy(&key);
            match self.keys.place(&key) {
                Some((shard, Place::Session(sid))) => {
                    shown.entry(shard).or_default().sids.push(sid.to_owned());
                }
                Some((shard, Place::User(uid))) => {
                    shown.entry(shard).or_default().uids.push(uid.to_owned());
                }
                None => {
                    self.accuse(Difference::UnreadableRecord, key.into_owned());
                }
            }
        }
        let shown = shown.into_iter();
        let shown: Vec<_> = shown
            .map(|(number, shown)| (self.keys.shard(number), shown))
            .collect();
        // Nearly all are indexed; one call per shard finds those that are not.
        let mut calls = Vec::with_capacity(2 * shown.len());
        for (shard, Shown { sids, uids }) in &shown {
            for (index, members) in [(shard.live(), sids), (shard.users(), uids)] {
                if !members.is_empty() {
                    calls.push(Call::command("ZMSCORE", vec![index]).arg(members));
                }
            }
        }
        if calls.is_empty() {
            // Only foreign keys: an empty pipeline is an error.
            return Ok(());
        }
        let answers = self
            .connection
            .in_time(self.connection.call_all(calls))
            .await?;
        let mut answers = answers.into_iter();
        for (shard, Shown { sids, uids }) in shown {
            let sids = without_score(sids, &mut answers)?;
            for batch in sids.chunks(BATCH) {
                self.unindexed(&shard, batch).await?;
            }
            let uids = without_score(uids, &mut answers)?;
            let users: Vec<(&str, &[Known])> =
                uids.iter().map(|uid| (uid.as_str(), &[][..])).collect();
            self.compare_users(&shard, &users).await?;
        }
        Ok(())
    }

    /// Checks sessions that were not in the index a moment ago.
    async fn unindexed(&mut self, shard: &ShardKeys, sids: &[String]) -> Result<(), StoreError> {
        let mut found: Vec<Sight> = Vec::new();
        for sight in self.look(shard, sids).await? {
            if sight.score.is_some() {
                continue;
            }
            let key = shard.session(&sight.sid);
            match &sight.record {
                Record::Unreadable(_) => {
                    self.accuse(Difference::UnreadableRecord, key);
                }
                Record::Readable(known) if known.is_live => {
                    if self.accuse(Difference::RecordNotIndexed, key) {
                        found.push(sight);
                    }
                }
                // An expired record cannot be used, is not counted, and is removed by its time to live.
                Record::Readable(_) | Record::Missing => {}
            }
        }
        if self.repair {
            self.recount.repaired += self.mend(shard, &found).await?;
            return Ok(());
        }
        let stay = self.unindexed.entry(shard.number()).or_default();
        for sight in found {
            if let Record::Readable(mut known) = sight.record {
                known.is_indexed_otherwise = true;
                self.recount.records.sessions[known.role.index()] += 1;
                stay.push(known);
            }
        }
        Ok(())
    }
}

/// Returns those of `members` for which the next reply has no score.
fn without_score(
    members: Vec<String>,
    answers: &mut impl Iterator<Item = Value>,
) -> Result<Vec<String>, StoreError> {
    if members.is_empty() {
        return Ok(members);
    }
    let answer = answers.next().ok_or(StoreError::Corrupt("answer"))?;
    let scores: Vec<Option<f64>> = read(answer)?;
    let members = members.into_iter().zip(scores);
    Ok(members
        .filter_map(|(member, score)| score.is_none().then_some(member))
        .collect())
}
