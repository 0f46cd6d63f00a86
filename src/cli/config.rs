//! `config`: the configuration, checked, shown, or started.

use clap::Subcommand;

use super::{Source, output};
use crate::{
    app::warnings,
    config::{show, template},
};

/// What can be done with the configuration. None of it needs a running server.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Say whether the configuration is valid, or everything that is wrong with it
    ///
    /// Settings that are valid and still probably wrong are warnings on standard error: a proxy network that is everybody's,
    /// secrets that are easy to guess or in files that everybody reads. `serve` logs the same.
    #[command(after_help = "\
Examples:
  skriptoteket config check
  skriptoteket --config /etc/skriptoteket.toml config check

Exit codes:
  0  it is valid; what has no effect is a warning on standard error
  2  it is not; each fault is a line on standard error")]
    Check,

    /// Print every setting in force and where it comes from; secrets stay hidden
    #[command(after_help = "\
Example:
  skriptoteket config show | grep environment")]
    Show,

    /// Print a file with every setting, described and commented out at its default
    #[command(after_help = "\
Example:
  skriptoteket config init > skriptoteket.toml")]
    Init,
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
        ConfigCommand::Init => output::write(template().as_bytes()),
    }
}
