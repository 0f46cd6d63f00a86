//! Shared by both verifiers: the issuer, the audiences, the clock.

use std::sync::Arc;

use super::issuer::Issuer;
use skriptoteket_core::clock::Clock;
use skriptoteket_services::{
    AuthMetrics, Claims, Expected, ServiceId, TokenRejected, VerificationKeys,
};

/// The settings that both verifiers share.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) issuer: Issuer,
    pub(super) audiences: Vec<String>,
    pub(super) metrics: AuthMetrics,
    pub(super) clock: Arc<dyn Clock>,
}

impl Settings {
    /// Verifies a token for this application at the current time.
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

    /// Rejects a text that does not have the form of a token, before a request to the issuer.
    pub(super) fn check_form(&self, token: &str) -> Result<(), TokenRejected> {
        // Without keys only the form can be checked: a well-formed token names an unknown key, or none.
        match self.open(&VerificationKeys::default(), token) {
            Err(rejected) if !rejected.unknown_key => Err(rejected),
            _ => Ok(()),
        }
    }

    /// Admits a service that the issuer knows to its own series. Their number is bounded.
    pub(super) fn admit(&self, service: &ServiceId) {
        self.metrics.admit(service.as_str());
    }
}
