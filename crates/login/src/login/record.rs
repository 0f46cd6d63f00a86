//! Records one login attempt: its metrics and its audit event.

use std::{net::IpAddr, sync::Arc};

use super::{
    LoginFailure, LoginParts,
    metrics::{LoginAttempt, Outcome},
};
use crate::audit::{AuditEvent, AuditTrail, Kind, SUCCESS};
use skriptoteket_core::clock::Clock;

/// Counts an attempt and writes its audit event exactly once, whatever the exit.
pub(super) struct Record {
    attempt: Option<LoginAttempt>,
    pub(super) event: AuditEvent,
    audit: AuditTrail,
    clock: Arc<dyn Clock>,
}

impl Record {
    pub(super) fn begin(parts: &LoginParts, address: IpAddr) -> Self {
        Self {
            attempt: Some(parts.metrics.login_started()),
            event: AuditEvent {
                address: Some(address),
                ..AuditEvent::new(
                    Kind::Login,
                    parts.clock.now(),
                    LoginFailure::Cancelled.as_str(),
                )
            },
            audit: parts.audit.clone(),
            clock: Arc::clone(&parts.clock),
        }
    }

    pub(super) fn finish(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(attempt) = self.attempt.take() {
            self.event.at = self.clock.now();
            self.event.outcome = outcome.err().map_or(SUCCESS, LoginFailure::as_str);
            self.audit.record(self.event.clone());
            attempt.finish(outcome);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end(Err(LoginAttempt::failure_if_dropped()));
    }
}
