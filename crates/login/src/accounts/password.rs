//! Passwords: their normal form, and Argon2id outside the async threads.
//!
//! Parameters follow the OWASP Password Storage Cheat Sheet (Argon2id, 19 MiB, 2 iterations, 1 lane).
//!
//! # Unicode
//!
//! A password is hashed in the normal form NFKC (NIST SP 800-63B, section 3.1.1.2), because one keyboard writes `ö` as
//! one character, another as two. Older hashes were created from the bytes as typed. If the two forms differ, both are
//! always checked, so the duration of a check depends on the password alone and not on what is stored.

#[cfg(feature = "registration")]
mod new;

use std::{fmt, sync::Arc};

use argon2::{Params, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use unicode_normalization::{UnicodeNormalization, is_nfkc};
use zeroize::Zeroizing;

#[cfg(feature = "registration")]
pub use super::strength::{MAX_CHARS, MIN_CHARS, WeakPassword, check_new, guesses_log10};
use super::{
    hashing::Argon2id,
    metrics::{PasswordCheck, PasswordMetrics},
};
#[cfg(feature = "registration")]
pub use new::NewPasswordError;

/// The cost of a hash, and how many may run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashingPolicy {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// Hashes computed at the same time.
    pub threads: usize,
    /// Checks that may wait for a thread.
    pub queue: usize,
}

impl HashingPolicy {
    /// Returns the OWASP recommendation, 19 MiB, 2 iterations and 1 lane, with this many threads and 64 places in the
    /// queue.
    #[must_use]
    pub const fn owasp(threads: usize) -> Self {
        Self {
            memory_kib: 19_456,
            iterations: 2,
            parallelism: 1,
            threads,
            queue: 64,
        }
    }
}

impl Default for HashingPolicy {
    /// [`HashingPolicy::owasp`] with as many threads as there are processors.
    fn default() -> Self {
        Self::owasp(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

/// Why a password was not hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum HashingError {
    /// All threads are busy and the queue is full.
    #[error("too many password checks are waiting")]
    Overloaded,
    /// The parameters are outside the range that Argon2 allows.
    #[error("the Argon2 parameters are invalid")]
    Parameters(#[source] argon2::Error),
    /// A stored hash cannot be read, or the hash function failed.
    #[error("the password hash function failed")]
    Failed(#[source] argon2::password_hash::Error),
    /// The thread that computed the hash is gone.
    #[error("the password check did not finish")]
    Aborted(#[source] tokio::task::JoinError),
}

/// Hashes a password into PHC string format, for code that creates accounts outside a server. Blocks for tens of
/// milliseconds.
///
/// # Errors
///
/// [`HashingError::Parameters`] if Argon2 rejects the parameters.
pub fn hash_blocking(
    policy: &HashingPolicy,
    password: &SecretString,
) -> Result<SecretString, HashingError> {
    hash_with(&hasher(policy)?, normal(password).as_bytes())
}

fn hasher(policy: &HashingPolicy) -> Result<Argon2id, HashingError> {
    let params = Params::new(
        policy.memory_kib,
        policy.iterations,
        policy.parallelism,
        None,
    )
    .map_err(HashingError::Parameters)?;
    Ok(Argon2id::new(params))
}

/// The result of a password check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The password is correct.
    pub matches: bool,
    /// The hash was created with other parameters than the current ones, or from a password that was not in its normal
    /// form, and has to be upgraded.
    pub outdated: bool,
}

/// Hashes and checks passwords on a bounded number of blocking threads behind a bounded queue.
#[derive(Clone)]
pub struct Passwords {
    hasher: Arc<Argon2id>,
    /// The hash of a random password, checked if the account does not exist.
    dummy: Arc<SecretString>,
    /// One permit per check that is running or waiting.
    places: Arc<Semaphore>,
    /// One permit per check that is running.
    threads: Arc<Semaphore>,
    metrics: PasswordMetrics,
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords")
            .field("params", self.hasher.params())
            .finish_non_exhaustive()
    }
}

impl Passwords {
    /// Creates the pool. Computes one hash, which takes as long as a login.
    ///
    /// # Errors
    ///
    /// [`HashingError::Parameters`] if Argon2 rejects the parameters.
    pub fn new(policy: &HashingPolicy, metrics: PasswordMetrics) -> Result<Self, HashingError> {
        let hasher = hasher(policy)?;
        let unknown: [u8; 32] = rand::random();
        let dummy = hash_with(&hasher, &unknown)?;
        let threads = policy.threads.max(1);
        Ok(Self {
            hasher: Arc::new(hasher),
            dummy: Arc::new(dummy),
            places: Arc::new(Semaphore::new(threads + policy.queue)),
            threads: Arc::new(Semaphore::new(threads)),
            metrics,
        })
    }

    /// Hashes a password into PHC string format. Takes tens of milliseconds on a blocking thread.
    ///
    /// # Errors
    ///
    /// [`HashingError::Overloaded`] at once if the queue is full.
    pub async fn hash(&self, password: SecretString) -> Result<SecretString, HashingError> {
        let hasher = Arc::clone(&self.hasher);
        self.run(move || hash_with(&hasher, normal(&password).as_bytes()))
            .await
    }

    /// Checks a password against `hash`, or against a dummy that never matches if there is no account: both take the
    /// same time. There is no maximum length.
    ///
    /// # Errors
    ///
    /// [`HashingError::Overloaded`] at once if the queue is full; the password was not checked then.
    pub async fn verify(
        &self,
        password: SecretString,
        hash: Option<SecretString>,
    ) -> Result<Verified, HashingError> {
        let hasher = Arc::clone(&self.hasher);
        let dummy = Arc::clone(&self.dummy);
        let metrics = self.metrics.clone();
        self.run(move || {
            let known = hash.is_some();
            let verified = verify_with(&hasher, &password, hash.as_ref().unwrap_or(&dummy))?;
            let matches = verified.matches && known;
            metrics.checked(if matches {
                PasswordCheck::Match
            } else {
                PasswordCheck::Mismatch
            });
            Ok(Verified {
                matches,
                ..verified
            })
        })
        .await
    }

    async fn run<T: Send + 'static, E: From<HashingError> + Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let place = self.place()?;
        let thread = Arc::clone(&self.threads).acquire_owned().await;
        // Both permits move into the task, so a cancelled caller does not release a thread that is still busy.
        let task = tokio::task::spawn_blocking(move || {
            let _held = (place, thread);
            work()
        });
        task.await.map_err(HashingError::Aborted)?
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, HashingError> {
        Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_full| {
                self.metrics.checked(PasswordCheck::Overloaded);
                HashingError::Overloaded
            })
    }
}

fn hash_with(hasher: &Argon2id, password: &[u8]) -> Result<SecretString, HashingError> {
    let hash = hasher
        .hash_password(password)
        .map_err(HashingError::Failed)?;
    Ok(hash.to_string().into())
}

/// Returns the normal form of a password.
fn normal(password: &SecretString) -> Zeroizing<String> {
    let password = password.expose_secret();
    // Allocated at full size: a string that grows leaves copies of its content in memory.
    let mut normal = Zeroizing::new(String::with_capacity(
        password.nfkc().map(char::len_utf8).sum(),
    ));
    normal.extend(password.nfkc());
    normal
}

fn verify_with(
    hasher: &Argon2id,
    password: &SecretString,
    hash: &SecretString,
) -> Result<Verified, HashingError> {
    let parsed = PasswordHash::new(hash.expose_secret())
        .map_err(|_| HashingError::Failed(argon2::password_hash::Error::EncodingInvalid))?;
    let is_of = |password: &str| match hasher.verify_password(password.as_bytes(), &parsed) {
        Ok(()) => Ok(true),
        Err(argon2::password_hash::Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(HashingError::Failed(error)),
    };
    let typed = password.expose_secret();
    let of_typed = is_of(typed)?;
    // `is_nfkc` is fast for ASCII.
    let of_normal = if is_nfkc(typed) {
        of_typed
    } else {
        is_of(&normal(password))?
    };
    let other_parameters = Params::try_from(&parsed).map_or(true, |params| {
        let (now, then) = (hasher.params(), params);
        (now.m_cost(), now.t_cost(), now.p_cost()) != (then.m_cost(), then.t_cost(), then.p_cost())
    });
    Ok(Verified {
        matches: of_typed || of_normal,
        outdated: other_parameters || !of_normal,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use skriptoteket_telemetry::Telemetry;

    const COMPOSED: &str = "Gr\u{fc}n-Schl\u{fc}ssel-\u{d6}l-77";

    pub(super) fn passwords(memory_kib: u32, threads: usize, queue: usize) -> Passwords {
        let policy = HashingPolicy {
            memory_kib,
            iterations: 1,
            queue,
            ..HashingPolicy::owasp(threads)
        };
        let metrics = PasswordMetrics::new(&Telemetry::disabled().meter());
        Passwords::new(&policy, metrics).unwrap()
    }

    fn decomposed() -> SecretString {
        let typed: String = COMPOSED.nfd().collect();
        assert_ne!(typed, COMPOSED);
        typed.into()
    }

    #[tokio::test]
    async fn a_password_is_the_same_however_the_keyboard_composes_it() {
        let passwords = passwords(8, 1, 4);
        for stored in [SecretString::from(COMPOSED), decomposed()] {
            let hash = passwords.hash(stored).await.unwrap();
            for typed in [SecretString::from(COMPOSED), decomposed()] {
                let verified = passwords.verify(typed, Some(hash.clone())).await.unwrap();
                assert!(verified.matches && !verified.outdated);
            }
        }
        let hash = passwords.hash("caf\u{e9} \u{fb01}n \u{2460} x".into());
        let hash = hash.await.unwrap();
        let typed = passwords.verify("cafe\u{301} fin 1 x".into(), Some(hash));
        assert!(typed.await.unwrap().matches, "NFKC, as names");
    }

    #[tokio::test]
    async fn a_hash_of_the_bytes_that_were_typed_is_accepted_and_outdated() {
        let passwords = passwords(8, 1, 4);
        let old = hash_with(&passwords.hasher, decomposed().expose_secret().as_bytes()).unwrap();
        let verified = passwords.verify(decomposed(), Some(old.clone())).await;
        let verified = verified.unwrap();
        assert!(verified.matches && verified.outdated);
        let wrong = passwords.verify("e\u{301}".into(), Some(old)).await;
        assert!(!wrong.unwrap().matches);
    }
}
