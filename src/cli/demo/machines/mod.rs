//! Machines that use the service: three registered services, each with a way of its own.
//!
//! | file | what is in it |
//! |---|---|
//! | `client` | what they send: tokens asked for, used, given back |
//! | `calls` | what was done, by what the answers said |
//! | `figures` | what `/metrics` says of them |
//! | `panel` | how that is shown meanwhile |

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

/// What the machines are called, after the prefix.
pub(super) const NAMES: [&str; 3] = ["inventory", "billing", "nightly-batch"];

/// Behaves well, and moves to its new secrets but in one place that was forgotten.
pub(super) const INVENTORY: usize = 0;
/// Asks for more than it may.
pub(super) const BILLING: usize = 1;
/// Holds on to a token until it is refused.
pub(super) const NIGHTLY: usize = 2;

/// How long the secret before is accepted after a rotation: the demo shows within seconds what else takes a day.
pub(super) const OVERLAP: Duration = Duration::from_secs(6);

/// What they are, and how much they may ask: rate, burst, daily quota.
const TERMS: [(&str, &str, u32, Option<u64>); 3] = [
    ("Demo: counts what is in stock", "20/s", 40, None),
    ("Demo: writes invoices, too many", "1/s", 5, Some(20)),
    ("Demo: runs at night", "10/s", 20, None),
];

/// What a machine does; each of them one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Works; if it has no token it asks for one instead.
    Work,
    /// Says that it is well, if it has a token.
    Heartbeat,
    /// Asks for a token with a wrong secret.
    Mistype,
    /// Asks for a token with the secret before the last rotation, if there was one.
    UseRetired,
    /// Gives its token back, and goes on using it.
    GiveBack,
}

/// A machine.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    /// Its place in [`NAMES`].
    place: usize,
    /// The id that it is registered under.
    id: String,
    secrets: Arc<RwLock<Secrets>>,
}

/// What a machine proves with who it is.
#[derive(Debug, Default)]
struct Secrets {
    current: SecretString,
    /// The one before.
    retired: Option<SecretString>,
}

impl Machine {
    /// All of them; nobody has registered them yet.
    pub(super) fn all(prefix: &str) -> Vec<Self> {
        let of = |(place, id)| Self {
            place,
            id,
            secrets: Arc::default(),
        };
        ids(prefix).into_iter().enumerate().map(of).collect()
    }

    /// The id that it is registered under.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        NAMES[self.place]
    }

    /// The body of the request that registers it.
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

    /// It gets the first or a new secret, by `ask`. It asks for no token meanwhile: else nobody could tell whether it did so
    /// with a retired secret.
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

/// The ids that they are registered under.
pub(super) fn ids(prefix: &str) -> [String; 3] {
    NAMES.map(|name| format!("{prefix}{name}"))
}

/// Whether a machine is called so, without its prefix, and registered as this.
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
