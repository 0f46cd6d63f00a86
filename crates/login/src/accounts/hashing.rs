//! Argon2id whose memory is returned to the system.

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        self, CustomizedPasswordHasher, PasswordHasher,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};

/// A hash takes 19 MiB. The C library's allocator returns allocations above 32 MiB as soon as they are freed, but keeps
/// smaller blocks in the arena of every thread that ever made one: some 250 MiB after twenty logins, permanently.
/// Therefore at least this much is allocated; pages that are not touched cost nothing.
const LEAST_BLOCKS: usize = 33 * 1024;

/// Argon2id with configurable parameters.
#[derive(Debug)]
pub(super) struct Argon2id {
    argon2: Argon2<'static>,
}

impl Argon2id {
    pub(super) fn new(params: Params) -> Self {
        Self {
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
        }
    }

    pub(super) const fn params(&self) -> &Params {
        self.argon2.params()
    }
}

impl PasswordHasher<PasswordHash> for Argon2id {
    fn hash_password_with_salt(
        &self,
        password: &[u8],
        salt: &[u8],
    ) -> password_hash::Result<PasswordHash> {
        let salt = Salt::new(salt)?;
        let params = self.params();
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let mut output = vec![0; length];
        let blocks = params.block_count();
        let mut memory = Vec::with_capacity(blocks.max(LEAST_BLOCKS));
        memory.resize(blocks, Block::new());
        self.argon2
            .hash_password_into_with_memory(password, &salt, &mut output, &mut memory)?;
        Ok(PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(params)?,
            salt: Some(salt),
            hash: Some(Output::new(&output)?),
        })
    }
}

/// Required to check a stored hash with the parameters that it was created with.
impl CustomizedPasswordHasher<PasswordHash> for Argon2id {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<u32>,
        params: Params,
    ) -> password_hash::Result<PasswordHash> {
        let ours = algorithm.is_none_or(|it| Algorithm::try_from(it) == Ok(Algorithm::Argon2id));
        if !ours {
            return Err(password_hash::Error::Algorithm);
        }
        if version.is_some_and(|it| it != u32::from(Version::V0x13)) {
            return Err(password_hash::Error::Version);
        }
        Self::new(params).hash_password_with_salt(password, salt)
    }
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier;

    use super::*;

    const PASSWORD: &[u8] = b"tundra-lantern-quarry-41";

    fn params(memory_kib: u32) -> Params {
        Params::new(memory_kib, 1, 1, None).unwrap()
    }

    #[test]
    fn hashes_are_those_of_the_library() {
        let ours = Argon2id::new(params(64));
        let theirs = Argon2::new(Algorithm::Argon2id, Version::V0x13, params(64));
        let salt = b"sixteen bytes it";
        let hash = ours.hash_password_with_salt(PASSWORD, salt).unwrap();
        let expected = theirs.hash_password_with_salt(PASSWORD, salt).unwrap();
        assert_eq!(hash.to_string(), expected.to_string());
    }

    #[test]
    fn a_hash_is_checked_under_the_parameters_that_it_was_made_with() {
        let before = Argon2id::new(params(64));
        let hash = before.hash_password(PASSWORD).unwrap();
        let now = Argon2id::new(params(128));
        assert_eq!(now.verify_password(PASSWORD, &hash), Ok(()));
        let wrong = now.verify_password(b"wrong", &hash);
        assert_eq!(wrong, Err(password_hash::Error::PasswordInvalid));
    }

    #[test]
    fn a_hash_of_another_kind_is_refused() {
        let other = Argon2::new(Algorithm::Argon2d, Version::V0x13, params(64));
        let hash = other.hash_password(PASSWORD).unwrap();
        let refused = Argon2id::new(params(64)).verify_password(PASSWORD, &hash);
        assert_eq!(refused, Err(password_hash::Error::Algorithm));
    }
}
