//! `config`: checks, shows or creates a configuration.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::Subcommand;

use super::{Misuse, Source, output};
use crate::{
    app::warnings,
    config::{show, template},
};

/// Commands on the configuration. None of them needs a running server.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Check the configuration and report all errors
    ///
    /// Settings that are valid and probably wrong are warnings on standard error: a proxy network that includes all addresses,
    /// secrets that are easy to guess or in files that all users can read. `serve` logs the same warnings.
    #[command(after_help = "\
Examples:
  skriptoteket config check
  skriptoteket --config /etc/skriptoteket.toml config check

Exit codes:
  0  valid; settings without effect are warnings on standard error
  2  invalid; each fault is a line on standard error")]
    Check,

    /// Print the settings in effect and where each comes from, without secrets
    #[command(after_help = "\
Example:
  skriptoteket config show | grep environment")]
    Show,

    /// Create or print a file with every setting, described and commented out at its default
    #[command(after_help = "\
Examples:
  skriptoteket config init skriptoteket.toml
  skriptoteket config init | less

Exit codes:
  0  it is written
  1  it cannot be written
  2  the command line is invalid, or FILE already exists and was not changed")]
    Init {
        /// File to create, for this user only (mode 0600); without it the text is printed
        file: Option<PathBuf>,
    },
}

pub(super) fn run(command: &ConfigCommand, source: &Source) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Check => {
            let config = source.load()?;
            for warning in config.warnings.iter().cloned().chain(warnings::of(&config)) {
                output::warn(&warning);
            }
            output::line("configuration is valid")
        }
        ConfigCommand::Show => {
            let shown = show(source.file.as_deref(), &source.environment)?;
            output::write(shown.as_bytes())
        }
        ConfigCommand::Init { file: None } => output::write(template().as_bytes()),
        ConfigCommand::Init { file: Some(file) } => {
            start(file)?;
            output::line(format_args!("wrote {}", file.display()))
        }
    }
}

/// Creates the commented file. It may later contain secrets, so it is readable by this user only.
fn start(file: &Path) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    // Existing files are never opened, not even through a symbolic link.
    options.write(true).create_new(true).mode(0o600);
    let mut made = match options.open(file) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = format!(
                "{}: already exists and was not changed; name a new file, or move this one away",
                file.display()
            );
            return Err(Misuse(text).into());
        }
        opened => opened.with_context(|| {
            format!(
                "{}: cannot be written; name a file in a directory that exists and that this user may write to",
                file.display()
            )
        })?,
    };
    made.write_all(template().as_bytes()).map_err(|error| {
        // An incomplete file would block the next attempt.
        let _ = fs::remove_file(file);
        anyhow::Error::new(error).context(format!("{}: cannot be written", file.display()))
    })
}
