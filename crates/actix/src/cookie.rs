//! The session cookie: its name, its attributes, its key.

use std::{fmt, time::Duration};

use actix_web::{
    cookie::{Cookie, CookieJar, Key, SameSite, time::Duration as CookieDuration},
    http::header::HeaderValue,
};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use url::Url;

use skriptoteket_sessions::SessionKey;

/// Name over https. The prefix makes browsers accept the cookie only from this host and only over TLS.
pub const SECURE_NAME: &str = "__Host-skriptoteket";
/// Name over plain http, where browsers reject `Secure` cookies; used only on loopback.
pub const PLAIN_NAME: &str = "skriptoteket";

/// Attributes and encryption key of the session cookie. Cheap to clone.
#[derive(Clone)]
pub struct CookieSettings {
    name: &'static str,
    secure: bool,
    key: Key,
}

impl fmt::Debug for CookieSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieSettings")
            .field("secure", &self.secure)
            .finish_non_exhaustive()
    }
}

impl CookieSettings {
    /// Settings of cookies encrypted under keys derived from `key`, for the origin that browsers see: `Secure` unless
    /// that origin is plain http.
    #[must_use]
    pub fn new(key: &SecretString, public_url: &Url) -> Self {
        let secure = public_url.scheme() != "http";
        Self {
            name: if secure { SECURE_NAME } else { PLAIN_NAME },
            secure,
            key: derive(key.expose_secret().as_bytes()),
        }
    }

    /// Returns the name of the cookie.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Replaces the name. Over https it gets the prefix `__Host-`. The name is kept for as long as the process runs.
    #[cfg(feature = "builder")]
    pub(crate) fn named(self, name: &str) -> Self {
        let prefix = if self.secure { "__Host-" } else { "" };
        Self {
            name: Box::leak(format!("{prefix}{name}").into_boxed_str()),
            ..self
        }
    }

    /// Returns whether the cookie is sent over https only.
    #[must_use]
    pub const fn secure(&self) -> bool {
        self.secure
    }

    /// Returns the encryption key.
    pub(super) fn key(&self) -> Key {
        self.key.clone()
    }

    /// Returns the `Set-Cookie` value for this key, as the session middleware would create it. With `max_age` the
    /// cookie outlives the browser's session.
    pub(super) fn carrying(
        &self,
        key: &SessionKey,
        max_age: Option<Duration>,
    ) -> Option<HeaderValue> {
        let mut cookie = self.with_value(key.expose().to_owned());
        if let Some(max_age) = max_age {
            let seconds = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
            cookie.set_max_age(CookieDuration::seconds(seconds));
        }
        let mut jar = CookieJar::new();
        jar.private_mut(&self.key).add(cookie);
        let encrypted = jar.delta().next()?.encoded().to_string();
        HeaderValue::from_str(&encrypted).ok()
    }

    /// Returns a cookie that removes the session cookie.
    pub(super) fn removal(&self) -> Cookie<'static> {
        let mut cookie = self.with_value(String::new());
        cookie.make_removal();
        cookie
    }

    fn with_value(&self, value: String) -> Cookie<'static> {
        Cookie::build(self.name(), value)
            .path("/")
            .secure(self.secure)
            .http_only(true)
            .same_site(SameSite::Lax)
            .finish()
    }
}

/// Derives 64 bytes from key material of any length, for this purpose only: the same material also keys the login
/// guard.
fn derive(material: &[u8]) -> Key {
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block[..32].copy_from_slice(&Sha256::digest(material));
    let expand = |label: &[u8]| {
        let mut mac = Hmac::<Sha256>::new(&block);
        mac.update(label);
        mac.finalize().into_bytes()
    };
    let mut key = [0; 64];
    key[..32].copy_from_slice(&expand(b"skriptoteket session cookie 1"));
    key[32..].copy_from_slice(&expand(b"skriptoteket session cookie 2"));
    Key::from(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str, key: &str) -> CookieSettings {
        CookieSettings::new(&key.into(), &url.parse().unwrap())
    }

    #[test]
    fn https_has_the_host_prefix_and_what_it_demands() {
        let removal = settings("https://login.example", "k").removal();
        assert_eq!(removal.name(), "__Host-skriptoteket");
        assert_eq!(removal.secure(), Some(true));
        assert_eq!((removal.path(), removal.domain()), (Some("/"), None));
    }

    #[test]
    fn plain_http_is_not_secure_and_has_no_prefix() {
        let plain = settings("http://127.0.0.1:8080", "k");
        assert_eq!((plain.name(), plain.secure()), ("skriptoteket", false));
        assert_ne!(plain.removal().secure(), Some(true));
    }

    #[test]
    fn other_key_material_gives_another_key_and_none_is_shown() {
        let key = |material: &str| settings("https://a.example", material).key();
        assert_eq!(key("one").master(), key("one").master());
        assert_ne!(key("one").master(), key("two").master());
        let shown = format!("{:?}", settings("https://a.example", "material"));
        assert!(!shown.contains("material"), "{shown}");
    }
}
