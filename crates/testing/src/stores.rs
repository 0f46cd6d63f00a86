//! Settings of stores, their files, and sessions to put into them.

use std::{path::Path, sync::Arc, time::Duration};

use skriptoteket::{
    accounts::{Role, UserId},
    clock::Clock,
    sessions::{NewSession, SessionKey, SessionState},
    store::{RedisAddress, RedisSettings, RedisTopology, SqliteSettings, Stores, open_sqlite},
};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};

/// A timeout that no test runs into, however busy the machine is.
pub const LONG_TIMEOUT: Duration = Duration::from_secs(30);

/// The idle timeout of a [`new_session`].
pub const IDLE: Duration = Duration::from_mins(30);
/// The maximum lifetime of a [`new_session`].
pub const LIFETIME: Duration = Duration::from_hours(2);

/// Opens the embedded store in this file, as a command does.
pub async fn open_file(path: &Path, clock: Arc<dyn Clock>) -> Stores {
    let settings = SqliteSettings {
        path: path.to_owned(),
        timeout: LONG_TIMEOUT,
    };
    open_sqlite(&settings, clock, None).await.unwrap()
}

/// Opens the file of an embedded store in a separate connection, not through the store.
pub async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    SqliteConnection::connect_with(&options).await.unwrap()
}

/// Returns the address of a server on this loopback port.
pub fn redis_at(port: u16) -> RedisAddress {
    RedisAddress {
        host: "127.0.0.1".into(),
        port,
    }
}

/// Returns the topology of a single server on this loopback port.
pub fn standalone(port: u16) -> RedisTopology {
    RedisTopology::Standalone {
        server: redis_at(port),
        database: 0,
    }
}

/// Returns settings for these servers, with defaults for the rest.
pub fn redis_settings(topology: RedisTopology, key_prefix: &str) -> RedisSettings {
    RedisSettings {
        topology,
        tls: false,
        tls_ca: None,
        username: None,
        password: None,
        sentinel_password: None,
        key_prefix: key_prefix.to_owned(),
        connect_timeout: Duration::from_secs(5),
        allow_eviction: false,
    }
}

/// Returns a session to start.
pub fn new_session(user: UserId, role: Role) -> NewSession {
    NewSession {
        id: SessionKey::generate(user).id(),
        user_id: user,
        username: "ada".parse().unwrap(),
        role,
        account_version: 1,
        idle: IDLE,
        lifetime: LIFETIME,
        user_agent: "Mozilla/5.0".into(),
        network: None,
        state: SessionState::new(),
    }
}
