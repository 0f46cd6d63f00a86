//! Services: machines that call, how they prove who they are, and how much they may ask.
//!
//! | file | what is in it |
//! |---|---|
//! | `identity` | ids, scopes, services as everyone sees them |
//! | `credential` | client secrets and their digests |
//! | `health` | what the last signs of life say |
//! | `failure` | why a service is not let in: the reasons and their labels |
//! | `repository` | the contracts of the stores: the register, and what tokens need |
//! | `registry` | what operators do with services |
//! | `service_cache` | services, keys and revocations in memory |
//! | `client_authenticator` | how services prove who they are to us |
//! | `tokens` | THE authorization server: issues, introspects, revokes, and counts that |
//! | `token_request` | what clients ask tokens for, what they get, and why they do not |
//! | `bearer` | lets requests in that come with a token, and counts them |
//! | `token` | access tokens: what they say, and how one is opened |
//! | `signing_keys`, `key_rotator` | the keys that sign tokens; who makes new ones in time |
//! | `assertion` | how a client proves with a key pair of its own who it is |
//! | `quota`, `limiter` | rates, bursts and quotas: the arithmetic and the store's contract; what is done with it |
//! | `resource` | when two URLs name the same resource |
//! | `service_census` | reads all services now and then, for the gauges |

mod assertion;
mod bearer;
mod client_authenticator;
mod credential;
mod failure;
mod health;
mod identity;
mod key_rotator;
mod limiter;
pub mod metrics;
mod quota;
mod rate;
mod registry;
mod repository;
mod resource;
mod service_cache;
mod service_census;
mod settings;
mod signing_keys;
mod token;
mod token_request;
mod tokens;
mod verification;

pub use assertion::{
    Assertion, ExpectedAssertion, InvalidPublicKeys, PublicKeys, WhyNot, claimed_client,
};
pub use bearer::{BearerAuthenticator, Pending, Verification};
pub use client_authenticator::{ClientAuthenticator, ClientCredentials};
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
pub use token::{Claims, Expected, InvalidJwks, MAX_TOKEN, SKEW, TokenRejected, VerificationKeys};
pub use token_request::{IssuedToken, TokenError, TokenPolicy, TokenRequest};
pub use tokens::{TokenParts, Tokens};
pub use verification::{TokenVerifier, VerificationError};
