//! The Redis of the demo's own service: keys under a unique prefix, which are deleted at the end.

use std::{
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};

use super::{
    DemoArgs,
    tag::{is_tag, new_tag},
};
use crate::{
    cli::Misuse,
    config::{self, Environment},
    store::{self, Erased, OpenError, RedisSettings},
};

/// The start of the prefix; the tag of the run follows.
const BEGINNING: &str = "skriptoteket-demo-";

/// Timeout of a call while keys are deleted.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// The keys of one run.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    url: SecretString,
    password_file: Option<PathBuf>,
    settings: RedisSettings,
}

impl fmt::Display for Keys {
    /// Prints their location, without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.settings.location())
    }
}

impl Keys {
    /// Returns the keys of a new run, if the arguments name a Redis.
    ///
    /// # Errors
    ///
    /// If the arguments are invalid.
    pub(super) fn of(args: &DemoArgs) -> anyhow::Result<Option<Self>> {
        Self::under(&format!("{BEGINNING}{}", new_tag()), args)
    }

    fn under(prefix: &str, args: &DemoArgs) -> anyhow::Result<Option<Self>> {
        let Some(url) = &args.redis else {
            return Ok(None);
        };
        let password_file = args.redis_password_file.as_deref();
        let environment = named(Environment::default(), url, password_file, prefix);
        let config = config::load(None, &environment).map_err(|faults| {
            // The texts contain no secret.
            let faults: Vec<String> = (&faults).into_iter().map(ToString::to_string).collect();
            let text = faults.join("; ");
            let text = text.replace("SKRIPTOTEKET_REDIS_URL", "--redis");
            Misuse(text.replace("SKRIPTOTEKET_REDIS_PASSWORD_FILE", "--redis-password-file"))
        })?;
        let settings = config.redis.context("--redis is not the URL of a Redis")?;
        Ok(Some(Self {
            url: url.clone(),
            password_file: args.redis_password_file.clone(),
            settings,
        }))
    }

    /// Adds the settings of this Redis and these keys to an environment.
    pub(super) fn told(&self, environment: Environment) -> Environment {
        let password_file = self.password_file.as_deref();
        named(
            environment,
            &self.url,
            password_file,
            &self.settings.key_prefix,
        )
    }

    /// Checks that Redis responds and permits the commands that delete the keys.
    ///
    /// # Errors
    ///
    /// If it does not.
    pub(super) async fn try_out(&self) -> anyhow::Result<()> {
        self.erase(|_| false, false)
            .await
            .map(drop)
            .with_context(|| format!("--redis: {self} cannot be used"))
    }

    /// Deletes the keys.
    ///
    /// # Errors
    ///
    /// If they cannot be deleted.
    pub(super) async fn delete(&self) -> anyhow::Result<()> {
        let is_ours = |prefix: &str| prefix == self.settings.key_prefix;
        let erased = self.erase(is_ours, true).await;
        erased.map(drop).with_context(|| {
            format!(
                "the keys in {self} were not deleted; `skriptoteket demo --clean` with the same --redis deletes them"
            )
        })
    }

    async fn erase(
        &self,
        is_ours: impl Fn(&str) -> bool + Send,
        also_in_use: bool,
    ) -> anyhow::Result<Erased> {
        let erase = store::erase(&self.settings, TIME_LIMIT, is_ours, also_in_use);
        Ok(Box::pin(erase).await.map_err(OpenError::from)?)
    }
}

fn named(
    environment: Environment,
    url: &SecretString,
    password_file: Option<&Path>,
    prefix: &str,
) -> Environment {
    let environment = environment
        .with("SKRIPTOTEKET_REDIS_URL", url.expose_secret())
        .with("SKRIPTOTEKET_REDIS_KEY_PREFIX", prefix);
    match password_file {
        Some(file) => environment.with("SKRIPTOTEKET_REDIS_PASSWORD_FILE", file),
        None => environment,
    }
}

/// Deletes the keys of killed demos, in the Redis that the arguments name. Returns their number.
///
/// # Errors
///
/// If Redis does not respond, or a demo is using its keys.
pub(super) async fn delete_abandoned(args: &DemoArgs) -> anyhow::Result<Option<u64>> {
    let Some(keys) = Keys::under(BEGINNING, args)? else {
        return Ok(None);
    };
    let is_ours = |prefix: &str| prefix.strip_prefix(BEGINNING).is_some_and(is_tag);
    let erased = keys.erase(is_ours, false).await.with_context(|| {
        let place = keys.settings.location();
        format!("--redis: the keys in {place} cannot be deleted")
    })?;
    anyhow::ensure!(
        erased.in_use.is_empty(),
        "{} keys were deleted, but not those of a demo that is running, or was killed less than 20 s ago ({}); try again then",
        erased.keys,
        erased.in_use.join(", ")
    );
    Ok(Some(erased.keys))
}
