//! How the scripts on sessions are called: with the records of a user's other sessions, or with one record.

use redis::Value;

use super::{
    answer::{self, Done},
    call::{Call, LuaScript, Wait},
    keys::{ShardKeys, sid},
    sessions::RedisSessions,
};
use skriptoteket_core::error::StoreError;
use skriptoteket_sessions::SessionId;

/// Maximum number of calls of a script with more keys each time. Each repetition means that another login of the same
/// user came in between; the store timeout is the effective limit.
const TRIES: usize = 64;

impl RedisSessions {
    /// Calls a script that must declare the records of a user's other sessions; repeats the call with the ones it
    /// misses.
    pub(super) async fn naming_all(
        &self,
        shard: &ShardKeys,
        mut known: Vec<String>,
        wait: Wait,
        call: impl Fn(&[String]) -> Call + Send + Sync,
    ) -> Result<Vec<Value>, StoreError> {
        let mut turn = None;
        for _ in 0..TRIES {
            let call = call(&known);
            let answer = match wait {
                Wait::ForMaster => self.connection.call(call).await?,
                Wait::ForReplica => self.connection.call_durably(call).await?,
            };
            match Done::read(answer)? {
                Done::Finished(parts) => return Ok(parts),
                Done::AlreadyExists => return Err(StoreError::Conflict),
                Done::Needs(more) => known.extend(more),
            }
            if turn.is_none() {
                turn = Some(self.turns[usize::from(shard.number())].lock().await);
            }
        }
        Err(StoreError::Unavailable(
            "the sessions of the user kept changing".into(),
        ))
    }

    /// Returns all sessions of a user in the index, including expired ones.
    pub(super) async fn indexed(
        &self,
        shard: &ShardKeys,
        uid: &str,
    ) -> Result<Vec<String>, StoreError> {
        let all = Call::command("ZRANGE", vec![shard.user(uid)]);
        answer::read(self.connection.call(all.arg(0).arg(-1)).await?)
    }

    /// A call of a script on the record of one session.
    pub(super) fn on_record(
        &self,
        script: &'static LuaScript,
        id: &SessionId,
        more: impl FnOnce(&ShardKeys) -> Vec<String>,
    ) -> Call {
        let shard = self.keys.shard_of_session(id);
        let mut keys = vec![shard.session(sid(id))];
        keys.extend(more(&shard));
        Call::script(script, keys).arg(self.connection.now())
    }
}
