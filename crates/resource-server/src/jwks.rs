//! Token verification with the issuer's public keys.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use quick_cache::sync::Cache;

use super::{
    issuer::Unanswered,
    keys::{KeySet, Keys},
    settings::Settings,
};
use skriptoteket_core::error::StoreError;
use skriptoteket_services::{
    AuthFailure, Claims, SKEW, TokenRejected, TokenVerifier, VerificationError,
};

/// Number of tokens whose valid signature is remembered. A token and its claims take about a kilobyte.
const REMEMBERED: usize = 10_000;

/// Verifies tokens locally, with the issuer's public keys; see
/// [`ResourceServer::verify_locally`](super::ResourceServer::verify_locally).
///
/// A token that was seen before costs a look-up, a new one a signature check: tens of microseconds. The issuer is asked
/// only for its keys, and all concurrent verifications that need them wait for one response.
///
/// * Keys are fetched with the first token, and again after five minutes, or after the issuer's `max-age`, within 30 s
///   and 24 h.
/// * A token with an unknown key triggers a fetch at most once per second. So a rotation is seen at once, and tokens
///   with invented keys do not flood the issuer with requests.
/// * If the issuer does not respond, the keys that were fetched last stay in use until they are 24 hours old. This is
///   logged once. A token whose key is not among them, or any token if there are no keys, results in
///   [`StoreError::Unavailable`], because its validity is unknown.
/// * A key that the issuer withdraws is rejected from the next fetch on, with all tokens that it has signed.
///
/// **It does not detect that a token was revoked, or that a service was disabled or deleted**: such a token is accepted
/// until it expires. An application that has to detect this verifies by introspection:
/// [`ResourceServer::verify_by_introspection`](super::ResourceServer::verify_by_introspection).
pub struct JwksVerifier {
    settings: Settings,
    keys: Keys,
    remembered: Cache<Box<str>, Remembered>,
}

/// A token that was verified with these keys.
#[derive(Clone)]
struct Remembered {
    keys: Arc<KeySet>,
    claims: Arc<Claims>,
}

impl fmt::Debug for JwksVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JwksVerifier").field(&self.settings).finish()
    }
}

impl JwksVerifier {
    pub(super) fn new(settings: Settings) -> Self {
        let keys = Keys::new(settings.issuer.clone(), Arc::clone(&settings.clock));
        Self {
            settings,
            keys,
            remembered: Cache::new(REMEMBERED),
        }
    }

    fn open(&self, keys: &Arc<KeySet>, token: &str) -> Result<Arc<Claims>, TokenRejected> {
        let remembered = self.remembered.get(token);
        if let Some(it) = remembered.filter(|it| Arc::ptr_eq(&it.keys, keys)) {
            return self.still(it.claims);
        }
        match self.settings.open(&keys.keys, token) {
            Ok(claims) => {
                self.settings.admit(&claims.service);
                let claims = Arc::new(claims);
                let remembered = Remembered {
                    keys: Arc::clone(keys),
                    claims: Arc::clone(&claims),
                };
                self.remembered.insert(token.into(), remembered);
                Ok(claims)
            }
            Err(rejected) => {
                // Its signature is valid: the issuer knows this service, or did.
                if let Some(service) = &rejected.claims_service {
                    self.settings.admit(service);
                }
                Err(rejected)
            }
        }
    }

    /// Checks what can change after a token was verified: the time.
    fn still(&self, claims: Arc<Claims>) -> Result<Arc<Claims>, TokenRejected> {
        if claims.expires_at.plus(SKEW) > self.settings.clock.now() {
            return Ok(claims);
        }
        Err(TokenRejected {
            claims_service: Some(claims.service.clone()),
            unknown_key: false,
            why: AuthFailure::ExpiredToken,
        })
    }
}

/// Without keys the validity is unknown, whatever the reason; the log has the reason.
fn no_keys(why: Unanswered) -> AuthFailure {
    AuthFailure::Store(StoreError::Unavailable(why.into()))
}

#[async_trait]
impl TokenVerifier for JwksVerifier {
    fn verify_cached(&self, token: &str) -> Option<Result<Arc<Claims>, VerificationError>> {
        let keys = self.keys.cached()?;
        match self.open(&keys, token) {
            // The key may be new.
            Err(rejected) if rejected.unknown_key => None,
            opened => Some(opened.map_err(VerificationError::from)),
        }
    }

    async fn verify(&self, token: &str) -> Result<Arc<Claims>, VerificationError> {
        // A text that does not have the form of a token needs no keys.
        self.settings.check_form(token)?;
        let keys = self.keys.get().await.map_err(no_keys)?;
        match self.open(&keys, token) {
            Err(rejected) if rejected.unknown_key => {
                let keys = self.keys.of_late().await.map_err(no_keys)?;
                Ok(self.open(&keys, token)?)
            }
            opened => Ok(opened?),
        }
    }
}
