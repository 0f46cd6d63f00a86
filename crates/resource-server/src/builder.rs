//! Configures the issuer and the audiences, and creates the verifiers.

use std::{sync::Arc, time::Duration};

use secrecy::{ExposeSecret, SecretString};

use super::{
    IntrospectionVerifier, JwksVerifier, ResourceServerError, issuer::Issuer, settings::Settings,
};
use skriptoteket_core::clock::{Clock, SystemClock};
use skriptoteket_services::{AuthMetrics, ServiceId};

/// The default timeout for a response of the issuer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The range of that timeout: a request waits for a minute at most.
const TIMEOUTS: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(10)..=Duration::from_mins(1);

/// A resource server (RFC 6749, section 1.1) that accepts the access tokens of a Skriptoteket. Creates the verifiers
/// for its [`BearerAuthenticator`](skriptoteket_services::BearerAuthenticator).
///
/// See [the module](super) for an example.
#[derive(Clone, Debug)]
#[must_use = "it creates a verifier only by verify_locally or verify_by_introspection"]
pub struct ResourceServer {
    issuer: String,
    audiences: Vec<String>,
    metrics: AuthMetrics,
    timeout: Duration,
    clock: Option<Arc<dyn Clock>>,
}

impl ResourceServer {
    /// Creates a resource server that accepts the tokens of `issuer`, the URL of a Skriptoteket as in its tokens
    /// (`public_url`). Services whose tokens the issuer has signed get their own series in `metrics`.
    pub fn of(issuer: impl Into<String>, metrics: AuthMetrics) -> Self {
        Self {
            issuer: issuer.into(),
            audiences: Vec::new(),
            metrics,
            timeout: TIMEOUT,
            clock: None,
        }
    }

    /// Accepts tokens for this audience, as configured in the issuer's `token_audiences`; see [`same_resource`]. At
    /// least one is required; each further one is accepted too.
    ///
    /// [`same_resource`]: skriptoteket_services::same_resource
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Sets the timeout for each complete response of the issuer, from 10 ms to 1 min; the default is 2 s.
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the clock; the default is the system clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Creates a verifier that checks tokens locally with the issuer's public keys. Sends no request yet.
    ///
    /// # Errors
    ///
    /// [`ResourceServerError`].
    pub fn verify_locally(self) -> Result<JwksVerifier, ResourceServerError> {
        Ok(JwksVerifier::new(self.into_settings()?))
    }

    /// Creates a verifier that asks the issuer about tokens. This application has to be registered there as a service,
    /// with an id and a secret. Sends no request yet.
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
