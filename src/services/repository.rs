//! What stores keep of services.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use secrecy::SecretSlice;
use uuid::Uuid;

use super::{NewService, SecretDigest, Service, ServiceChange, ServiceId};
use crate::{clock::Timestamp, error::StoreError};

/// Rises with every change that a reader of the register, of the keys or of the revocations has to know. Another store has
/// others: one that is lower than it was says that the file was replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Revision(pub i64);

/// All services at one moment.
#[derive(Clone, Debug, Default)]
pub struct Register {
    /// The revision that this is, or an earlier one.
    pub revision: Revision,
    /// The services, in the order of their ids.
    pub services: Vec<Service>,
    /// What ever happened.
    pub totals: Totals,
}

/// What ever happened to the register, kept in the same steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Services registered.
    pub registered: u64,
    /// Services deleted.
    pub deleted: u64,
    /// Rotations made.
    pub rotated: u64,
    /// Rotations refused because the credential before was still overlapping.
    pub rotations_refused: u64,
}

/// Why a service was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// There is a service with this id.
    #[error("the service id is taken")]
    AlreadyExists,
    /// There are as many as there may be.
    #[error("there are {0} services already, as many as there may be")]
    Full(u32),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The service as it is now: its newest credential is the new one, the one before is retired.
    Rotated(Service),
    /// Nothing: the credential that was replaced last is still accepted, and somebody may still use it.
    StillOverlapping {
        /// Until when.
        until: Timestamp,
    },
}

/// By what a service shows that it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignOfLife {
    /// It said so.
    Heartbeat,
    /// It authenticated.
    Authentication,
}

/// A place that keeps the register of services.
///
/// Every method is one atomic step. All fail with [`StoreError::Unavailable`] if the store does not answer within its timeout,
/// and with [`StoreError::Corrupt`] if a row cannot be read.
#[async_trait]
pub trait ServiceRepository: fmt::Debug + Send + Sync {
    /// Registers a service, if there are fewer than `most`.
    ///
    /// # Errors
    ///
    /// [`RegisterError`].
    async fn register(&self, service: NewService, most: u32) -> Result<Service, RegisterError>;

    /// The service with this id, if there is one.
    async fn find(&self, id: &ServiceId) -> Result<Option<Service>, StoreError>;

    /// All services.
    async fn all(&self) -> Result<Register, StoreError>;

    /// The revision now, of this register and of the [`TokenRepository`] beside it. One small read.
    async fn revision(&self) -> Result<Revision, StoreError>;

    /// Changes a service. Returns it as it is now, or `None` if there is none. A change that changes nothing leaves the
    /// revision. One after which no service could have its limits (`LimitPolicy::checked`) changes nothing at all.
    async fn change(
        &self,
        id: &ServiceId,
        change: ServiceChange,
    ) -> Result<Option<Service>, StoreError>;

    /// Deletes a service with all that belongs to it. Returns whether there was one.
    async fn delete(&self, id: &ServiceId) -> Result<bool, StoreError>;

    /// Makes `secret` the newest credential, retires the one before, which expires after `overlap` or when it would have
    /// done so anyway, and removes all others. Where that would end a retired credential before its time, nothing is done
    /// unless `force` says so. `None` if there is no such service.
    async fn rotate(
        &self,
        id: &ServiceId,
        secret: SecretDigest,
        expires_at: Option<Timestamp>,
        overlap: Duration,
        force: bool,
    ) -> Result<Option<Rotation>, StoreError>;

    /// Notes that the service is there, now. Returns whether there is such a service. The revision stays.
    async fn seen(&self, id: &ServiceId, sign: SignOfLife) -> Result<bool, StoreError>;
}

/// Identifies a token (its `jti`).
pub type TokenId = Uuid;

/// By what tokens are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAlgorithm {
    /// Ed25519 (`EdDSA`).
    EdDsa,
    /// ECDSA on P-256 with SHA-256 (`ES256`).
    Es256,
}

impl KeyAlgorithm {
    /// Its name in JOSE headers.
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
    /// By what it signs.
    pub algorithm: KeyAlgorithm,
    /// The private key in PKCS #8 (DER).
    pub private: SecretSlice<u8>,
    /// When it was made. It is published from then on.
    pub created_at: Timestamp,
    /// From when on it signs, until another one does.
    pub active_from: Timestamp,
    /// From when on nothing that it has signed is valid; `None` for the newest.
    pub expires_at: Option<Timestamp>,
}

/// A signing key to be added.
#[derive(Clone, Debug)]
pub struct NewSigningKey {
    /// Its `kid`.
    pub id: String,
    /// By what it signs.
    pub algorithm: KeyAlgorithm,
    /// The private key in PKCS #8 (DER).
    pub private: SecretSlice<u8>,
    /// In what time it begins to sign.
    pub active_in: Duration,
    /// How long after that what the keys before have signed is still valid.
    pub others_last: Duration,
}

/// A token that was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Its place in the order of all revocations, rising.
    pub sequence: i64,
    /// The token.
    pub token: TokenId,
    /// When it would have expired.
    pub expires_at: Timestamp,
}

/// A place that keeps what tokens need: keys, revocations and the assertions that were used. Methods are as those of
/// [`ServiceRepository`], whose revision rises with new keys and revocations.
#[async_trait]
pub trait TokenRepository: fmt::Debug + Send + Sync {
    /// The signing keys that have not expired, the oldest first.
    async fn keys(&self) -> Result<Vec<SigningKey>, StoreError>;

    /// Adds a signing key, lets the others expire, and drops those that would begin to sign later than it, if the
    /// newest one still is `newest`. Returns whether it was added:
    /// several replicas may want to at the same moment.
    async fn add_key(&self, key: NewSigningKey, newest: Option<&str>) -> Result<bool, StoreError>;

    /// Revokes a token. One that is revoked already stays so.
    async fn revoke(&self, token: TokenId, expires_at: Timestamp) -> Result<(), StoreError>;

    /// All revocations after this place that have not expired.
    async fn revocations(&self, after: i64) -> Result<Vec<Revocation>, StoreError>;

    /// Notes that an assertion was used, by the digest of who made it and of its `jti`. Returns false if it was used before.
    async fn use_assertion(
        &self,
        digest: [u8; 32],
        expires_at: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Removes at most `limit` each of revocations, assertions and keys that have expired. Returns how many.
    async fn prune(&self, limit: u32) -> Result<u64, StoreError>;
}
