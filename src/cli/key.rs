//! `key`: the keys that sign access tokens.

use anyhow::bail;
use clap::Subcommand;
use serde::Serialize;

use super::{
    Source,
    command_context::{CommandContext, Refused},
    output::{self, Row},
};
use crate::{
    audit::Kind,
    clock::Timestamp,
    services::{SigningKey, signs_at},
};

/// Commands on signing keys. They work while the server runs, and take effect within a second.
#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// List the keys that have not expired, oldest first
    ///
    /// A key is published first, so that verifiers know it; then it signs; then it is retired, and stays published until the
    /// tokens that it signed have expired. Private keys are never shown. On a terminal, the table is fitted to its width, with
    /// times (UTC) to the minute; --wide shows key IDs and times in full.
    #[command(after_help = "\
Examples:
  skriptoteket key list
  skriptoteket key list --json \\
    | jq -r '.[] | select(.state == \"signing\") | .kid'")]
    List {
        /// Show IDs and times in full, even if they do not fit
        #[arg(long)]
        wide: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Create a new key now, before the current one is due for rotation
    ///
    /// It is published at once and signs after `signing_key_lead`, when every verifier has had time to fetch it.
    #[command(after_help = "\
Examples:
  skriptoteket key rotate
  skriptoteket key rotate --soon

Tokens that the previous key has signed stay valid until they expire. No token is rejected because of a rotation; \
with --soon, a verifier that caches the published keys has to fetch them again when it finds an unknown key.")]
    Rotate {
        /// Sign with it as soon as all replicas have read it, within seconds
        #[arg(long)]
        soon: bool,
    },
}

pub(super) async fn run(command: KeyCommand, source: &Source) -> anyhow::Result<()> {
    let context = CommandContext::open(source).await?;
    let result = match command {
        KeyCommand::List { wide, json } => list(&context, wide, json).await,
        KeyCommand::Rotate { soon } => {
            let rotate = rotate(&context, soon);
            context.audited(Kind::KeyRotate, |_| {}, rotate).await
        }
    };
    context.close().await;
    result
}

async fn list(context: &CommandContext, wide: bool, json: bool) -> anyhow::Result<()> {
    let keys = context.key_rotator().keys().await?;
    output::fitted(&rows(&keys, context.now()), json, wide)
}

async fn rotate(context: &CommandContext, soon: bool) -> anyhow::Result<()> {
    let key_rotator = context.key_rotator();
    if !key_rotator.rotate(soon).await? {
        let text = "another process has just created a key; `skriptoteket key list` shows it";
        return Err(Refused {
            text: text.into(),
            reason: "conflict",
        }
        .into());
    }
    let keys = key_rotator.keys().await?;
    let Some(key) = keys.last() else {
        bail!("the new key no longer exists; `skriptoteket key list` shows the existing keys");
    };
    output::line(format!(
        "the key {} is published, and signs from {} on",
        key.id,
        output::to_the_second(&key.active_from.to_rfc3339())
    ))
}

/// A key without its private part.
#[derive(Debug, Serialize)]
struct KeyRow {
    kid: String,
    algorithm: &'static str,
    state: &'static str,
    active_from: String,
    expires_at: Option<String>,
}

fn rows(keys: &[SigningKey], now: Timestamp) -> Vec<KeyRow> {
    let signing = signs_at(keys, now, |key| key.active_from);
    let row = |key: &SigningKey| KeyRow {
        kid: key.id.clone(),
        algorithm: key.algorithm.as_str(),
        state: if signing.is_some_and(|it| it.id == key.id) {
            "signing"
        } else if key.active_from > now {
            "published"
        } else {
            "retired"
        },
        active_from: key.active_from.to_rfc3339(),
        expires_at: key.expires_at.map(Timestamp::to_rfc3339),
    };
    keys.iter().map(row).collect()
}

impl Row for KeyRow {
    const COLUMNS: &'static [&'static str] =
        &["kid", "algorithm", "state", "active_from", "expires_at"];
    const CUT: &'static [(&'static str, usize)] = &[("kid", 8)];

    fn cells(&self) -> Vec<String> {
        let never = || String::from("-");
        vec![
            self.kid.clone(),
            self.algorithm.to_owned(),
            self.state.to_owned(),
            output::to_the_second(&self.active_from),
            self.expires_at
                .as_deref()
                .map_or_else(never, output::to_the_second),
        ]
    }
}
