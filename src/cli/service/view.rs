//! Output of services.

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::Value;

use crate::{
    cli::{
        command_context::CommandContext,
        output::{self, Row},
    },
    clock::Timestamp,
    services::{Credential, CredentialId, Issued, LimitPolicy, Rate, Scope, Service, ServiceId},
};

/// A service without its secrets, in the format of the API.
#[derive(Debug, Serialize)]
pub(super) struct ServiceView {
    id: ServiceId,
    description: String,
    health: &'static str,
    disabled: bool,
    created_at: String,
    last_heartbeat: Option<String>,
    last_authentication: Option<String>,
    scopes: Vec<Scope>,
    limits: LimitsView,
    /// The newest first.
    credentials: Vec<CredentialView>,
    /// The JWK Set that its assertions are verified with.
    public_keys: Option<Value>,
    /// When it last authenticated.
    #[serde(skip)]
    last_seen: Option<String>,
}

/// The limits of a service.
#[derive(Debug, Serialize)]
struct LimitsView {
    rate: String,
    burst: u32,
    daily_quota: Option<u64>,
}

/// A client secret, without the secret itself.
#[derive(Debug, Serialize)]
struct CredentialView {
    id: CredentialId,
    created_at: String,
    expires_at: Option<String>,
    retired_at: Option<String>,
    state: &'static str,
}

impl ServiceView {
    /// Returns the current state of `service`.
    pub(super) fn of(service: &Service, context: &CommandContext) -> Self {
        let now = context.now();
        let credentials = service.credentials.iter();
        let last_seen = service.last_heartbeat.max(service.last_authentication);
        Self {
            id: service.id.clone(),
            description: service.description.clone(),
            health: service.health(now, &context.health_policy()).as_str(),
            disabled: service.disabled,
            created_at: service.created_at.to_rfc3339(),
            last_heartbeat: service.last_heartbeat.map(Timestamp::to_rfc3339),
            last_authentication: service.last_authentication.map(Timestamp::to_rfc3339),
            scopes: service.scopes.clone(),
            limits: LimitsView {
                rate: rate(&service.limits),
                burst: service.limits.burst,
                daily_quota: service.limits.daily_quota,
            },
            credentials: credentials.map(|it| CredentialView::of(it, now)).collect(),
            public_keys: service.public_keys.as_deref().and_then(|json| {
                // It was validated when it was stored.
                serde_json::from_str(json).ok()
            }),
            last_seen: last_seen.map(Timestamp::to_rfc3339),
        }
    }

    /// Prints all details.
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            return output::json(self);
        }
        output::table(&self.facts())?;
        output::line("")?;
        output::table(&self.credentials)
    }

    fn facts(&self) -> Vec<Fact> {
        let scopes = self.scopes.iter().map(Scope::as_str).collect::<Vec<_>>();
        let facts = [
            ("id", self.id.to_string()),
            ("description", or_dash(&self.description)),
            ("health", self.health.to_owned()),
            ("registered", output::to_the_second(&self.created_at)),
            ("last heartbeat", or_never(self.last_heartbeat.as_ref())),
            (
                "last authentication",
                or_never(self.last_authentication.as_ref()),
            ),
            ("scopes", or_dash(&scopes.join(" "))),
            ("rate", self.limits.rate.clone()),
            ("burst", self.limits.burst.to_string()),
            ("daily quota", or_none(self.limits.daily_quota)),
            ("public keys", yes_or_no(self.public_keys.is_some())),
        ];
        facts
            .into_iter()
            .map(|(name, value)| Fact { name, value })
            .collect()
    }
}

impl Row for ServiceView {
    const COLUMNS: &'static [&'static str] = &[
        "id",
        "health",
        "last_seen",
        "credential_expires_at",
        "rate",
        "burst",
        "daily_quota",
    ];

    fn cells(&self) -> Vec<String> {
        let newest = self.credentials.first();
        vec![
            self.id.to_string(),
            self.health.to_owned(),
            or_never(self.last_seen.as_ref()),
            or_never(newest.and_then(|it| it.expires_at.as_ref())),
            self.limits.rate.clone(),
            self.limits.burst.to_string(),
            or_none(self.limits.daily_quota),
        ]
    }
}

impl CredentialView {
    fn of(credential: &Credential, now: Timestamp) -> Self {
        Self {
            id: credential.id,
            created_at: credential.created_at.to_rfc3339(),
            expires_at: credential.expires_at.map(Timestamp::to_rfc3339),
            retired_at: credential.retired_at.map(Timestamp::to_rfc3339),
            state: match (credential.is_expired(now), credential.retired_at) {
                (true, _) => "expired",
                (false, Some(_)) => "retired",
                (false, None) => "current",
            },
        }
    }
}

impl Row for CredentialView {
    const COLUMNS: &'static [&'static str] = &["credential", "state", "created_at", "expires_at"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.state.to_owned(),
            output::to_the_second(&self.created_at),
            or_never(self.expires_at.as_ref()),
        ]
    }
}

/// One detail of a service.
#[derive(Debug, Serialize)]
struct Fact {
    name: &'static str,
    value: String,
}

impl Row for Fact {
    const COLUMNS: &'static [&'static str] = &["property", "value"];
    const LAST_COLUMN_IS_PROSE: bool = true;

    fn cells(&self) -> Vec<String> {
        vec![self.name.to_owned(), self.value.clone()]
    }
}

/// A new client secret, which is shown only this once.
#[derive(Debug)]
pub(super) struct Issuance<'a> {
    what: &'static str,
    issued: &'a Issued,
    /// When the previous secret stops being accepted, if there was one.
    before: Option<Timestamp>,
}

/// The output of `--json`. It contains the secret in the clear, because the secret is not available anywhere else.
#[derive(Serialize)]
struct ShownIssuance<'a> {
    client_id: &'a ServiceId,
    client_secret: &'a str,
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_expires_at: Option<String>,
}

impl<'a> Issuance<'a> {
    /// The first secret of a service.
    pub(super) const fn registered(issued: &'a Issued) -> Self {
        Self {
            what: "is registered",
            issued,
            before: None,
        }
    }

    /// A secret that replaces another.
    pub(super) fn rotated(issued: &'a Issued) -> Self {
        let mut credentials = issued.service.credentials.iter();
        let retired = credentials.find(|it| it.retired_at.is_some());
        Self {
            what: "has a new client secret",
            issued,
            before: retired.and_then(|it| it.expires_at),
        }
    }

    /// Prints the secret.
    pub(super) fn print(&self, json: bool) -> anyhow::Result<()> {
        let Issued {
            service,
            secret,
            secret_expires_at,
        } = self.issued;
        let expires_at = secret_expires_at.map(Timestamp::to_rfc3339);
        let before = self.before.map(Timestamp::to_rfc3339);
        let secret: &SecretString = secret;
        if json {
            return output::json(&ShownIssuance {
                client_id: &service.id,
                client_secret: secret.expose_secret(),
                expires_at,
                previous_expires_at: before,
            });
        }
        let (id, what) = (&service.id, self.what);
        output::line(format_args!(
            "{id} {what}. The secret will not be shown again.\n\n  \
             client_id      {id}\n  \
             client_secret  {}\n  \
             expires_at     {}",
            secret.expose_secret(),
            or_never(expires_at.as_ref())
        ))?;
        match before {
            Some(until) => output::line(format_args!(
                "\nThe previous secret is accepted until {}.",
                output::to_the_second(&until)
            )),
            None => Ok(()),
        }
    }
}

/// Formats the rate as in the configuration.
fn rate(limits: &LimitPolicy) -> String {
    // A rate that no configuration can express may still be in a store that another program has written.
    Rate::every(limits.interval).map_or_else(
        || format!("one in {:?}", limits.interval),
        |rate| rate.to_string(),
    )
}

fn or_never(time: Option<&String>) -> String {
    time.map_or_else(|| String::from("never"), |time| output::to_the_second(time))
}

fn or_none(quota: Option<u64>) -> String {
    quota.map_or_else(|| String::from("none"), |quota| quota.to_string())
}

fn or_dash(text: &str) -> String {
    String::from(if text.is_empty() { "-" } else { text })
}

fn yes_or_no(what: bool) -> String {
    String::from(if what { "yes" } else { "no" })
}
