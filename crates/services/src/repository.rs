//! The repositories of services and tokens.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use secrecy::SecretSlice;
use uuid::Uuid;

use super::{NewService, SecretDigest, Service, ServiceChange, ServiceId};
use skriptoteket_core::{clock::Timestamp, error::StoreError};

/// Increases with every change to the services, the keys or the revocations that readers have to see. Another store has
/// other revisions: a revision lower than before means that the store file was replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub i64);

/// All services at one moment.
#[derive(Clone, Debug, Default)]
pub struct Register {
    /// The revision of this content, or an earlier one.
    pub revision: Revision,
    /// The services, in the order of their ids.
    pub services: Vec<Service>,
    /// The totals since the store was created.
    pub totals: Totals,
}

/// Totals of the register since the store was created, updated in the same atomic steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Services registered.
    pub registered: u64,
    /// Services deleted.
    pub deleted: u64,
    /// Rotations carried out.
    pub rotated: u64,
    /// Rotations rejected because the previous credential was still overlapping.
    pub rotations_refused: u64,
}

/// Why a service was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// A service with this id exists.
    #[error("the service id is taken")]
    AlreadyExists,
    /// The maximum number of services is reached.
    #[error("the maximum of {0} services is reached")]
    Full(u32),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The outcome of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The service as it is now: its newest credential is the new one, the previous one is retired.
    Rotated(Service),
    /// No rotation: the credential that the last rotation replaced is still accepted and may be in use.
    StillOverlapping {
        /// Until when it is accepted.
        until: Timestamp,
    },
}

/// The kind of a service's activity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignOfLife {
    /// The service sent a heartbeat.
    Heartbeat,
    /// The service authenticated.
    Authentication,
}

/// A repository of services.
///
/// Every method is one atomic step. All fail with [`StoreError::Unavailable`] if the store does not respond within its
/// timeout, and with [`StoreError::Corrupt`] if a row cannot be read.
#[async_trait]
pub trait ServiceRepository: fmt::Debug + Send + Sync {
    /// Registers a service if there are fewer than `most`.
    ///
    /// # Errors
    ///
    /// [`RegisterError`].
    async fn register(&self, service: NewService, most: u32) -> Result<Service, RegisterError>;

    /// Returns the service with this id, if there is one.
    async fn find(&self, id: &ServiceId) -> Result<Option<Service>, StoreError>;

    /// Returns all services.
    async fn all(&self) -> Result<Register, StoreError>;

    /// Returns the current revision of this repository and of its [`TokenRepository`]. One small read.
    async fn revision(&self) -> Result<Revision, StoreError>;

    /// Changes a service. Returns it as it is now, or `None` if it does not exist. A change without effect leaves the
    /// revision. If the changed limits would be invalid (`LimitPolicy::checked`), nothing is changed at all.
    async fn change(
        &self,
        id: &ServiceId,
        change: ServiceChange,
    ) -> Result<Option<Service>, StoreError>;

    /// Deletes a service and all its data. Returns whether it existed.
    async fn delete(&self, id: &ServiceId) -> Result<bool, StoreError>;

    /// Makes `secret` the newest credential. Retires the previous one, which expires after `overlap` or at its own
    /// expiry if that is earlier, and removes all others. If this would end a retired credential before its time,
    /// nothing is done unless `force` is set. Returns `None` if the service does not exist.
    async fn rotate(
        &self,
        id: &ServiceId,
        secret: SecretDigest,
        expires_at: Option<Timestamp>,
        overlap: Duration,
        force: bool,
    ) -> Result<Option<Rotation>, StoreError>;

    /// Records activity of the service, now. Returns whether the service exists. The revision stays.
    async fn seen(&self, id: &ServiceId, sign: SignOfLife) -> Result<bool, StoreError>;
}

/// Identifies a token (its `jti`).
pub type TokenId = Uuid;

/// A signature algorithm for tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// Ed25519 (`EdDSA`).
    EdDsa,
    /// ECDSA on P-256 with SHA-256 (`ES256`).
    Es256,
}

impl KeyAlgorithm {
    /// Returns its name in JOSE headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }
}

/// A key that signs tokens, with its private part.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// Its `kid`.
    pub id: String,
    /// The signature algorithm.
    pub algorithm: KeyAlgorithm,
    /// The private key in PKCS #8 (DER).
    pub private: SecretSlice<u8>,
    /// When it was created. It is published from then on.
    pub created_at: Timestamp,
    /// When it begins to sign; it signs until another key does.
    pub active_from: Timestamp,
    /// When everything that it has signed has expired; `None` for the newest key.
    pub expires_at: Option<Timestamp>,
}

/// A signing key to add.
#[derive(Clone, Debug)]
pub struct NewSigningKey {
    /// Its `kid`.
    pub id: String,
    /// The signature algorithm.
    pub algorithm: KeyAlgorithm,
    /// The private key in PKCS #8 (DER).
    pub private: SecretSlice<u8>,
    /// Time until it begins to sign.
    pub active_in: Duration,
    /// How long after that the signatures of earlier keys stay valid.
    pub others_last: Duration,
}

/// A token that was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Its position in the order of all revocations, increasing.
    pub sequence: i64,
    /// The token.
    pub token: TokenId,
    /// When it would have expired.
    pub expires_at: Timestamp,
}

/// A repository of token data: signing keys, revocations and used assertions. The methods behave like those of
/// [`ServiceRepository`], whose revision increases with new keys and revocations.
#[async_trait]
pub trait TokenRepository: fmt::Debug + Send + Sync {
    /// Returns the signing keys that have not expired, oldest first.
    async fn keys(&self) -> Result<Vec<SigningKey>, StoreError>;

    /// Adds a signing key if the newest one is still `newest`. The other keys then expire, and those that would begin
    /// to sign later than the new one are dropped. Returns whether it was added: several replicas may try at the same
    /// moment.
    async fn add_key(&self, key: NewSigningKey, newest: Option<&str>) -> Result<bool, StoreError>;

    /// Revokes a token. Revoking it again has no effect.
    async fn revoke(&self, token: TokenId, expires_at: Timestamp) -> Result<(), StoreError>;

    /// Returns all revocations after this position that have not expired.
    async fn revocations(&self, after: i64) -> Result<Vec<Revocation>, StoreError>;

    /// Records the use of an assertion, by the digest of its client and its `jti`. Returns false if it was used before.
    async fn use_assertion(
        &self,
        digest: [u8; 32],
        expires_at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Deletes at most `limit` each of expired revocations, assertions and keys. Returns how many.
    async fn prune(&self, limit: u32) -> Result<u64, StoreError>;
}
