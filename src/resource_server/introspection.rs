//! Tokens that the issuer looks at (RFC 7662).

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
use crate::services::{
    AuthFailure, Claims, SKEW, ServiceId, TokenVerifier, VerificationError, same_resource,
};

/// How long an answer is taken for true: a token that is revoked is refused within this, and what the issuer itself needs to
/// hear of it.
const KEPT: Duration = Duration::from_millis(500);

/// Tokens that are remembered, with what the issuer said of them.
const REMEMBERED: usize = 10_000;

/// Has the issuer verify tokens;
/// see [`ResourceServer::verify_by_introspection`](super::ResourceServer::verify_by_introspection).
///
/// It sees revocations, and services that were disabled or deleted, within a second: an answer is taken for true for half a
/// second, the issuer's replicas need as long to hear of it, and no answer outlives the token. A token costs one request to the
/// issuer in that time, whoever shows it how often.
///
/// * What has not the form of an access token is `malformed`, and the issuer is not asked.
/// * The issuer gives no reasons: any token that is not active is [`AuthFailure::RevokedToken`]. It may also have expired, be
///   signed by somebody else or be of a service that is gone. Who reads the token to find out would believe what a stranger
///   wrote, so nothing more precise is said. The issuer's own metrics have the reason.
/// * An active token that is for another audience is refused: the issuer knows that it is a token, not whose.
/// * An issuer that does not answer in time is [`StoreError::Unavailable`](crate::error::StoreError::Unavailable), never a yes.
/// * An issuer that does not accept our own credentials is [`AuthFailure::Internal`], and said once in the log.
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
        // RFC 6749, section 2.3.1: both are encoded before they are put together.
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

    /// Says once that the issuer does not accept us.
    fn log<T>(&self, said: &Result<T, Unanswered>) {
        let refused = matches!(said, Err(Unanswered::Refused(_)));
        if (refused || said.is_ok()) && self.refused.swap(refused, Relaxed) != refused {
            let (issuer, client) = (self.settings.issuer.name(), self.client.as_str());
            if refused {
                tracing::error!(
                    issuer,
                    client,
                    "the issuer refuses introspection; is this application registered there, and is its secret the one it has?"
                );
            } else {
                tracing::info!(issuer, client, "the issuer allows introspection again");
            }
        }
    }

    /// Whether what was said may still be taken for true.
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
        // Made here and not by the cache, whose own single flight would pass a failure on to the next one only.
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
