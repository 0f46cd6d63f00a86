//! One shard by its index: compares each session with its record and each user with their sessions; checks the totals.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

use redis::Value;

use super::{
    super::{
        answer::{parts, read},
        call::Call,
        keys::ShardKeys,
    },
    Audit, BATCH, TOTALS,
    look::{Known, Record, Sight},
};
use skriptoteket_core::error::StoreError;
use skriptoteket_login::accounts::Role;
use skriptoteket_sessions::{Difference, EndReason};

/// The sessions of each user, by their records.
type Owners = HashMap<String, Vec<Known>>;

impl Audit<'_> {
    pub(super) async fn shard(&mut self, shard: &ShardKeys) -> Result<(), StoreError> {
        let mut owners = Owners::new();
        for known in self.unindexed.remove(&shard.number()).unwrap_or_default() {
            owners.entry(known.uid.clone()).or_default().push(known);
        }
        let disagree = self.totals(shard, false).await?;
        self.sessions(shard, &mut owners).await?;
        for sessions in owners.values() {
            let live = sessions.iter().filter(|session| session.is_live);
            // The same choice as in the index, if not all have the same role.
            if let Some(last) = live.max_by_key(|it| (it.expires_at, Reverse(it.order))) {
                self.recount.records.users[last.role.index()] += 1;
            }
        }
        let users = owners.iter().map(|(uid, them)| (uid.as_str(), &them[..]));
        let users: Vec<_> = users.collect();
        self.compare_users(shard, &users).await?;
        self.others(shard, &owners).await?;
        if self.repair && (disagree || !self.accused.is_empty()) {
            self.totals(shard, true).await?;
        }
        Ok(())
    }

    /// Compares each session of the index with its record.
    async fn sessions(&mut self, shard: &ShardKeys, owners: &mut Owners) -> Result<(), StoreError> {
        let (mut cursor, mut seen) = (String::from("0"), HashSet::new());
        loop {
            let (next, mut sids) = self.step(shard.live(), &cursor).await?;
            // ZSCAN may return a member twice.
            sids.retain(|sid| seen.insert(sid.clone()));
            for batch in sids.chunks(BATCH) {
                let mut wrong: Vec<Sight> = Vec::new();
                for sight in self.look(shard, batch).await? {
                    self.judge(shard, sight, owners, &mut wrong);
                }
                if self.repair {
                    self.recount.repaired += self.mend(shard, &wrong).await?;
                }
            }
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    fn judge(
        &mut self,
        shard: &ShardKeys,
        sight: Sight,
        owners: &mut Owners,
        wrong: &mut Vec<Sight>,
    ) {
        // It ended after the index was read.
        let Some(score) = sight.score else { return };
        let key = shard.session(&sight.sid);
        let Record::Readable(known) = &sight.record else {
            if !sight.is_left_to_the_reaper() {
                self.accuse(Difference::IndexedWithoutRecord, key);
                wrong.push(sight);
            }
            return;
        };
        let records = &mut self.recount.records;
        let count = if known.is_live {
            &mut records.sessions
        } else {
            &mut records.expired
        };
        count[known.role.index()] += 1;
        let mut known = known.clone();
        if !known.is_indexed_as(score) {
            self.accuse(Difference::IndexedOtherwise, key);
            known.is_indexed_otherwise = !self.repair;
            wrong.push(sight);
        }
        owners.entry(known.uid.clone()).or_default().push(known);
    }

    /// Checks users in the user index for whom no session is known.
    async fn others(&mut self, shard: &ShardKeys, owners: &Owners) -> Result<(), StoreError> {
        let mut cursor = String::from("0");
        loop {
            let (next, mut uids) = self.step(shard.users(), &cursor).await?;
            uids.retain(|uid| !owners.contains_key(uid));
            let users: Vec<(&str, &[Known])> =
                uids.iter().map(|uid| (uid.as_str(), &[][..])).collect();
            self.compare_users(shard, &users).await?;
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// One step of a walk over a sorted set: the next cursor, and members.
    async fn step(&self, index: String, cursor: &str) -> Result<(String, Vec<String>), StoreError> {
        let call = Call::command("ZSCAN", vec![index]).arg(cursor);
        let answer = self.call(call.arg("COUNT").arg(BATCH)).await?;
        let [next, scored] = parts(answer)?;
        let scored: Vec<Vec<u8>> = read(scored)?;
        let members = scored.iter().step_by(2);
        let members = members.map(|it| String::from_utf8_lossy(it).into_owned());
        Ok((read(next)?, members.collect()))
    }

    /// Adds the contents of the index and the differences of the totals; or corrects the totals. Returns true if they
    /// differed.
    async fn totals(&mut self, shard: &ShardKeys, settle: bool) -> Result<bool, StoreError> {
        let keys = vec![shard.live(), shard.users(), shard.totals()];
        let call = Call::script(&TOTALS, keys)
            .arg(self.connection.now())
            .arg(u8::from(settle));
        let [gap, live, users, expired, totals] = parts(self.call(call).await?)?;
        let gap: [i64; 4] = four(gap)?;
        let apart = gap.iter().map(|by| by.unsigned_abs()).sum::<u64>();
        if settle {
            self.recount.repaired += apart;
            return Ok(apart > 0);
        }
        let index = &mut self.recount.index;
        for (sums, numbers) in [
            (&mut index.sessions, live),
            (&mut index.users, users),
            (&mut index.expired, expired),
        ] {
            for (sum, number) in sums.iter_mut().zip(four::<u64>(numbers)?) {
                *sum += number;
            }
        }
        let totals: HashMap<String, Value> = read(totals)?;
        let total = |field: String| {
            let value = totals.get(&field).cloned();
            value.and_then(|value| read(value).ok()).unwrap_or(0_u64)
        };
        for role in Role::ALL {
            let at = role.index();
            self.recount.index.totals.started[at] += total(format!("s{at}"));
            for reason in EndReason::ALL {
                let reason = reason.index();
                self.recount.index.totals.ended[at][reason] += total(format!("e{at}{reason}"));
            }
            self.recount
                .add(Difference::TotalsDisagree, gap[at].unsigned_abs(), || {
                    format!("{} of {role}: {:+}", shard.totals(), gap[at])
                });
        }
        Ok(apart > 0)
    }
}

fn four<T: redis::FromRedisValue>(answer: Value) -> Result<[T; 4], StoreError> {
    let numbers: Vec<T> = read(answer)?;
    let four = numbers.try_into();
    four.map_err(|_| StoreError::Corrupt("answer"))
}
