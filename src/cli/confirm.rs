//! The confirmation before something is deleted.

use std::io::{self, BufRead, IsTerminal, Write};

use anyhow::{Context, bail};

/// Asks for confirmation if standard input and standard error are a terminal. Any answer but yes is an error. Scripts
/// have no terminal and are not asked, nor is a user who passes `--yes`.
pub(super) fn confirm(what: &str, yes: bool) -> anyhow::Result<()> {
    if yes || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(());
    }
    ask(what, io::stdin().lock(), io::stderr().lock())
}

fn ask(what: &str, mut answers: impl BufRead, mut questions: impl Write) -> anyhow::Result<()> {
    write!(questions, "{what} Continue? [y/N] ").context("cannot ask for confirmation")?;
    questions.flush().context("cannot ask for confirmation")?;
    let mut answer = String::new();
    answers
        .read_line(&mut answer)
        .context("cannot read the confirmation")?;
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    bail!("nothing was done: answer y to continue, or use --yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_yes_goes_on() {
        for answer in ["y\n", "Y\n", " yes\n", "YES"] {
            ask("?", answer.as_bytes(), Vec::new()).unwrap();
        }
        for answer in ["", "\n", "n\n", "yess\n", "no y\n"] {
            ask("?", answer.as_bytes(), Vec::new()).unwrap_err();
        }
    }
}
