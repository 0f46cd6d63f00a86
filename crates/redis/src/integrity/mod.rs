//! Checks and repairs the sessions in Redis during normal operation.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the check: first `strays`, then shard after shard |
//! | `strays` | one SCAN of all keys: records and users that are missing in the index |
//! | `shard` | one shard: compares its index with the records, its users with their sessions, and checks the totals |
//! | `look` | index and record of some sessions, read in one step |
//! | `facts` | what the servers report about themselves |
//! | `*.lua` | `look`, `mend`, `users`, `totals`; `_shared` is their common prefix |
//!
//! Every comparison is one script on one shard, like every change of a session, so no comparison sees a change half
//! done and no difference has to be checked again. A script checks a few hundred sessions at most, which takes about a
//! millisecond. The memory holds the sessions of one shard (a 64th of all, some 200 bytes each) and the differences.

mod facts;
mod look;
mod shard;
mod strays;

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;

use self::look::Known;
use super::{
    call::{Call, LuaScript},
    connection::Connection,
    keys::{Keys, ShardKeys},
};
use skriptoteket_core::error::StoreError;
use skriptoteket_sessions::{Difference, Recount, SessionIntegrity};

macro_rules! script {
    ($name:literal) => {
        LuaScript::new(concat!(
            include_str!("../scripts/_time.lua"),
            include_str!("../scripts/_sessions.lua"),
            include_str!("_shared.lua"),
            include_str!($name),
        ))
    };
}

static LOOK: LuaScript = script!("look.lua");
static MEND: LuaScript = script!("mend.lua");
static USERS: LuaScript = script!("users.lua");
static TOTALS: LuaScript = script!("totals.lua");

/// Sessions, or users, per script call.
const BATCH: usize = 200;

/// Checks and repairs the sessions of one key prefix.
#[derive(Debug)]
pub struct RedisIntegrity {
    connection: Connection,
    keys: Keys,
}

impl RedisIntegrity {
    pub(super) const fn new(connection: Connection, keys: Keys) -> Self {
        Self { connection, keys }
    }
}

#[async_trait]
impl SessionIntegrity for RedisIntegrity {
    async fn recount(&self, repair: bool) -> Result<Recount, StoreError> {
        let mut audit = Audit {
            connection: &self.connection,
            keys: &self.keys,
            repair,
            recount: Recount::default(),
            unindexed: HashMap::new(),
            accused: HashSet::new(),
        };
        audit.strays().await?;
        for shard in self.keys.shards() {
            audit.shard(&shard).await?;
        }
        Ok(audit.recount)
    }

    async fn facts(&self) -> Result<Vec<(String, String)>, StoreError> {
        facts::of(&self.connection, &self.keys).await
    }
}

/// A check in progress.
#[derive(Debug)]
struct Audit<'a> {
    connection: &'a Connection,
    keys: &'a Keys,
    repair: bool,
    recount: Recount,
    /// Live sessions that are permanently missing in the index, by shard.
    unindexed: HashMap<u8, Vec<Known>>,
    /// Keys with a reported difference: SCAN may return a key twice, and a user may be found in two ways.
    accused: HashSet<String>,
}

impl Audit<'_> {
    /// Adds a difference at this key. Returns false if it was already known.
    fn accuse(&mut self, kind: Difference, key: String) -> bool {
        if self.accused.contains(&key) {
            return false;
        }
        self.recount.add(kind, 1, || printable(&key));
        self.accused.insert(key)
    }

    /// Makes one call within the store timeout.
    async fn call(&self, call: Call) -> Result<redis::Value, StoreError> {
        self.connection.in_time(self.connection.call(call)).await
    }

    /// Compares the index entries of users with their sessions, and rebuilds them if requested.
    async fn compare_users(
        &mut self,
        shard: &ShardKeys,
        users: &[(&str, &[Known])],
    ) -> Result<(), StoreError> {
        for batch in users.chunks(BATCH) {
            let mut keys = vec![shard.live(), shard.users()];
            keys.extend(batch.iter().map(|(uid, _)| shard.user(uid)));
            let mut call = Call::script(&USERS, keys)
                .arg(self.connection.now())
                .arg(u8::from(self.repair));
            for (uid, sessions) in batch {
                call = call.arg(*uid).arg(sessions.len());
                for session in *sessions {
                    call = session.told(call);
                }
            }
            let places: Vec<usize> = super::answer::read(self.call(call).await?)?;
            for place in places {
                let Some((uid, _)) = batch.get(place.wrapping_sub(1)) else {
                    return Err(StoreError::Corrupt("answer"));
                };
                self.accuse(Difference::UserIndexedOtherwise, shard.user(uid));
                self.recount.repaired += u64::from(self.repair);
            }
        }
        Ok(())
    }
}

/// Makes a key printable: any client may have written it.
fn printable(key: &str) -> String {
    const MOST_CHARS: usize = 100;
    key.chars()
        .take(MOST_CHARS)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
