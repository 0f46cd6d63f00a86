//! A few sessions in Redis, and hands that reach into it.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use skriptoteket::{
    accounts::{Role, UserId},
    sessions::{Difference, Recount, SessionRecord, shard_of},
    store::Stores,
};

use crate::{
    redis_servers::{RedisServer, Reply, Wire},
    world::{Backend, IDLE, World, redis_cluster, redis_server},
};

/// Ada with two sessions as an administrator and Bob with one as a user, a session that has expired, and one that was
/// ended: four shards, so that what is done to one is not done to another.
pub(crate) struct Fixtures {
    pub(crate) world: World,
    pub(crate) ada: [SessionRecord; 2],
    wires: Vec<Wire>,
}

/// A user of this shard.
pub(crate) fn resident(shard: u8) -> UserId {
    loop {
        let user = UserId::generate();
        if shard_of(user) == shard {
            return user;
        }
    }
}

impl Fixtures {
    pub(crate) async fn new(backend: Backend) -> Self {
        let world = World::new(backend).await;
        world.start(resident(1), Role::Contributor).await;
        world.advance(IDLE);
        let (ada, bob) = (resident(2), resident(3));
        let first = world.start(ada, Role::Admin).await;
        let second = world.start(ada, Role::Admin).await;
        world.start(bob, Role::User).await;
        let gone = world.start(resident(4), Role::User).await;
        world.end(&gone).await.unwrap();
        let wires = match backend {
            Backend::RedisCluster => {
                let nodes = redis_cluster().nodes.iter();
                nodes.map(RedisServer::wire).collect()
            }
            _ => vec![redis_server().wire()],
        };
        Self {
            world,
            ada: [first, second],
            wires,
        }
    }

    /// Runs commands, one a line: `A` is Ada's shard, `S1` and `S2` are her sessions, `U` is her name.
    pub(crate) fn plant(&mut self, commands: &str) {
        for command in commands.split(';') {
            let words: Vec<String> = command
                .split_whitespace()
                .map(|it| self.meant(it))
                .collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let answer = self.ask(&words);
            assert!(!matches!(answer, Reply::Error(_)), "{words:?}: {answer:?}");
        }
    }

    /// A word of [`Fixtures::plant`] as the server knows it.
    pub(crate) fn meant(&self, word: &str) -> String {
        let [first, second] = self.ada.each_ref().map(|it| it.id.as_str()[2..].to_owned());
        let uid = BASE64_URL_SAFE_NO_PAD.encode(self.ada[0].user_id.as_uuid().as_bytes());
        // A part at a time: an id may have the letters of another name in it.
        let part = |part: &str| match part {
            "S1" => first.clone(),
            "S2" => second.clone(),
            "U" => uid.clone(),
            _ => part.to_owned(),
        };
        let Some(key) = word.strip_prefix("A:") else {
            return part(word);
        };
        let key: Vec<String> = key.split(':').map(part).collect();
        let key = key.join(":");
        format!("{{{}:02}}:{key}", self.world.prefix())
    }

    /// Asks whichever server has the key.
    pub(crate) fn ask(&mut self, words: &[&str]) -> Reply {
        for wire in &mut self.wires {
            match wire.ask(words) {
                Reply::Error(error) if error.starts_with("MOVED") => {}
                answer => return answer,
            }
        }
        panic!("nobody has it: {words:?}")
    }

    /// Everything that is there, as far as it can be told apart.
    pub(crate) fn contents(&mut self) -> BTreeMap<String, String> {
        let pattern = format!("{{{}:??}}:[suzan]*", self.world.prefix());
        let mut contents = BTreeMap::new();
        for wire in &mut self.wires {
            for key in wire.scan(&pattern) {
                let dump = wire.ask(&["DUMP", &key]);
                contents.insert(key, format!("{dump:?}"));
            }
        }
        contents
    }

    /// The contract of conservation, by role.
    pub(crate) async fn assert_conserved(&self) {
        let census = self.world.census().await;
        for role in 0..4 {
            let ended: u64 = census.totals.ended[role].iter().sum();
            assert_eq!(
                census.totals.started[role] - ended,
                census.sessions[role] + census.expired[role],
                "{census:?}"
            );
        }
    }
}

pub(crate) async fn recount(stores: &Stores, repair: bool) -> Recount {
    stores.integrity.recount(repair).await.unwrap()
}

/// Which differences were found, and how many of each.
pub(crate) fn found(recount: &Recount) -> Vec<(Difference, u64)> {
    let findings = recount.findings.iter();
    findings
        .map(|finding| (finding.kind, finding.count))
        .collect()
}
