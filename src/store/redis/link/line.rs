//! One connection to one server, kept for as long as it is wanted.
//!
//! A task makes it, looks after it, and makes it anew when it is lost: one attempt at a time, however many calls are
//! waiting for none. Between times everybody is refused at once.
//!
//! Right after a connection broke there is one exception: the server may only have closed it, and be there. The first
//! attempt to make it anew begins at once, and calls wait for its outcome for a moment ([`MOMENT`]).

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{
    connect::Dialer,
    fault::{Absence, Why},
    session::Session,
    target::Target,
};
use crate::{
    clock::{Clock, SystemClock},
    repeats,
};

/// The pause before the second attempt, and the longest; each is twice the one before, and up to half of it is left out
/// by chance, so that replicas that lost the same server do not come back in step.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often a connection that nobody uses is asked for a sign of life.
const LOOK: Duration = Duration::from_secs(1);

/// How long calls wait for the first attempt after a connection broke. A server that is there answers within a few ms; of
/// one that does not, requests must not wait longer than this.
const MOMENT: Duration = Duration::from_millis(250);

/// A connection that broke sooner than this was of no use: the next attempt is not made at once, so that a server that
/// accepts connections and closes them is asked at most some thirty times a second.
const BRIEF: Duration = Duration::from_millis(100);

/// A connection that is kept. Ends with the last that holds it.
pub(super) struct Line {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

struct Shared {
    dialer: Arc<Dialer>,
    target: Target,
    state: watch::Sender<State>,
    /// Told whenever the connection is lost.
    lost: Arc<Notify>,
}

#[derive(Clone)]
enum State {
    /// The first attempt is under way.
    Opening,
    Up(Arc<Session>),
    /// It broke, and the first attempt to make it anew is under way.
    Reopening(Absence),
    Down(Absence),
}

impl Drop for Line {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Line {
    /// Starts to make a connection. `lost` is notified whenever it is lost.
    pub(super) fn open(dialer: Arc<Dialer>, target: Target, lost: Arc<Notify>) -> Self {
        let shared = Arc::new(Shared {
            dialer,
            target,
            state: watch::Sender::new(State::Opening),
            lost,
        });
        let keeper = tokio::spawn(keep(Arc::clone(&shared))).abort_handle();
        Self { shared, keeper }
    }

    /// The connection, or why there is none. Waits for the first attempt, and for the first one after the connection
    /// broke, but for that only a moment.
    pub(super) async fn session(&self) -> Result<Arc<Session>, Absence> {
        let mut state = self.shared.state.subscribe();
        let is_reopening = |state: &State| matches!(state, State::Reopening(_));
        if is_reopening(&state.borrow()) {
            // If it takes longer, the absence says why.
            let _ = timeout(MOMENT, state.wait_for(|state| !is_reopening(state))).await;
        }
        let known = state
            .wait_for(|state| !matches!(state, State::Opening))
            .await;
        match known.as_deref() {
            Ok(State::Up(session)) => Ok(Arc::clone(session)),
            Ok(State::Down(absence) | State::Reopening(absence)) => Err(absence.clone()),
            // The sender lives as long as this line.
            Ok(State::Opening) | Err(_) => Err(Absence::gone(&self.shared.target, Why::Unasked)),
        }
    }

    /// The connection if there is one at this moment.
    pub(super) fn session_now(&self) -> Option<Arc<Session>> {
        match &*self.shared.state.borrow() {
            State::Up(session) => Some(Arc::clone(session)),
            State::Opening | State::Reopening(_) | State::Down(_) => None,
        }
    }

    /// True if a connection was tried and there is none.
    pub(super) fn is_down(&self) -> bool {
        matches!(*self.shared.state.borrow(), State::Down(_))
    }

    /// Lets go of the connection for good.
    pub(super) fn close(&self) {
        self.keeper.abort();
        let closed = Absence::gone(&self.shared.target, Why::Closed);
        self.shared.state.send_replace(State::Down(closed));
    }

    /// Gives a connection up. Does nothing if there is a newer one already.
    pub(super) fn lose(&self, session: &Arc<Session>, why: Why) {
        self.shared.lose(session, why);
    }
}

impl Shared {
    fn lose(&self, session: &Arc<Session>, why: Why) {
        self.state.send_if_modified(|state| {
            let is_this = matches!(state, State::Up(up) if Arc::ptr_eq(up, session));
            if is_this {
                // Whoever is silent would keep calls waiting for nothing.
                let is_broken = matches!(why, Why::Broken(_));
                let absence = Absence::gone(&session.address, why);
                *state = if is_broken {
                    State::Reopening(absence)
                } else {
                    State::Down(absence)
                };
            }
            is_this
        });
    }

    /// Returns when the connection is lost, with the state after it.
    async fn watch_over(&self, session: &Arc<Session>) -> State {
        let mut state = self.state.subscribe();
        loop {
            let lost = state.wait_for(|state| !matches!(state, State::Up(_)));
            if let Ok(lost) = timeout(LOOK, lost).await {
                return match lost.as_deref() {
                    Ok(state) => state.clone(),
                    // The sender lives as long as this does.
                    Err(_) => State::Down(Absence::gone(&session.address, Why::Closed)),
                };
            }
            let time_limit = self.dialer.time_limit();
            let look = timeout(time_limit, session.look()).await;
            if let Err(why) = look.unwrap_or(Err(Why::Silent(time_limit))) {
                self.lose(session, why);
            }
        }
    }
}

/// Keeps a connection until it is aborted.
async fn keep(shared: Arc<Shared>) {
    let clock = SystemClock::default();
    let (mut failures, mut told) = (0, Told::default());
    loop {
        match shared.dialer.connect(&shared.target).await {
            Ok(session) => {
                let session = Arc::new(session);
                if told.returned() {
                    tracing::info!(server = %session.address, "connected to Redis again");
                }
                let since = clock.monotonic();
                shared.state.send_replace(State::Up(Arc::clone(&session)));
                let after = shared.watch_over(&session).await;
                shared.lost.notify_one();
                // An attempt has succeeded: the pauses begin anew.
                failures = 0;
                match after {
                    State::Reopening(absence) => {
                        // Whether the server is away the next attempt tells.
                        let cause = absence.to_string();
                        if let Some(unlogged) = repeats::due("redis connection", &cause) {
                            tracing::info!(error = %cause, unlogged, "a connection to Redis broke; it is made again");
                        }
                        if clock.monotonic().saturating_sub(since) >= BRIEF {
                            continue;
                        }
                    }
                    State::Down(absence) => told.absent(&absence),
                    State::Opening | State::Up(_) => {}
                }
            }
            Err(absence) => {
                told.absent(&absence);
                shared.state.send_replace(State::Down(absence));
            }
        }
        sleep(pause(failures)).await;
        failures += 1;
    }
}

/// What the log has of an absence.
#[derive(Default)]
pub(super) struct Told {
    text: Option<String>,
    is_later: bool,
}

impl Told {
    /// Says once why there is no connection, and again only if it turns out that somebody has to do something.
    ///
    /// Of the first attempt a fault is not said: whoever opens the link gets it, says it, and does not start.
    pub(super) fn absent(&mut self, absence: &Absence) {
        let is_first = !std::mem::replace(&mut self.is_later, true);
        let text = absence.to_string();
        match absence {
            Absence::Fault(_) if !is_first && self.text.as_ref() != Some(&text) => {
                tracing::error!(error = %text, "Redis cannot be used; it is tried again");
            }
            Absence::Gone { .. } if self.text.is_none() => {
                tracing::warn!(error = %text, "Redis is away; it is tried again");
            }
            _ => return,
        }
        self.text = Some(text);
    }

    /// The absence is over. True if the log has it.
    pub(super) fn returned(&mut self) -> bool {
        self.is_later = true;
        self.text.take().is_some()
    }
}

/// How long to wait after so many failures.
pub(super) fn pause(failures: u32) -> Duration {
    let whole = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(LONGEST_PAUSE);
    whole.mul_f64(1.0 - rand::random::<f64>() / 2.0)
}
