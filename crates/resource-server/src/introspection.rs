//! Token verification by introspection (RFC 7662).

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_trait::async_trait;
use quick_cache::sync::Cache;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::Serializer;

use super::{
    introspection_response::IntrospectionResponse,
    issuer::{Unanswered, answer, text},
    settings::Settings,
    single_flight::{Completed, SingleFlight},
};
use skriptoteket_services::{
    AuthFailure, Claims, SKEW, ServiceId, TokenVerifier, VerificationError, same_resource,
};

/// How long a response is considered current: a revoked token is rejected within this, plus the time until the issuer's
/// replicas see the revocation.
const KEPT: Duration = Duration::from_millis(500);

/// Number of tokens whose introspection response is remembered.
const REMEMBERED: usize = 10_000;

/// Verifies tokens by asking the issuer; see
/// [`ResourceServer::verify_by_introspection`](super::ResourceServer::verify_by_introspection).
///
/// It detects revocations, and services that were disabled or deleted, within a second: a response is considered
/// current for half a second, the issuer's replicas need as long to see the change, and no response outlives the token.
/// A token costs one request to the issuer in that time, however often and by whichever client it is presented.
///
/// * A text that does not have the form of an access token is `malformed`, and the issuer is not asked.
/// * The issuer gives no reasons: any token that is not active is [`AuthFailure::RevokedToken`]. It may also have
///   expired, have another signer, or belong to a service that no longer exists. Reading the token for the reason would
///   mean trusting unverified text, so no more precise reason is given. The issuer's own metrics have it.
/// * An active token for another audience is rejected: the issuer only knows that the token is valid, not for which
///   application.
/// * If the issuer does not respond in time, the result is
///   [`StoreError::Unavailable`](skriptoteket_core::error::StoreError::Unavailable); the token is never accepted.
/// * If the issuer rejects the application's own credentials, the result is [`AuthFailure::Internal`], and this is
///   logged once.
pub struct IntrospectionVerifier {
    settings: Settings,
    client: ServiceId,
    secret: SecretString,
    asked: Cache<String, Arc<SingleFlight<Arc<IntrospectionResponse>>>>,
    refused: AtomicBool,
}

impl fmt::Debug for IntrospectionVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntrospectionVerifier")
            .field("settings", &self.settings)
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

impl IntrospectionVerifier {
    pub(super) fn new(settings: Settings, client: ServiceId, secret: SecretString) -> Self {
        Self {
            settings,
            client,
            secret,
            asked: Cache::new(REMEMBERED),
            refused: AtomicBool::new(false),
        }
    }

    async fn ask(&self, token: &str) -> Result<Arc<IntrospectionResponse>, Unanswered> {
        let form = Serializer::new(String::new())
            .append_pair("token", token)
            .append_pair("token_type_hint", "access_token")
            .finish();
        // RFC 6749, section 2.3.1: both are encoded before they are joined.
        let encoded =
            |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let secret = encoded(self.secret.expose_secret());
        let request = self
            .settings
            .issuer
            .post("/oauth2/introspect")
            .basic_auth(encoded(self.client.as_str()), Some(secret))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .body(form);
        let said = async { text(answer(request).await?).await }.await;
        self.log(&said);
        IntrospectionResponse::read(&said?).map(Arc::new)
    }

    /// Logs once that the issuer rejects the credentials, and once that it accepts them again.
    fn log<T>(&self, said: &Result<T, Unanswered>) {
        let refused = matches!(said, Err(Unanswered::Refused(_)));
        if (refused || said.is_ok()) && self.refused.swap(refused, Relaxed) != refused {
            let (issuer, client) = (self.settings.issuer.name(), self.client.as_str());
            if refused {
                tracing::error!(
                    issuer,
                    client,
                    "the issuer rejects introspection requests; check the registration and the secret of this application"
                );
            } else {
                tracing::info!(
                    issuer,
                    client,
                    "the issuer accepts introspection requests again"
                );
            }
        }
    }

    /// Returns whether the response is still considered current.
    fn holds(&self, completed: &Completed<Arc<IntrospectionResponse>>) -> bool {
        let age = self
            .settings
            .clock
            .monotonic()
            .saturating_sub(completed.asked_at);
        let lives = |response: &IntrospectionResponse| match response {
            IntrospectionResponse::Active(claims) => self.settings.clock.now() < claims.expires_at,
            IntrospectionResponse::Inactive => true,
        };
        age < KEPT && completed.outcome.as_ref().is_ok_and(|it| lives(it))
    }

    fn judge(&self, response: &IntrospectionResponse) -> Result<Arc<Claims>, VerificationError> {
        let IntrospectionResponse::Active(claims) = response else {
            return Err(AuthFailure::RevokedToken.into());
        };
        let own = &self.settings.audiences;
        let for_us = |audience: &String| own.iter().any(|it| same_resource(it, audience));
        let ours = claims.issuer == self.settings.issuer.name();
        let failure = if !ours || !claims.audiences.iter().any(for_us) {
            AuthFailure::WrongAudience
        } else if claims.expires_at.plus(SKEW) <= self.settings.clock.now() {
            AuthFailure::ExpiredToken
        } else {
            return Ok(Arc::clone(claims));
        };
        Err(VerificationError {
            service: Some(claims.service.clone()),
            failure,
        })
    }
}

#[async_trait]
impl TokenVerifier for IntrospectionVerifier {
    fn verify_cached(&self, token: &str) -> Option<Result<Arc<Claims>, VerificationError>> {
        let last = self.asked.get(token)?.last();
        let response = last.filter(|it| self.holds(it))?.outcome.ok()?;
        Some(self.judge(&response))
    }

    async fn verify(&self, token: &str) -> Result<Arc<Claims>, VerificationError> {
        self.settings.check_form(token)?;
        // Done here and not by the cache, whose single flight would pass a failure on to only one waiting caller.
        let asked = self
            .asked
            .get_or_insert_with(token, || Ok::<_, std::convert::Infallible>(Arc::default()));
        let flight: Arc<SingleFlight<_>> = asked.unwrap_or_default();
        let enough = |completed: &Completed<_>| self.holds(completed);
        let clock = &*self.settings.clock;
        let completed = flight.ask(clock, enough, self.ask(token)).await;
        let response = completed.outcome.map_err(AuthFailure::from)?;
        if let IntrospectionResponse::Active(claims) = &*response {
            self.settings.admit(&claims.service);
        }
        self.judge(&response)
    }
}
