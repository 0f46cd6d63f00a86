//! One connection to one server, kept open until it is closed.
//!
//! A task creates it, monitors it, and recreates it when it is lost: one attempt at a time, however many calls are
//! waiting. Between attempts, calls are rejected at once.
//!
//! There is one exception, right after a connection broke: the server may have closed only the connection and still be
//! available. The first attempt to reconnect begins at once, and calls wait briefly for its outcome ([`MOMENT`]).

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, watch},
    task::AbortHandle,
    time::{sleep, timeout},
};

use super::{
    checked::CheckedConnection,
    connect::Dialer,
    fault::{ConnectError, Unavailable},
    target::Target,
};
use skriptoteket_core::{
    clock::{Clock, SystemClock},
    repeats,
};

/// The pause before the second attempt, and the longest pause; each is twice the previous one, shortened by up to half
/// at random, so that replicas that lost the same server do not reconnect at the same moment.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Interval of the health checks of an idle connection.
const LOOK: Duration = Duration::from_secs(1);

/// How long calls wait for the first attempt after a connection broke. An available server responds within a few ms;
/// requests must not wait longer for an unavailable one.
const MOMENT: Duration = Duration::from_millis(250);

/// A connection that broke sooner than this is useless: the next attempt does not begin at once, so that a server that
/// accepts connections and closes them gets at most some thirty attempts per second.
const BRIEF: Duration = Duration::from_millis(100);

/// A connection that is kept open. It is closed with the last reference to it.
pub(super) struct ManagedConnection {
    shared: Arc<Shared>,
    keeper: AbortHandle,
}

struct Shared {
    dialer: Arc<Dialer>,
    target: Target,
    state: watch::Sender<State>,
    /// Notified whenever the connection is lost.
    lost: Arc<Notify>,
}

#[derive(Clone)]
enum State {
    /// The first attempt is in progress.
    Opening,
    Up(Arc<CheckedConnection>),
    /// The connection broke, and the first attempt to reconnect is in progress.
    Reopening(Unavailable),
    Down(Unavailable),
}

impl Drop for ManagedConnection {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl ManagedConnection {
    /// Begins to connect. `lost` is notified whenever the connection is lost.
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

    /// Returns the connection, or why there is none. Waits for the first attempt, and, only briefly, for the first one
    /// after the connection broke.
    pub(super) async fn checked(&self) -> Result<Arc<CheckedConnection>, Unavailable> {
        let mut state = self.shared.state.subscribe();
        let is_reopening = |state: &State| matches!(state, State::Reopening(_));
        if is_reopening(&state.borrow()) {
            // If it takes longer, the error says why.
            let _ = timeout(MOMENT, state.wait_for(|state| !is_reopening(state))).await;
        }
        let known = state
            .wait_for(|state| !matches!(state, State::Opening))
            .await;
        match known.as_deref() {
            Ok(State::Up(checked)) => Ok(Arc::clone(checked)),
            Ok(State::Down(unavailable) | State::Reopening(unavailable)) => {
                Err(unavailable.clone())
            }
            // The sender lives as long as this value.
            Ok(State::Opening) | Err(_) => Err(Unavailable::disconnected(
                &self.shared.target,
                ConnectError::Unasked,
            )),
        }
    }

    /// The connection, if there is one at this moment.
    pub(super) fn checked_now(&self) -> Option<Arc<CheckedConnection>> {
        match &*self.shared.state.borrow() {
            State::Up(checked) => Some(Arc::clone(checked)),
            State::Opening | State::Reopening(_) | State::Down(_) => None,
        }
    }

    /// True if connecting was attempted and there is no connection.
    pub(super) fn is_down(&self) -> bool {
        matches!(*self.shared.state.borrow(), State::Down(_))
    }

    /// Closes the connection permanently.
    pub(super) fn close(&self) {
        self.keeper.abort();
        let closed = Unavailable::disconnected(&self.shared.target, ConnectError::Closed);
        self.shared.state.send_replace(State::Down(closed));
    }

    /// Gives up a connection. Does nothing if there is already a newer one.
    pub(super) fn lose(&self, checked: &Arc<CheckedConnection>, cause: ConnectError) {
        self.shared.lose(checked, cause);
    }
}

impl Shared {
    fn lose(&self, checked: &Arc<CheckedConnection>, cause: ConnectError) {
        self.state.send_if_modified(|state| {
            let is_this = matches!(state, State::Up(up) if Arc::ptr_eq(up, checked));
            if is_this {
                // A silent server would make calls wait for nothing.
                let is_broken = matches!(cause, ConnectError::Broken(_));
                let unavailable = Unavailable::disconnected(&checked.address, cause);
                *state = if is_broken {
                    State::Reopening(unavailable)
                } else {
                    State::Down(unavailable)
                };
            }
            is_this
        });
    }

    /// Returns when the connection is lost, with the state after that.
    async fn watch_over(&self, checked: &Arc<CheckedConnection>) -> State {
        let mut state = self.state.subscribe();
        loop {
            let lost = state.wait_for(|state| !matches!(state, State::Up(_)));
            if let Ok(lost) = timeout(LOOK, lost).await {
                return match lost.as_deref() {
                    Ok(state) => state.clone(),
                    // The sender lives as long as this value.
                    Err(_) => State::Down(Unavailable::disconnected(
                        &checked.address,
                        ConnectError::Closed,
                    )),
                };
            }
            let time_limit = self.dialer.time_limit();
            let look = timeout(time_limit, checked.look()).await;
            if let Err(cause) = look.unwrap_or(Err(ConnectError::Silent(time_limit))) {
                self.lose(checked, cause);
            }
        }
    }
}

/// Maintains a connection until it is aborted.
async fn keep(shared: Arc<Shared>) {
    let clock = SystemClock::default();
    let (mut failures, mut told) = (0, Told::default());
    loop {
        match shared.dialer.connect(&shared.target).await {
            Ok(checked) => {
                let checked = Arc::new(checked);
                if told.returned() {
                    tracing::info!(server = %checked.address, "reconnected to Redis");
                }
                let since = clock.monotonic();
                shared.state.send_replace(State::Up(Arc::clone(&checked)));
                let after = shared.watch_over(&checked).await;
                shared.lost.notify_one();
                // An attempt has succeeded: the pauses start again.
                failures = 0;
                match after {
                    State::Reopening(unavailable) => {
                        // The next attempt shows whether the server is unavailable.
                        let cause = unavailable.to_string();
                        if let Some(unlogged) = repeats::due("redis connection", &cause) {
                            tracing::info!(error = %cause, unlogged, "connection to Redis lost; reconnecting");
                        }
                        if clock.monotonic().saturating_sub(since) >= BRIEF {
                            continue;
                        }
                    }
                    State::Down(unavailable) => told.absent(&unavailable),
                    State::Opening | State::Up(_) => {}
                }
            }
            Err(unavailable) => {
                told.absent(&unavailable);
                shared.state.send_replace(State::Down(unavailable));
            }
        }
        sleep(pause(failures)).await;
        failures += 1;
    }
}

/// What has been logged about a missing connection.
#[derive(Default)]
pub(super) struct Told {
    text: Option<String>,
    is_later: bool,
}

impl Told {
    /// Logs once why there is no connection, and again only if the operator has to act.
    ///
    /// A fault of the first attempt is not logged: the caller that opens the connection gets it, reports it, and does
    /// not start.
    pub(super) fn absent(&mut self, unavailable: &Unavailable) {
        let is_first = !std::mem::replace(&mut self.is_later, true);
        let text = unavailable.to_string();
        match unavailable {
            Unavailable::Fault(_) if !is_first && self.text.as_ref() != Some(&text) => {
                tracing::error!(error = %text, "Redis cannot be used; retrying");
            }
            Unavailable::Disconnected { .. } if self.text.is_none() => {
                tracing::warn!(error = %text, "Redis is unavailable; retrying");
            }
            _ => return,
        }
        self.text = Some(text);
    }

    /// Records that the connection is back. Returns true if its absence was logged.
    pub(super) fn returned(&mut self) -> bool {
        self.is_later = true;
        self.text.take().is_some()
    }
}

/// The pause after this number of failures.
pub(super) fn pause(failures: u32) -> Duration {
    let whole = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(LONGEST_PAUSE);
    whole.mul_f64(1.0 - rand::random::<f64>() / 2.0)
}
