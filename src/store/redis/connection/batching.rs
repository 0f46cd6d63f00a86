//! Reads that one worker is asked for at the same moment, in one command.
//!
//! A worker that answers many requests at a time checks many sessions at a time. One `MGET` for all that are waiting costs
//! the server and this process a fraction of as many `GET`s. Nobody waits for others to come: what is gathered is sent
//! as soon as the worker has nothing else to do first.

use std::{cell::RefCell, sync::Arc, time::Duration};

use redis::{Pipeline, Value};
use tokio::{
    runtime::{Handle, Id, RuntimeFlavor},
    sync::oneshot,
    time::timeout,
};

use super::{checked::CheckedConnection, fault::ConnectError, managed::ManagedConnection, near};
use crate::store::redis::answer;

/// More keys are sent in a command of their own, so that none holds the server for long.
const MOST: usize = 64;

thread_local! {
    static GATHERED: RefCell<Vec<Gathered>> = const { RefCell::new(Vec::new()) };
}

/// What lay under a key, and the server's time in ms after that.
pub(super) type Read = (Value, i64);

/// What is to be sent next by this worker to this server.
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

/// Reads one key. `None` where that cannot be done in this way: elsewhere than on a worker, or if the server did not answer
/// as it should. Whoever asks then asks by itself, and hears why.
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

/// True if nobody has been told to send it yet.
fn gather(
    runtime: Id,
    checked: &Arc<CheckedConnection>,
    key: String,
    asker: oneshot::Sender<Read>,
) -> bool {
    GATHERED.with_borrow_mut(|all| {
        // Of a runtime that has ended on this thread: nobody sends that any more.
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

/// The oldest of what was gathered for this server.
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
    // Sooner than any of those who ask gives up, so that they hear why.
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
            // Who has gone away meanwhile needs no answer.
            let _ = asker.send((value, time));
        }
    }
}
