//! Administrative actions in progress.
//!
//! A change and its audit row are written in one transaction. The caller that begins an action runs the work
//! [`during`](Recording::during) it; the store that performs the change reads the [`current`] action and writes the
//! event together with the change. If no store has written the event by the end of the work (rejected attempts, or
//! actions on sessions, which may be in another store), the caller that began the action records it.
//!
//! The action is carried by the task ([`detached::scope`]), and not by every signature: repositories are also
//! called by the login and by the service itself, which have no actor to pass.

use std::{
    future::Future,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{
    AuditTrail,
    event::{Actor, AuditEvent, PENDING, SUCCESS},
    kind::Kind,
};
use crate::{accounts::UserId, audit::AuditRepository};
use skriptoteket_core::{
    clock::{Clock, Timestamp},
    detached,
    error::StoreError,
};

/// An action in progress. Clones share its state.
#[derive(Clone, Debug)]
pub struct Action {
    state: Arc<Mutex<State>>,
    audit: AdminAudit,
}

#[derive(Debug)]
struct State {
    event: AuditEvent,
    /// True once a store has written the event in the transaction of the change.
    written: bool,
}

/// Returns the action in progress, so that its target can be set.
#[must_use]
pub fn under_way() -> Option<Action> {
    detached::value::<Action>().map(|action| Action::clone(&action))
}

/// Returns the action in progress if it is of this kind. For the store that performs the change.
#[must_use]
pub fn current(kind: Kind) -> Option<Action> {
    under_way().filter(|action| action.state().event.kind == kind)
}

/// Writes the row of the current action with the outcome [`PENDING`] before the action is carried out. Used for actions
/// on a store that cannot write the row itself. The row gets its outcome at the end of the action. Does nothing if no
/// action of this kind is in progress.
///
/// # Errors
///
/// [`StoreError`] of the audit trail; the action must not be carried out then.
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

impl Action {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the account concerned.
    pub fn set_user(&self, id: UserId) {
        self.state().event.user_id = Some(id);
    }

    /// Sets what else is concerned; see [`AuditEvent::target`].
    pub fn set_target(&self, target: String) {
        self.state().event.target = Some(target);
    }

    /// Sets what was changed; see [`AuditEvent::detail`].
    pub fn set_detail(&self, detail: String) {
        self.state().event.detail = Some(detail);
    }

    /// Returns the event to write in the transaction of the change.
    #[must_use]
    pub fn succeeded(&self, at: Timestamp) -> AuditEvent {
        AuditEvent {
            at,
            outcome: SUCCESS,
            ..self.state().event.clone()
        }
    }

    /// Notes that the transaction that contains the event was committed.
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
    /// Creates an audit that records actions in `trail` and announces them in `repository`.
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

    /// Begins an action. It is recorded exactly once; if dropped, with the outcome `cancelled`.
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

    /// Begins an action that the service performs when it is due. It is recorded only if a store has written it
    /// together with the change: a check that finds nothing due, or a retry, is not an action.
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

/// Records an action exactly once.
#[derive(Debug)]
pub struct Recording {
    action: Action,
    is_open: bool,
    only_if_written: bool,
}

impl Recording {
    /// Returns the action, so that its target can be set.
    #[must_use]
    pub const fn action(&self) -> &Action {
        &self.action
    }

    /// Runs `work` under this action. Tasks that `work` spawns run under no action, unless they are [`detached::carried`].
    pub fn during<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        detached::scope(Arc::new(self.action.clone()), work)
    }

    /// Records the outcome, unless a store has written the success together with the change.
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

/// Writes administrative actions to the log, too. The actor and the account concerned are in the audit trail only:
/// telemetry contains no identities.
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
