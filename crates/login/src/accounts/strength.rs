//! Rules for new passwords: NIST SP 800-63B (length, no composition rules), and zxcvbn for guessability.

use zeroize::Zeroizing;
use zxcvbn::feedback::Feedback;

/// The minimum length of a new password, in characters.
pub const MIN_CHARS: usize = 8;
/// The maximum length of a password, in characters.
pub const MAX_CHARS: usize = 128;
/// The minimum zxcvbn score (0 to 4) of a new password.
const MIN_SCORE: u8 = 3;

/// Why a new password is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// Fewer than [`MIN_CHARS`] characters.
    #[error("the password is too short: it must have at least {MIN_CHARS} characters")]
    TooShort,
    /// More than [`MAX_CHARS`] characters.
    #[error("the password is too long: it must have at most {MAX_CHARS} characters")]
    TooLong,
    /// It is easy to guess. The text gives the reason and never contains the password.
    #[error("the password is too easy to guess: {0}")]
    Guessable(String),
}

/// Checks a new password. `related` are lower-case words that must not make up the password, for example the user name.
///
/// Takes up to some hundred milliseconds: [`Passwords::hash_new`](super::password::Passwords::hash_new) runs it on a
/// blocking thread.
///
/// # Errors
///
/// Returns what is wrong with the password, as a text for the user.
pub fn check_new(password: &str, related: &[&str]) -> Result<(), WeakPassword> {
    // Counts only up to the limit, because the text may be long.
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

/// Estimates the number of guesses that a secret withstands, as a power of ten. Used to warn about secrets that an
/// operator chose. For random text it is close to the number of characters.
#[must_use]
pub fn guesses_log10(secret: &str) -> f64 {
    let text: Zeroizing<String> = Zeroizing::new(secret.chars().take(MAX_CHARS).collect());
    let pieces = pieces(&text, &[]);
    let guesses = pieces
        .iter()
        .map(|piece| zxcvbn::zxcvbn(piece, &[]).guesses_log10());
    guesses.sum()
}

/// Maximum number of characters rated at once. A password is at least as hard to guess as any part of it.
///
/// zxcvbn takes up to a second for a hundred characters, and its arithmetic overflows for 28 or more turns on a
/// keyboard.
const PIECE_CHARS: usize = 24;

/// Returns the parts of a password that are rated.
fn pieces(password: &str, related: &[&str]) -> Vec<Zeroizing<String>> {
    let mut rest = Zeroizing::new(password.to_owned());
    // A word longer than a piece would not be found in the pieces.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LONG_NAME: &str = "ada.byron-king.countess.of.lovelace@analytical.example";

    fn check(password: &str) -> Result<(), WeakPassword> {
        check_new(password, &["ada", LONG_NAME])
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
        /// Keyboard turns, repeats and substitutions are the patterns that zxcvbn's estimate has trouble with.
        #[test]
        fn no_password_makes_the_check_panic(
            text in "([a-z0-9@$!|(\\[{<é🦀]{1,6}){1,3}",
            walk in "(12|qaz|1q|zx|09){0,64}",
        ) {
            let _ = check(&format!("{walk}{text}"));
        }
    }
}
