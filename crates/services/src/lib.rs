//! Services: clients that are programs, their authentication, and their limits.
//!
//! | file | what is in it |
//! |---|---|
//! | `identity` | ids, scopes, services |
//! | `credential` | client secrets and their digests |
//! | `clock_skew` | the tolerance for clocks that differ |
//! | `health` | the health of a service, from its last activity |
//! | `failure` | why the authentication of a service failed: the reasons and their labels |
//! | `repository` | the contracts of the stores: services, and the data of tokens |
//! | `registry` | service management by operators |
//! | `service_cache` | services, keys and revocations in memory |
//! | `client_authenticator` | authenticates services by secret or assertion |
//! | `tokens` | the authorization server: issues, introspects and revokes tokens, and counts the requests |
//! | `token_request` | token requests, issued tokens, and token errors |
//! | `bearer` | authenticates requests by their access token, and counts them |
//! | `token` | access tokens: their claims and their verification |
//! | `signing_keys`, `key_rotator` | the keys that sign tokens, and their rotation |
//! | `assertion` | authentication with a client's own key pair |
//! | `quota`, `limiter` | rates, bursts and quotas: the arithmetic and the store's contract; charging requests |
//! | `parts` | [`ServiceParts`]: all parts, wired over the stores |
//! | `resource` | comparison of resource URLs |
//! | `service_census` | reads all services periodically, for the gauges |

mod assertion;
mod bearer;
mod client_authenticator;
mod clock_skew;
mod credential;
mod failure;
mod health;
mod identity;
mod key_rotator;
mod limiter;
pub mod metrics;
mod parts;
mod quota;
mod rate;
mod registry;
mod repository;
mod resource;
mod service_cache;
mod service_census;
mod settings;
mod signing_keys;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod token;
mod token_request;
mod tokens;
mod verification;

pub use assertion::{
    Assertion, ExpectedAssertion, InvalidPublicKeys, PublicKeys, WhyNot, claimed_client,
};
pub use bearer::{BearerAuthenticator, Pending, Verification};
pub use client_authenticator::{ClientAuthenticator, ClientCredentials};
pub use clock_skew::SKEW;
pub use credential::{ClientSecret, Credential, CredentialId, SecretDigest};
pub use failure::AuthFailure;
pub use health::{Health, HealthPolicy};
pub use identity::{
    InvalidScope, InvalidServiceId, NewService, Scope, Service, ServiceChange, ServiceId,
};
pub use key_rotator::{KeyRotationError, KeyRotator};
pub use limiter::{Charged, Limiter};
pub use metrics::{
    AuthAttempt, AuthFailureReason, AuthMetrics, AuthOperation, CredentialRotation, DailyUsage,
    FailurePolicy, LimitType, OTHER_SERVICE, RateLimitUsage, RegistrationEvent, ServiceGauges,
    ServiceSample, ServiceSnapshot, Started, TokenStatus,
};
pub use parts::{ServiceParts, ServiceStores};
pub use quota::{
    Allowance, DailyAllowance, InvalidLimits, LimitChange, LimitPolicy, QuotaDecision, QuotaState,
    RateLimitRepository, charge,
};
pub use rate::{InvalidRate, Rate};
pub use registry::{Issued, Registration, Registry, RegistryError};
pub use repository::{
    KeyAlgorithm, NewSigningKey, Register, RegisterError, Revision, Revocation, Rotation,
    ServiceRepository, SignOfLife, SigningKey, TokenId, TokenRepository, Totals,
};
pub use resource::same_resource;
pub use service_cache::{FRESH, ServiceCache, Snapshot};
pub use service_census::ServiceCensus;
pub use settings::{ServiceSettings, TokenAlgorithm};
pub use signing_keys::{KeyError, LoadedKey, NewKey, SigningKeys, signs_at};
pub use token::{Claims, Expected, InvalidJwks, MAX_TOKEN, TokenRejected, VerificationKeys};
pub use token_request::{IssuedToken, TokenError, TokenPolicy, TokenRequest};
pub use tokens::{TokenParts, Tokens};
pub use verification::{TokenVerifier, VerificationError};
