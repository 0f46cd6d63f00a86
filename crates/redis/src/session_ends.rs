//! Ends one session, or those of one user.

use redis::Value;

use super::{
    answer,
    call::{Call, Wait},
    keys::{sid, uid, user_of},
    scripts,
    sessions::RedisSessions,
};
use skriptoteket_core::error::StoreError;
use skriptoteket_login::accounts::UserId;
use skriptoteket_sessions::{EndReason, Ended, SessionId};

impl RedisSessions {
    /// Ends one session; see [`SessionRepository::end`](skriptoteket_sessions::SessionRepository::end).
    pub(super) async fn end_one(
        &self,
        id: &SessionId,
        reason: EndReason,
    ) -> Result<Option<Ended>, StoreError> {
        // The keys of the session's user must be declared, and only the record names that user.
        let peek = self.on_record(&scripts::PEEK, id, |_| Vec::new());
        let [owner] = answer::parts(self.connection.call(peek).await?)?;
        let Some(owner) = answer::record(owner)? else {
            return Ok(None);
        };
        let owner: String = answer::read(Value::BulkString(owner))?;
        let user = user_of(&owner).ok_or(StoreError::Corrupt("session.user_id"))?;
        let end = self
            .on_record(&scripts::END, id, |shard| {
                vec![
                    shard.user(&owner),
                    shard.live(),
                    shard.users(),
                    shard.totals(),
                ]
            })
            .arg(sid(id))
            .arg(&owner)
            .arg(reason as u8);
        let answer = match reason {
            EndReason::Revoked => self.connection.call_durably(end).await?,
            _ => self.connection.call(end).await?,
        };
        match answer {
            Value::Int(_) => Err(StoreError::Corrupt("session")),
            ends => Ok(answer::ends(id.shard(), ends, |_| Some(user))?.pop()),
        }
    }

    /// Ends the sessions of a user except `keep`, or those that were started under an account version older than
    /// `version` if that is not 0.
    pub(super) async fn end_of_user(
        &self,
        user: UserId,
        reason: EndReason,
        (keep, version): (&str, i64),
    ) -> Result<Vec<Ended>, StoreError> {
        let (shard, uid) = (self.keys.shard_of_user(user), uid(user));
        let call = |doomed: &[String]| {
            let mut keys = vec![
                shard.user(&uid),
                shard.live(),
                shard.users(),
                shard.totals(),
            ];
            keys.extend(doomed.iter().map(|sid| shard.session(sid)));
            Call::script(&scripts::END_USER, keys)
                .arg(self.connection.now())
                .arg(&uid)
                .arg(reason as u8)
                .arg(keep)
                .arg(version)
                .arg(doomed)
        };
        self.connection
            .in_time(async {
                let known = self.indexed(&shard, &uid).await?;
                if known.is_empty() {
                    return Ok(Vec::new());
                }
                let done = self.naming_all(&shard, known, Wait::ForReplica, call);
                let [ends] = answer::parts(Value::Array(done.await?))?;
                answer::ends(shard.number(), ends, |_| Some(user))
            })
            .await
    }
}
