//! The login guard: how many wrong guesses an account, an address or a session gets.
//!
//! An attempt takes a place in its budgets **before** the password check, so that guesses sent at the same moment cannot
//! pass together, and what it turns out to be is counted after it: only a wrong password is a failure. Accounts that do not
//! exist are charged like those that do.
//!
//! | file | what is in it |
//! |---|---|
//! | `limiter` | the arithmetic: budgets, holds, locks, fresh starts |
//! | `throttle` | waits where all that is left of a budget is in flight |
//! | `address` | who the client is, behind which proxies |

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

use crate::{accounts::UserId, error::StoreError, network::network};

/// How many buckets unknown names and addresses are hashed into, each: what an attacker makes up cannot grow the store.
const BUCKETS: u32 = 1 << 18;

/// Something that has a budget of guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Entity {
    /// An account that exists.
    Account(UserId),
    /// A name that belongs to no account, as one of 2^18 buckets.
    UnknownName(u32),
    /// A client address (IPv6: its /64), as one of 2^18 buckets.
    Address(u32),
    /// A session in which the current password is asked for, by 128 bits of a keyed hash.
    Session(u128),
}

impl Entity {
    /// True where a right password makes the whole budget good: it is one person's. Many share an address.
    #[must_use]
    pub const fn is_person(self) -> bool {
        !matches!(self, Self::Address(_))
    }
}

impl fmt::Display for Entity {
    /// A key for stores: short, and tells neither name nor address.
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
    /// What one account gets, whoever asks.
    pub account: Budget,
    /// What one address gets, whatever it asks for.
    pub address: Budget,
}

/// One budget that an attempt is charged to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Whose it is.
    pub entity: Entity,
    /// How large it is.
    pub budget: Budget,
}

/// Names an attempt in the store, from before it takes its places: one whose answer was lost can be settled all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AttemptId(u128);

impl AttemptId {
    /// How long a store remembers an attempt that is not settled, or was settled before it took its places. Longer than a hold
    /// lives, and than anybody tries to settle it.
    pub const KEPT: Duration = Duration::from_mins(2);

    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self(rand::random())
    }
}

impl fmt::Display for AttemptId {
    /// A key for stores, unlike that of any [`Entity`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t:{:032x}", self.0)
    }
}

/// What the guard says to one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The password may be checked; a place is held in all budgets until [`LoginThrottleRepository::settle`].
    Go,
    /// Failures and attempts in flight together have used up this entity's budget. Nothing was changed: ask again when one of
    /// those in flight is settled.
    Busy(Entity),
    /// This entity has used up its budget. Those before it count a failure, those after it nothing: an address that is out
    /// cannot lock accounts.
    Locked {
        /// Whose budget it is.
        entity: Entity,
        /// When the next attempt may pass; never zero.
        retry_after: Duration,
    },
}

/// A place that keeps budgets, shared by all who serve.
///
/// Each method is one atomic step and fails with [`StoreError::Unavailable`] if the store does not answer within its
/// timeout. The store's own clock decides. A state that says nothing is not kept.
#[async_trait]
pub trait LoginThrottleRepository: fmt::Debug + Send + Sync {
    /// Takes a place for one attempt in each of these budgets, or in none; they are asked in this order. Each call has an id
    /// of its own.
    ///
    /// After an error it may have taken its places, and may still do so: settle it as [`Checked::NotChecked`]. One that was
    /// settled before gets no place; its decision says [`Decision::Busy`].
    async fn reserve(&self, attempt: AttemptId, charges: &[Charge])
    -> Result<Decision, StoreError>;

    /// Ends the hold that [`LoginThrottleRepository::reserve`] took on the same budgets, and counts what the attempt was: once,
    /// however often it is called. Of an attempt that holds nothing nothing is given back.
    async fn settle(
        &self,
        attempt: AttemptId,
        charges: &[Charge],
        checked: Checked,
    ) -> Result<(), StoreError>;

    /// Forgets the failures and locks of an entity; what is in flight stays in flight. Returns whether there were any.
    async fn clear(&self, entity: Entity) -> Result<bool, StoreError>;

    /// Forgets at most `limit` entities whose state says nothing any more. Returns how many.
    ///
    /// An expiry further away than `horizon`, which no state reaches, is from a clock that was ahead: it is cut to that.
    async fn prune(&self, limit: u32, horizon: Duration) -> Result<u64, StoreError>;
}

impl GuardPolicy {
    /// How far away the expiry of a state can be at most.
    #[must_use]
    pub fn horizon(&self) -> Duration {
        let of = |it: &Budget| it.longest_lock + it.longest_lock + it.forget + 2 * HOLD_WINDOW;
        of(&self.account).max(of(&self.address))
    }
}

/// Names what is charged. The hash is keyed, so that nobody outside can find two names that share a bucket.
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
    /// Hashes under this key, which all replicas share.
    #[must_use]
    pub fn keyed(key: &[u8]) -> Self {
        // Hashed to the block length first, which every HMAC takes.
        let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
        block[..32].copy_from_slice(&Sha256::digest(key));
        Self {
            mac: Hmac::new(&block),
        }
    }

    /// The entity of a client address. IPv4 in IPv6 is IPv4; of IPv6 the /64 counts, which one host may own whole.
    #[must_use]
    pub fn address(&self, address: IpAddr) -> Entity {
        let bucket = match network(address) {
            IpAddr::V4(v4) => self.bucket(b"4", &v4.octets()),
            IpAddr::V6(v6) => self.bucket(b"6", &v6.octets()[..8]),
        };
        Entity::Address(bucket)
    }

    /// The entity of an account, or of a name that belongs to none.
    #[must_use]
    pub fn account(&self, known: Option<UserId>, name: &str) -> Entity {
        known.map_or_else(
            || Entity::UnknownName(self.bucket(b"n", name.as_bytes())),
            Entity::Account,
        )
    }

    /// The entity of a session, by its public id.
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
