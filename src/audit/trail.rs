//! The queue of the audit trail, and the task that writes it.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{AuditEvent, AuditMetrics, AuditRepository};
use crate::error::StoreError;

/// How many events may wait to be written. At 1,000 logins a second this is ten seconds of a store that is away.
const QUEUE: usize = 10_000;

/// How much of the queue is left free by refused attempts of clients that are not logged in: a flood of them does not drive
/// out what others do.
const RESERVED: usize = 2_000;

/// How many events are written in one step.
const BATCH: usize = 256;

/// Hands events to the one task that writes them, without waiting. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AuditTrail {
    queue: mpsc::Sender<AuditEvent>,
    metrics: AuditMetrics,
}

/// The task that writes the trail. Dropped before it has come to its end, it counts what it has not written as dropped.
#[derive(Debug)]
pub struct AuditWriter {
    queue: mpsc::Receiver<AuditEvent>,
    /// What was taken from the queue and is not written yet.
    batch: Vec<AuditEvent>,
    repository: Arc<dyn AuditRepository>,
    metrics: AuditMetrics,
}

impl AuditTrail {
    /// A trail and the writer that must run for it.
    #[must_use]
    pub fn new(repository: Arc<dyn AuditRepository>, metrics: AuditMetrics) -> (Self, AuditWriter) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let trail = Self {
            queue: sender,
            metrics: metrics.clone(),
        };
        let writer = AuditWriter {
            queue: receiver,
            batch: Vec::with_capacity(BATCH),
            repository,
            metrics,
        };
        (trail, writer)
    }

    /// Queues an event. Never waits and never fails: what finds no place in the queue is counted as dropped.
    pub fn record(&self, event: AuditEvent) {
        let is_anybodys = event.is_aggregated() && event.actor.is_none();
        let has_place = !is_anybodys || self.queue.capacity() > RESERVED;
        if !has_place || self.queue.try_send(event).is_err() {
            self.metrics.events_dropped(1);
        }
    }
}

impl AuditWriter {
    /// Writes events as they come, until every [`AuditTrail`] is gone and the queue is empty.
    ///
    /// What the store does not take is tried again, with growing pauses; meanwhile the queue fills.
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
                // The store answers and does not want them: it will not tomorrow.
                tracing::error!(
                    error.type = error.error_type(), error = error.explanation(), events = batch.len(),
                    "audit events are lost: the store does not take them"
                );
                self.metrics.events_dropped(batch.len() as u64);
                return;
            }
            if pause == FIRST_PAUSE {
                tracing::warn!(
                    error.type = error.error_type(), error = error.explanation(), events = batch.len(),
                    "the audit trail could not be written; it is tried until the store answers"
                );
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
        if pause > FIRST_PAUSE {
            tracing::info!("the audit trail is written again");
        }
    }
}

impl Drop for AuditWriter {
    fn drop(&mut self) {
        // From here on whoever records counts their own.
        self.queue.close();
        let mut lost = self.batch.len() as u64;
        while self.queue.try_recv().is_ok() {
            lost += 1;
        }
        if lost > 0 {
            tracing::warn!(
                events = lost,
                "audit events are lost: the audit trail was not written to its end"
            );
            self.metrics.events_dropped(lost);
        }
    }
}

/// The pauses between tries of one batch: they double up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
