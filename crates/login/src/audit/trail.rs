//! The queue of the audit trail, and the task that writes it.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{AuditEvent, AuditMetrics, AuditRepository};
use skriptoteket_core::error::StoreError;

/// Maximum number of events waiting to be written. At 1,000 logins a second this bridges ten seconds of a store outage.
const QUEUE: usize = 10_000;

/// Places in the queue that rejected attempts of unauthenticated clients may not use, so that a flood of them does not
/// displace other events.
const RESERVED: usize = 2_000;

/// Number of events written in one step.
const BATCH: usize = 256;

/// Queues events for the task that writes them, without waiting. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuditTrail(Option<Queue>);

#[derive(Clone, Debug)]
struct Queue {
    events: mpsc::Sender<AuditEvent>,
    metrics: AuditMetrics,
}

/// The task that writes the trail. If it is dropped before its end, the events that it has not written count as
/// dropped.
#[derive(Debug)]
pub struct AuditWriter {
    queue: mpsc::Receiver<AuditEvent>,
    /// Events taken from the queue and not written yet.
    batch: Vec<AuditEvent>,
    repository: Arc<dyn AuditRepository>,
    metrics: AuditMetrics,
}

impl AuditTrail {
    /// Creates a trail and the writer that must run for it.
    #[must_use]
    pub fn new(repository: Arc<dyn AuditRepository>, metrics: AuditMetrics) -> (Self, AuditWriter) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let trail = Self(Some(Queue {
            events: sender,
            metrics: metrics.clone(),
        }));
        let writer = AuditWriter {
            queue: receiver,
            batch: Vec::with_capacity(BATCH),
            repository,
            metrics,
        };
        (trail, writer)
    }

    /// Creates a trail that keeps nothing, for an application without an audit trail.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Queues an event. Never waits and never fails: an event that does not fit into the queue is counted as dropped.
    pub fn record(&self, event: AuditEvent) {
        let Some(Queue { events, metrics }) = &self.0 else {
            return;
        };
        let is_anybodys = event.is_aggregated() && event.actor.is_none();
        let has_place = !is_anybodys || events.capacity() > RESERVED;
        if !has_place || events.try_send(event).is_err() {
            metrics.events_dropped(1);
        }
    }
}

impl AuditWriter {
    /// Writes events as they arrive, until every [`AuditTrail`] is dropped and the queue is empty.
    ///
    /// If the store is unavailable, the write is retried with growing pauses; meanwhile the queue fills.
    pub async fn run(mut self) {
        while self.queue.recv_many(&mut self.batch, BATCH).await > 0 {
            self.write(&self.batch).await;
            self.batch.clear();
        }
    }

    async fn write(&self, batch: &[AuditEvent]) {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.repository.append(batch).await {
            if !matches!(error, StoreError::Unavailable(_)) {
                // The store responds and rejects the events: retrying would not help.
                tracing::error!(
                    error.type = error.error_type(), error = error.explanation(), events = batch.len(),
                    "audit events lost: the store rejected them"
                );
                self.metrics.events_dropped(batch.len() as u64);
                return;
            }
            if pause == FIRST_PAUSE {
                tracing::warn!(
                    error.type = error.error_type(), error = error.explanation(), events = batch.len(),
                    "the audit trail could not be written; retrying until the store responds"
                );
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
        if pause > FIRST_PAUSE {
            tracing::info!("the audit trail can be written again");
        }
    }
}

impl Drop for AuditWriter {
    fn drop(&mut self) {
        // From here on, each caller of `record` counts its own dropped event.
        self.queue.close();
        let mut lost = self.batch.len() as u64;
        while self.queue.try_recv().is_ok() {
            lost += 1;
        }
        if lost > 0 {
            tracing::warn!(
                events = lost,
                "audit events lost: the writer of the audit trail ended before the queue was empty"
            );
            self.metrics.events_dropped(lost);
        }
    }
}

/// The pauses between retries of one batch: they double up to the maximum.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
