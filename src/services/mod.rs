//! Services: machines that call, how they prove who they are, and how much they may ask.
//!
//! | file | what is in it |
//! |---|---|
//! | `identity` | ids, scopes, services as everyone sees them |
//! | `credential` | client secrets and their digests |
//! | `health` | what the last signs of life say |
//! | `repository` | the contracts of the stores: the register, and what tokens need |
//! | `quota` | rates, bursts and quotas: the arithmetic and the store's contract |
//! | `failure` | why a service is not let in: the reasons and their labels |

mod credential;
mod failure;
mod health;
mod identity;
mod quota;
mod repository;

pub use credential::{ClientSecret, Credential, CredentialId, SecretDigest};
pub use failure::AuthFailure;
pub use health::{Health, HealthPolicy};
pub use identity::{
    InvalidScope, InvalidServiceId, NewService, Scope, Service, ServiceChange, ServiceId,
};
pub use quota::{
    Allowance, DailyAllowance, LimitPolicy, QuotaDecision, QuotaRepository, QuotaState, charge,
};
pub use repository::{
    KeyAlgorithm, NewSigningKey, Register, RegisterError, Revision, Revocation, Rotation,
    ServiceRepository, SignOfLife, SigningKey, TokenId, TokenRepository, Totals,
};
