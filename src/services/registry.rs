//! The registry: what operators do with services.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;

use super::{
    AuthMetrics, ClientSecret, Health, HealthPolicy, InvalidLimits, InvalidPublicKeys, LimitPolicy,
    NewService, PublicKeys, RateLimitRepository, RegisterError, Rotation, Scope, Service,
    ServiceCache, ServiceChange, ServiceId, ServiceRepository, Totals,
};
use crate::{
    clock::{Clock, Timestamp},
    error::StoreError,
    services::ServiceSettings,
};

/// What a service is registered with; what is `None` follows the configuration.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its id.
    pub id: ServiceId,
    /// What it is, for people.
    pub description: String,
    /// What it may ask tokens for.
    pub scopes: Vec<Scope>,
    /// How much it may ask.
    pub limits: Option<LimitPolicy>,
    /// A JWK Set, where it signs its assertions itself.
    pub public_keys: Option<String>,
}

/// A service and its secret, which is shown this once.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The service.
    pub service: Service,
    /// Its new client secret in the clear.
    pub secret: SecretString,
    /// When that expires.
    pub secret_expires_at: Option<Timestamp>,
}

/// Why an request of an operator about a service failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is a service with this id.
    #[error("the service id is taken")]
    AlreadyExists,
    /// There are as many as there may be.
    #[error("there are {0} services already; max_services allows no more")]
    Full(u32),
    /// There is no such service.
    #[error("there is no such service")]
    NotFound,
    /// The credential that was replaced last is still accepted.
    #[error(
        "the credential that was replaced last is still accepted, until {}; a rotation now would end it before its time",
        until.to_rfc3339()
    )]
    StillOverlapping {
        /// Until when.
        until: Timestamp,
    },
    /// The description is too long, or holds what is no text.
    #[error(
        "the description has at most {} characters, none of them a control character",
        Service::MAX_DESCRIPTION
    )]
    Description,
    /// There are too many scopes.
    #[error("a service has at most {} scopes", Service::MAX_SCOPES)]
    Scopes,
    /// No service can have these limits.
    #[error(transparent)]
    Limits(#[from] InvalidLimits),
    /// The public keys cannot be used.
    #[error(transparent)]
    PublicKeys(#[from] InvalidPublicKeys),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    /// The outcome in the audit trail.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::AlreadyExists | Self::Full(_) | Self::StillOverlapping { .. } => "conflict",
            Self::NotFound => "not_found",
            Self::Description | Self::Scopes | Self::Limits(_) | Self::PublicKeys(_) => {
                "invalid_request"
            }
            Self::Store(error) => error.reason(),
        }
    }
}

impl From<RegisterError> for RegistryError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::AlreadyExists => Self::AlreadyExists,
            RegisterError::Full(most) => Self::Full(most),
            RegisterError::Store(error) => Self::Store(error),
        }
    }
}

/// Registers services and changes them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    services: Arc<dyn ServiceRepository>,
    quotas: Arc<dyn RateLimitRepository>,
    service_cache: ServiceCache,
    metrics: AuthMetrics,
    settings: Arc<ServiceSettings>,
    clock: Arc<dyn Clock>,
}

impl Registry {
    /// A registry on these repositories, whose changes `service_cache` is told of.
    #[must_use]
    pub fn new(
        services: Arc<dyn ServiceRepository>,
        quotas: Arc<dyn RateLimitRepository>,
        service_cache: ServiceCache,
        metrics: AuthMetrics,
        settings: Arc<ServiceSettings>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            services,
            quotas,
            service_cache,
            metrics,
            settings,
            clock,
        }
    }

    /// The limits of a service for which none are set.
    #[must_use]
    pub fn usual_limits(&self) -> LimitPolicy {
        LimitPolicy {
            interval: self.settings.rate.interval(),
            burst: self.settings.burst,
            daily_quota: self.settings.daily_quota,
        }
    }

    /// Registers a service with a first client secret.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub async fn register(&self, registration: Registration) -> Result<Issued, RegistryError> {
        let Registration {
            id,
            description,
            scopes,
            limits,
            public_keys,
        } = registration;
        check_description(&description)?;
        let (secret, secret_expires_at) = self.new_secret();
        let service = NewService {
            id,
            description,
            scopes: in_order(scopes)?,
            limits: limits.unwrap_or_else(|| self.usual_limits()).checked()?,
            secret: secret.digest(),
            secret_expires_at,
            public_keys: public_keys.map(checked_keys).transpose()?,
        };
        let service = self.services.register(service, self.settings.most).await?;
        self.service_cache.changed();
        self.metrics.admit(service.id.as_str());
        tracing::info!(service.id = %service.id, "a service was registered");
        Ok(Issued {
            service,
            secret: secret.to_be_shown().clone(),
            secret_expires_at,
        })
    }

    /// Gives a service a new client secret. The one before is accepted for `overlap` more, by default what the
    /// configuration says. `force` ends a secret that was replaced earlier and is still accepted.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub async fn rotate(
        &self,
        id: &ServiceId,
        overlap: Option<Duration>,
        force: bool,
    ) -> Result<Issued, RegistryError> {
        let overlap = overlap.unwrap_or(self.settings.credential_overlap);
        let (secret, secret_expires_at) = self.new_secret();
        let rotation = self
            .services
            .rotate(id, secret.digest(), secret_expires_at, overlap, force)
            .await?;
        match rotation {
            None => Err(RegistryError::NotFound),
            Some(Rotation::StillOverlapping { until }) => {
                Err(RegistryError::StillOverlapping { until })
            }
            Some(Rotation::Rotated(service)) => {
                self.service_cache.changed();
                tracing::info!(service.id = %id, "a service has a new credential");
                Ok(Issued {
                    service,
                    secret: secret.to_be_shown().clone(),
                    secret_expires_at,
                })
            }
        }
    }

    /// Changes a service.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub async fn change(
        &self,
        id: &ServiceId,
        mut change: ServiceChange,
    ) -> Result<Service, RegistryError> {
        if let Some(description) = &change.description {
            check_description(description)?;
        }
        change.scopes = change.scopes.map(in_order).transpose()?;
        if let Some(Some(keys)) = &change.public_keys {
            PublicKeys::parse(keys)?;
        }
        let limits = change.limits;
        let changed = self.services.change(id, change).await?;
        self.service_cache.changed();
        let service = changed.ok_or(RegistryError::NotFound)?;
        let wished = limits.over(service.limits);
        if wished != service.limits {
            wished.checked()?;
        }
        Ok(service)
    }

    /// Deletes a service. Its tokens are refused from now on.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub async fn delete(&self, id: &ServiceId) -> Result<(), RegistryError> {
        let service = self.find(id).await?;
        let deleted = self.services.delete(id).await?;
        self.service_cache.changed();
        if !deleted {
            return Err(RegistryError::NotFound);
        }
        tracing::info!(service.id = %id, "a service was deleted");
        self.metrics.withdraw_rate_limit_usage(id.as_str());
        // No service will ever meet it, and in Redis it goes by itself: the service is deleted also where this fails.
        if let Err(error) = self.quotas.forget(service.registration).await {
            tracing::warn!(
                service.id = %id, error.type = error.error_type(), error = error.in_full(),
                "what a deleted service had used is left behind"
            );
        }
        Ok(())
    }

    /// The service with this id.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`] if there is none; [`RegistryError::Store`].
    pub async fn find(&self, id: &ServiceId) -> Result<Service, RegistryError> {
        self.services.find(id).await?.ok_or(RegistryError::NotFound)
    }

    /// All services in the order of their ids, and what ever happened.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn all(&self) -> Result<(Vec<Service>, Totals), StoreError> {
        let register = self.services.all().await?;
        Ok((register.services, register.totals))
    }

    /// How a service is now.
    #[must_use]
    pub fn health(&self, service: &Service) -> Health {
        let policy = HealthPolicy {
            degraded_after: self.settings.degraded_after,
            stale_after: self.settings.stale_after,
        };
        Health::of(service, self.clock.now(), &policy)
    }

    fn new_secret(&self) -> (ClientSecret, Option<Timestamp>) {
        let expires_at = self.clock.now().plus(self.settings.credential_lifetime);
        (ClientSecret::generate(), Some(expires_at))
    }
}

fn check_description(text: &str) -> Result<(), RegistryError> {
    let fits = text.chars().count() <= Service::MAX_DESCRIPTION;
    if fits && !text.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(RegistryError::Description)
    }
}

fn in_order(mut scopes: Vec<Scope>) -> Result<Vec<Scope>, RegistryError> {
    scopes.sort_unstable();
    scopes.dedup();
    if scopes.len() > Service::MAX_SCOPES {
        return Err(RegistryError::Scopes);
    }
    Ok(scopes)
}

fn checked_keys(json: String) -> Result<Arc<str>, RegistryError> {
    PublicKeys::parse(&json)?;
    Ok(json.into())
}
