//! Index and record of some sessions, read in one step.

use redis::Value;

use super::{
    super::{
        answer::read,
        call::Call,
        keys::{self, ShardKeys, session_of},
        record::decode,
    },
    Audit, LOOK, MEND,
};
use skriptoteket_core::error::StoreError;
use skriptoteket_login::accounts::Role;
use skriptoteket_sessions::{SessionId, shard_of};

/// The lowest bit of the role in a score: 2^42.
const ROLE_STEP: i64 = 1 << 42;

/// The fields of a session's record.
#[derive(Clone, Debug)]
pub(super) struct Known {
    sid: String,
    pub(super) uid: String,
    pub(super) role: Role,
    /// The sequence number in the record.
    pub(super) order: i64,
    pub(super) expires_at: i64,
    ends_at: i64,
    pub(super) is_live: bool,
    /// The index entry differs, and the difference is permanent.
    pub(super) is_indexed_otherwise: bool,
}

/// The content of a record's key.
#[derive(Clone, Debug)]
pub(super) enum Record {
    Missing,
    /// The content; empty if it is not a string.
    Unreadable(Vec<u8>),
    Readable(Known),
}

/// The index entry and the record of a session, read in one step.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    pub(super) sid: String,
    pub(super) score: Option<f64>,
    pub(super) record: Record,
    now: i64,
}

impl Audit<'_> {
    /// Reads sessions of a shard, all in one step.
    pub(super) async fn look(
        &self,
        shard: &ShardKeys,
        sids: &[String],
    ) -> Result<Vec<Sight>, StoreError> {
        let mut keys = vec![shard.live()];
        keys.extend(sids.iter().map(|sid| shard.session(sid)));
        let call = Call::script(&LOOK, keys)
            .arg(self.connection.now())
            .arg(sids);
        let mut answer = read::<Vec<Value>>(self.call(call).await?)?.into_iter();
        let mut next = || answer.next().ok_or(StoreError::Corrupt("answer"));
        let now = read(next()?)?;
        let mut sights = Vec::with_capacity(sids.len());
        for sid in sids {
            let score = read(next()?)?;
            let record = match next()? {
                Value::Nil => Record::Missing,
                Value::BulkString(bytes) => match known(shard.number(), sid, &bytes, now) {
                    Some(known) => Record::Readable(known),
                    None => Record::Unreadable(bytes),
                },
                _ => Record::Unreadable(Vec::new()),
            };
            sights.push(Sight {
                sid: sid.clone(),
                score,
                record,
                now,
            });
        }
        Ok(sights)
    }

    /// Brings the index in line with these records, if they have not changed since they were read. Returns how many
    /// entries changed.
    pub(super) async fn mend(
        &self,
        shard: &ShardKeys,
        sights: &[Sight],
    ) -> Result<u64, StoreError> {
        if sights.is_empty() {
            return Ok(0);
        }
        let mut keys = vec![shard.live(), shard.totals()];
        keys.extend(sights.iter().map(|it| shard.session(&it.sid)));
        let mut call = Call::script(&MEND, keys).arg(self.connection.now());
        for Sight { sid, record, .. } in sights {
            call = call.arg(sid);
            call = match record {
                Record::Readable(known) => call.arg(1).arg(&known.uid),
                Record::Unreadable(bytes) => call.arg(0).arg(bytes.as_slice()),
                Record::Missing => call.arg(0).arg(""),
            };
        }
        read(self.call(call).await?)
    }
}

impl Known {
    /// The score that the index should have.
    fn score(&self) -> i64 {
        (self.role as i64) * ROLE_STEP + self.expires_at
    }

    /// Adds the session to a call of `users.lua`.
    pub(super) fn told(&self, call: Call) -> Call {
        let call = call.arg(&self.sid).arg(self.order).arg(self.ends_at);
        if self.is_indexed_otherwise {
            call.arg(self.score())
        } else {
            call.arg("")
        }
    }

    /// True if the index entry of this session matches the record.
    #[expect(
        clippy::cast_precision_loss,
        reason = "a score is less than 2^44, which a float holds exactly"
    )]
    pub(super) fn is_indexed_as(&self, score: f64) -> bool {
        score.to_bits() == (self.score() as f64).to_bits()
    }
}

impl Sight {
    /// True if the index holds a session that the reaper will end: it has expired under a valid role.
    pub(super) fn is_left_to_the_reaper(&self) -> bool {
        self.score.is_some_and(|score| {
            #[expect(
                clippy::cast_precision_loss,
                reason = "times are less than 2^42, which a float holds exactly"
            )]
            let (step, now) = (ROLE_STEP as f64, self.now as f64);
            (0.0..4.0 * step).contains(&score) && score % step <= now
        })
    }
}

/// Reads a record of this shard: strictly, and only if its user belongs to the shard.
fn known(shard: u8, sid: &str, bytes: &[u8], now: i64) -> Option<Known> {
    let id: SessionId = session_of(shard, sid)?;
    let record = decode(id, bytes).ok()?;
    if shard_of(record.user_id) != shard {
        return None;
    }
    let order = str::from_utf8(bytes.get(65..78)?).ok()?.parse().ok()?;
    let expires_at = record.expires_at.as_millis();
    Some(Known {
        sid: sid.to_owned(),
        uid: keys::uid(record.user_id),
        role: record.role,
        order,
        expires_at,
        ends_at: record.ends_at.as_millis(),
        is_live: expires_at > now,
        is_indexed_otherwise: false,
    })
}
