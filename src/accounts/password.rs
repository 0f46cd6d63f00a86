//! Passwords: what a new one must be, and Argon2id off the async threads.
//!
//! Rules: NIST SP 800-63B (length, no composition rules) and zxcvbn for guessability; parameters from the OWASP
//! Password Storage Cheat Sheet (Argon2id, 19 MiB, 2 iterations, 1 lane).

use std::{fmt, sync::Arc};

use argon2::{Params, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;
use zxcvbn::feedback::Feedback;

use super::hashing::Argon2id;
use crate::{config::Argon2Settings, telemetry::instruments::PasswordMetrics};

/// The shortest new password, in characters.
pub const MIN_CHARS: usize = 8;
/// The longest password, in characters.
pub const MAX_CHARS: usize = 128;
/// The least zxcvbn score (0 to 4) of a new password.
const MIN_SCORE: u8 = 3;

/// Why a new password is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Fewer than [`MIN_CHARS`] characters.
    #[error("the password is too short: it must have at least {MIN_CHARS} characters")]
    TooShort,
    /// More than [`MAX_CHARS`] characters.
    #[error("the password is too long: it must have at most {MAX_CHARS} characters")]
    TooLong,
    /// It would be guessed. The text says why, and never holds the password.
    #[error("the password is too easy to guess: {0}")]
    Guessable(String),
}

/// Checks a new password; `related` are words, in lower case, that must not make it up, such as the user's name.
///
/// Takes milliseconds, whatever the password.
///
/// # Errors
///
/// What is wrong with it, in words for the person who chose it.
pub fn check_new(password: &SecretString, related: &[&str]) -> Result<(), WeakPassword> {
    let password = password.expose_secret();
    // Counted only as far as the limit: the text may be long.
    let chars = password.chars().take(MAX_CHARS + 1).count();
    if chars < MIN_CHARS {
        return Err(WeakPassword::TooShort);
    }
    if chars > MAX_CHARS {
        return Err(WeakPassword::TooLong);
    }
    let mut weakness = None;
    for piece in pieces(password, related) {
        let estimate = zxcvbn::zxcvbn(&piece, related);
        if u8::from(estimate.score()) >= MIN_SCORE {
            return Ok(());
        }
        weakness = weakness.or(estimate.feedback().and_then(Feedback::warning));
    }
    let why = weakness.map_or_else(
        || String::from("add another word or two; uncommon words are better"),
        |warning| warning.to_string(),
    );
    Err(WeakPassword::Guessable(why))
}

/// How many guesses a secret takes, as a power of ten: an estimate, for a warning about one that somebody made up.
/// Random text takes about as many as it has characters.
#[must_use]
pub fn guesses_log10(secret: &str) -> f64 {
    let text: Zeroizing<String> = Zeroizing::new(secret.chars().take(MAX_CHARS).collect());
    let pieces = pieces(&text, &[]);
    let guesses = pieces
        .iter()
        .map(|piece| zxcvbn::zxcvbn(piece, &[]).guesses_log10());
    guesses.sum()
}

/// How many characters are rated at once. A password is at least as hard to guess as any part of it.
///
/// zxcvbn takes up to a second for a hundred characters, and its arithmetic overflows from 28 turns on a keyboard.
const PIECE_CHARS: usize = 24;

/// The parts of a password that are rated.
fn pieces(password: &str, related: &[&str]) -> Vec<Zeroizing<String>> {
    let mut rest = Zeroizing::new(password.to_owned());
    // A word that no piece can hold whole is not found in the pieces.
    for word in related
        .iter()
        .filter(|word| word.chars().count() > PIECE_CHARS)
    {
        let lower = Zeroizing::new(rest.to_lowercase());
        if lower.contains(*word) {
            rest = Zeroizing::new(lower.replace(*word, ""));
        }
    }
    let chars = Zeroizing::new(rest.chars().collect::<Vec<_>>());
    let piece = |chars: &[char]| Zeroizing::new(chars.iter().collect());
    chars.chunks(PIECE_CHARS).map(piece).collect()
}

/// The cost of a hash and how many may be made at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashingPolicy {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub iterations: u32,
    /// Lanes.
    pub parallelism: u32,
    /// Hashes made at the same time.
    pub threads: usize,
    /// Checks that may wait for a thread.
    pub queue: usize,
}

impl From<&Argon2Settings> for HashingPolicy {
    fn from(settings: &Argon2Settings) -> Self {
        Self {
            memory_kib: settings.memory_kib,
            iterations: settings.iterations,
            parallelism: settings.parallelism,
            threads: settings.threads,
            queue: settings.queue,
        }
    }
}

/// Why a password was not hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum HashingError {
    /// All threads are busy and the queue is full.
    #[error("too many password checks are waiting")]
    Overloaded,
    /// The parameters are outside what Argon2 allows.
    #[error("the Argon2 parameters are invalid")]
    Parameters(#[source] argon2::Error),
    /// A stored hash cannot be read, or the hash function failed.
    #[error("the password hash function failed")]
    Failed(#[source] argon2::password_hash::Error),
    /// The thread that made the hash is gone.
    #[error("the password check did not finish")]
    Aborted(#[source] tokio::task::JoinError),
}

/// The result of a password check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The password is right.
    pub matches: bool,
    /// The hash was made with other parameters than those in force: make it anew.
    pub outdated: bool,
}

/// Hashes and checks passwords on a bounded number of blocking threads behind a bounded queue.
#[derive(Clone)]
pub struct Passwords {
    hasher: Arc<Argon2id>,
    /// A hash of nothing anyone knows, checked where an account does not exist.
    dummy: Arc<SecretString>,
    /// One permit per check that runs or waits.
    places: Arc<Semaphore>,
    /// One permit per check that runs.
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
    /// Prepares the pool. Makes one hash, which takes as long as a login.
    ///
    /// # Errors
    ///
    /// [`HashingError::Parameters`] if Argon2 does not allow them.
    pub fn new(policy: &HashingPolicy, metrics: PasswordMetrics) -> Result<Self, HashingError> {
        let params = Params::new(
            policy.memory_kib,
            policy.iterations,
            policy.parallelism,
            None,
        )
        .map_err(HashingError::Parameters)?;
        let hasher = Argon2id::new(params);
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

    /// Hashes a new password into PHC string format. Takes tens of milliseconds on a thread of its own.
    ///
    /// # Errors
    ///
    /// [`HashingError::Overloaded`] at once if the queue is full.
    pub async fn hash(&self, password: SecretString) -> Result<SecretString, HashingError> {
        let hasher = Arc::clone(&self.hasher);
        self.run(move || hash_with(&hasher, password.expose_secret().as_bytes()))
            .await
    }

    /// Checks a password against `hash`, or against a dummy that matches nothing where there is no account: both take
    /// the same time. A password longer than [`MAX_CHARS`] is checked like any other.
    ///
    /// # Errors
    ///
    /// [`HashingError::Overloaded`] at once if the queue is full; nothing was checked then.
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
            metrics.checked(matches);
            Ok(Verified {
                matches,
                ..verified
            })
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashingError> + Send + 'static,
    ) -> Result<T, HashingError> {
        let place = self.place()?;
        let thread = Arc::clone(&self.threads).acquire_owned().await;
        // Both permits go with the work: a caller that goes away does not free a thread that is still busy.
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
                self.metrics.overloaded();
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

fn verify_with(
    hasher: &Argon2id,
    password: &SecretString,
    hash: &SecretString,
) -> Result<Verified, HashingError> {
    let parsed = PasswordHash::new(hash.expose_secret())
        .map_err(|_| HashingError::Failed(argon2::password_hash::Error::EncodingInvalid))?;
    let matches = match hasher.verify_password(password.expose_secret().as_bytes(), &parsed) {
        Ok(()) => true,
        Err(argon2::password_hash::Error::PasswordInvalid) => false,
        Err(error) => return Err(HashingError::Failed(error)),
    };
    let outdated = Params::try_from(&parsed).map_or(true, |params| {
        let (now, then) = (hasher.params(), params);
        (now.m_cost(), now.t_cost(), now.p_cost()) != (then.m_cost(), then.t_cost(), then.p_cost())
    });
    Ok(Verified { matches, outdated })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONG_NAME: &str = "ada.byron-king.countess.of.lovelace@analytical.example";

    fn check(password: &str) -> Result<(), WeakPassword> {
        check_new(&password.into(), &["ada", LONG_NAME])
    }

    #[test]
    fn a_long_password_is_rated_by_its_hardest_part() {
        assert_eq!(check("tundra-lantern-quarry-41"), Ok(()));
        let late = format!("{}tundra-lantern-quarry-41", "a".repeat(100));
        assert_eq!(check(&late), Ok(()));
        for weak in [
            "a", "12", "qwerty", "password", "1q2w3e4r", "abcdefgh", "ada",
        ] {
            let long: String = weak.chars().cycle().take(MAX_CHARS).collect();
            assert!(check(&long).is_err(), "{long}");
        }
    }

    #[test]
    fn a_name_is_no_password_however_long_it_is() {
        for padded in [
            LONG_NAME.to_owned(),
            LONG_NAME.to_uppercase(),
            format!("12345{LONG_NAME}"),
            format!("{LONG_NAME}{LONG_NAME}1"),
        ] {
            assert!(check(&padded).is_err(), "{padded}");
        }
    }

    proptest! {
        /// Turns on keyboards, repeats and substitutions are what its estimate has trouble with.
        #[test]
        fn no_password_makes_the_check_panic(
            text in "([a-z0-9@$!|(\\[{<é🦀]{1,6}){1,3}",
            walk in "(12|qaz|1q|zx|09){0,64}",
        ) {
            let _ = check(&format!("{walk}{text}"));
        }
    }
}
