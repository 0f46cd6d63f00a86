//! Services: machines that call, how they prove who they are, and how much they may ask.
//!
//! | file | what is in it |
//! |---|---|
//! | `identity` | ids, scopes, services as everyone sees them |
//! | `credential` | client secrets and their digests |
//! | `health` | what the last signs of life say |
//! | `repository` | the contracts of the stores: the register, and what tokens need |
//! | `token` | access tokens: what they say, and how one is opened |
//! | `keyring` | the keys that sign tokens |
//! | `assertion` | how a client proves with a key pair of its own who it is |
//! | `quota` | rates, bursts and quotas: the arithmetic and the store's contract |
//! | `failure` | why a service is not let in: the reasons and their labels |

mod assertion;
mod credential;
mod failure;
mod health;
mod identity;
mod keyring;
mod quota;
mod repository;
mod token;

pub use assertion::{
    Assertion, ExpectedAssertion, InvalidPublicKeys, PublicKeys, WhyNot, claimed_client,
};
pub use credential::{ClientSecret, Credential, CredentialId, SecretDigest};
pub use failure::AuthFailure;
pub use health::{Health, HealthPolicy};
pub use identity::{
    InvalidScope, InvalidServiceId, NewService, Scope, Service, ServiceChange, ServiceId,
};
pub use keyring::{KeyError, KeyRing, NewKey, RingKey};
pub use quota::{
    Allowance, DailyAllowance, LimitPolicy, QuotaDecision, QuotaRepository, QuotaState, charge,
};
pub use repository::{
    KeyAlgorithm, NewSigningKey, Register, RegisterError, Revision, Revocation, Rotation,
    ServiceRepository, SignOfLife, SigningKey, TokenId, TokenRepository, Totals,
};
pub use token::{Claims, Expected, InvalidJwks, MAX_TOKEN, SKEW, Unopened, VerifyingRing};
