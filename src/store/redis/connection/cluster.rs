//! The masters of a Cluster: a connection to each, and who owns which slots.
//!
//! The client's own Cluster connection sends a call again when a connection breaks while it is out, and a whole pipeline
//! again when one slot has moved. Both run scripts twice, so the routing is ours.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{
    connect::{Dialer, read_slots},
    fault::{ConnectError, Unavailable},
    managed::{ManagedConnection, Told, pause},
    slots::SlotMap,
    target::Target,
};
use crate::store::RedisAddress;

/// How often the nodes are asked who owns what if nothing gives reason to.
const READ_AGAIN: Duration = Duration::from_secs(10);

/// The way to a Cluster. The task that keeps the map ends with it.
pub(super) struct Cluster {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

struct Shared {
    dialer: Arc<Dialer>,
    seeds: Vec<RedisAddress>,
    nodes: Mutex<Nodes>,
    /// The map may be wrong.
    stale: Arc<Notify>,
}

struct Nodes {
    /// Who owns what; without it nothing can be asked, and this says why.
    slots: Result<SlotMap, Unavailable>,
    lines: HashMap<RedisAddress, Arc<ManagedConnection>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Cluster {
    /// Reads the map, if a node is there to say it, and connects to all masters. Takes as long as that takes.
    pub(super) async fn open(dialer: Arc<Dialer>, seeds: Vec<RedisAddress>) -> Self {
        let shared = Arc::new(Shared {
            dialer,
            nodes: Mutex::new(Nodes {
                slots: Err(Unavailable::disconnected(
                    &places(&seeds),
                    ConnectError::Unasked,
                )),
                lines: HashMap::new(),
            }),
            seeds,
            stale: Arc::new(Notify::new()),
        });
        shared.read().await;
        let keeper = tokio::spawn(keep(Arc::clone(&shared))).abort_handle();
        Self { shared, keeper }
    }

    /// The connection to whoever owns a slot.
    pub(super) fn owner(&self, slot: u16) -> Result<Arc<ManagedConnection>, Unavailable> {
        let mut nodes = self.shared.nodes();
        let slots = nodes.slots.as_ref().map_err(Clone::clone)?;
        let Some(owner) = slots.owner(slot).cloned() else {
            // Reading the map again says whether somebody owns it by now.
            self.shared.stale.notify_one();
            return Err(Unavailable::disconnected(
                &places(&self.shared.seeds),
                ConnectError::NoOwner(slot),
            ));
        };
        Ok(self.shared.managed(&mut nodes, &owner))
    }

    /// The connection to a node, whatever it owns.
    pub(super) fn managed(
        &self,
        node: &RedisAddress,
    ) -> Result<Arc<ManagedConnection>, Unavailable> {
        let mut nodes = self.shared.nodes();
        if let Err(unavailable) = &nodes.slots {
            return Err(unavailable.clone());
        }
        Ok(self.shared.managed(&mut nodes, node))
    }

    /// Notes that a slot has moved.
    pub(super) fn moved(&self, slot: u16, owner: RedisAddress) {
        if let Ok(slots) = &mut self.shared.nodes().slots {
            slots.moved(slot, owner);
        }
        self.shared.stale.notify_one();
    }

    /// Lets go of all connections for good.
    pub(super) fn close(&self) {
        self.keeper.abort();
        let mut nodes = self.shared.nodes();
        nodes.slots = Err(Unavailable::disconnected(
            &places(&self.shared.seeds),
            ConnectError::Closed,
        ));
        for (_, managed) in nodes.lines.drain() {
            managed.close();
        }
    }

    /// Everybody who owns slots.
    pub(super) fn masters(&self) -> Result<Vec<RedisAddress>, Unavailable> {
        let nodes = self.shared.nodes();
        let slots = nodes.slots.as_ref().map_err(Clone::clone)?;
        Ok(slots.owners().into_iter().cloned().collect())
    }
}

impl Shared {
    fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn managed(&self, nodes: &mut Nodes, node: &RedisAddress) -> Arc<ManagedConnection> {
        let open = || {
            let target = Target::Node(node.clone());
            let stale = Arc::clone(&self.stale);
            Arc::new(ManagedConnection::open(
                Arc::clone(&self.dialer),
                target,
                stale,
            ))
        };
        Arc::clone(nodes.lines.entry(node.clone()).or_insert_with(open))
    }

    /// Reads the map from the first node that says it: those that we are connected to, then those that were configured.
    /// Returns whether there was one.
    async fn read(&self) -> bool {
        let connected: Vec<_> = self.nodes().lines.values().cloned().collect();
        let mut read = None;
        for checked in connected.iter().filter_map(|managed| managed.checked_now()) {
            let mut connection = checked.shared.clone();
            let asked = read_slots(&mut connection, &checked.address);
            if let Ok(Ok(slots)) = timeout(self.dialer.time_limit(), asked).await {
                read = Some(Ok(slots));
                break;
            }
        }
        let read = match read {
            Some(read) => read,
            None => self.read_from_seeds().await,
        };
        let mut nodes = self.nodes();
        let is_read = read.is_ok();
        // An old map is better than none: who is still there can be asked.
        if is_read || nodes.slots.is_err() {
            nodes.slots = read;
        }
        if let Ok(slots) = nodes.slots.clone() {
            let owners = slots.owners();
            nodes
                .lines
                .retain(|node, managed| owners.contains(&node) || !managed.is_down());
            for owner in owners {
                self.managed(&mut nodes, owner);
            }
        }
        is_read
    }

    async fn read_from_seeds(&self) -> Result<SlotMap, Unavailable> {
        let mut failure = None;
        // All at once, so that one that is dead does not hold up the others.
        for answer in join_all(self.seeds.iter().map(|seed| self.dialer.slots(seed))).await {
            match answer {
                Ok(slots) => return Ok(slots),
                // A fault says more than that somebody was not there.
                Err(unavailable) if !matches!(failure, Some(Unavailable::Fault(_))) => {
                    failure = Some(unavailable);
                }
                Err(_) => {}
            }
        }
        Err(failure.unwrap_or_else(|| {
            Unavailable::disconnected(&places(&self.seeds), ConnectError::Unasked)
        }))
    }
}

/// Keeps the map until it is aborted.
async fn keep(shared: Arc<Shared>) {
    let (mut failures, mut told) = (0, Told::default());
    loop {
        let missing = shared.nodes().slots.as_ref().err().cloned();
        if let Some(unavailable) = missing {
            told.absent(&unavailable);
        } else {
            if told.returned() {
                tracing::info!(nodes = %places(&shared.seeds), "connected to the Redis Cluster again");
            }
            // Either way it is time to read it.
            let _ = timeout(READ_AGAIN, shared.stale.notified()).await;
        }
        // Many slots move at a time: this is also the least time between two readings.
        sleep(pause(failures)).await;
        if shared.read().await {
            failures = 0;
        } else {
            failures += 1;
        }
    }
}

fn places(nodes: &[RedisAddress]) -> String {
    let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    names.join(", ")
}
