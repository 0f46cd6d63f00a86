//! Requirements on a server, checked on every new connection.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use redis::{Pipeline, ServerError, Value, aio::MultiplexedConnection};
use uuid::Uuid;

use super::fault::{ConnectError, RedisFault, Unavailable};
use crate::{RedisAddress, keys::Keys};
use skriptoteket_core::clock::{Clock, SystemClock, Timestamp};

/// The oldest major version that has what the scripts use.
const OLDEST: u32 = 7;

/// Maximum difference between the server's clock and ours without a warning.
const CLOCK_DISTANCE: Duration = Duration::from_secs(5);

/// Finds a command that our user may not run.
const PERMITTED: &str = include_str!("permitted.lua");

/// Returns the deployment that the keys belong to, and claims them if they belong to none.
const CLAIM: &str = include_str!("claim.lua");

/// The commands that our scripts and calls run, each with its arguments after the key. If a user could run only some of
/// them, a script would be stopped halfway, after its first writes.
const COMMANDS: [&str; 24] = [
    "EVALSHA 0",
    "DEL",
    "EXISTS",
    "GET",
    "GETRANGE 0 0",
    "MGET",
    "SET 1",
    "SETRANGE 0 1",
    "INCR",
    "PTTL",
    "PEXPIRE 1",
    "HGETALL",
    "HINCRBY field 1",
    "HSET field value",
    "ZADD 1 member",
    "ZCARD",
    "ZCOUNT 0 1",
    "ZMSCORE member",
    "ZRANGE 0 1",
    "ZRANGEBYSCORE 0 1",
    "ZREM member",
    "ZREMRANGEBYSCORE 0 1",
    "ZSCORE member",
    "ZSCAN 0",
];

/// The requirements on a server.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// The names of our keys.
    pub(super) keys: &'a Keys,
    /// The server is a node of a Cluster.
    pub(super) in_cluster: bool,
    /// Eviction is accepted.
    pub(super) eviction: bool,
    pub(super) compares_clocks: bool,
    /// The deployment that the keys have to belong to, if it is compared.
    pub(super) deployment: Option<&'a str>,
    /// True once the missing append-only file of the server has been logged.
    pub(super) told_of_persistence: &'a AtomicBool,
}

/// The replication state that a server reports.
#[derive(Clone, Copy)]
pub(super) struct Replication {
    pub(super) is_replica: bool,
    pub(super) has_replica: bool,
}

impl Replication {
    /// Reads `INFO replication`.
    pub(super) fn read(info: &Value) -> Self {
        let text = text(info);
        let replicas = field(&text, "connected_slaves");
        Self {
            is_replica: field(&text, "role") == Some("slave"),
            has_replica: replicas.is_some_and(|count| count != "0"),
        }
    }
}

/// Checks a server.
pub(super) async fn server(
    connection: &mut MultiplexedConnection,
    server: &RedisAddress,
    wanted: Wanted<'_>,
) -> Result<Replication, Unavailable> {
    let mut pipe = Pipeline::new();
    // One section per command: an old server rejects several at once, and its version would remain unknown.
    for section in ["server", "memory", "replication", "cluster", "persistence"] {
        pipe.cmd("INFO").arg(section);
    }
    pipe.cmd("TIME");
    let keys = wanted.keys;
    let keys = [
        keys.shard(0).probe(),
        keys.limits_due(),
        keys.quota(Uuid::nil()),
        keys.lease(),
    ];
    pipe.cmd("EVAL").arg(PERMITTED).arg(0);
    pipe.arg(keys.len()).arg(&keys).arg(&COMMANDS);
    let answers = connection
        .send_packed_commands(&pipe, 0, 7)
        .await
        .map_err(|error| Unavailable::disconnected(server, ConnectError::Broken(error)))?;
    let Ok(
        [
            about,
            memory,
            replication,
            cluster,
            persistence,
            time,
            script,
        ],
    ) = <[Value; 7]>::try_from(answers)
    else {
        return Err(Unavailable::disconnected(server, ConnectError::Garbled));
    };
    for info in [&about, &memory, &replication, &cluster, &persistence] {
        answered(info, server, "INFO")?;
    }
    let place = server.to_string();
    let about = text(&about);
    if field(&about, "redis_mode") == Some("sentinel") {
        return Err(RedisFault::IsSentinel { place }.into());
    }
    version(&about, &place)?;
    match (wanted.in_cluster, field(&text(&cluster), "cluster_enabled")) {
        (false, Some("1")) => return Err(RedisFault::ClusterNode { place }.into()),
        (true, Some("0")) => return Err(RedisFault::NoCluster { place }.into()),
        _ => {}
    }
    let replication = Replication::read(&replication);
    if replication.is_replica {
        return Err(if wanted.in_cluster {
            // The slots have moved to another node; no action is needed.
            Unavailable::disconnected(&place, ConnectError::Replica)
        } else {
            RedisFault::Replica { place }.into()
        });
    }
    eviction(&text(&memory), &place, wanted.eviction)?;
    answered(&time, server, "TIME")?;
    answered(&script, server, "EVAL")?;
    if let Value::Int(-1) = script {
        return Err(RedisFault::KeysNotPermitted {
            place,
            pattern: wanted.keys.acl_pattern(),
        }
        .into());
    }
    if let Value::Int(place) = script
        && let Some(what) = not_permitted(place)
    {
        return Err(RedisFault::NotPermitted {
            place: server.to_string(),
            what,
        }
        .into());
    }
    if let Some(deployment) = wanted.deployment {
        claim(connection, server, wanted.keys, deployment).await?;
    }
    persists(&text(&persistence), &place, wanted.told_of_persistence);
    if wanted.compares_clocks {
        compare_clocks(&time, &place);
    }
    Ok(replication)
}

/// Compares the deployment that the keys belong to with ours, and claims them if they belong to none.
async fn claim(
    connection: &mut MultiplexedConnection,
    server: &RedisAddress,
    keys: &Keys,
    deployment: &str,
) -> Result<(), Unavailable> {
    let mut claim = redis::cmd("EVAL");
    claim
        .arg(CLAIM)
        .arg(1)
        .arg(keys.deployment())
        .arg(deployment);
    let answer = connection.send_packed_command(&claim).await;
    let theirs = match answer
        .map_err(|error| Unavailable::disconnected(server, ConnectError::Broken(error)))?
    {
        // A node of a Cluster that does not own this key: the check also runs on the node that does.
        Value::ServerError(error) if matches!(error.code(), "MOVED" | "ASK" | "CLUSTERDOWN") => {
            return Ok(());
        }
        Value::ServerError(error) => {
            return Err(Unavailable::disconnected(
                server,
                ConnectError::Refused(error),
            ));
        }
        answer => text(&answer),
    };
    if theirs == deployment {
        return Ok(());
    }
    Err(RedisFault::OtherDeployment {
        place: server.to_string(),
        prefix: keys.prefix().to_owned(),
        theirs,
        ours: deployment.to_owned(),
    }
    .into())
}

/// Warns once about a server that loses data when it stops.
fn persists(persistence: &str, place: &str, told: &AtomicBool) {
    let has_log = field(persistence, "aof_enabled") != Some("0");
    if !has_log && !told.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            server = place,
            "Redis keeps no append-only file (appendonly no): when it restarts, sessions that were started since its last \
             snapshot are lost"
        );
    }
}

/// Turns an error reply into an error.
fn answered(answer: &Value, server: &RedisAddress, what: &'static str) -> Result<(), Unavailable> {
    let Value::ServerError(error) = answer else {
        return Ok(());
    };
    let place = server.to_string();
    Err(match error.code() {
        "LOADING" => Unavailable::disconnected(&place, ConnectError::Loading),
        "NOPERM" => RedisFault::NotPermitted { place, what }.into(),
        // The server does not have this command: it was renamed, or the server is another program that uses the
        // protocol.
        "ERR" if is_unknown_command(error) => RedisFault::NotPermitted { place, what }.into(),
        _ => Unavailable::disconnected(&place, ConnectError::Refused(error.clone())),
    })
}

/// The command at this position, counted from 1.
fn not_permitted(place: i64) -> Option<&'static str> {
    let index = usize::try_from(place.checked_sub(1)?).ok()?;
    COMMANDS.get(index)?.split(' ').next()
}

fn is_unknown_command(error: &ServerError) -> bool {
    error
        .details()
        .is_some_and(|details| details.starts_with("unknown command"))
}

fn version(about: &str, place: &str) -> Result<(), RedisFault> {
    let found = field(about, "redis_version").unwrap_or("unknown");
    let major = found.split('.').next().and_then(|major| major.parse().ok());
    if major.is_some_and(|major: u32| major >= OLDEST) {
        return Ok(());
    }
    Err(RedisFault::Version {
        place: place.to_owned(),
        found: found.to_owned(),
    })
}

fn eviction(memory: &str, place: &str, is_accepted: bool) -> Result<(), RedisFault> {
    let policy = field(memory, "maxmemory_policy").unwrap_or("noeviction");
    if policy == "noeviction" {
        return Ok(());
    }
    if is_accepted {
        tracing::warn!(
            server = place,
            policy,
            "Redis evicts keys when it is full: sessions and their counts may be lost"
        );
        return Ok(());
    }
    Err(RedisFault::Eviction {
        place: place.to_owned(),
        policy: policy.to_owned(),
    })
}

fn compare_clocks(time: &Value, place: &str) {
    let Some(theirs) = milliseconds(time) else {
        return;
    };
    let ours = SystemClock::default().now();
    let distance = ours.since(theirs).max(theirs.since(ours));
    if distance > CLOCK_DISTANCE {
        tracing::warn!(
            server = place,
            distance_seconds = distance.as_secs(),
            "the clock of Redis, which sessions use, differs from the clock of this machine"
        );
    }
}

fn milliseconds(time: &Value) -> Option<Timestamp> {
    let Value::Array(parts) = time else {
        return None;
    };
    let [seconds, micros] = parts.as_slice() else {
        return None;
    };
    let number = |part: &Value| text(part).parse::<i64>().ok();
    let millis = number(seconds)?.checked_mul(1_000)? + number(micros)? / 1_000;
    Some(Timestamp::from_millis(millis))
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => text.clone(),
        _ => String::new(),
    }
}

/// Returns a field of `INFO`.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .find_map(|managed| managed.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim_end)
}
