//! Commands to one server: a scan of its keys, or any other.

use std::{fmt, sync::Arc};

use redis::{Cmd, Value};

use super::{
    Connection, Way,
    fault::{ConnectError, Refusal, Unavailable},
};
use crate::{RedisAddress, answer};
use skriptoteket_core::error::StoreError;

/// The first cursor of a scan of a server's keys.
pub(crate) const SCAN_START: &str = "0";

/// Keys per step of a scan: a fraction of a millisecond.
const SCAN_STEP: usize = 1_000;

/// A server that has keys: the only one, or a master of a Cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    address: RedisAddress,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Connection {
    /// Returns the servers that have keys now.
    pub(crate) async fn masters(&self) -> Result<Vec<Node>, StoreError> {
        let addresses = match &self.inner.way {
            Way::Single(managed) => vec![managed.checked().await?.address.clone()],
            Way::Cluster(cluster) => cluster.masters()?,
        };
        let node = |address| Node { address };
        Ok(addresses.into_iter().map(node).collect())
    }

    /// Runs one step of a scan of a server's keys that match a pattern: returns some of them and the cursor of the next
    /// step; `None` at the end. The first cursor is [`SCAN_START`].
    pub(crate) async fn scan(
        &self,
        node: &Node,
        pattern: &str,
        cursor: &str,
    ) -> Result<(Vec<Vec<u8>>, Option<String>), StoreError> {
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor).arg("MATCH").arg(pattern);
        scan.arg("COUNT").arg(SCAN_STEP);
        let answer = self.in_time(self.ask(node, scan)).await?;
        let [next, keys] = answer::parts(answer)?;
        let next: String = answer::read(next)?;
        Ok((
            answer::read(keys)?,
            Some(next).filter(|it| it != SCAN_START),
        ))
    }

    /// Sends a command to one server and returns its reply. The command is sent once: a key that has moved to another
    /// server is an error.
    pub(crate) async fn ask(&self, node: &Node, cmd: Cmd) -> Result<Value, StoreError> {
        let managed = match &self.inner.way {
            Way::Single(managed) => Arc::clone(managed),
            Way::Cluster(cluster) => cluster.managed(&node.address)?,
        };
        let work = async {
            let checked = managed.checked().await?;
            if checked.address != node.address {
                return Err(Unavailable::disconnected(
                    node,
                    ConnectError::Replaced(checked.address.clone()),
                )
                .into());
            }
            match checked.shared.clone().send_packed_command(&cmd).await {
                Ok(Value::ServerError(error)) => Err(Refusal::new(node, error).into()),
                Ok(answer) => Ok(answer),
                Err(error) => {
                    let cause = ConnectError::Broken(error);
                    managed.lose(&checked, cause.clone());
                    Err(Unavailable::disconnected(node, cause).into())
                }
            }
        };
        self.in_time(work).await
    }
}
