//! Recounts and repairs of the sessions in Redis, while everything goes on.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the recount: first `strays`, then shard after shard |
//! | `strays` | one SCAN of all keys: records and users that no index leads to |
//! | `shard` | one shard by its index: each session beside its record, each user beside its sessions, the totals |
//! | `look` | index and record of some sessions at one moment |
//! | `facts` | what the servers say of themselves |
//! | `*.lua` | `look`, `mend`, `users`, `totals`; `_upkeep` is their common head |
//!
//! Every comparison is one script on one shard, as every change of a session is, so that nothing is seen half done and no
//! difference has to be looked at twice. A script looks at a few hundred sessions at most, which takes about a
//! millisecond. Held in memory are one shard's sessions (a 64th of all, some 200 bytes each), and what differs.

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
use crate::{
    error::StoreError,
    sessions::{Difference, Recount, SessionIntegrity},
};

macro_rules! script {
    ($name:literal) => {
        LuaScript::new(concat!(
            include_str!("../scripts/_time.lua"),
            include_str!("../scripts/_sessions.lua"),
            include_str!("_upkeep.lua"),
            include_str!($name),
        ))
    };
}

static LOOK: LuaScript = script!("look.lua");
static MEND: LuaScript = script!("mend.lua");
static USERS: LuaScript = script!("users.lua");
static TOTALS: LuaScript = script!("totals.lua");

/// Sessions, or users, that one script looks at.
const BATCH: usize = 200;

/// Recounts and repairs the sessions of one prefix.
#[derive(Debug)]
pub(in crate::store) struct RedisIntegrity {
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

/// A recount under way.
#[derive(Debug)]
struct Audit<'a> {
    connection: &'a Connection,
    keys: &'a Keys,
    repair: bool,
    recount: Recount,
    /// Live sessions that are in no index and stay so, by shard.
    unindexed: HashMap<u8, Vec<Known>>,
    /// Keys of which something was found: SCAN may show a key twice, and a user may be met on two ways.
    accused: HashSet<String>,
}

impl Audit<'_> {
    /// Adds a difference at this key. False if it was known.
    fn accuse(&mut self, kind: Difference, key: String) -> bool {
        if self.accused.contains(&key) {
            return false;
        }
        self.recount.add(kind, 1, || printable(&key));
        self.accused.insert(key)
    }

    /// One call within the store timeout.
    async fn call(&self, call: Call) -> Result<redis::Value, StoreError> {
        self.connection.in_time(self.connection.call(call)).await
    }

    /// Compares what is indexed of users with their sessions, and rebuilds it if that is wanted.
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

/// A key may have been written by anyone.
fn printable(key: &str) -> String {
    const MOST_CHARS: usize = 100;
    key.chars()
        .take(MOST_CHARS)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
