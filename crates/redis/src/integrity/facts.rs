//! What the servers report about themselves.

use std::collections::BTreeMap;

use redis::Value;

use super::super::{
    answer::read,
    call::{Call, LuaScript},
    connection::Connection,
    keys::{Keys, ShardKeys},
};
use skriptoteket_core::error::StoreError;

static WEIGH: LuaScript = LuaScript::new(include_str!("weigh.lua"));

/// Number of records that are measured to estimate the memory of a session.
const WEIGHED: usize = 100;

/// The fields of `INFO`, by name.
type Info = BTreeMap<String, String>;

/// Returns names and values for display.
pub(super) async fn of(
    connection: &Connection,
    keys: &Keys,
) -> Result<Vec<(String, String)>, StoreError> {
    let (mut servers, mut infos) = (Vec::new(), Vec::new());
    for node in connection.masters().await? {
        let answer = connection
            .in_time(connection.ask(&node, redis::cmd("INFO")))
            .await?;
        servers.push(node.to_string());
        infos.push(info(&read::<String>(answer)?));
    }
    let said = |name: &str| {
        let mut values: Vec<&str> = infos
            .iter()
            .filter_map(|info| Some(info.get(name)?.as_str()))
            .collect();
        values.sort_unstable();
        values.dedup();
        values.join(", ")
    };
    let sum = |name: &str| -> u64 {
        let numbers = infos
            .iter()
            .filter_map(|info| info.get(name)?.parse::<u64>().ok());
        numbers.sum()
    };
    // Valkey reports itself as Redis 7.2, and its own version in another field.
    let version = match said("valkey_version") {
        none if none.is_empty() => format!("redis {}", said("redis_version")),
        version => format!("valkey {version}"),
    };
    let mut facts = vec![
        ("store", "redis".to_owned()),
        ("version", version),
        ("mode", said("redis_mode")),
        ("servers", servers.join(", ")),
        ("replicas", sum("connected_slaves").to_string()),
        ("memory_bytes", sum("used_memory").to_string()),
        ("memory_limit_bytes", limit(sum("maxmemory"))),
        ("eviction", said("maxmemory_policy")),
        (
            "append_only_file",
            said("aof_enabled").replace('1', "yes").replace('0', "no"),
        ),
    ];
    if let Some(bytes) = bytes_per_session(connection, keys).await? {
        facts.push(("bytes_per_session", bytes.to_string()));
    }
    let holder = vec![
        Call::command("GET", vec![keys.lease()]),
        Call::command("GET", vec![keys.epoch()]),
    ];
    let mut holder = connection
        .in_time(connection.call_all(holder))
        .await?
        .into_iter();
    let mut next = || read::<Option<String>>(holder.next().unwrap_or(Value::Nil));
    let lease = next()?.unwrap_or_else(|| "none".to_owned());
    // The part after the colon is the service.
    let holder = lease.split(':').next().unwrap_or_default();
    facts.push(("observer", holder.to_owned()));
    facts.push(("observer_epoch", next()?.unwrap_or_else(|| "0".to_owned())));
    let facts = facts.into_iter();
    Ok(facts
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
}

fn limit(bytes: u64) -> String {
    if bytes == 0 {
        "none".to_owned()
    } else {
        bytes.to_string()
    }
}

fn info(text: &str) -> Info {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// The memory of a session: its record, and its share of the indexes. Measured on some sessions of one shard, so it is
/// approximately right if there are many.
async fn bytes_per_session(
    connection: &Connection,
    keys: &Keys,
) -> Result<Option<u64>, StoreError> {
    let cards = keys.shards();
    let cards = cards.map(|shard| Call::command("ZCARD", vec![shard.live()]));
    let cards = connection
        .in_time(connection.call_all(cards.collect()))
        .await?;
    let cards: Vec<u64> = cards.into_iter().map(read).collect::<Result<_, _>>()?;
    let fullest = keys.shards().zip(cards).max_by_key(|(_, card)| *card);
    let Some((shard, card)) = fullest.filter(|(_, card)| *card > 0) else {
        return Ok(None);
    };
    let sids = Call::command("ZRANGE", vec![shard.live()])
        .arg(0)
        .arg(WEIGHED - 1);
    let sids: Vec<String> = read(connection.in_time(connection.call(sids)).await?)?;
    let uids = Call::command("ZRANGE", vec![shard.users()])
        .arg(0)
        .arg(WEIGHED - 1);
    let uids: Vec<String> = read(connection.in_time(connection.call(uids)).await?)?;
    let users = Call::command("ZCARD", vec![shard.users()]);
    let users: u64 = read(connection.in_time(connection.call(users)).await?)?;

    let indexes = weigh(connection, vec![shard.live(), shard.users()]).await?;
    let indexes: u64 = indexes.iter().sum();
    let records = mean(&weigh(connection, all(&sids, &shard, ShardKeys::session)).await?);
    let owned = mean(&weigh(connection, all(&uids, &shard, ShardKeys::user)).await?);
    Ok(Some(records + (indexes + owned * users) / card))
}

fn all(names: &[String], shard: &ShardKeys, key: fn(&ShardKeys, &str) -> String) -> Vec<String> {
    names.iter().map(|name| key(shard, name)).collect()
}

/// Returns the memory use of these keys of one shard; missing keys are left out.
async fn weigh(connection: &Connection, keys: Vec<String>) -> Result<Vec<u64>, StoreError> {
    read(
        connection
            .in_time(connection.call(Call::script(&WEIGH, keys)))
            .await?,
    )
}

fn mean(weights: &[u64]) -> u64 {
    weights.iter().sum::<u64>() / (weights.len() as u64).max(1)
}
