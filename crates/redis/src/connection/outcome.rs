//! What the reply to a call means: an answer, another attempt, or a failure.

use std::sync::Arc;

use redis::{ServerError, Value};

use super::{
    Inner, Way,
    checked::CheckedConnection,
    cluster::Cluster,
    fault::{ConnectError, Refusal},
    managed::ManagedConnection,
    slots::redirection,
};
use crate::RedisAddress;
use skriptoteket_core::error::StoreError;

/// A call without a reply so far.
pub(super) struct PendingCall {
    /// Its index among the calls.
    pub(super) index: usize,
    /// The server does not know the script.
    pub(super) in_full: bool,
    /// The node that has the keys while their slot is being moved.
    pub(super) asking: Option<RedisAddress>,
    /// It was sent over a connection that broke, and is safe to run twice.
    pub(super) repeated: bool,
}

/// The outcome of a pending call.
pub(super) enum Outcome {
    Answer(Value),
    /// The server did not execute it, but it or another one may soon.
    Again(PendingCall, Pause),
    Failure(StoreError),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    None,
    Some,
}

/// Handles an error reply. The error codes below mean that nothing was executed.
pub(super) fn consider(
    inner: &Inner,
    managed: &ManagedConnection,
    checked: &Arc<CheckedConnection>,
    pending_call: PendingCall,
    error: ServerError,
) -> Outcome {
    let asked = &checked.address;
    match error.code() {
        "NOSCRIPT" if !pending_call.in_full => Outcome::Again(
            PendingCall {
                in_full: true,
                ..pending_call
            },
            Pause::None,
        ),
        code @ ("MOVED" | "ASK") => {
            let (Way::Cluster(cluster), Some((slot, node))) = (
                &inner.way,
                redirection(error.details().unwrap_or_default(), asked),
            ) else {
                return Outcome::Failure(Refusal::new(asked, error).into());
            };
            redirected(cluster, &pending_call, code == "ASK", slot, node)
        }
        "TRYAGAIN" | "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "BUSY" => Outcome::Again(
            PendingCall {
                asking: None,
                ..pending_call
            },
            Pause::Some,
        ),
        code @ ("READONLY" | "NOAUTH") => {
            // The server is no longer a master, or no longer accepts our user: a new connection finds out which.
            let cause = if code == "READONLY" {
                ConnectError::Replica
            } else {
                ConnectError::Refused(error.clone())
            };
            managed.lose(checked, cause);
            Outcome::Failure(Refusal::new(asked, error).into())
        }
        _ => Outcome::Failure(Refusal::new(asked, error).into()),
    }
}

fn redirected(
    cluster: &Cluster,
    pending_call: &PendingCall,
    is_asking: bool,
    slot: u16,
    node: RedisAddress,
) -> Outcome {
    let asking = if is_asking {
        Some(node)
    } else {
        cluster.moved(slot, node);
        None
    };
    // Two nodes that redirect to each other do not agree yet; the number of attempts is bounded.
    let pause = if pending_call.asking.is_some() {
        Pause::Some
    } else {
        Pause::None
    };
    Outcome::Again(
        PendingCall {
            asking,
            ..*pending_call
        },
        pause,
    )
}
