//! How calls are sent, and what is done about answers that are none.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use redis::{Pipeline, ServerError, Value};
use tokio::time::sleep;

use super::{
    Inner, Way,
    cluster::Cluster,
    fault::{Absence, Refusal, Why},
    line::Line,
    near,
    session::Session,
    slots::{redirection, slot_of},
};
use crate::{clock::Clock, config::RedisAddress, error::StoreError, store::redis::call::Call};

/// How often what was refused for the moment is sent at most. With the pauses below that is about half a second.
const ATTEMPTS: u32 = 8;

/// The pause before the second attempt, and the longest; up to half of one is left out by chance.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How long a call waits for a replica, if that is not too much of the store timeout.
const REPLICA_TIMEOUT: Duration = Duration::from_millis(100);

/// Which of a server's two connections is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    Shared,
    /// The one on which a replica is waited for.
    Durable,
}

/// A call that has no answer yet.
struct Errand {
    /// Its place among the calls.
    index: usize,
    /// The server does not know the script.
    in_full: bool,
    /// Who has the keys while their slot is being moved.
    asking: Option<RedisAddress>,
    /// It was sent over a connection that broke, and may be run twice.
    repeated: bool,
}

/// What became of an errand.
enum Outcome {
    Answer(Value),
    /// The server did not run it, and may soon, here or elsewhere.
    Again(Errand, Pause),
    Failure(StoreError),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pause {
    None,
    Some,
}

/// Sends all calls and returns their answers in order, or the first error.
pub(super) async fn send(
    inner: &Inner,
    calls: &[Call],
    which: Lane,
    deadline: Duration,
) -> Result<Vec<Value>, StoreError> {
    let mut answers: Vec<Option<Value>> = Vec::new();
    answers.resize_with(calls.len(), || None);
    let mut open: Vec<Errand> = (0..calls.len())
        .map(|index| Errand {
            index,
            in_full: false,
            asking: None,
            repeated: false,
        })
        .collect();
    for attempt in 1.. {
        let mut sent: Vec<_> = batches(inner, calls, open)?
            .into_iter()
            .map(|(line, errands)| send_batch(inner, line, calls, errands, which, deadline))
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
                Outcome::Again(errand, pause) => {
                    waits |= pause == Pause::Some;
                    again.push(errand);
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
                "Redis put the call off, again and again".into(),
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

type Batch = (Arc<Line>, Vec<Errand>);

/// Who gets which errands.
fn batches(inner: &Inner, calls: &[Call], errands: Vec<Errand>) -> Result<Vec<Batch>, Absence> {
    let cluster = match &inner.way {
        Way::Single(line) => return Ok(vec![(Arc::clone(line), errands)]),
        Way::Cluster(cluster) => cluster,
    };
    let mut batches: HashMap<*const Line, Batch> = HashMap::new();
    for errand in errands {
        let line = match &errand.asking {
            Some(node) => cluster.line(node)?,
            None => cluster.owner(slot_of(calls[errand.index].first_key()))?,
        };
        batches
            .entry(Arc::as_ptr(&line))
            .or_insert_with(|| (line, Vec::new()))
            .1
            .push(errand);
    }
    Ok(batches.into_values().collect())
}

/// Sends one server what is its own, in one go.
async fn send_batch(
    inner: &Inner,
    line: Arc<Line>,
    calls: &[Call],
    errands: Vec<Errand>,
    which: Lane,
    deadline: Duration,
) -> Vec<(usize, Outcome)> {
    let session = match line.session().await {
        Ok(session) => session,
        Err(absence) => {
            let refuse = |errand: Errand| (errand.index, Outcome::Failure(absence.clone().into()));
            return errands.into_iter().map(refuse).collect();
        }
    };
    let has_to_wait = which == Lane::Durable && session.has_replica();
    let turn = if has_to_wait {
        session.turn().await
    } else {
        None
    };
    let mut pipe = Pipeline::new();
    for errand in &errands {
        if errand.asking.is_some() {
            pipe.cmd("ASKING");
        }
        let call = &calls[errand.index];
        pipe.add_command(if errand.in_full {
            call.long()
        } else {
            call.short()
        });
    }
    if turn.is_some() {
        let time_limit = REPLICA_TIMEOUT.min(inner.timeout / 4).as_millis();
        // None at all would be for ever.
        pipe.cmd("WAIT").arg(1).arg(time_limit.max(1));
    }
    let count = pipe.len();
    let mut connection = match &turn {
        None => near::connection(&session),
        Some(_) => session.durable.clone(),
    };
    let may_repeat = |errand: &Errand| calls[errand.index].is_repeatable();
    let out = Out::new(inner, &line, &session, deadline);
    // A connection that the server closed while nobody used it is found out by what can be repeated.
    let mut is_sent = false;
    let sent = async {
        if session.is_quiet() && !errands.iter().all(may_repeat) {
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
            // Nobody knows what the server has done of what was sent.
            let why = Why::Broken(error);
            line.lose(&session, why.clone());
            let absence = Absence::gone(&session.address, why);
            let broken = |errand: Errand| {
                let outcome = if errand.repeated || (is_sent && !may_repeat(&errand)) {
                    Outcome::Failure(absence.clone().into())
                } else {
                    let again = Errand {
                        repeated: true,
                        ..errand
                    };
                    return (again.index, Outcome::Again(again, Pause::None));
                };
                (errand.index, outcome)
            };
            return errands.into_iter().map(broken).collect();
        }
    };
    session.answered();
    let mut answers = answers.into_iter();
    let outcomes: Vec<_> = errands
        .into_iter()
        .map(|errand| {
            if errand.asking.is_some() {
                answers.next();
            }
            let answer = answers.next().unwrap_or(Value::Nil);
            let index = errand.index;
            match answer {
                Value::ServerError(error) => {
                    (index, consider(inner, &line, &session, errand, error))
                }
                answer => (index, Outcome::Answer(answer)),
            }
        })
        .collect();
    let is_done = outcomes
        .iter()
        .any(|(_, outcome)| matches!(outcome, Outcome::Answer(_)));
    if has_to_wait && !matches!(answers.next(), Some(Value::Int(1..))) {
        if turn.is_some() {
            session.lagged();
        }
        if is_done {
            inner.warn_of_lag(&session.address);
        }
    }
    outcomes
}

/// What to do about an answer that is an error. The codes below say that nothing was run.
fn consider(
    inner: &Inner,
    line: &Line,
    session: &Arc<Session>,
    errand: Errand,
    error: ServerError,
) -> Outcome {
    let asked = &session.address;
    match error.code() {
        "NOSCRIPT" if !errand.in_full => Outcome::Again(
            Errand {
                in_full: true,
                ..errand
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
            redirected(cluster, &errand, code == "ASK", slot, node)
        }
        "TRYAGAIN" | "LOADING" | "CLUSTERDOWN" | "MASTERDOWN" | "BUSY" => Outcome::Again(
            Errand {
                asking: None,
                ..errand
            },
            Pause::Some,
        ),
        code @ ("READONLY" | "NOAUTH") => {
            // It is no master any more, or our user is not let in any more: a new connection finds out.
            let why = if code == "READONLY" {
                Why::Replica
            } else {
                Why::Refused(error.clone())
            };
            line.lose(session, why);
            Outcome::Failure(Refusal::new(asked, error).into())
        }
        _ => Outcome::Failure(Refusal::new(asked, error).into()),
    }
}

fn redirected(
    cluster: &Cluster,
    errand: &Errand,
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
    // Two nodes that send us to each other do not agree yet; the attempts are bounded.
    let pause = if errand.asking.is_some() {
        Pause::Some
    } else {
        Pause::None
    };
    Outcome::Again(Errand { asking, ..*errand }, pause)
}

/// A batch that is out. Where it is still out at the deadline its connection is given up: it leads to somebody who does
/// not answer, and who asks next must not wait for that again.
struct Out<'a> {
    inner: &'a Inner,
    line: &'a Line,
    session: &'a Arc<Session>,
    since: Duration,
    deadline: Duration,
    came_back: bool,
}

impl<'a> Out<'a> {
    fn new(
        inner: &'a Inner,
        line: &'a Line,
        session: &'a Arc<Session>,
        deadline: Duration,
    ) -> Self {
        Self {
            inner,
            line,
            session,
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
        // Not who has only just been asked, by an operation that had spent its time elsewhere.
        let was_long = now.saturating_sub(self.since) >= timeout / 4;
        if !self.came_back && was_long && now >= self.deadline {
            self.line.lose(self.session, Why::Silent(timeout));
        }
    }
}
