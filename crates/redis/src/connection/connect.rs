//! Creates connections: to a server, or to a node of a Cluster.
//!
//! Authentication and database selection are commands of ours: the client's own handshake does not report why it
//! failed.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use async_trait::async_trait;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, Value,
    aio::MultiplexedConnection, io::tcp::TcpSettings,
};
use tokio::time::timeout;

use super::{
    checked::{CheckedConnection, Origin},
    checks,
    fault::{ConnectError, RedisFault, Unavailable},
    handshake::{auth, refused, said},
    slots::SlotMap,
    target::Target,
    tls,
};
use crate::{RedisAddress, RedisSettings, keys::Keys};

/// The dialer and the target of a connection.
struct Dialed {
    dialer: Arc<Dialer>,
    server: RedisAddress,
    database: u32,
}

#[async_trait]
impl Origin for Dialed {
    async fn another(&self) -> Option<MultiplexedConnection> {
        let attempt = self.dialer.log_in(&self.server, self.database);
        timeout(self.time_limit(), attempt).await.ok()?.ok()
    }

    fn time_limit(&self) -> Duration {
        self.dialer.time_limit()
    }
}

/// Creates connections according to the settings.
pub(super) struct Dialer {
    pub(super) settings: RedisSettings,
    keys: Keys,
    authorities: Option<Vec<u8>>,
    /// The server's clock is used, so its difference from ours deserves a warning.
    compares_clocks: bool,
    /// The deployment that the keys have to belong to, if it is compared.
    deployment: Option<String>,
    told_of_persistence: AtomicBool,
}

impl Dialer {
    /// # Errors
    ///
    /// TLS is not compiled in, or the file of `redis_tls_ca` cannot be used.
    pub(super) fn new(
        settings: &RedisSettings,
        compares_clocks: bool,
        deployment: Option<String>,
    ) -> Result<Self, RedisFault> {
        let authorities = if settings.tls {
            tls::prepare(settings.tls_ca.as_deref())?
        } else {
            None
        };
        Ok(Self {
            settings: settings.clone(),
            keys: Keys::new(settings.key_prefix.clone()),
            authorities,
            compares_clocks,
            deployment,
            told_of_persistence: AtomicBool::new(false),
        })
    }

    /// Timeout for creating one connection, and for a health check.
    pub(super) fn time_limit(&self) -> Duration {
        self.settings.connect_timeout
    }

    pub(super) fn speaks_tls(&self) -> bool {
        self.settings.tls
    }

    /// Creates a connection and checks the server. Takes at most a few times the connect timeout, and more than one
    /// only to find out what is wrong.
    pub(super) async fn connect(
        self: &Arc<Self>,
        target: &Target,
    ) -> Result<CheckedConnection, Unavailable> {
        match target {
            Target::Server { server, database } => self.checked(server, *database, false).await,
            Target::Node(server) => self.checked(server, 0, true).await,
            Target::Master {
                sentinels,
                name,
                database,
            } => self.master(sentinels, name, *database).await,
        }
    }

    pub(super) async fn checked(
        self: &Arc<Self>,
        server: &RedisAddress,
        database: u32,
        in_cluster: bool,
    ) -> Result<CheckedConnection, Unavailable> {
        let time_limit = self.time_limit();
        let attempt = async {
            let mut shared = self.log_in(server, database).await?;
            let wanted = checks::Wanted {
                keys: &self.keys,
                in_cluster,
                eviction: self.settings.allow_eviction,
                compares_clocks: self.compares_clocks,
                deployment: self.deployment.as_deref(),
                told_of_persistence: &self.told_of_persistence,
            };
            let replication = checks::server(&mut shared, server, wanted).await?;
            let durable = self.log_in(server, database).await?;
            let origin = Box::new(Dialed {
                dialer: Arc::clone(self),
                server: server.clone(),
                database,
            });
            let server = server.clone();
            Ok(CheckedConnection::new(
                server,
                origin,
                shared,
                durable,
                replication,
            ))
        };
        let unavailable = match timeout(time_limit, attempt).await {
            Ok(Ok(checked)) => return Ok(checked),
            Ok(Err(unavailable)) => unavailable,
            Err(_) => Unavailable::disconnected(server, ConnectError::Silent(time_limit)),
        };
        Err(self.diagnosed(server, unavailable).await)
    }

    /// Asks a node of a Cluster for the owners of the slots.
    pub(super) async fn slots(&self, node: &RedisAddress) -> Result<SlotMap, Unavailable> {
        let attempt = async {
            let mut connection = self.log_in(node, 0).await?;
            read_slots(&mut connection, node).await
        };
        let unavailable = match timeout(self.time_limit(), attempt).await {
            Ok(Ok(slots)) => return Ok(slots),
            Ok(Err(unavailable)) => unavailable,
            Err(_) => Unavailable::disconnected(node, ConnectError::Silent(self.time_limit())),
        };
        Err(self.diagnosed(node, unavailable).await)
    }

    /// Returns a connection on which the server has replied, as our user, on our database.
    pub(super) async fn log_in(
        &self,
        server: &RedisAddress,
        database: u32,
    ) -> Result<MultiplexedConnection, Unavailable> {
        let mut connection = self.silently(server).await?;
        let user = self.settings.username.as_deref();
        let auth = auth(user, self.settings.password.as_ref());
        let mut select = redis::cmd("PING");
        if database > 0 {
            select = redis::cmd("SELECT");
            select.arg(database);
        }
        let answer = said(&mut connection, server, auth, select).await?;
        match answer {
            Value::ServerError(error) => Err(refused(server, database, error)),
            _ => Ok(connection),
        }
    }

    /// Returns a connection on which nothing has been sent.
    pub(super) async fn silently(
        &self,
        server: &RedisAddress,
    ) -> Result<MultiplexedConnection, Unavailable> {
        let silent = RedisConnectionInfo::default().set_skip_set_lib_name();
        self.raw(server, self.settings.tls, silent).await
    }

    /// Returns a connection on which the commands of `greeting` have been sent.
    pub(super) async fn raw(
        &self,
        server: &RedisAddress,
        tls: bool,
        greeting: RedisConnectionInfo,
    ) -> Result<MultiplexedConnection, Unavailable> {
        let broken = |error| Unavailable::disconnected(server, ConnectError::Broken(error));
        let (host, port) = (server.host.clone(), server.port);
        let address = if tls {
            ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let info = address
            .into_connection_info()
            .map_err(broken)?
            .set_tcp_settings(TcpSettings::default().set_nodelay(true))
            .set_redis_settings(greeting);
        let client = match (&self.authorities, tls) {
            (Some(authorities), true) => super::tls::client(info, authorities),
            _ => Client::open(info),
        };
        // Every wait is bounded by the caller.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        client
            .map_err(broken)?
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .map_err(broken)
    }
}

/// Asks a node for the owners of the slots, over an existing connection.
pub(super) async fn read_slots(
    connection: &mut MultiplexedConnection,
    node: &RedisAddress,
) -> Result<SlotMap, Unavailable> {
    let mut ask = redis::cmd("CLUSTER");
    ask.arg("SLOTS");
    match connection.send_packed_command(&ask).await {
        Ok(Value::ServerError(error)) => Err(match error.code() {
            "NOPERM" => RedisFault::NotPermitted {
                place: node.to_string(),
                what: "CLUSTER SLOTS",
            }
            .into(),
            "ERR" => RedisFault::NoCluster {
                place: node.to_string(),
            }
            .into(),
            _ => Unavailable::disconnected(node, ConnectError::Refused(error)),
        }),
        Ok(answer) => SlotMap::read(&answer, node)
            .ok_or_else(|| Unavailable::disconnected(node, ConnectError::Garbled)),
        Err(error) => Err(Unavailable::disconnected(node, ConnectError::Broken(error))),
    }
}
