//! Services, their ids and scopes.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use uuid::Uuid;

use super::{
    Credential, Health, HealthPolicy, LimitChange, LimitPolicy, OTHER_SERVICE,
    credential::SecretDigest,
};
use skriptoteket_core::clock::Timestamp;

/// The id of a service: 1 to 64 lower-case letters, digits or `. _ -`; it begins with a letter and ends with a letter
/// or digit. It is the service's `client_id` and the value of the `service_id` label. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(Arc<str>);

/// The text is not a service id.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a service id: expected 1 to 64 lower-case letters, digits or . _ -, from a letter to a letter or digit"
)]
pub struct InvalidServiceId;

impl ServiceId {
    /// The maximum length of an id, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id as shared text.
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
        // It begins with a letter, so it cannot be the label of all other services.
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

/// A scope of a token: 1 to 64 visible ASCII characters except `"` and `\` (RFC 6749, section 3.3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Scope(Arc<str>);

/// The text is not a scope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scope: expected 1 to 64 visible ASCII characters other than \" and \\")]
pub struct InvalidScope;

impl Scope {
    /// The maximum length of a scope, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Returns the scope as text.
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
    /// Identifies the registration of this id: tokens of an earlier registration are not valid for it.
    pub registration: Uuid,
    /// A description for people; at most [`Service::MAX_DESCRIPTION`] characters.
    pub description: String,
    /// True if the service may not authenticate.
    pub disabled: bool,
    /// When it was registered.
    pub created_at: Timestamp,
    /// The scopes that it may request, sorted and each once; at most [`Service::MAX_SCOPES`].
    pub scopes: Vec<Scope>,
    /// Its rate limit and quota.
    pub limits: LimitPolicy,
    /// Its client secrets, newest first. Expired ones stay until the next rotation, so that their use has its own
    /// failure reason.
    pub credentials: Vec<Credential>,
    /// The public keys that verify its signed assertions (`private_key_jwt`): a JWK Set as JSON, if it has one.
    pub public_keys: Option<Arc<str>>,
    /// Time of its last heartbeat.
    pub last_heartbeat: Option<Timestamp>,
    /// Time of its last authentication, accurate to some seconds.
    pub last_authentication: Option<Timestamp>,
}

impl Service {
    /// The maximum length of a description, in characters.
    pub const MAX_DESCRIPTION: usize = 200;
    /// The maximum number of scopes.
    pub const MAX_SCOPES: usize = 50;
    /// The maximum size of a set of public keys, in bytes.
    pub const MAX_PUBLIC_KEYS: usize = 16 * 1024;

    /// Returns the health at `now`.
    #[must_use]
    pub fn health(&self, now: Timestamp, policy: &HealthPolicy) -> Health {
        if self.disabled {
            return Health::Disabled;
        }
        let signs = [
            self.last_heartbeat,
            self.last_authentication,
            Some(self.created_at),
        ];
        Health::of(signs, now, policy)
    }
}

/// A service to register.
#[derive(Clone, Debug)]
pub struct NewService {
    /// Its id; must not be taken.
    pub id: ServiceId,
    /// Its description.
    pub description: String,
    /// The scopes that it may request.
    pub scopes: Vec<Scope>,
    /// Its rate limit and quota.
    pub limits: LimitPolicy,
    /// The digest of its first client secret.
    pub secret: SecretDigest,
    /// When that secret expires, if ever.
    pub secret_expires_at: Option<Timestamp>,
    /// Its public keys, if it has any.
    pub public_keys: Option<Arc<str>>,
}

/// Changes to a service; `None` leaves a value unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceChange {
    /// The new description.
    pub description: Option<String>,
    /// True to disable the service.
    pub disabled: Option<bool>,
    /// The new scopes.
    pub scopes: Option<Vec<Scope>>,
    /// The new limits.
    pub limits: LimitChange,
    /// The new public keys; `Some(None)` removes them.
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
