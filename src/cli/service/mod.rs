//! `service`: registered services.
//!
//! | file | contents |
//! |---|---|
//! | `mod` | the commands |
//! | `limits` | the limits of a service as arguments |
//! | `view` | output of services |

mod limits;
mod view;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use clap::{ArgGroup, Args, Subcommand};

use self::{
    limits::Limits,
    view::{Issuance, ServiceView},
};
use super::{
    Source,
    command_context::{CommandContext, Refused},
    confirm, output,
    span::span,
};
use crate::{
    audit::{Action, Kind},
    services::{
        PublicKeys, Registration, Registry, RegistryError, Scope, ServiceChange, ServiceId,
        ServiceSettings,
    },
};

/// Commands on services. They work while the server runs, and take effect within a second.
#[derive(Debug, Subcommand)]
pub(super) enum ServiceCommand {
    /// Register a service; prints its client secret once
    #[command(after_help = "\
Examples:
  skriptoteket service register inventory --scope stock:read \\
    --description 'What is in stock'
  skriptoteket service register billing --rate 30/m --burst 10 \\
    --daily-quota 5000
  skriptoteket service register orders --json \\
    | jq -r .client_secret > orders.secret
  skriptoteket service register nightly --public-keys nightly.jwks

The service sends the secret to POST /oauth2/token. With public keys, it may sign assertions instead.")]
    Register(Register),

    /// List all services, by ID
    #[command(after_help = "\
Examples:
  skriptoteket service list
  skriptoteket service list --json \\
    | jq -r '.[] | select(.health == \"stale\") | .id'")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Show a service, without its secrets
    #[command(after_help = "\
Examples:
  skriptoteket service show inventory
  skriptoteket service show inventory --json | jq .credentials")]
    Show {
        /// ID of the service
        id: ServiceId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Change the description, scopes, limits or keys of a service
    #[command(
        override_usage = "skriptoteket service set <ID> <OPTIONS>",
        after_help = "\
Examples:
  skriptoteket service set billing --rate 60/m --daily-quota 0
  skriptoteket service set inventory --scope stock:read --scope stock:write
  skriptoteket service set nightly --no-public-keys

Values that are not given stay unchanged. Tokens keep the scopes that they were issued with until they expire."
    )]
    Set(Set),

    /// Create a new client secret; the previous one is accepted for a while
    #[command(after_help = "\
Examples:
  skriptoteket service rotate inventory
  skriptoteket service rotate inventory --overlap 1h --json \\
    | jq -r .client_secret > inventory.secret
  skriptoteket service rotate inventory --overlap 0s --force

A service has at most two secrets. While the replaced one is still accepted, a further rotation needs --force, which \
ends it. The metric skriptoteket_retired_credential_uses_total counts the uses of the replaced secret.")]
    Rotate {
        /// ID of the service
        id: ServiceId,
        /// Time for which the previous secret is still accepted [default: `service_credential_overlap`]
        #[arg(long, value_name = "TIME", value_parser = overlap)]
        overlap: Option<Duration>,
        /// Revoke a secret that was replaced earlier and is still accepted
        #[arg(long)]
        force: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },

    /// Disable a service; its tokens are rejected
    #[command(after_help = "\
Example:
  skriptoteket service disable inventory")]
    Disable {
        /// ID of the service
        id: ServiceId,
    },

    /// Enable a disabled service
    #[command(after_help = "\
Example:
  skriptoteket service enable inventory

Its tokens that have not expired are accepted again, too.")]
    Enable {
        /// ID of the service
        id: ServiceId,
    },

    /// Delete a service; its secrets and tokens are rejected
    #[command(after_help = "\
Example:
  skriptoteket service delete inventory

On a terminal it asks for confirmation. A service that is registered later under the same id is a different one: \
tokens of this service are not valid for it.")]
    Delete {
        /// ID of the service
        id: ServiceId,
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
}

/// A service to register.
#[derive(Debug, Args)]
pub(super) struct Register {
    /// Client ID: 1 to 64 lower-case letters, digits or . _ -, from a letter to a letter or digit
    id: ServiceId,
    /// Description
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    /// Scope that it may request; can be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    #[command(flatten)]
    limits: Limits,
    /// File with a JWK Set: the public keys of its signed assertions (`private_key_jwt`)
    #[arg(long, value_name = "FILE")]
    public_keys: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The changes: at least one.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args([
    "description", "scopes", "no_scopes", "rate", "burst", "daily_quota", "public_keys", "no_public_keys",
]))]
pub(super) struct Set {
    /// ID of the service
    id: ServiceId,
    /// Description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Scope that it may request; replaces all scopes; can be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// Remove all scopes
    #[arg(long, conflicts_with = "scopes")]
    no_scopes: bool,
    #[command(flatten)]
    limits: Limits,
    /// File with a JWK Set that replaces its public keys
    #[arg(long, value_name = "FILE")]
    public_keys: Option<PathBuf>,
    /// Remove its public keys: it must use its secret
    #[arg(long, conflicts_with = "public_keys")]
    no_public_keys: bool,
}

fn overlap(text: &str) -> Result<Duration, String> {
    let overlap = span(text)?;
    if overlap > ServiceSettings::LONGEST_OVERLAP {
        return Err(String::from("expected at most 365d"));
    }
    Ok(overlap)
}

pub(super) async fn run(command: ServiceCommand, source: &Source) -> anyhow::Result<()> {
    // Before the action begins: a cancelled command is not recorded as rejected.
    if let ServiceCommand::Delete { id, yes } = &command {
        let question = format!(
            "This deletes the service {id}: its secrets and tokens are rejected from now on."
        );
        confirm::confirm(&question, *yes)?;
    }
    let context = match command {
        ServiceCommand::Register(_) => CommandContext::open_or_make(source).await?,
        _ => CommandContext::open(source).await?,
    };
    let result = match action(&command) {
        Some((kind, id)) => {
            let target = format!("service:{id}");
            let about = |action: &Action| action.set_target(target);
            context.audited(kind, about, obey(command, &context)).await
        }
        None => obey(command, &context).await,
    };
    context.close().await;
    result
}

/// Returns the administrative action of a command and its service; `None` if it only reads.
const fn action(command: &ServiceCommand) -> Option<(Kind, &ServiceId)> {
    match command {
        ServiceCommand::List { .. } | ServiceCommand::Show { .. } => None,
        ServiceCommand::Register(args) => Some((Kind::ServiceRegister, &args.id)),
        ServiceCommand::Set(args) => Some((Kind::ServiceChange, &args.id)),
        ServiceCommand::Disable { id } | ServiceCommand::Enable { id } => {
            Some((Kind::ServiceChange, id))
        }
        ServiceCommand::Rotate { id, .. } => Some((Kind::ServiceRotate, id)),
        ServiceCommand::Delete { id, .. } => Some((Kind::ServiceDelete, id)),
    }
}

async fn obey(command: ServiceCommand, context: &CommandContext) -> anyhow::Result<()> {
    let registry = context.registry();
    match command {
        ServiceCommand::Register(args) => register(&registry, args).await,
        ServiceCommand::List { json } => {
            let (services, _) = registry.all().await?;
            let shown = services.iter().map(|it| ServiceView::of(it, context));
            output::list(&shown.collect::<Vec<_>>(), json)
        }
        ServiceCommand::Show { id, json } => {
            let service = registry.find(&id).await;
            let service = service.map_err(|error| explained(error, &id))?;
            ServiceView::of(&service, context).print(json)
        }
        ServiceCommand::Set(args) => set(&registry, args).await,
        ServiceCommand::Rotate {
            id,
            overlap,
            force,
            json,
        } => {
            let issued = registry.rotate(&id, overlap, force).await;
            let issued = issued.map_err(|error| explained(error, &id))?;
            Issuance::rotated(&issued).print(json)
        }
        ServiceCommand::Disable { id } => {
            set_disabled(&registry, &id, true).await?;
            output::line(format!(
                "{id} is disabled; its secrets and tokens are rejected"
            ))
        }
        ServiceCommand::Enable { id } => {
            set_disabled(&registry, &id, false).await?;
            output::line(format!("{id} is enabled"))
        }
        ServiceCommand::Delete { id, .. } => {
            let deleted = registry.delete(&id).await;
            deleted.map_err(|error| explained(error, &id))?;
            output::line(format!(
                "{id} is deleted; its secrets and tokens are rejected"
            ))
        }
    }
}

async fn register(registry: &Registry, args: Register) -> anyhow::Result<()> {
    let Register {
        id,
        description,
        scopes,
        limits,
        public_keys,
        json,
    } = args;
    let registration = Registration {
        id: id.clone(),
        description,
        scopes,
        limits: Some(limits.change().over(registry.usual_limits())),
        public_keys: public_keys.as_deref().map(public_keys_in).transpose()?,
    };
    let issued = registry.register(registration).await;
    let issued = issued.map_err(|error| explained(error, &id))?;
    Issuance::registered(&issued).print(json)
}

async fn set(registry: &Registry, args: Set) -> anyhow::Result<()> {
    let id = args.id;
    let scopes = args.no_scopes || !args.scopes.is_empty();
    let public_keys = match &args.public_keys {
        Some(file) => Some(Some(Arc::from(public_keys_in(file)?))),
        None => args.no_public_keys.then_some(None),
    };
    let change = ServiceChange {
        description: args.description,
        disabled: None,
        scopes: scopes.then_some(args.scopes),
        limits: args.limits.change(),
        public_keys,
    };
    let changed = registry.change(&id, change).await;
    changed.map_err(|error| explained(error, &id))?;
    output::line(format!("{id} is changed"))
}

async fn set_disabled(registry: &Registry, id: &ServiceId, disabled: bool) -> anyhow::Result<()> {
    let change = ServiceChange {
        disabled: Some(disabled),
        ..ServiceChange::default()
    };
    let changed = registry.change(id, change).await;
    changed.map_err(|error| explained(error, id))?;
    Ok(())
}

/// Returns the JWK Set in a file. It is checked here, so that errors refer to the file.
fn public_keys_in(file: &Path) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    PublicKeys::parse(&text).with_context(|| file.display().to_string())?;
    Ok(text)
}

/// Explains an error about a service, and how to correct it.
fn explained(error: RegistryError, id: &ServiceId) -> anyhow::Error {
    let reason = error.reason();
    let text = match error {
        RegistryError::AlreadyExists => format!(
            "there is a service {id} already; choose another id, or `skriptoteket service rotate {id}` for a new secret"
        ),
        RegistryError::Full(most) => format!(
            "there are already {most} services, the maximum of max_services; delete one, or increase it"
        ),
        RegistryError::NotFound => {
            format!("there is no service {id}; `skriptoteket service list` shows all services")
        }
        RegistryError::StillOverlapping { until } => format!(
            "the secret of {id} that the last rotation replaced is still accepted, until {}; rotate after that, or end it now with --force",
            output::to_the_second(&until.to_rfc3339())
        ),
        other => return other.into(),
    };
    Refused { text, reason }.into()
}
