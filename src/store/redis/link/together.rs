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

use super::{fault::Why, line::Line, near, session::Session};
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
    session: Arc<Session>,
    keys: Vec<String>,
    askers: Vec<oneshot::Sender<Read>>,
}

impl Gathered {
    fn is_for(&self, runtime: Id, session: &Arc<Session>) -> bool {
        self.runtime == runtime && Arc::ptr_eq(&self.session, session) && self.keys.len() < MOST
    }
}

/// Reads one key. `None` where that cannot be done in this way: elsewhere than on a worker, or if the server did not answer
/// as it should. Whoever asks then asks by itself, and hears why.
pub(super) async fn read(line: &Arc<Line>, key: String, limit: Duration) -> Option<Read> {
    let handle = Handle::try_current().ok()?;
    if handle.runtime_flavor() == RuntimeFlavor::MultiThread {
        return None;
    }
    let session = line.session_now()?;
    let (asker, answer) = oneshot::channel();
    let is_first = gather(handle.id(), &session, key, asker);
    if is_first {
        handle.spawn(send(handle.id(), Arc::clone(line), session, limit));
    }
    answer.await.ok()
}

/// True if nobody has been told to send it yet.
fn gather(runtime: Id, session: &Arc<Session>, key: String, asker: oneshot::Sender<Read>) -> bool {
    GATHERED.with_borrow_mut(|all| {
        // Of a runtime that has ended on this thread: nobody sends that any more.
        all.retain(|it| it.runtime == runtime);
        if let Some(open) = all.iter_mut().find(|it| it.is_for(runtime, session)) {
            open.keys.push(key);
            open.askers.push(asker);
            return false;
        }
        all.push(Gathered {
            runtime,
            session: Arc::clone(session),
            keys: vec![key],
            askers: vec![asker],
        });
        true
    })
}

/// The oldest of what was gathered for this server.
fn take(runtime: Id, session: &Arc<Session>) -> Option<Gathered> {
    GATHERED.with_borrow_mut(|all| {
        let is_it = |it: &Gathered| it.runtime == runtime && Arc::ptr_eq(&it.session, session);
        let at = all.iter().position(is_it)?;
        Some(all.remove(at))
    })
}

async fn send(runtime: Id, line: Arc<Line>, session: Arc<Session>, limit: Duration) {
    let Some(Gathered { keys, askers, .. }) = take(runtime, &session) else {
        return;
    };
    // Sooner than any of those who ask gives up, so that they hear why.
    let limit = limit * 9 / 10;
    let mut pipe = Pipeline::with_capacity(2);
    pipe.cmd("MGET").arg(keys).cmd("TIME");
    let mut connection = near::connection(&session);
    let answers = match timeout(limit, connection.send_packed_commands(&pipe, 0, 2)).await {
        Ok(Ok(answers)) => answers,
        Ok(Err(error)) => return line.lose(&session, Why::Broken(error)),
        Err(_) => return line.lose(&session, Why::Silent(limit)),
    };
    if let Ok([Value::Array(values), time]) = <[Value; 2]>::try_from(answers)
        && values.len() == askers.len()
        && let Ok(time) = answer::time(time)
    {
        session.answered();
        for (asker, value) in askers.into_iter().zip(values) {
            // Who has gone away meanwhile needs no answer.
            let _ = asker.send((value, time));
        }
    }
}
