//! The masters of a Cluster: a connection to each, and the owners of the slots.
//!
//! The client's own Cluster connection repeats a call when a connection breaks while it is in flight, and a whole
//! pipeline when one slot has moved. Both run scripts twice, so the routing is our own.

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
use crate::RedisAddress;

/// How often the slot map is read without a specific reason.
const READ_AGAIN: Duration = Duration::from_secs(10);

/// The connections to a Cluster. The task that updates the slot map ends with it.
pub(super) struct Cluster {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

struct Shared {
    dialer: Arc<Dialer>,
    seeds: Vec<RedisAddress>,
    nodes: Mutex<Nodes>,
    /// Notified when the slot map may be wrong.
    stale: Arc<Notify>,
}

struct Nodes {
    /// The slot map; the error says why there is none, and no calls can be sent without it.
    slots: Result<SlotMap, Unavailable>,
    lines: HashMap<RedisAddress, Arc<ManagedConnection>>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Cluster {
    /// Reads the slot map, if a node provides it, and connects to all masters. Waits until that is done.
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

    /// The connection to the owner of a slot.
    pub(super) fn owner(&self, slot: u16) -> Result<Arc<ManagedConnection>, Unavailable> {
        let mut nodes = self.shared.nodes();
        let slots = nodes.slots.as_ref().map_err(Clone::clone)?;
        let Some(owner) = slots.owner(slot).cloned() else {
            // Reading the map again shows whether the slot has an owner by now.
            self.shared.stale.notify_one();
            return Err(Unavailable::disconnected(
                &places(&self.shared.seeds),
                ConnectError::NoOwner(slot),
            ));
        };
        Ok(self.shared.managed(&mut nodes, &owner))
    }

    /// The connection to a node, whichever slots it owns.
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

    /// Records that a slot has moved.
    pub(super) fn moved(&self, slot: u16, owner: RedisAddress) {
        if let Ok(slots) = &mut self.shared.nodes().slots {
            slots.moved(slot, owner);
        }
        self.shared.stale.notify_one();
    }

    /// Closes all connections permanently.
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

    /// All nodes that own slots.
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

    /// Reads the slot map from the first node that provides it: first connected nodes, then configured ones. Returns
    /// whether a node did.
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
        // An old map is better than none: nodes that are still there can be used.
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
        // All at once, so that a dead node does not delay the others.
        for answer in join_all(self.seeds.iter().map(|seed| self.dialer.slots(seed))).await {
            match answer {
                Ok(slots) => return Ok(slots),
                // A fault is more specific than a server that is unreachable.
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

/// Updates the slot map until it is aborted.
async fn keep(shared: Arc<Shared>) {
    let (mut failures, mut told) = (0, Told::default());
    loop {
        let missing = shared.nodes().slots.as_ref().err().cloned();
        if let Some(unavailable) = missing {
            told.absent(&unavailable);
        } else {
            if told.returned() {
                tracing::info!(nodes = %places(&shared.seeds), "reconnected to the Redis Cluster");
            }
            // The map is read again either way.
            let _ = timeout(READ_AGAIN, shared.stale.notified()).await;
        }
        // Many slots move at a time: this is also the minimum interval between two reads.
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
