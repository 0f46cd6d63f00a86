//! The registry: service management by operators.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;

use super::{
    AuthMetrics, ClientSecret, Health, HealthPolicy, InvalidLimits, InvalidPublicKeys, LimitPolicy,
    NewService, PublicKeys, RateLimitRepository, RegisterError, Rotation, Scope, Service,
    ServiceCache, ServiceChange, ServiceId, ServiceRepository, Totals,
};
use crate::ServiceSettings;
use skriptoteket_core::{
    clock::{Clock, Timestamp},
    error::StoreError,
};

/// A service to register; values that are `None` follow the configuration.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Its id.
    pub id: ServiceId,
    /// A description for people.
    pub description: String,
    /// The scopes that it may request.
    pub scopes: Vec<Scope>,
    /// Its rate limit and quota.
    pub limits: Option<LimitPolicy>,
    /// A JWK Set, if it signs its own assertions.
    pub public_keys: Option<String>,
}

/// A service and its secret, which is shown only once.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The service.
    pub service: Service,
    /// Its new client secret in plain text.
    pub secret: SecretString,
    /// When that secret expires.
    pub secret_expires_at: Option<Timestamp>,
}

/// Why a request of an operator about a service failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A service with this id exists.
    #[error("the service id is taken")]
    AlreadyExists,
    /// The maximum number of services is reached.
    #[error("there are already {0} services, the maximum of max_services")]
    Full(u32),
    /// There is no such service.
    #[error("there is no such service")]
    NotFound,
    /// The credential that the last rotation replaced is still accepted.
    #[error(
        "the credential that the last rotation replaced is still accepted, until {}; a rotation now would end it early",
        until.to_rfc3339()
    )]
    StillOverlapping {
        /// Until when it is accepted.
        until: Timestamp,
    },
    /// The description is too long, or contains control characters.
    #[error(
        "the description has at most {} characters, none of them a control character",
        Service::MAX_DESCRIPTION
    )]
    Description,
    /// There are too many scopes.
    #[error("a service has at most {} scopes", Service::MAX_SCOPES)]
    Scopes,
    /// The limits are invalid.
    #[error(transparent)]
    Limits(#[from] InvalidLimits),
    /// The public keys are invalid.
    #[error(transparent)]
    PublicKeys(#[from] InvalidPublicKeys),
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RegistryError {
    /// Returns the outcome for the audit trail.
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

/// Registers and changes services. Cheap to clone.
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
    /// Creates a registry on these repositories, which notifies `service_cache` of its changes.
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

    /// Returns the limits of a service for which none are set.
    #[must_use]
    pub fn usual_limits(&self) -> LimitPolicy {
        LimitPolicy {
            interval: self.settings.rate.interval(),
            burst: self.settings.burst,
            daily_quota: self.settings.daily_quota,
        }
    }

    /// Registers a service with its first client secret.
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
        tracing::info!(service.id = %service.id, "service registered");
        Ok(Issued {
            service,
            secret: secret.to_be_shown().clone(),
            secret_expires_at,
        })
    }

    /// Gives a service a new client secret. The previous one stays valid for `overlap`, by default the configured time.
    /// `force` ends a secret that was replaced earlier and is still accepted.
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
                tracing::info!(service.id = %id, "service credential rotated");
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
        let requested = limits.over(service.limits);
        if requested != service.limits {
            requested.checked()?;
        }
        Ok(service)
    }

    /// Deletes a service. Its tokens are rejected from now on.
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
        tracing::info!(service.id = %id, "service deleted");
        self.metrics.withdraw_rate_limit_usage(id.as_str());
        // No service will use this state again, and Redis expires it: the service counts as deleted even if this fails.
        if let Err(error) = self.quotas.forget(service.registration).await {
            tracing::warn!(
                service.id = %id, error.type = error.error_type(), error = error.in_full(),
                "could not delete the rate limit state of a deleted service"
            );
        }
        Ok(())
    }

    /// Returns the service with this id.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NotFound`] if there is none; [`RegistryError::Store`].
    pub async fn find(&self, id: &ServiceId) -> Result<Service, RegistryError> {
        self.services.find(id).await?.ok_or(RegistryError::NotFound)
    }

    /// Returns all services in the order of their ids, and the totals.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn all(&self) -> Result<(Vec<Service>, Totals), StoreError> {
        let register = self.services.all().await?;
        Ok((register.services, register.totals))
    }

    /// Returns the current health of a service.
    #[must_use]
    pub fn health(&self, service: &Service) -> Health {
        let policy = HealthPolicy {
            degraded_after: self.settings.degraded_after,
            stale_after: self.settings.stale_after,
        };
        service.health(self.clock.now(), &policy)
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
