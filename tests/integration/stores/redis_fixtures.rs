//! Fixtures: a few sessions in Redis, and direct access to their keys.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use skriptoteket::{
    accounts::{Role, UserId},
    sessions::{Difference, Recount, SessionRecord, shard_of},
    store::Stores,
};
use skriptoteket_testing::{
    redis::{RedisServer, Reply, Wire},
    stores::IDLE,
};

use crate::stores::world::{Backend, World, redis_cluster, redis_server};

/// Ada with two sessions as an administrator, Bob with one as a user, one expired session, and one that was ended: four
/// shards, so that a change to one does not affect the others.
pub(crate) struct Fixtures {
    pub(crate) world: World,
    pub(crate) ada: [SessionRecord; 2],
    wires: Vec<Wire>,
}

/// Returns a user of this shard.
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

    /// Runs commands, one per line: `A` is Ada's shard, `S1` and `S2` are her sessions, `U` is her name.
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

    /// Expands a word of [`Fixtures::plant`] to its form on the server.
    pub(crate) fn meant(&self, word: &str) -> String {
        let [first, second] = self.ada.each_ref().map(|it| it.id.as_str()[2..].to_owned());
        let uid = BASE64_URL_SAFE_NO_PAD.encode(self.ada[0].user_id.as_uuid().as_bytes());
        // Each part is expanded separately: an ID may contain the letters of another name.
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

    /// Sends the command to the server that owns the key.
    pub(crate) fn ask(&mut self, words: &[&str]) -> Reply {
        for wire in &mut self.wires {
            match wire.ask(words) {
                Reply::Error(error) if error.starts_with("MOVED") => {}
                answer => return answer,
            }
        }
        panic!("no server owns the key: {words:?}")
    }

    /// Returns all contents, as far as they can be compared.
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

    /// Checks the conservation rule for each role.
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

/// Returns the kinds of differences that were found, and how many of each.
pub(crate) fn found(recount: &Recount) -> Vec<(Difference, u64)> {
    let findings = recount.findings.iter();
    findings
        .map(|finding| (finding.kind, finding.count))
        .collect()
}
