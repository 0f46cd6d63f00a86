//! Who a service is.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

use super::{Credential, LimitChange, LimitPolicy, OTHER_SERVICE, credential::SecretDigest};
use crate::clock::Timestamp;

/// Names a service: 1 to 64 lower-case letters, digits or `. _ -`, from a letter to a letter or digit. It is the service's
/// `client_id` and the value of the `service_id` label. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(Arc<str>);

/// The text is no id of a service.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a service id: expected 1 to 64 lower-case letters, digits or . _ -, from a letter to a letter or digit"
)]
pub struct InvalidServiceId;

impl ServiceId {
    /// The longest id, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as text that can be kept.
    #[must_use]
    pub fn to_arc(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for ServiceId {
    type Err = InvalidServiceId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let fits = text.len() <= Self::MAX_BYTES
            && text.chars().all(allowed)
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric());
        // It begins with a letter, so it is not the label of all others.
        debug_assert!(!fits || text != OTHER_SERVICE);
        fits.then(|| Self(text.into())).ok_or(InvalidServiceId)
    }
}

impl Borrow<str> for ServiceId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServiceId({})", self.0)
    }
}

impl Serialize for ServiceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ServiceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// One thing that a token allows: 1 to 64 visible ASCII characters but `"` and `\` (RFC 6749, section 3.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Scope(Arc<str>);

/// The text is no scope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: expected 1 to 64 visible ASCII characters other than \" and \\")]
pub struct InvalidScope;

impl Scope {
    /// The longest scope, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// The scope as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |c: char| c.is_ascii_graphic() && c != '"' && c != '\\';
        let fits = (1..=Self::MAX_BYTES).contains(&text.len()) && text.chars().all(allowed);
        fits.then(|| Self(text.into())).ok_or(InvalidScope)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A registered service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its id.
    pub id: ServiceId,
    /// Which registration of this id it is: a token of an earlier one is none of its own.
    pub registration: Uuid,
    /// What it is, for people; at most [`Service::MAX_DESCRIPTION`] characters.
    pub description: String,
    /// True where it may not authenticate.
    pub disabled: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// What it may ask tokens for, in order and each once; at most [`Service::MAX_SCOPES`].
    pub scopes: Vec<Scope>,
    /// How much it may ask.
    pub limits: LimitPolicy,
    /// Its client secrets, the newest first. Expired ones stay until the next rotation, so that their use has a reason of its
    /// own.
    pub credentials: Vec<Credential>,
    /// The public keys that its signed assertions are checked with (`private_key_jwt`): a JWK Set as JSON, where it has one.
    pub public_keys: Option<Arc<str>>,
    /// When it last said that it is well.
    pub last_heartbeat: Option<Timestamp>,
    /// When it last authenticated, up to some seconds.
    pub last_authentication: Option<Timestamp>,
}

impl Service {
    /// The longest description, in characters.
    pub const MAX_DESCRIPTION: usize = 200;
    /// The most scopes.
    pub const MAX_SCOPES: usize = 50;
    /// The largest set of public keys, in bytes.
    pub const MAX_PUBLIC_KEYS: usize = 16 * 1024;
}

/// A service to be registered.
#[derive(Clone, Debug)]
pub struct NewService {
    /// Its id; must be free.
    pub id: ServiceId,
    /// What it is.
    pub description: String,
    /// What it may ask tokens for.
    pub scopes: Vec<Scope>,
    /// How much it may ask.
    pub limits: LimitPolicy,
    /// The digest of its first client secret.
    pub secret: SecretDigest,
    /// When that secret expires, if it does.
    pub secret_expires_at: Option<Timestamp>,
    /// Its public keys, where it has some.
    pub public_keys: Option<Arc<str>>,
}

/// What to change of a service; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceChange {
    /// What it is.
    pub description: Option<String>,
    /// Whether it may not authenticate.
    pub disabled: Option<bool>,
    /// What it may ask tokens for.
    pub scopes: Option<Vec<Scope>>,
    /// How much it may ask.
    pub limits: LimitChange,
    /// Its public keys; `Some(None)` takes them away.
    pub public_keys: Option<Option<Arc<str>>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_slug() {
        for good in ["a", "api_service", "orders.v2-eu", "x9"] {
            assert_eq!(good.parse::<ServiceId>().unwrap().as_str(), good);
        }
        let long = "a".repeat(65);
        for bad in [
            "", "_other", "Api", "9a", "a-", "a b", "a/b", "é", "a\n", &long,
        ] {
            assert_eq!(bad.parse::<ServiceId>(), Err(InvalidServiceId), "{bad:?}");
        }
    }

    #[test]
    fn a_scope_is_what_the_rfc_allows() {
        for good in ["read", "orders:write", "!#[]~"] {
            assert_eq!(good.parse::<Scope>().unwrap().as_str(), good);
        }
        let long = "a".repeat(65);
        for bad in ["", "a b", "\"", "\\", "é", "a\t", &long] {
            assert_eq!(bad.parse::<Scope>(), Err(InvalidScope), "{bad:?}");
        }
    }
}
