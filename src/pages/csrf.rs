//! Tokens against cross-site request forgery: the HMAC-based token pattern of OWASP.
//!
//! Every form of a logged-in user has a token that depends on the session. It complements the check of the request's
//! origin, which the API has too.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::sessions::SessionId;

/// The key of the tokens. Cheap to clone.
#[derive(Clone)]
pub(super) struct CsrfKey(Hmac<Sha256>);

impl fmt::Debug for CsrfKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsrfKey(…)")
    }
}

impl CsrfKey {
    /// Derives the key from the key material of the session cookie, which replicas share.
    pub(super) fn derive(material: &[u8]) -> Self {
        // Hashed to the block length first, which every HMAC accepts.
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        let hash = Sha256::new_with_prefix(b"skriptoteket csrf key")
            .chain_update(material)
            .finalize();
        block[..32].copy_from_slice(&hash);
        Self(Hmac::new(&block))
    }

    /// Returns the token of the forms of this session.
    pub(super) fn token(&self, session: &SessionId) -> String {
        let mut mac = self.0.clone();
        mac.update(session.as_str().as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// Returns whether this is the token of the forms of this session. Takes the same time for all tokens.
    pub(super) fn accepts(&self, token: &str, session: &SessionId) -> bool {
        let mut mac = self.0.clone();
        mac.update(session.as_str().as_bytes());
        let token = URL_SAFE_NO_PAD.decode(token);
        token.is_ok_and(|token| mac.verify_slice(&token).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{accounts::UserId, sessions::SessionKey};

    #[test]
    fn a_token_is_good_for_its_session_and_key_only() {
        let key = CsrfKey::derive(b"key material");
        let user = UserId::generate();
        let (one, other) = (
            SessionKey::generate(user).id(),
            SessionKey::generate(user).id(),
        );
        let token = key.token(&one);
        assert!(key.accepts(&token, &one));
        assert!(!key.accepts(&token, &other));
        assert!(!CsrfKey::derive(b"another").accepts(&token, &one));
        for bad in ["", "x", &token[1..], &format!("{token}A"), "é"] {
            assert!(!key.accepts(bad, &one), "{bad}");
        }
    }
}
