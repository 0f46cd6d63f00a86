//! Why Redis cannot be used, as texts for the operator who has to fix it. None of the texts contains a password or a
//! key.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use redis::{RedisError, ServerError};

use crate::RedisAddress;
use skriptoteket_core::error::StoreError;

#[cfg(feature = "tls")]
pub(super) use rustls::Error as TlsError;

/// A TLS error, of which there is none without the feature `tls`.
#[cfg(not(feature = "tls"))]
#[derive(Clone, Debug, thiserror::Error)]
pub enum TlsError {}

/// A problem of a Redis server or of the settings that name it. The text says what is wrong, where, and how to correct
/// it.
///
/// Waiting repairs none of these, so a service does not start with one. At run time it is the reason why there is no
/// connection.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedisFault {
    /// The user is unknown or disabled, or the password is wrong.
    #[error(
        "Redis at {place} rejects the user name or the password; give those of a user that is enabled there in `redis_url`, or in `redis_username` and `redis_password`"
    )]
    Credentials {
        /// `HOST:PORT`.
        place: String,
    },
    /// The server requires a password and none is configured.
    #[error("Redis at {place} requires a password; give it in `redis_password` or `redis_url`")]
    PasswordMissing {
        /// `HOST:PORT`.
        place: String,
    },
    /// A password is configured and the server has none.
    #[error(
        "Redis at {place} has no password for its default user; leave the password out of `redis_url` and `redis_password`, or name the user that it belongs to"
    )]
    PasswordUnknown {
        /// `HOST:PORT`.
        place: String,
    },
    /// A Sentinel rejects the password, or requires one.
    #[error(
        "the Sentinel at {place} rejects the password or requires one; set `redis_sentinel_password`"
    )]
    SentinelPassword {
        /// `HOST:PORT`.
        place: String,
    },
    /// The server accepts only local connections.
    #[error(
        "Redis at {place} runs in protected mode and accepts only local connections; set a password there, or `protected-mode no`"
    )]
    Protected {
        /// `HOST:PORT`.
        place: String,
    },
    /// The user may not run a required command.
    #[error(
        "the user of Redis at {place} may not run {what}; its ACL must allow it (docs/operations.md has the whole rule)"
    )]
    NotPermitted {
        /// `HOST:PORT`.
        place: String,
        /// The command.
        what: &'static str,
    },
    /// The user may not use our keys.
    #[error(
        "the user of Redis at {place} may not read and write the keys of this service; its ACL needs the pattern {pattern} (keys begin with a brace and `redis_key_prefix`)"
    )]
    KeysNotPermitted {
        /// `HOST:PORT`.
        place: String,
        /// The ACL pattern that matches all keys.
        pattern: String,
    },
    /// The keys belong to a service with another accounts database.
    #[error(
        "Redis at {place} keeps the sessions of another accounts database under redis_key_prefix {prefix} (deployment {}, ours is {}): servers with different accounts must not share them. If this server belongs to the others, give it their data_dir or database_url; if it is a service of its own, give it another `redis_key_prefix`; if the other database is gone for good, stop all its servers and run `skriptoteket session reset`, which ends all sessions there and assigns the keys to this database", short(.theirs), short(.ours)
    )]
    OtherDeployment {
        /// `HOST:PORT`.
        place: String,
        /// The prefix of the keys.
        prefix: String,
        /// The deployment that owns the keys.
        theirs: String,
        /// The deployment of our accounts database.
        ours: String,
    },
    /// There is no database with this number.
    #[error(
        "Redis at {place} has no database {database}; give one below its `databases` at the end of `redis_url`"
    )]
    Database {
        /// `HOST:PORT`.
        place: String,
        /// The database number.
        database: u32,
    },
    /// TLS was used on a port without TLS.
    #[error(
        "{place} does not speak TLS; write redis instead of rediss in `redis_url`, or give the TLS port of the server"
    )]
    PlainPort {
        /// `HOST:PORT`.
        place: String,
    },
    /// A TLS port was used without TLS.
    #[error(
        "{place} speaks TLS only; write rediss instead of redis in `redis_url`, or give the port without TLS"
    )]
    TlsPort {
        /// `HOST:PORT`.
        place: String,
    },
    /// The certificate of the server is not trusted.
    #[error(
        "the certificate of Redis at {place} is not trusted; set `redis_tls_ca` to the file of its certificate authority, and use a host name of the certificate in `redis_url`"
    )]
    Certificate {
        /// `HOST:PORT`.
        place: String,
        /// The cause.
        #[source]
        source: TlsError,
    },
    /// The server requires a client certificate.
    #[error(
        "Redis at {place} requires client certificates, and this service has none; set `tls-auth-clients no` there and use a password"
    )]
    ClientCertificate {
        /// `HOST:PORT`.
        place: String,
    },
    /// TLS was configured, and the program is built without it.
    #[error(
        "the program is built without TLS to Redis; enable the feature `tls`, or write redis instead of rediss in `redis_url`"
    )]
    NoTls,
    /// The file of the certificate authorities cannot be read.
    #[error("{} cannot be read; name a PEM file of certificates in `redis_tls_ca`", .path.display())]
    Authorities {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<io::Error>,
    },
    /// The file of the certificate authorities contains none.
    #[error("there is no certificate in {}; name a PEM file of certificates in `redis_tls_ca`", .path.display())]
    NoAuthority {
        /// The path of the file.
        path: PathBuf,
    },
    /// The server is not Redis.
    #[error("the server at {place} is not Redis; correct the host and the port in `redis_url`")]
    NotRedis {
        /// `HOST:PORT`.
        place: String,
    },
    /// The server is read-only.
    #[error(
        "Redis at {place} is a read-only replica; name its master in `redis_url`, or its Sentinels (redis+sentinel://)"
    )]
    Replica {
        /// `HOST:PORT`.
        place: String,
    },
    /// The version is too old.
    #[error("Redis at {place} is version {found}; 7.0 or newer is needed (or Valkey)")]
    Version {
        /// `HOST:PORT`.
        place: String,
        /// The version of the server.
        found: String,
    },
    /// The server may evict sessions.
    #[error(
        "Redis at {place} evicts keys when it is full (maxmemory-policy {policy}), which loses sessions; set `maxmemory-policy noeviction` there, or accept it with `redis_allow_eviction = true`"
    )]
    Eviction {
        /// `HOST:PORT`.
        place: String,
        /// The eviction policy of the server.
        policy: String,
    },
    /// A node of a Cluster was configured as a single server.
    #[error("Redis at {place} is a node of a Cluster; write redis+cluster:// in `redis_url`")]
    ClusterNode {
        /// `HOST:PORT`.
        place: String,
    },
    /// A single server was configured as a Cluster.
    #[error("Redis at {place} is not a node of a Cluster; write redis:// in `redis_url`")]
    NoCluster {
        /// `HOST:PORT`.
        place: String,
    },
    /// A Sentinel was configured as a server.
    #[error("{place} is a Sentinel; write redis+sentinel://HOST:PORT/MASTER in `redis_url`")]
    IsSentinel {
        /// `HOST:PORT`.
        place: String,
    },
    /// A server was configured as a Sentinel.
    #[error(
        "{place} is not a Sentinel; give host and port of the Sentinels in `redis_url`, or write redis://"
    )]
    NoSentinel {
        /// `HOST:PORT`.
        place: String,
    },
    /// The Sentinels do not monitor a master of this name.
    #[error(
        "the Sentinel at {place} does not know a master {master}; end `redis_url` with the name that it has in `sentinel monitor`"
    )]
    UnknownMaster {
        /// `HOST:PORT` of the Sentinel.
        place: String,
        /// The name of the master.
        master: String,
    },
}

/// Why there is no connection now.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Unavailable {
    /// The operator has to fix it.
    #[error(transparent)]
    Fault(RedisFault),
    /// The connection may come back without intervention.
    #[error("not connected to Redis at {place}: {cause}")]
    Disconnected { place: String, cause: ConnectError },
}

/// Why connecting is not possible.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Broken(RedisError),
    #[error("no reply within {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("it is still loading its data")]
    Loading,
    #[error("it is a read-only replica")]
    Replica,
    #[error("it replied {}", words(.0))]
    Refused(ServerError),
    #[error("its reply was malformed")]
    Garbled,
    #[error("no connection was attempted yet")]
    Unasked,
    #[error("{0} has replaced it")]
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

/// The server's reason for rejecting a call.
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
    #[error("Redis at {place} replied {}", words(.error))]
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

/// Shortens a deployment's ID, enough to distinguish it from another.
fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

/// Returns the text of a server's error, without the parts of a command that it repeats.
fn words(error: &ServerError) -> String {
    let details = error.details().unwrap_or_default();
    let details = details.split(", with args").next().unwrap_or_default();
    format!("{} {details}", error.code()).trim_end().to_owned()
}
