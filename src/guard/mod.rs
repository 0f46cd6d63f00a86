//! The login guard: how many guesses an account or an address gets.
//!
//! A charge is taken **before** the password check, so that guesses sent at the same moment cannot pass together, and
//! given back when the password was right. Accounts that do not exist are charged like those that do.
//!
//! | file | what is in it |
//! |---|---|
//! | `limiter` | the arithmetic: budgets, locks, fresh starts |
//! | `address` | who the client is, behind which proxies |

mod address;
mod limiter;

use std::{fmt, net::IpAddr, time::Duration};

use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

pub use address::client_address;
pub use limiter::{Budget, LimitState, Verdict, charge, refund};

use crate::{accounts::UserId, error::StoreError};

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
}

impl fmt::Display for Entity {
    /// A key for stores: short, and tells neither name nor address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => write!(f, "u:{id}"),
            Self::UnknownName(bucket) => write!(f, "n:{bucket:05x}"),
            Self::Address(bucket) => write!(f, "a:{bucket:05x}"),
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

/// What the guard says to one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The password may be checked; both entities were charged.
    Go,
    /// The address has used up its budget. The account was not charged: an address that is out cannot lock accounts.
    AddressLimited {
        /// When the next attempt may pass; never zero.
        retry_after: Duration,
    },
    /// The account has used up its budget.
    AccountLocked {
        /// When the next attempt may pass; never zero.
        retry_after: Duration,
    },
}

/// How an attempt that was let through came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// The password was right: the account's budget is whole again, and the address gets its charge back. (One charge
    /// only: else an attacker would refill his address with logins of his own.)
    Right,
    /// The password was not looked at: both get their charge back.
    NotChecked,
}

/// A place that keeps budgets, shared by all who serve.
///
/// Both methods are one atomic step and fail with [`StoreError::Unavailable`] if the store does not answer within its
/// timeout. The store's own clock decides.
#[async_trait]
pub trait LimitRepository: fmt::Debug + Send + Sync {
    /// Charges one attempt to the address and then, only if that has budget left, to the account.
    async fn charge(
        &self,
        address: Entity,
        account: Entity,
        policy: &GuardPolicy,
    ) -> Result<Decision, StoreError>;

    /// Gives back what [`LimitRepository::charge`] took.
    async fn give_back(
        &self,
        address: Entity,
        account: Entity,
        policy: &GuardPolicy,
        checked: Checked,
    ) -> Result<(), StoreError>;

    /// Forgets at most `limit` entities whose state says nothing any more. Returns how many.
    async fn prune(&self, limit: u32) -> Result<u64, StoreError>;
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
        let bucket = match address.to_canonical() {
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

    fn bucket(&self, kind: &[u8], what: &[u8]) -> u32 {
        let mut mac = self.mac.clone();
        mac.update(kind);
        mac.update(what);
        let digest = mac.finalize().into_bytes();
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]) % BUCKETS
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
