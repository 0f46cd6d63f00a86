//! The first superuser.

use anyhow::Context;

use crate::{
    accounts::{
        Profile, Role,
        registration::{RegisterError, Registrar},
    },
    audit::{Actor, AdminAudit, Kind, SUCCESS},
    config::Config,
    store::Stores,
};

/// Creates the first superuser if there is no account and the configuration names one.
pub(super) async fn first_superuser(
    config: &Config,
    stores: &Stores,
    registrar: &Registrar,
    audit: &AdminAudit,
) -> anyhow::Result<()> {
    if !stores.accounts.is_empty().await? {
        return Ok(());
    }
    let Some(first) = &config.bootstrap else {
        tracing::warn!(
            "there is no account yet, so no user can log in; create the first one with the same settings: \
             `skriptoteket user add NAME --role superuser`"
        );
        return Ok(());
    };
    let recording = audit.begin(Kind::UserCreate, Some(Actor::System), None);
    let register = registrar.register(
        &first.username,
        Role::Superuser,
        Profile::default(),
        first.password.clone(),
    );
    let made = recording.during(register).await;
    recording.finish(made.as_ref().err().map_or(SUCCESS, RegisterError::reason));
    match made {
        // Another replica that started at the same moment has created it.
        Err(RegisterError::AlreadyExists) => {}
        made => {
            made.context("bootstrap_password: the first superuser was not created")?;
            tracing::info!("the first superuser was created from bootstrap_password");
        }
    }
    Ok(())
}
