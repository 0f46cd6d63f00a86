//! The arguments of `user`.

use clap::{
    ArgGroup, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};

use crate::accounts::{DisplayName, EmailAddress, Role, Username};

/// Commands on accounts. They work while the server runs; sessions follow within a second.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum UserCommand {
    /// Add an account; prompts for the password
    #[command(after_help = "\
Examples:
  skriptoteket user add ada --role superuser
  skriptoteket user add ada --display-name \"Ada Lovelace\" --email ada@a.org
  skriptoteket user add bob --password-stdin < bob.password

A password has 8 to 128 characters and must not be easy to guess; several uncommon words are good.")]
    Add {
        /// Login name: 1 to 64 letters, digits or . _ - @ +; case-insensitive
        name: Username,
        /// Role of the account
        #[arg(long, default_value = "user", value_parser = role_parser())]
        role: Role,
        /// Name to show in pages and applications
        #[arg(long, value_name = "NAME")]
        display_name: Option<DisplayName>,
        /// Email address; it is not verified
        #[arg(long, value_name = "ADDRESS")]
        email: Option<EmailAddress>,
        /// Read the password from standard input (one line) instead of prompting
        #[arg(long)]
        password_stdin: bool,
    },

    /// List all accounts, oldest first
    ///
    /// On a terminal, the table is fitted to its width: without IDs and email addresses, and with times (UTC) to the minute. --wide shows
    /// all columns.
    #[command(after_help = "\
Examples:
  skriptoteket user list
  skriptoteket user list --json | jq '.[] | select(.disabled) | .username'")]
    List {
        /// Show all columns, even if they do not fit
        #[arg(long)]
        wide: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Change the role of an account; its live sessions follow
    #[command(after_help = "\
Example:
  skriptoteket user set-role ada admin

The last superuser who can log in keeps the role.")]
    SetRole {
        /// Login name
        name: Username,
        /// New role of the account
        #[arg(value_parser = role_parser())]
        role: Role,
    },

    /// Change or remove the display name and the email address of an account
    #[command(after_help = "\
Examples:
  skriptoteket user set-profile ada --display-name \"Ada Lovelace\"
  skriptoteket user set-profile ada --no-email")]
    #[command(
        group = ArgGroup::new("change").required(true).multiple(true),
        override_usage = "skriptoteket user set-profile [OPTIONS] <NAME>"
    )]
    SetProfile {
        /// Login name
        name: Username,
        /// New name to show in pages and applications
        #[arg(long, value_name = "NAME", group = "change")]
        display_name: Option<DisplayName>,
        /// Remove the display name
        #[arg(long, group = "change", conflicts_with = "display_name")]
        no_display_name: bool,
        /// New email address; it is not verified
        #[arg(long, value_name = "ADDRESS", group = "change")]
        email: Option<EmailAddress>,
        /// Remove the email address
        #[arg(long, group = "change", conflicts_with = "email")]
        no_email: bool,
    },

    /// Disable an account and end its sessions
    #[command(after_help = "\
Example:
  skriptoteket user disable ada")]
    Disable {
        /// Login name
        name: Username,
    },

    /// Enable a disabled account and reset its failed logins
    #[command(after_help = "\
Example:
  skriptoteket user enable ada")]
    Enable {
        /// Login name
        name: Username,
    },

    /// Unlock an account that was locked after failed logins
    #[command(after_help = "\
Example:
  skriptoteket user unlock ada

A lock also ends by itself, after guard_longest_lock at the latest. `user set-password` and `user enable` unlock too. \
An address that is locked stays locked.")]
    Unlock {
        /// Login name
        name: Username,
    },

    /// Set a new password, end the sessions of the account, and unlock it
    #[command(after_help = "\
Examples:
  skriptoteket user set-password ada
  skriptoteket user set-password ada --password-stdin < ada.password")]
    SetPassword {
        /// Login name
        name: Username,
        /// Read the password from standard input (one line) instead of prompting
        #[arg(long)]
        password_stdin: bool,
    },

    /// Delete an account and end its sessions
    #[command(after_help = "\
Example:
  skriptoteket user delete ada

On a terminal it asks for confirmation. Its rows in the audit trail are kept for audit_retention.")]
    Delete {
        /// Login name
        name: Username,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

/// Accepts the names of roles, and lists them in help and completion.
pub(in crate::cli) fn role_parser() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::NAMES).try_map(|name| name.parse::<Role>())
}
