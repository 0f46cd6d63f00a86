//! Reads a new password: from a terminal, twice and without echo, or as one line of standard input.

use std::io::{self, BufRead};

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::output;
use crate::accounts::{Username, password::check_new};

/// Maximum length of a line, in bytes: more than the longest password needs.
const LONGEST_LINE: u64 = 4096;

/// Maximum number of prompts until a new password is strong enough and was typed twice.
const TRIES: u32 = 3;

/// Returns a new password for `name`. On a terminal a weak one is reported at once and prompted for again; one from
/// standard input is checked when it is used.
pub(super) fn ask(name: &Username, from_stdin: bool) -> anyhow::Result<SecretString> {
    if from_stdin {
        return read_line(io::stdin().lock());
    }
    for _ in 1..TRIES {
        match ask_once(name)? {
            Ok(password) => return Ok(password),
            Err(why) => output::warn(&format!("{why}; try again")),
        }
    }
    ask_once(name)?.map_err(|why| anyhow::anyhow!("{why}; nothing was changed"))
}

/// Prompts twice. The outer error is a failure of the terminal, the inner one a problem with the password.
fn ask_once(name: &Username) -> anyhow::Result<Result<SecretString, String>> {
    let first = prompt(&format!("New password for {name}: "))?;
    if let Err(why) = check_new(first.expose_secret(), &[name.as_str()]) {
        return Ok(Err(why.to_string()));
    }
    let second = prompt("Repeat the password: ")?;
    if first.expose_secret() != second.expose_secret() {
        return Ok(Err("the two passwords are not the same".into()));
    }
    Ok(Ok(first))
}

fn prompt(question: &str) -> anyhow::Result<SecretString> {
    let answer = rpassword::prompt_password(question).context(
        "cannot prompt for the password on a terminal; pass it on standard input with --password-stdin",
    )?;
    Ok(answer.into())
}

fn read_line(input: impl BufRead) -> anyhow::Result<SecretString> {
    let mut line = Zeroizing::new(String::new());
    input
        .take(LONGEST_LINE)
        .read_line(&mut line)
        .context("the password cannot be read from standard input: expected one line of UTF-8")?;
    let password = line.strip_suffix('\n').unwrap_or(&line);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.starts_with('\u{feff}') {
        bail!(
            "a byte order mark (U+FEFF) precedes the password on standard input; save the file without one"
        );
    }
    if password.is_empty() {
        bail!("there is no password on standard input: expected one line");
    }
    Ok(password.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line_less_its_end() {
        for text in [
            "tall ships",
            "tall ships\n",
            "tall ships\r\n",
            "tall ships\nmore\n",
        ] {
            let read = read_line(text.as_bytes()).unwrap();
            assert_eq!(read.expose_secret(), "tall ships");
        }
        assert_eq!(
            read_line(" x \n".as_bytes()).unwrap().expose_secret(),
            " x "
        );
    }

    #[test]
    fn nothing_and_what_is_not_text_are_no_password() {
        for bytes in [&b""[..], b"\n", b"\xff\xfe\n", b"\xef\xbb\xbftall ships\n"] {
            assert!(read_line(bytes).is_err(), "{bytes:?}");
        }
    }
}
