//! Finds the master that Sentinels report.

use std::sync::Arc;

use futures_util::{StreamExt, stream::FuturesUnordered};
use redis::Value;
use tokio::time::timeout;

use super::{
    checked::CheckedConnection,
    connect::Dialer,
    fault::{ConnectError, RedisFault, Unavailable},
    handshake::{auth, said},
};
use crate::RedisAddress;

impl Dialer {
    /// The server that the Sentinels report and that is a master. All Sentinels are asked at once: one may be down, and
    /// one may not know the new master yet.
    pub(super) async fn master(
        self: &Arc<Self>,
        sentinels: &[RedisAddress],
        name: &str,
        database: u32,
    ) -> Result<CheckedConnection, Unavailable> {
        let mut answers: FuturesUnordered<_> = sentinels
            .iter()
            .map(|sentinel| self.named(sentinel, name))
            .collect();
        let (mut tried, mut failure) = (Vec::new(), None);
        while let Some(answer) = answers.next().await {
            let unavailable = match answer {
                Ok(address) if tried.contains(&address) => continue,
                Ok(address) => {
                    let checked = self.checked(&address, database, false).await;
                    tried.push(address);
                    match checked {
                        Ok(checked) => return Ok(checked),
                        // The server that the Sentinels report may have been demoted a moment ago.
                        Err(Unavailable::Fault(RedisFault::Replica { place })) => {
                            Unavailable::disconnected(&place, ConnectError::Replica)
                        }
                        Err(unavailable) => unavailable,
                    }
                }
                Err(unavailable) => unavailable,
            };
            // A fault is more specific than a server that is unreachable.
            if !matches!(failure, Some(Unavailable::Fault(_))) {
                failure = Some(unavailable);
            }
        }
        Err(failure.unwrap_or_else(|| Unavailable::disconnected(&name, ConnectError::Garbled)))
    }

    /// Asks one Sentinel for the address of the master.
    async fn named(
        &self,
        sentinel: &RedisAddress,
        name: &str,
    ) -> Result<RedisAddress, Unavailable> {
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let password = self.settings.sentinel_password.as_ref();
        let attempt = async {
            let mut connection = self.silently(sentinel).await?;
            match said(&mut connection, sentinel, auth(None, password), ask).await? {
                Value::Array(parts) => address(&parts)
                    .ok_or_else(|| Unavailable::disconnected(sentinel, ConnectError::Garbled)),
                Value::Nil => Err(RedisFault::UnknownMaster {
                    place: sentinel.to_string(),
                    master: name.to_owned(),
                }
                .into()),
                Value::ServerError(error) => Err(match error.code() {
                    "NOAUTH" | "WRONGPASS" | "NOPERM" => RedisFault::SentinelPassword {
                        place: sentinel.to_string(),
                    }
                    .into(),
                    "ERR" => RedisFault::NoSentinel {
                        place: sentinel.to_string(),
                    }
                    .into(),
                    _ => Unavailable::disconnected(sentinel, ConnectError::Refused(error)),
                }),
                _ => Err(Unavailable::disconnected(sentinel, ConnectError::Garbled)),
            }
        };
        let unavailable = match timeout(self.time_limit(), attempt).await {
            Ok(Ok(address)) => return Ok(address),
            Ok(Err(unavailable)) => unavailable,
            Err(_) => Unavailable::disconnected(sentinel, ConnectError::Silent(self.time_limit())),
        };
        Err(self.diagnosed(sentinel, unavailable).await)
    }
}

fn address(parts: &[Value]) -> Option<RedisAddress> {
    let [Value::BulkString(host), Value::BulkString(port)] = parts else {
        return None;
    };
    Some(RedisAddress {
        host: String::from_utf8(host.clone()).ok()?,
        port: std::str::from_utf8(port).ok()?.parse().ok()?,
    })
}
