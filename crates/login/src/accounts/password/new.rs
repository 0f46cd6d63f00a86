//! New passwords: checked, then hashed.

use std::sync::Arc;

use secrecy::SecretString;

use super::{HashingError, Passwords, WeakPassword, check_new, hash_with, normal};

/// Why a new password was not hashed.
#[derive(Debug, thiserror::Error)]
pub enum NewPasswordError {
    /// The password is too weak.
    #[error(transparent)]
    Weak(#[from] WeakPassword),
    /// The hash could not be computed.
    #[error(transparent)]
    Hashing(#[from] HashingError),
}

impl Passwords {
    /// Checks that a new password is hard to guess, and hashes it into PHC string format; see [`check_new`] for
    /// `related`. Takes up to some hundred milliseconds on a blocking thread.
    ///
    /// # Errors
    ///
    /// [`NewPasswordError::Weak`], or [`HashingError::Overloaded`] at once if the queue is full.
    pub async fn hash_new(
        &self,
        password: SecretString,
        related: Vec<String>,
    ) -> Result<SecretString, NewPasswordError> {
        let hasher = Arc::clone(&self.hasher);
        self.run(move || {
            let normal = normal(&password);
            let related: Vec<&str> = related.iter().map(String::as_str).collect();
            check_new(&normal, &related)?;
            Ok(hash_with(&hasher, normal.as_bytes())?)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::passwords, *};

    #[tokio::test]
    async fn how_guessable_a_password_is_is_found_out_on_a_hash_thread() {
        // One place, which stays taken while a hash of 64 MiB is computed.
        let passwords = passwords(65_536, 1, 0);
        let (hashed, rated) = tokio::join!(
            passwords.hash("tundra-lantern-quarry-41".into()),
            passwords.hash_new("password1".into(), Vec::new()),
        );
        hashed.unwrap();
        let overloaded = HashingError::Overloaded;
        assert_eq!(rated.unwrap_err().to_string(), overloaded.to_string());
        let rated = passwords.hash_new("password1".into(), Vec::new()).await;
        assert!(matches!(rated, Err(NewPasswordError::Weak(_))));
    }
}
