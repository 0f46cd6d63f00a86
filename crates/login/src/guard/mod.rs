//! The login guard: limits wrong guesses per account, address and session.
//!
//! An attempt takes a place in its budgets **before** the password check, so that concurrent guesses cannot exceed a
//! budget. Its outcome is counted after the check: only a wrong password is a failure. Accounts that do not exist are
//! charged like those that do.
//!
//! | file | what is in it |
//! |---|---|
//! | `limiter` | the arithmetic: budgets, holds, locks, resets |
//! | `throttle` | waits while the rest of a budget is held by attempts in flight |
//! | `address` | determines the client address behind proxies |

mod address;
mod limiter;
mod throttle;

use std::{fmt, net::IpAddr, time::Duration};

use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

pub use address::client_address;
pub use limiter::{Budget, Checked, HOLD_WINDOW, Hold, LimitState, Reserved, reserve, settle};
pub use throttle::{LoginThrottle, Refusal, Reservation};

use crate::accounts::UserId;
use skriptoteket_core::{error::StoreError, network::network};

/// Number of buckets that unknown names and addresses are hashed into, each: names invented by an attacker cannot grow
/// the store.
const BUCKETS: u32 = 1 << 18;

/// An entity with a budget of guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entity {
    /// An account that exists.
    Account(UserId),
    /// A name without an account, as one of 2^18 buckets.
    UnknownName(u32),
    /// A client address (IPv6: its /64 network), as one of 2^18 buckets.
    Address(u32),
    /// A session that asks for the current password, as 128 bits of a keyed hash.
    Session(u128),
}

impl Entity {
    /// True if a correct password resets the budget, because the entity is one person. An address may be shared by
    /// many.
    #[must_use]
    pub const fn is_person(self) -> bool {
        !matches!(self, Self::Address(_))
    }
}

impl fmt::Display for Entity {
    /// Writes a short key for stores that reveals neither name nor address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "u:{id}"),
            Self::UnknownName(bucket) => write!(f, "n:{bucket:05x}"),
            Self::Address(bucket) => write!(f, "a:{bucket:05x}"),
            Self::Session(digest) => write!(f, "s:{digest:032x}"),
        }
    }
}

/// The budgets of accounts and addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardPolicy {
    /// The budget of one account, regardless of the client.
    pub account: Budget,
    /// The budget of one address, regardless of the account.
    pub address: Budget,
}

impl Default for GuardPolicy {
    /// 10 failed logins of an account, one regained every 5 minutes; 100 of an address, one every 10 seconds. Locks last
    /// from 60 seconds to 15 minutes; the back-off resets after a day.
    fn default() -> Self {
        let budget = |attempts, refill| Budget {
            attempts,
            refill,
            lock: Duration::from_mins(1),
            longest_lock: Duration::from_mins(15),
            forget: Duration::from_hours(24),
        };
        Self {
            account: budget(10, Duration::from_mins(5)),
            address: budget(100, Duration::from_secs(10)),
        }
    }
}

/// A budget that an attempt is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The owner of the budget.
    pub entity: Entity,
    /// The size of the budget.
    pub budget: Budget,
}

/// Identifies an attempt in the store. It is created before the attempt takes its places, so that an attempt whose
/// reservation got no reply can still be settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId(u128);

impl AttemptId {
    /// How long a store remembers an attempt that is not settled, or that was settled before it took its places. This
    /// is longer than a hold lives, and longer than settling is retried.
    pub const KEPT: Duration = Duration::from_mins(2);

    /// Creates a new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for AttemptId {
    /// Writes a key for stores that differs from the key of any [`Entity`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t:{:032x}", self.0)
    }
}

/// The decision about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The password may be checked. A place is held in all budgets until [`LoginThrottleRepository::settle`].
    Go,
    /// Failures and attempts in flight together use up the budget of this entity. Nothing was changed: try again when
    /// an attempt in flight is settled.
    Busy(Entity),
    /// This entity has exhausted its budget. The entities before it count a failure, those after it do not: an address
    /// that is rejected cannot lock accounts.
    Locked {
        /// The owner of the budget.
        entity: Entity,
        /// Time until the next attempt may pass; never zero.
        retry_after: Duration,
    },
}

/// A repository of budgets, shared by all replicas.
///
/// Each method is one atomic step and fails with [`StoreError::Unavailable`] if the store does not respond within its
/// timeout. The store's own clock decides. A state equivalent to none is not kept.
#[async_trait]
pub trait LoginThrottleRepository: fmt::Debug + Send + Sync {
    /// Takes a place for one attempt in each of these budgets, or in none. The budgets are checked in this order. Each
    /// call has its own id.
    ///
    /// After an error the call may have taken its places, or may still take them: settle the attempt as
    /// [`Checked::NotChecked`]. An attempt that was settled first gets no place; its decision is [`Decision::Busy`].
    async fn reserve(&self, attempt: AttemptId, charges: &[Charge])
    -> Result<Decision, StoreError>;

    /// Ends the hold that [`LoginThrottleRepository::reserve`] took on the same budgets, and counts the outcome of the
    /// attempt. Repeated calls have no further effect. An attempt without a hold gives nothing back.
    async fn settle(
        &self,
        attempt: AttemptId,
        charges: &[Charge],
        checked: Checked,
    ) -> Result<(), StoreError>;

    /// Clears the failures and locks of an entity. Attempts in flight stay in flight. Returns whether there were any.
    async fn clear(&self, entity: Entity) -> Result<bool, StoreError>;

    /// Deletes at most `limit` entities whose state is equivalent to none. Returns how many.
    ///
    /// An expiry further away than `horizon`, which no state reaches, comes from a clock that was ahead: it is reduced
    /// to `horizon`.
    async fn prune(&self, limit: u32, horizon: Duration) -> Result<u64, StoreError>;
}

impl GuardPolicy {
    /// Returns the maximum time until a state expires.
    #[must_use]
    pub fn horizon(&self) -> Duration {
        let of = |it: &Budget| it.longest_lock + it.longest_lock + it.forget + 2 * HOLD_WINDOW;
        of(&self.account).max(of(&self.address))
    }
}

/// Derives entities from names, addresses and sessions. The hash is keyed, so that an outsider cannot find two names
/// that share a bucket.
#[derive(Clone)]
pub struct Entities {
    mac: Hmac<Sha256>,
}

impl fmt::Debug for Entities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entities(…)")
    }
}

impl Entities {
    /// Creates the hash from this key, which all replicas share.
    #[must_use]
    pub fn keyed(key: &[u8]) -> Self {
        // Hashed to the block length first, which every HMAC accepts.
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        block[..32].copy_from_slice(&Sha256::digest(key));
        Self {
            mac: Hmac::new(&block),
        }
    }

    /// Returns the entity of a client address. An IPv4-mapped IPv6 address counts as IPv4. For IPv6 the /64 network
    /// counts, because one host may own all of it.
    #[must_use]
    pub fn address(&self, address: IpAddr) -> Entity {
        let bucket = match network(address) {
            IpAddr::V4(v4) => self.bucket(b"4", &v4.octets()),
            IpAddr::V6(v6) => self.bucket(b"6", &v6.octets()[..8]),
        };
        Entity::Address(bucket)
    }

    /// Returns the entity of an account, or of a name without an account.
    #[must_use]
    pub fn account(&self, known: Option<UserId>, name: &str) -> Entity {
        known.map_or_else(
            || Entity::UnknownName(self.bucket(b"n", name.as_bytes())),
            Entity::Account,
        )
    }

    /// Returns the entity of a session, by its public id.
    #[must_use]
    pub fn session(&self, id: &str) -> Entity {
        Entity::Session(self.digest(b"s", id.as_bytes()))
    }

    fn bucket(&self, kind: &[u8], what: &[u8]) -> u32 {
        // The first four bytes of the digest.
        let first = self.digest(kind, what) >> 96;
        u32::try_from(first).unwrap_or_default() % BUCKETS
    }

    fn digest(&self, kind: &[u8], what: &[u8]) -> u128 {
        let mut mac = self.mac.clone();
        mac.update(kind);
        mac.update(what);
        let digest = mac.finalize().into_bytes();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        u128::from_be_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_host_cannot_escape_within_its_64_and_ipv4_is_itself_in_ipv6() {
        let entities = Entities::keyed(b"key");
        let of = |text: &str| entities.address(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_eq!(of("192.0.2.7"), of("::ffff:192.0.2.7"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }

    #[test]
    fn another_key_gives_other_buckets() {
        let of = |key: &[u8]| Entities::keyed(key).account(None, "nobody");
        assert_ne!(of(b"one"), of(b"two"));
        assert_eq!(of(b"one"), of(b"one"));
    }

    #[test]
    fn the_store_key_of_an_entity_tells_neither_name_nor_address() {
        let entities = Entities::keyed(b"key");
        let name = entities.account(None, "mallory").to_string();
        let address = entities.address("192.0.2.7".parse().unwrap()).to_string();
        assert!(!name.contains("mallory") && !address.contains("192"));
    }
}
