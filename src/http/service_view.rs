//! Services as shown to operators.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    services::{Credential, Issued, Rate, Registry, Scope, Service},
};

/// All services.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ServiceList)]
pub(super) struct ServiceListView<'a> {
    /// Sorted by id.
    pub(super) services: Vec<ServiceView<'a>>,
}

/// A service.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Service)]
pub(super) struct ServiceView<'a> {
    /// The `client_id`.
    id: &'a str,
    description: &'a str,
    /// True if the service may not authenticate.
    disabled: bool,
    /// `healthy`, `degraded`, `stale` or `disabled`, from the last activity.
    #[schema(example = "healthy")]
    health: &'static str,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime, required)]
    last_heartbeat: Option<String>,
    /// Up to some seconds earlier than the actual last authentication.
    #[schema(format = DateTime, required)]
    last_authentication: Option<String>,
    scopes: Vec<&'a str>,
    limits: LimitsView,
    /// The client secrets, newest first.
    credentials: Vec<CredentialView>,
    /// The JWK Set that verifies the service's assertions.
    #[schema(value_type = Option<Object>, required)]
    public_keys: Option<Value>,
}

/// The limits of a service.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Limits)]
pub(super) struct LimitsView {
    #[schema(example = "100/s")]
    rate: String,
    burst: u32,
    /// Requests per day (UTC); null if unlimited.
    #[schema(required)]
    daily_quota: Option<u64>,
}

/// A client secret, without its secret part.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Credential)]
pub(super) struct CredentialView {
    #[schema(value_type = String, format = "uuid")]
    id: Uuid,
    #[schema(format = DateTime)]
    created_at: String,
    /// When the secret expires.
    #[schema(format = DateTime, required)]
    expires_at: Option<String>,
    /// When a newer secret replaced it.
    #[schema(format = DateTime, required)]
    retired_at: Option<String>,
}

/// A service and its new secret.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedCredential)]
pub(super) struct IssuedView<'a> {
    client_id: &'a str,
    /// Shown only once.
    #[schema(format = Password)]
    client_secret: &'a str,
    /// When the secret expires.
    #[schema(format = DateTime, required)]
    client_secret_expires_at: Option<String>,
    service: ServiceView<'a>,
}

impl<'a> IssuedView<'a> {
    pub(super) fn new(issued: &'a Issued, secret: &'a str, registry: &Registry) -> Self {
        Self {
            client_id: issued.service.id.as_str(),
            client_secret: secret,
            client_secret_expires_at: issued.secret_expires_at.map(Timestamp::to_rfc3339),
            service: ServiceView::new(&issued.service, registry),
        }
    }
}

impl<'a> ServiceView<'a> {
    pub(super) fn new(service: &'a Service, registry: &Registry) -> Self {
        let limits = &service.limits;
        Self {
            id: service.id.as_str(),
            description: &service.description,
            disabled: service.disabled,
            health: registry.health(service).as_str(),
            created_at: service.created_at.to_rfc3339(),
            last_heartbeat: service.last_heartbeat.map(Timestamp::to_rfc3339),
            last_authentication: service.last_authentication.map(Timestamp::to_rfc3339),
            scopes: service.scopes.iter().map(Scope::as_str).collect(),
            limits: LimitsView {
                rate: Rate::every(limits.interval).map_or_else(
                    // Only rates that can be written are stored.
                    || format!("1/{}us", limits.interval_us()),
                    |rate| rate.to_string(),
                ),
                burst: limits.burst,
                daily_quota: limits.daily_quota,
            },
            credentials: service.credentials.iter().map(Into::into).collect(),
            public_keys: service.public_keys.as_deref().and_then(|json| {
                // The text was validated when it was received.
                serde_json::from_str(json).ok()
            }),
        }
    }
}

impl From<&Credential> for CredentialView {
    fn from(credential: &Credential) -> Self {
        Self {
            id: credential.id,
            created_at: credential.created_at.to_rfc3339(),
            expires_at: credential.expires_at.map(Timestamp::to_rfc3339),
            retired_at: credential.retired_at.map(Timestamp::to_rfc3339),
        }
    }
}
