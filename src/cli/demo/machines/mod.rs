//! Machines: three registered services, each with its own behaviour.
//!
//! | file | contents |
//! |---|---|
//! | `client` | their calls: request, use and revoke tokens |
//! | `calls` | what was done, according to the responses |
//! | `figures` | the values of `/metrics` about them |
//! | `panel` | their part of the live view |

mod calls;
mod client;
mod figures;
mod panel;

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::sync::RwLock;

pub(super) use self::{
    calls::{Call, Calls, Refusal},
    client::at_work,
    figures::Figures,
    panel::{lines, panel},
};

/// The names of the machines, after the prefix.
pub(super) const NAMES: [&str; 3] = ["inventory", "billing", "nightly-batch"];

/// Behaves well, and uses its new secrets except in one forgotten place.
pub(super) const INVENTORY: usize = 0;
/// Exceeds its limits.
pub(super) const BILLING: usize = 1;
/// Keeps a token until it is rejected.
pub(super) const NIGHTLY: usize = 2;

/// How long the previous secret is accepted after a rotation: the demo shows within seconds what otherwise takes a
/// day.
pub(super) const OVERLAP: Duration = Duration::from_secs(6);

/// Their descriptions and limits: rate, burst, daily quota.
const TERMS: [(&str, &str, u32, Option<u64>); 3] = [
    ("Demo: counts what is in stock", "20/s", 40, None),
    ("Demo: writes invoices, too many", "1/s", 5, Some(20)),
    ("Demo: runs at night", "10/s", 20, None),
];

/// A job of a machine; each is one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Uses its token; without one it requests a token instead.
    Work,
    /// Sends a heartbeat, if it has a token.
    Heartbeat,
    /// Requests a token with a wrong secret.
    Mistype,
    /// Requests a token with the secret from before the last rotation, if there was one.
    UseRetired,
    /// Revokes its token, and continues to use it.
    GiveBack,
}

/// A machine.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Its position in [`NAMES`].
    place: usize,
    /// The ID that it is registered under.
    id: String,
    secrets: Arc<RwLock<Secrets>>,
}

/// The credentials of a machine.
#[derive(Debug, Default)]
struct Secrets {
    current: SecretString,
    /// The previous secret.
    retired: Option<SecretString>,
}

impl Machine {
    /// Returns all machines, not yet registered.
    pub(super) fn all(prefix: &str) -> Vec<Self> {
        let of = |(place, id)| Self {
            place,
            id,
            secrets: Arc::default(),
        };
        ids(prefix).into_iter().enumerate().map(of).collect()
    }

    /// Returns the ID that it is registered under.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn name(&self) -> &'static str {
        NAMES[self.place]
    }

    /// Returns the body of the request that registers it.
    pub(super) fn registration(&self) -> Value {
        let (description, rate, burst, daily_quota) = TERMS[self.place];
        json!({
            "id": self.id,
            "description": description,
            "scopes": ["demo:work"],
            "rate": rate,
            "burst": burst,
            "daily_quota": daily_quota,
        })
    }

    /// Stores the first or a new secret, which `ask` returns. The machine requests no token meanwhile: otherwise it
    /// would not be known whether it did so with a retired secret.
    pub(super) async fn take_secret(
        &self,
        ask: impl Future<Output = Option<SecretString>>,
    ) -> Option<()> {
        let mut secrets = self.secrets.write().await;
        let before = std::mem::replace(&mut secrets.current, ask.await?);
        let first = secrecy::ExposeSecret::expose_secret(&before).is_empty();
        secrets.retired = Some(before).filter(|_| !first);
        Some(())
    }
}

/// Returns the IDs that they are registered under.
pub(super) fn ids(prefix: &str) -> [String; 3] {
    NAMES.map(|name| format!("{prefix}{name}"))
}

/// Returns true if a machine has this name, without its prefix, and this description.
pub(super) fn is_one(name: &str, description: &str) -> bool {
    let mut all = NAMES.iter().zip(TERMS);
    all.any(|(it, terms)| *it == name && terms.0 == description)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::{Rate, ServiceId};

    #[test]
    fn three_machines_pass_the_rules_of_services() {
        let machines = Machine::all("demo-3f9c2a71-");
        for machine in &machines {
            assert!(machine.id().parse::<ServiceId>().is_ok(), "{machine:?}");
            let registration = machine.registration();
            let rate = registration["rate"].as_str().unwrap();
            assert!(rate.parse::<Rate>().is_ok(), "{rate}");
        }
        assert_eq!(machines[NIGHTLY].name(), "nightly-batch");
    }

    #[tokio::test]
    async fn a_new_secret_retires_the_one_before() {
        let machine = &Machine::all("")[INVENTORY];
        let given = |secret: &'static str| std::future::ready(Some(secret.into()));
        machine.take_secret(given("one")).await.unwrap();
        assert!(machine.secrets.read().await.retired.is_none());
        assert!(
            machine
                .take_secret(std::future::ready(None))
                .await
                .is_none()
        );
        machine.take_secret(given("two")).await.unwrap();
        let secrets = machine.secrets.read().await;
        let shown = |it: &SecretString| secrecy::ExposeSecret::expose_secret(it).to_owned();
        assert_eq!(shown(&secrets.current), "two");
        assert_eq!(secrets.retired.as_ref().map(shown).as_deref(), Some("one"));
    }
}
