//! Tokens looked at with the issuer's public keys.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use quick_cache::sync::Cache;

use super::{
    issuer::Unanswered,
    keys::{KeySet, Keys},
    settings::Settings,
};
use crate::{
    error::StoreError,
    services::{AuthFailure, Claims, SKEW, TokenRejected, TokenVerifier, VerificationError},
};

/// Tokens whose signature is remembered to be right. A token and its claims take about a kilobyte.
const REMEMBERED: usize = 10_000;

/// Verifies tokens here, with the issuer's public keys; see [`ResourceServer::verify_locally`](super::ResourceServer::verify_locally).
///
/// A token that was seen before costs a look-up, another one a signature check: tens of microseconds. The issuer is asked for
/// its keys only, and any number of verifications that need them wait for one answer.
///
/// * Keys are fetched when the first token comes, and again after five minutes, or after what the issuer's `max-age` says,
///   within 30 s and 24 h.
/// * A token that names an unknown key has them fetched at most once per second, so a rotation is seen at once and made-up keys
///   do not make this hammer the issuer.
/// * Where the issuer does not answer, the keys that were fetched last stay in use until they are 24 hours old. That is said once
///   in the log. A token that names a key which is not among them, or any token where there are none, is
///   [`StoreError::Unavailable`]: nobody knows.
/// * A key that the issuer takes back is refused from the next fetch on, with all tokens that it had signed.
///
/// **It does not see that a token was revoked, or that a service was disabled or deleted**: such a token is let in until it
/// expires. Who has to know asks the issuer:
/// [`ResourceServer::verify_by_introspection`](super::ResourceServer::verify_by_introspection).
pub struct JwksVerifier {
    settings: Settings,
    keys: Keys,
    remembered: Cache<Box<str>, Remembered>,
}

/// A token that was opened with these keys.
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
                // Its signature is right: the issuer knows that service, or did.
                if let Some(service) = &rejected.claims_service {
                    self.settings.admit(service);
                }
                Err(rejected)
            }
        }
    }

    /// What can change after a token was opened: the time.
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

/// Without keys nobody knows, whatever the reason; the log has it.
fn no_keys(why: Unanswered) -> AuthFailure {
    AuthFailure::Store(StoreError::Unavailable(why.into()))
}

#[async_trait]
impl TokenVerifier for JwksVerifier {
    fn verify_cached(&self, token: &str) -> Option<Result<Arc<Claims>, VerificationError>> {
        let keys = self.keys.at_hand()?;
        match self.open(&keys, token) {
            // The key may have just come.
            Err(rejected) if rejected.unknown_key => None,
            opened => Some(opened.map_err(VerificationError::from)),
        }
    }

    async fn verify(&self, token: &str) -> Result<Arc<Claims>, VerificationError> {
        // What has not the form of a token needs no keys.
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
