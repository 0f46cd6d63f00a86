//! Why Redis cannot be used, in words for whoever has to put it right. No password and no key is in any of them.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use redis::{RedisError, ServerError};

use crate::{error::StoreError, store::RedisAddress};

/// What is wrong with a Redis or with the settings that name it. The text says what, where, and what would be right.
///
/// Waiting does not mend any of it, so a service does not start with it. While it runs, it is the reason why there is no
/// connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedisFault {
    /// The user is unknown or disabled, or the password is not theirs.
    #[error(
        "Redis at {place} refuses the user name or the password; give those of a user that is enabled there in `redis_url`, or in `redis_username` and `redis_password`"
    )]
    Credentials {
        /// HOST:PORT.
        place: String,
    },
    /// It asks for a password and none is configured.
    #[error("Redis at {place} asks for a password; give it in `redis_password` or `redis_url`")]
    PasswordMissing {
        /// HOST:PORT.
        place: String,
    },
    /// A password is configured and the server has none.
    #[error(
        "Redis at {place} has no password for its default user; leave the password out of `redis_url` and `redis_password`, or name the user that it belongs to"
    )]
    PasswordUnknown {
        /// HOST:PORT.
        place: String,
    },
    /// A Sentinel refuses the password, or asks for one.
    #[error(
        "the Sentinel at {place} refuses the password or asks for one; give it in `redis_sentinel_password`"
    )]
    SentinelPassword {
        /// HOST:PORT.
        place: String,
    },
    /// The server takes connections of its own machine only.
    #[error(
        "Redis at {place} runs in protected mode and takes connections of its own machine only; set a password there, or `protected-mode no`"
    )]
    Protected {
        /// HOST:PORT.
        place: String,
    },
    /// The user may not do what is needed.
    #[error(
        "the user of Redis at {place} may not run {what}; its ACL must allow it (docs/operations.md has the whole rule)"
    )]
    NotPermitted {
        /// HOST:PORT.
        place: String,
        /// The command.
        what: &'static str,
    },
    /// The user may not use our keys.
    #[error(
        "the user of Redis at {place} may not read and write the keys of this service; its ACL needs the pattern {pattern} (keys begin with a brace and `redis_key_prefix`)"
    )]
    KeysNotPermitted {
        /// HOST:PORT.
        place: String,
        /// The pattern that all keys match, as an ACL has it.
        pattern: String,
    },
    /// The keys belong to a service with another accounts database.
    #[error(
        "Redis at {place} keeps the sessions of another accounts database under redis_key_prefix {prefix} (deployment {}, ours is {}): servers with different accounts must not share them. If this server belongs to the others, give it their data_dir or database_url; if it is a service of its own, give it another `redis_key_prefix`; if the other database is gone for good, stop all its servers and run `skriptoteket checked reset`, which ends all sessions there and makes the keys those of this database", short(.theirs), short(.ours)
    )]
    OtherDeployment {
        /// HOST:PORT.
        place: String,
        /// The prefix of the keys.
        prefix: String,
        /// The deployment that has the keys.
        theirs: String,
        /// The one of our accounts database.
        ours: String,
    },
    /// There is no database of this number.
    #[error(
        "Redis at {place} has no database {database}; give one below its `databases` at the end of `redis_url`"
    )]
    Database {
        /// HOST:PORT.
        place: String,
        /// Its number.
        database: u32,
    },
    /// TLS was spoken to a port that does not.
    #[error(
        "{place} does not speak TLS; write redis instead of rediss in `redis_url`, or give the TLS port of the server"
    )]
    PlainPort {
        /// HOST:PORT.
        place: String,
    },
    /// A TLS port was spoken to without.
    #[error(
        "{place} speaks TLS only; write rediss instead of redis in `redis_url`, or give the port without TLS"
    )]
    TlsPort {
        /// HOST:PORT.
        place: String,
    },
    /// The certificate of the server is not to be trusted.
    #[error(
        "the certificate of Redis at {place} is not trusted; name the file of its authority in `redis_tls_ca`, and the server by a name of its certificate in `redis_url`"
    )]
    Certificate {
        /// HOST:PORT.
        place: String,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// The server wants to see a certificate of ours.
    #[error(
        "Redis at {place} asks its clients for certificates, which this service has none of; set `tls-auth-clients no` there and use a password"
    )]
    ClientCertificate {
        /// HOST:PORT.
        place: String,
    },
    /// The file of the authorities cannot be read.
    #[error("{} cannot be read; name a PEM file of certificates in `redis_tls_ca`", .path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<io::Error>,
    },
    /// The file of the authorities has none.
    #[error("there is no certificate in {}; name a PEM file of certificates in `redis_tls_ca`", .path.display())]
    NoAuthority {
        /// The file.
        path: PathBuf,
    },
    /// Something else listens there.
    #[error("what listens at {place} is not Redis; correct host and port in `redis_url`")]
    NotRedis {
        /// HOST:PORT.
        place: String,
    },
    /// It cannot be written to.
    #[error(
        "Redis at {place} is a read-only replica; name its master in `redis_url`, or its Sentinels (redis+sentinel://)"
    )]
    Replica {
        /// HOST:PORT.
        place: String,
    },
    /// It is too old.
    #[error("Redis at {place} is version {found}; 7.0 or newer is needed (or Valkey)")]
    Version {
        /// HOST:PORT.
        place: String,
        /// Its version.
        found: String,
    },
    /// It may throw sessions away.
    #[error(
        "Redis at {place} evicts keys when it is full (maxmemory-policy {policy}), which loses sessions; set `maxmemory-policy noeviction` there, or accept it with `redis_allow_eviction = true`"
    )]
    Eviction {
        /// HOST:PORT.
        place: String,
        /// Its policy.
        policy: String,
    },
    /// A node of a Cluster was given as a single server.
    #[error("Redis at {place} is a node of a Cluster; write redis+cluster:// in `redis_url`")]
    ClusterNode {
        /// HOST:PORT.
        place: String,
    },
    /// A single server was given as a Cluster.
    #[error("Redis at {place} is not a node of a Cluster; write redis:// in `redis_url`")]
    NoCluster {
        /// HOST:PORT.
        place: String,
    },
    /// A Sentinel was given as a server.
    #[error("{place} is a Sentinel; write redis+sentinel://HOST:PORT/MASTER in `redis_url`")]
    IsSentinel {
        /// HOST:PORT.
        place: String,
    },
    /// A server was given as a Sentinel.
    #[error(
        "{place} is not a Sentinel; give host and port of the Sentinels in `redis_url`, or write redis://"
    )]
    NoSentinel {
        /// HOST:PORT.
        place: String,
    },
    /// The Sentinels do not watch a master of this name.
    #[error(
        "the Sentinel at {place} knows no master {master}; end `redis_url` with the name that it has in `sentinel monitor`"
    )]
    UnknownMaster {
        /// HOST:PORT of the Sentinel.
        place: String,
        /// The name.
        master: String,
    },
}

/// Why there is no connection now.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Unavailable {
    /// It has to be put right by somebody.
    #[error(transparent)]
    Fault(RedisFault),
    /// It may come back by itself.
    #[error("not connected to Redis at {place}: {cause}")]
    Disconnected { place: String, cause: ConnectError },
}

/// What is in the way of a connection.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Broken(RedisError),
    #[error("no answer within {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("it is still reading its data")]
    Loading,
    #[error("it is a read-only replica")]
    Replica,
    #[error("it answered {}", words(.0))]
    Refused(ServerError),
    #[error("it answered what makes no sense")]
    Garbled,
    #[error("nobody asked it yet")]
    Unasked,
    #[error("{0} has taken its place")]
    Replaced(RedisAddress),
    #[error("the connection was closed")]
    Closed,
    #[error("no node owns slot {0}")]
    NoOwner(u16),
    #[error("its keys belong to another deployment")]
    Foreign,
}

impl Unavailable {
    pub(super) fn disconnected(place: &impl ToString, cause: ConnectError) -> Self {
        Self::Disconnected {
            place: place.to_string(),
            cause,
        }
    }
}

impl From<RedisFault> for Unavailable {
    fn from(fault: RedisFault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Unavailable> for StoreError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable.into())
    }
}

/// What a server said instead of doing what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("Redis at {0} is full: raise its maxmemory, or end sessions")]
    Full(String),
    #[error("Redis at {0} is a read-only replica")]
    Replica(String),
    #[error("Redis at {place} cannot write to its disk: {}", words(.error))]
    Disk { place: String, error: ServerError },
    #[error("Redis at {place} does not permit it: {}", words(.error))]
    NotPermitted { place: String, error: ServerError },
    #[error("Redis at {place} answered {}", words(.error))]
    Other { place: String, error: ServerError },
}

impl Refusal {
    pub(super) fn new(place: &impl ToString, error: ServerError) -> Self {
        let place = place.to_string();
        match error.code() {
            "OOM" => Self::Full(place),
            "READONLY" => Self::Replica(place),
            "MISCONF" => Self::Disk { place, error },
            "NOPERM" => Self::NotPermitted { place, error },
            _ => Self::Other { place, error },
        }
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::Unavailable(refusal.into())
    }
}

/// Enough of a deployment's ID to tell it from another one.
fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

/// A server's own words, without what it repeats of a command.
fn words(error: &ServerError) -> String {
    let details = error.details().unwrap_or_default();
    let details = details.split(", with args").next().unwrap_or_default();
    format!("{} {details}", error.code()).trim_end().to_owned()
}
