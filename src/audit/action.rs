//! An administrative action under way.
//!
//! A change and its row in the trail are one transaction: whoever begins an action lets the work run
//! [`during`](Recording::during) it, and the store that makes the change asks for the [`current`] action and writes the
//! event beside the change. What no store has written by the end of the work (refused attempts, actions on sessions,
//! which may live in another store) is recorded by the one who began it.
//!
//! The action travels with the task, as [`crate::wait_budget`] does, and not through every signature: repositories are asked
//! by the login and by the service itself too, and those have nobody to name.

use std::{
    future::Future,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    AuditTrail,
    event::{Actor, AuditEvent, Kind, PENDING, SUCCESS},
};
use crate::{
    accounts::UserId,
    audit::AuditRepository,
    clock::{Clock, Timestamp},
    error::StoreError,
};

tokio::task_local! {
    static CURRENT: Action;
}

/// An action under way. Clones share it.
#[derive(Clone, Debug)]
pub struct Action {
    state: Arc<Mutex<State>>,
    audit: AdminAudit,
}

#[derive(Debug)]
struct State {
    event: AuditEvent,
    /// A store has written the event in the transaction of the change.
    written: bool,
}

/// The action under way, to say what it concerns.
#[must_use]
pub fn under_way() -> Option<Action> {
    CURRENT.try_with(Action::clone).ok()
}

/// The action under way, if it is one of this kind. For the store that makes the change.
#[must_use]
pub fn current(kind: Kind) -> Option<Action> {
    under_way().filter(|action| action.state().event.kind == kind)
}

/// Writes the row of the action under way before the action is carried out, with the outcome [`PENDING`]: for an action
/// on a store that cannot write the row itself. The end gives the row its outcome. Does nothing where no action of this
/// kind is under way.
///
/// # Errors
///
/// [`StoreError`] of the trail; then the action must not be carried out.
pub async fn announce(kind: Kind) -> Result<(), StoreError> {
    let Some(action) = current(kind) else {
        return Ok(());
    };
    let event = AuditEvent {
        at: action.audit.clock.now(),
        outcome: PENDING,
        announced: true,
        ..action.state().event.clone()
    };
    action.audit.repository.announce(&event).await?;
    action.state().event.announced = true;
    Ok(())
}

/// Work for another task that somebody here waits for: it goes on under the action of this one.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let action = under_way();
    async move {
        match action {
            Some(action) => CURRENT.scope(action, work).await,
            None => work.await,
        }
    }
}

impl Action {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names the account concerned.
    pub fn set_user(&self, id: UserId) {
        self.state().event.user_id = Some(id);
    }

    /// Names what else is concerned; see [`AuditEvent::target`].
    pub fn set_target(&self, target: String) {
        self.state().event.target = Some(target);
    }

    /// Says what is changed; see [`AuditEvent::detail`].
    pub fn set_detail(&self, detail: String) {
        self.state().event.detail = Some(detail);
    }

    /// The event to be written in the transaction of the change.
    #[must_use]
    pub fn succeeded(&self, at: Timestamp) -> AuditEvent {
        AuditEvent {
            at,
            outcome: SUCCESS,
            ..self.state().event.clone()
        }
    }

    /// The transaction that holds the event was committed.
    pub fn written(&self) {
        self.state().written = true;
    }
}

/// Begins administrative actions. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AdminAudit {
    trail: AuditTrail,
    repository: Arc<dyn AuditRepository>,
    clock: Arc<dyn Clock>,
}

impl AdminAudit {
    /// Actions that are recorded in `trail`, and announced in `repository`.
    #[must_use]
    pub fn new(
        trail: AuditTrail,
        repository: Arc<dyn AuditRepository>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            trail,
            repository,
            clock,
        }
    }

    /// Begins an action. It is recorded once, however it ends; dropped, its outcome is `cancelled`.
    #[must_use]
    pub fn begin(&self, kind: Kind, actor: Option<Actor>, address: Option<IpAddr>) -> Recording {
        let event = AuditEvent {
            actor,
            address,
            ..AuditEvent::new(kind, self.clock.now(), CANCELLED)
        };
        let state = State {
            event,
            written: false,
        };
        Recording {
            action: Action {
                state: Arc::new(Mutex::new(state)),
                audit: self.clone(),
            },
            is_open: true,
            only_if_written: false,
        }
    }

    /// Begins what the service itself does where it is due. It is recorded only if a store has written it beside the
    /// change: that nothing was due, or that it is tried again, is no action.
    #[must_use]
    pub fn begin_if_due(&self, kind: Kind) -> Recording {
        let mut recording = self.begin(kind, Some(Actor::System), None);
        recording.only_if_written = true;
        recording
    }
}

/// The outcome of an action whose work was dropped.
const CANCELLED: &str = "cancelled";

/// The outcome of an action whose work panicked.
const INTERNAL_ERROR: &str = "internal_error";

/// Records an action once, however it ends.
#[derive(Debug)]
pub struct Recording {
    action: Action,
    is_open: bool,
    only_if_written: bool,
}

impl Recording {
    /// The action, to say what it concerns.
    #[must_use]
    pub const fn action(&self) -> &Action {
        &self.action
    }

    /// Does `work` under this action. What `work` spawns is under none, unless it is [`carried`].
    pub fn during<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.action.clone(), work)
    }

    /// Records the outcome, unless a store has written the success beside the change.
    pub fn finish(mut self, outcome: &'static str) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: &'static str) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        let Action { audit, .. } = &self.action;
        let state = self.action.state();
        if self.only_if_written && !state.written {
            return;
        }
        let outcome = if state.written { SUCCESS } else { outcome };
        let event = AuditEvent {
            at: audit.clock.now(),
            outcome,
            ..state.event.clone()
        };
        if event.kind == Kind::AdminRead && outcome != FORBIDDEN {
            return;
        }
        if outcome == SUCCESS {
            log(&event);
        }
        if !state.written {
            audit.trail.record(event);
        }
    }
}

/// The outcome of an action that the role does not allow.
const FORBIDDEN: &str = "forbidden";

impl Drop for Recording {
    fn drop(&mut self) {
        self.end(if std::thread::panicking() {
            INTERNAL_ERROR
        } else {
            CANCELLED
        });
    }
}

/// Administrative actions are also log records. Who acted and which account is concerned is in the trail only: telemetry
/// names nobody.
fn log(event: &AuditEvent) {
    let by = match event.actor {
        Some(Actor::User(_)) => "user",
        Some(Actor::CommandLine { .. }) => "cli",
        Some(Actor::System) => "system",
        None => "-",
    };
    tracing::info!(
        kind = event.kind.as_str(),
        by,
        target = event.target.as_deref().unwrap_or_default(),
        detail = event.detail.as_deref().unwrap_or_default(),
        "administrative action"
    );
}
