//! Sends calls; repeats those that the server deferred, or that were sent over a connection that broke.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use redis::{Pipeline, Value};
use tokio::time::sleep;

use super::{
    Inner, Way,
    checked::CheckedConnection,
    fault::{ConnectError, Unavailable},
    managed::ManagedConnection,
    outcome::{Outcome, Pause, PendingCall, consider},
    per_worker,
    slots::slot_of,
};
use crate::call::Call;
use skriptoteket_core::{clock::Clock, error::StoreError};

/// Maximum number of attempts for a call that the server temporarily rejects. With the pauses below, this takes about
/// half a second.
const ATTEMPTS: u32 = 8;

/// The pause before the second attempt, and the longest pause; each is shortened by up to half at random.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How long a call waits for a replica, if the store timeout leaves that much time.
const REPLICA_TIMEOUT: Duration = Duration::from_millis(100);

/// Which of a server's two connections is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Shared,
    /// The connection for calls that wait for a replica.
    Durable,
}

/// Sends all calls and returns their replies in order, or the first error.
pub(super) async fn send(
    inner: &Inner,
    calls: &[Call],
    which: Lane,
    deadline: Duration,
) -> Result<Vec<Value>, StoreError> {
    let mut answers: Vec<Option<Value>> = Vec::new();
    answers.resize_with(calls.len(), || None);
    let mut open: Vec<PendingCall> = (0..calls.len())
        .map(|index| PendingCall {
            index,
            in_full: false,
            asking: None,
            repeated: false,
        })
        .collect();
    for attempt in 1.. {
        let mut sent: Vec<_> = batches(inner, calls, open)?
            .into_iter()
            .map(|(managed, pending_calls)| {
                send_batch(inner, managed, calls, pending_calls, which, deadline)
            })
            .collect();
        let outcomes = match sent.pop() {
            Some(only) if sent.is_empty() => only.await,
            last => {
                let all = join_all(sent.into_iter().chain(last)).await;
                all.into_iter().flatten().collect()
            }
        };
        let (mut again, mut waits, mut failures) = (Vec::new(), false, Vec::new());
        for (index, outcome) in outcomes {
            match outcome {
                Outcome::Answer(answer) => answers[index] = Some(answer),
                Outcome::Failure(error) => failures.push((index, error)),
                Outcome::Again(pending_call, pause) => {
                    waits |= pause == Pause::Some;
                    again.push(pending_call);
                }
            }
        }
        failures.sort_by_key(|(index, _)| *index);
        if let Some((_, error)) = failures.into_iter().next() {
            return Err(error);
        }
        if again.is_empty() {
            break;
        }
        open = again;
        if attempt == ATTEMPTS {
            return Err(StoreError::Unavailable(
                "Redis deferred the call too many times".into(),
            ));
        }
        if waits {
            sleep(pause(attempt)).await;
        }
    }
    answers
        .into_iter()
        .map(|answer| answer.ok_or_else(|| StoreError::Unavailable("no answer".into())))
        .collect()
}

fn pause(attempt: u32) -> Duration {
    let whole = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(attempt - 1))
        .min(LONGEST_PAUSE);
    whole.mul_f64(1.0 - rand::random::<f64>() / 2.0)
}

type Batch = (Arc<ManagedConnection>, Vec<PendingCall>);

/// Groups the pending calls by server.
fn batches(
    inner: &Inner,
    calls: &[Call],
    pending_calls: Vec<PendingCall>,
) -> Result<Vec<Batch>, Unavailable> {
    let cluster = match &inner.way {
        Way::Single(managed) => return Ok(vec![(Arc::clone(managed), pending_calls)]),
        Way::Cluster(cluster) => cluster,
    };
    let mut batches: HashMap<*const ManagedConnection, Batch> = HashMap::new();
    for pending_call in pending_calls {
        let managed = match &pending_call.asking {
            Some(node) => cluster.managed(node)?,
            None => cluster.owner(slot_of(calls[pending_call.index].first_key()))?,
        };
        batches
            .entry(Arc::as_ptr(&managed))
            .or_insert_with(|| (managed, Vec::new()))
            .1
            .push(pending_call);
    }
    Ok(batches.into_values().collect())
}

/// Sends one server its calls in one pipeline.
async fn send_batch(
    inner: &Inner,
    managed: Arc<ManagedConnection>,
    calls: &[Call],
    pending_calls: Vec<PendingCall>,
    which: Lane,
    deadline: Duration,
) -> Vec<(usize, Outcome)> {
    let checked = match managed.checked().await {
        Ok(checked) => checked,
        Err(unavailable) => {
            let refuse = |pending_call: PendingCall| {
                (
                    pending_call.index,
                    Outcome::Failure(unavailable.clone().into()),
                )
            };
            return pending_calls.into_iter().map(refuse).collect();
        }
    };
    let has_to_wait = which == Lane::Durable && checked.has_replica();
    let turn = if has_to_wait {
        checked.turn().await
    } else {
        None
    };
    let mut pipe = pipeline(calls, &pending_calls);
    if turn.is_some() {
        let time_limit = REPLICA_TIMEOUT.min(inner.timeout / 4).as_millis();
        // Zero would wait forever.
        pipe.cmd("WAIT").arg(1).arg(time_limit.max(1));
    }
    let count = pipe.len();
    let mut connection = match &turn {
        None => per_worker::connection(&checked),
        Some(_) => checked.durable.clone(),
    };
    let may_repeat = |pending_call: &PendingCall| calls[pending_call.index].is_repeatable();
    let out = Out::new(inner, &managed, &checked, deadline);
    // Repeatable commands detect a connection that the server closed while it was idle.
    let mut is_sent = false;
    let sent = async {
        if checked.is_quiet() && !pending_calls.iter().all(may_repeat) {
            let ping = redis::cmd("PING");
            connection.send_packed_command(&ping).await?;
        }
        is_sent = true;
        connection.send_packed_commands(&pipe, 0, count).await
    }
    .await;
    out.came_back();
    let answers = match sent {
        Ok(answers) => answers,
        Err(error) => {
            // It is unknown which of the calls the server has executed.
            let cause = ConnectError::Broken(error);
            managed.lose(&checked, cause.clone());
            let unavailable = Unavailable::disconnected(&checked.address, cause);
            let broken = |pending_call: PendingCall| {
                let outcome = if pending_call.repeated || (is_sent && !may_repeat(&pending_call)) {
                    Outcome::Failure(unavailable.clone().into())
                } else {
                    let again = PendingCall {
                        repeated: true,
                        ..pending_call
                    };
                    return (again.index, Outcome::Again(again, Pause::None));
                };
                (pending_call.index, outcome)
            };
            return pending_calls.into_iter().map(broken).collect();
        }
    };
    checked.answered();
    let mut answers = answers.into_iter();
    let outcomes: Vec<_> = pending_calls
        .into_iter()
        .map(|pending_call| {
            if pending_call.asking.is_some() {
                answers.next();
            }
            let answer = answers.next().unwrap_or(Value::Nil);
            let index = pending_call.index;
            match answer {
                Value::ServerError(error) => (
                    index,
                    consider(inner, &managed, &checked, pending_call, error),
                ),
                answer => (index, Outcome::Answer(answer)),
            }
        })
        .collect();
    let is_done = outcomes
        .iter()
        .any(|(_, outcome)| matches!(outcome, Outcome::Answer(_)));
    if has_to_wait && !matches!(answers.next(), Some(Value::Int(1..))) {
        if turn.is_some() {
            checked.lagged();
        }
        if is_done {
            inner.warn_of_lag(&checked.address);
        }
    }
    outcomes
}

/// Returns the commands of the calls, each after `ASKING` if its slot is being moved.
fn pipeline(calls: &[Call], pending_calls: &[PendingCall]) -> Pipeline {
    let mut pipe = Pipeline::new();
    for pending_call in pending_calls {
        if pending_call.asking.is_some() {
            pipe.cmd("ASKING");
        }
        let call = &calls[pending_call.index];
        pipe.add_command(if pending_call.in_full {
            call.long()
        } else {
            call.short()
        });
    }
    pipe
}

/// A batch in flight. If it is still in flight at the deadline, its connection is given up: the server does not
/// respond, and the next caller must not wait for that again.
struct Out<'a> {
    inner: &'a Inner,
    managed: &'a ManagedConnection,
    checked: &'a Arc<CheckedConnection>,
    since: Duration,
    deadline: Duration,
    came_back: bool,
}

impl<'a> Out<'a> {
    fn new(
        inner: &'a Inner,
        managed: &'a ManagedConnection,
        checked: &'a Arc<CheckedConnection>,
        deadline: Duration,
    ) -> Self {
        Self {
            inner,
            managed,
            checked,
            since: inner.clock.monotonic(),
            deadline,
            came_back: false,
        }
    }

    fn came_back(mut self) {
        self.came_back = true;
    }
}

impl Drop for Out<'_> {
    fn drop(&mut self) {
        let (now, timeout) = (self.inner.clock.monotonic(), self.inner.timeout);
        // A server whose call was only just sent, by an operation that had spent its time elsewhere, is not given up.
        let was_long = now.saturating_sub(self.since) >= timeout / 4;
        if !self.came_back && was_long && now >= self.deadline {
            self.managed
                .lose(self.checked, ConnectError::Silent(timeout));
        }
    }
}
