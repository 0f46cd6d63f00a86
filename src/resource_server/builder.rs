//! Configures the issuer and the audiences, and creates the verifiers.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use super::{
    IntrospectionVerifier, JwksVerifier, ResourceServerError, issuer::Issuer, settings::Settings,
};
use crate::{
    clock::{Clock, SystemClock},
    services::{AuthMetrics, ServiceId},
};

/// How long an issuer has for an answer if nothing else is set.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Bounds of that time: a request does not wait for longer than a minute.
const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_mins(1);

/// A resource server (RFC 6749, section 1.1) that accepts the access tokens of a Skriptoteket. Creates the verifiers for its [`BearerAuthenticator`](crate::services::BearerAuthenticator).
///
/// See [the module](super) for an example.
#[derive(Clone, Debug)]
#[must_use = "it makes a verifier only when told which"]
pub struct ResourceServer {
    issuer: String,
    audiences: Vec<String>,
    metrics: AuthMetrics,
    timeout: Duration,
    clock: Option<Arc<dyn Clock>>,
}

impl ResourceServer {
    /// An application that accepts the tokens of `issuer`, the URL of a Skriptoteket as it stands in its tokens (`public_url`).
    /// Services whose tokens the issuer has signed get series of their own in `metrics`.
    pub fn of(issuer: impl Into<String>, metrics: AuthMetrics) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: Vec::new(),
            metrics,
            timeout: TIMEOUT,
            clock: None,
        }
    }

    /// Accepts tokens for this audience, as the issuer has it in `token_audiences`; see [`same_resource`]. At least one is
    /// needed; each further one is accepted too.
    ///
    /// [`same_resource`]: crate::services::same_resource
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// The issuer has this long for each whole answer, from 10 ms to 1 min; 2 s if nothing is said.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Takes the time from here; from the machine's clocks if nothing is said.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Verifies tokens here, with the public keys of the issuer. Asks nobody yet.
    ///
    /// # Errors
    ///
    /// [`ResourceServerError`].
    pub fn verify_locally(self) -> Result<JwksVerifier, ResourceServerError> {
        Ok(JwksVerifier::new(self.into_settings()?))
    }

    /// Has the issuer verify tokens. This application is a service of its own there, with an id and a secret. Asks nobody yet.
    ///
    /// # Errors
    ///
    /// [`ResourceServerError`].
    pub fn verify_by_introspection(
        self,
        client_id: &str,
        client_secret: SecretString,
    ) -> Result<IntrospectionVerifier, ResourceServerError> {
        let client: ServiceId = client_id.parse()?;
        let visible = |it: u8| it.is_ascii_graphic();
        let secret = client_secret.expose_secret();
        if secret.is_empty() || !secret.bytes().all(visible) {
            return Err(ResourceServerError::ClientSecret);
        }
        let settings = self.into_settings()?;
        Ok(IntrospectionVerifier::new(settings, client, client_secret))
    }

    fn into_settings(self) -> Result<Settings, ResourceServerError> {
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return Err(ResourceServerError::NoAudience);
        }
        if !TIMEOUTS.contains(&self.timeout) {
            return Err(ResourceServerError::Timeout);
        }
        Ok(Settings {
            issuer: Issuer::new(&self.issuer, self.timeout)?,
            audiences: self.audiences,
            metrics: self.metrics,
            clock: self
                .clock
                .unwrap_or_else(|| Arc::new(SystemClock::default())),
        })
    }
}
