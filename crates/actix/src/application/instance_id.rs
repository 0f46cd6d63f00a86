//! The `service.instance.id` shared by all replicas.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

/// Returns the `service.instance.id` of values that are the same on every replica: identical for all replicas that
/// share `key` and the prefix of their keys in Redis, and across restarts. The series therefore continue when another
/// replica takes over, and new series start when sessions are counted in another location.
///
/// The id is exported in public. It reveals nothing about `key`: it is 122 bits of an HMAC-SHA256 with a label of its
/// own, and cookies and login budgets are keyed with other labels. It contains no host name and no address either.
#[must_use]
pub fn of_the_service(key: &SecretString, redis_prefix: Option<&str>) -> Uuid {
    // Hashed to the block length first: every HMAC accepts a key of that length.
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    block[..32].copy_from_slice(&Sha256::digest(key.expose_secret()));
    let mut mac = Hmac::<Sha256>::new(&block);
    mac.update(b"skriptoteket service instance");
    if let Some(prefix) = redis_prefix {
        mac.update(b" redis ");
        mac.update(prefix.as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&mac.finalize().into_bytes()[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_of_one_service_are_called_the_same_and_others_otherwise() {
        let id = |key: &str, prefix| of_the_service(&key.into(), Some(prefix));
        let (one, same) = (id("key", "a"), id("key", "a"));
        assert_eq!(one, same);
        assert_ne!(one, id("other key", "a"));
        assert_ne!(one, id("key", "b"));
        assert_ne!(one, of_the_service(&"key".into(), None));
        assert_eq!(one.get_version_num(), 8);
    }
}
