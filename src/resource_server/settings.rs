//! What both verifiers need: the issuer, the audiences, the clock.

use std::sync::Arc;

use super::issuer::Issuer;
use crate::{
    clock::Clock,
    services::{AuthMetrics, Claims, Expected, ServiceId, TokenRejected, VerificationKeys},
};

/// What both verifiers have.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) issuer: Issuer,
    pub(super) audiences: Vec<String>,
    pub(super) metrics: AuthMetrics,
    pub(super) clock: Arc<dyn Clock>,
}

impl Settings {
    /// Opens a token that is to be for us, now.
    pub(super) fn open(
        &self,
        keys: &VerificationKeys,
        token: &str,
    ) -> Result<Claims, TokenRejected> {
        let audiences: Vec<&str> = self.audiences.iter().map(String::as_str).collect();
        let expected = Expected {
            issuer: self.issuer.name(),
            audiences: &audiences,
        };
        keys.open(token, self.clock.now(), &expected)
    }

    /// Refuses what has not the form of a token, so that nobody is asked about it.
    pub(super) fn check_form(&self, token: &str) -> Result<(), TokenRejected> {
        // Where there are no keys nothing fits but the form: a token that has it names an unknown key, or none.
        match self.open(&VerificationKeys::default(), token) {
            Err(rejected) if !rejected.unknown_key => Err(rejected),
            _ => Ok(()),
        }
    }

    /// Gives a service that the issuer knows series of its own. How many there can be is bounded.
    pub(super) fn admit(&self, service: &ServiceId) {
        self.metrics.admit(service.as_str());
    }
}
