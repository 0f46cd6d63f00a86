//! Combines the reads that one worker makes at the same moment into one command.
//!
//! A worker that handles many requests at a time checks many sessions at a time. One `MGET` for all waiting reads costs
//! the server and this process a fraction of as many `GET`s. No read waits for others to arrive: the batch is sent as
//! soon as the worker has no other task to run first.

use std::{cell::RefCell, sync::Arc, time::Duration};

use redis::{Pipeline, Value};
use tokio::{
    runtime::{Handle, Id, RuntimeFlavor},
    sync::oneshot,
    time::timeout,
};

use super::{
    checked::CheckedConnection, fault::ConnectError, managed::ManagedConnection, per_worker,
};
use crate::answer;

/// Maximum number of keys per command, so that no command blocks the server for long; further keys are sent in another
/// one.
const MOST: usize = 64;

thread_local! {
    static GATHERED: RefCell<Vec<Gathered>> = const { RefCell::new(Vec::new()) };
}

/// The value of a key, and the server's time in ms after that.
pub(super) type Read = (Value, i64);

/// The next batch of this worker for this server.
struct Gathered {
    runtime: Id,
    checked: Arc<CheckedConnection>,
    keys: Vec<String>,
    askers: Vec<oneshot::Sender<Read>>,
}

impl Gathered {
    fn is_for(&self, runtime: Id, checked: &Arc<CheckedConnection>) -> bool {
        self.runtime == runtime && Arc::ptr_eq(&self.checked, checked) && self.keys.len() < MOST
    }
}

/// Reads one key. Returns `None` if that cannot be batched: outside a worker, or if the server did not reply as it
/// should. The caller then reads the key on its own, and gets the error.
pub(super) async fn read(
    managed: &Arc<ManagedConnection>,
    key: String,
    limit: Duration,
) -> Option<Read> {
    let handle = Handle::try_current().ok()?;
    if handle.runtime_flavor() == RuntimeFlavor::MultiThread {
        return None;
    }
    let checked = managed.checked_now()?;
    let (asker, answer) = oneshot::channel();
    let is_first = gather(handle.id(), &checked, key, asker);
    if is_first {
        handle.spawn(send(handle.id(), Arc::clone(managed), checked, limit));
    }
    answer.await.ok()
}

/// Adds a read to the batch. Returns true if no task has been started to send it yet.
fn gather(
    runtime: Id,
    checked: &Arc<CheckedConnection>,
    key: String,
    asker: oneshot::Sender<Read>,
) -> bool {
    GATHERED.with_borrow_mut(|all| {
        // The batches of a runtime that has ended on this thread are never sent.
        all.retain(|it| it.runtime == runtime);
        if let Some(open) = all.iter_mut().find(|it| it.is_for(runtime, checked)) {
            open.keys.push(key);
            open.askers.push(asker);
            return false;
        }
        all.push(Gathered {
            runtime,
            checked: Arc::clone(checked),
            keys: vec![key],
            askers: vec![asker],
        });
        true
    })
}

/// Takes the oldest batch for this server.
fn take(runtime: Id, checked: &Arc<CheckedConnection>) -> Option<Gathered> {
    GATHERED.with_borrow_mut(|all| {
        let is_it = |it: &Gathered| it.runtime == runtime && Arc::ptr_eq(&it.checked, checked);
        let at = all.iter().position(is_it)?;
        Some(all.remove(at))
    })
}

async fn send(
    runtime: Id,
    managed: Arc<ManagedConnection>,
    checked: Arc<CheckedConnection>,
    limit: Duration,
) {
    let Some(Gathered { keys, askers, .. }) = take(runtime, &checked) else {
        return;
    };
    // Shorter than the timeout of every caller, so that they get the reason.
    let limit = limit * 9 / 10;
    let mut pipe = Pipeline::with_capacity(2);
    pipe.cmd("MGET").arg(keys).cmd("TIME");
    let mut connection = per_worker::connection(&checked);
    let answers = match timeout(limit, connection.send_packed_commands(&pipe, 0, 2)).await {
        Ok(Ok(answers)) => answers,
        Ok(Err(error)) => return managed.lose(&checked, ConnectError::Broken(error)),
        Err(_) => return managed.lose(&checked, ConnectError::Silent(limit)),
    };
    if let Ok([Value::Array(values), time]) = <[Value; 2]>::try_from(answers)
        && values.len() == askers.len()
        && let Ok(time) = answer::time(time)
    {
        checked.answered();
        for (asker, value) in askers.into_iter().zip(values) {
            // A caller that has gone in the meantime needs no reply.
            let _ = asker.send((value, time));
        }
    }
}
