//! Login: guard → password → session. This is the only module that records a login.
//!
//! [`LoginService::login`] wraps the attempt once and maps its result once, so every exit is counted exactly once in
//! the metrics and in the audit trail. This includes `?`, a client that disconnects, and a panic.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the login attempt up to the guard, and why it can fail |
//! | `admission` | the password check, and the steps after a correct password |
//! | `password_change` | password changes by the user |
//! | `metrics` | the metrics of logins and password changes |
//! | `record` | counts an attempt exactly once |

mod admission;
pub mod metrics;
#[cfg(feature = "registration")]
mod password_change;
mod record;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::runtime::Handle;
use tracing::{Instrument, field::Empty};

use crate::{
    account_lifecycle::AccountLifecycle,
    accounts::{
        Account, AccountRepository, User, UserId, Username,
        password::{HashingError, Passwords},
    },
    audit::AuditTrail,
    guard::{
        Charge, Entities, Entity, GuardPolicy, LoginThrottle, LoginThrottleRepository, Refusal,
        Reservation,
    },
};
use skriptoteket_core::{
    clock::Clock,
    error::{Cause, StoreError},
    label,
};
use skriptoteket_sessions::{SessionId, Sessions, Started};

#[cfg(feature = "registration")]
pub use password_change::{PasswordChange, PasswordChangeError};

use admission::Attempt;
use metrics::{LoginMetrics, LoginStatus, Outcome};
use record::Record;

/// The credentials of a login attempt.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user name as typed.
    pub username: String,
    /// The password as typed.
    pub password: SecretString,
    /// True to request the longer session lifetime.
    pub remember_me: bool,
}

/// The origin of a login attempt.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client's address, resolved through trusted proxies.
    pub address: IpAddr,
    /// True if the browser reports that the request comes from another site.
    pub cross_site: bool,
    /// The `User-Agent` of the client.
    pub user_agent: String,
    /// The client's current session, if any. It ends when the login succeeds.
    pub session: Option<SessionId>,
}

/// A successful login.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// The account.
    pub user: User,
    /// The new session.
    pub session: Started,
}

label! {
    /// Why a login attempt failed. Unknown user and wrong password are one reason on purpose.
    pub enum LoginFailure: "reason" {
        /// There is no such user, or the password is wrong.
        InvalidCredentials = "invalid_credentials",
        /// The account is locked after too many wrong passwords.
        AccountLocked = "account_locked",
        /// The password is correct but the account is disabled.
        AccountDisabled = "account_disabled",
        /// Too many wrong passwords came from the address.
        RateLimited = "rate_limited",
        /// The address is banned.
        Banned = "banned",
        /// Another site sent the request.
        CrossSite = "cross_site",
        /// A store did not respond.
        StoreUnavailable = "store_unavailable",
        /// An internal error occurred.
        InternalError = "internal_error",
        /// The client disconnected before the response.
        Cancelled = "cancelled",
    }
}

/// Why a login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Another site sent the request.
    #[error("the login came from another site")]
    CrossSite,
    /// The user does not exist, or the password is wrong. The client cannot distinguish the two.
    #[error("the user name or the password is wrong")]
    InvalidCredentials,
    /// The password is correct but the account is disabled. To the client this is [`LoginError::InvalidCredentials`].
    #[error("the account is disabled")]
    AccountDisabled,
    /// The account's budget of guesses is exhausted.
    #[error("the account is locked")]
    AccountLocked {
        /// Time until the next attempt may pass.
        retry_after: Duration,
    },
    /// The address's budget of guesses is exhausted, or too many attempts on one budget are in flight.
    #[error("the address is rate limited")]
    RateLimited {
        /// Time until the next attempt may pass.
        retry_after: Duration,
    },
    /// All password hashing threads are busy and the queue is full.
    #[error("too many logins at once")]
    Overloaded,
    /// A store failed.
    #[error("a store failed")]
    Store(#[from] StoreError),
    /// An internal error occurred.
    #[error("the login failed because of an internal error")]
    Internal(#[source] Cause),
}

impl LoginError {
    /// Returns the reason under which the failure is counted and recorded in the audit trail.
    #[must_use]
    pub const fn failure(&self) -> LoginFailure {
        match self {
            Self::CrossSite => LoginFailure::CrossSite,
            Self::InvalidCredentials => LoginFailure::InvalidCredentials,
            Self::AccountDisabled => LoginFailure::AccountDisabled,
            Self::AccountLocked { .. } => LoginFailure::AccountLocked,
            Self::RateLimited { .. } => LoginFailure::RateLimited,
            Self::Store(StoreError::Unavailable(_)) => LoginFailure::StoreUnavailable,
            Self::Store(_) | Self::Overloaded | Self::Internal(_) => LoginFailure::InternalError,
        }
    }
}

impl From<HashingError> for LoginError {
    fn from(error: HashingError) -> Self {
        match error {
            HashingError::Overloaded => Self::Overloaded,
            other => Self::Internal(other.into()),
        }
    }
}

impl From<Refusal> for LoginError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Locked {
                entity: Entity::Address(_),
                retry_after,
            }
            | Refusal::Busy { retry_after } => Self::RateLimited { retry_after },
            Refusal::Locked { retry_after, .. } => Self::AccountLocked { retry_after },
            Refusal::Store(error) => Self::Store(error),
            Refusal::Aborted(cause) => Self::Internal(cause),
        }
    }
}

/// The dependencies of a [`LoginService`].
#[derive(Clone, Debug)]
pub struct LoginParts {
    /// The account repository.
    pub accounts: Arc<dyn AccountRepository>,
    /// The repository of the guess budgets.
    pub limits: Arc<dyn LoginThrottleRepository>,
    /// The sizes of the guess budgets.
    pub policy: GuardPolicy,
    /// Derives the entities that budgets belong to.
    pub entities: Entities,
    /// The password hashing threads.
    pub passwords: Passwords,
    /// The session service.
    pub sessions: Sessions,
    /// Applies account changes to sessions.
    pub lifecycle: AccountLifecycle,
    /// The audit trail.
    pub audit: AuditTrail,
    /// The login metrics.
    pub metrics: LoginMetrics,
    /// The clock for audit events.
    pub clock: Arc<dyn Clock>,
    /// The runtime for work that must not be interrupted.
    pub runtime: Handle,
}

/// Logs users in. Cheap to clone.
#[derive(Clone)]
pub struct LoginService {
    parts: Arc<LoginParts>,
    throttle: LoginThrottle,
}

impl fmt::Debug for LoginService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginService")
    }
}

impl LoginService {
    /// Creates a login service from its parts.
    #[must_use]
    pub fn new(parts: LoginParts) -> Self {
        Self {
            throttle: LoginThrottle::new(Arc::clone(&parts.limits), parts.runtime.clone()),
            parts: Arc::new(parts),
        }
    }

    /// Logs a user in.
    ///
    /// Unknown user, wrong password and disabled account take the same time: each costs one look-up, one place in the
    /// budgets and one password check. An attempt waits while the other attempts in flight for its account or address
    /// hold all that is left of the budget.
    ///
    /// # Errors
    ///
    /// [`LoginError`]; [`LoginError::failure`] returns the reason under which each is counted.
    ///
    /// # Cancellation
    ///
    /// A dropped future is counted as `cancelled`. A session that was started for it ends at once.
    pub async fn login(
        &self,
        credentials: Credentials,
        from: Caller,
    ) -> Result<LoggedIn, LoginError> {
        let mut record = Record::begin(&self.parts, from.address);
        let span = tracing::debug_span!("login", outcome = Empty);
        let attempt = self.attempt(credentials, from, &mut record);
        let result = attempt.instrument(span.clone()).await;
        let outcome = outcome_of(&result);
        span.record(
            "outcome",
            outcome.map_or_else(LoginFailure::as_str, |()| LoginStatus::Success.as_str()),
        );
        record.finish(outcome);
        result
    }

    async fn attempt(
        &self,
        credentials: Credentials,
        from: Caller,
        record: &mut Record,
    ) -> Result<LoggedIn, LoginError> {
        let parts = &self.parts;
        if from.cross_site {
            return Err(LoginError::CrossSite);
        }
        let name = credentials.username.parse::<Username>().ok();
        let account = self.find(name.as_ref()).await?;
        let user_id = account.as_ref().map(|account| account.user.id);
        record.event.user_id = user_id;
        let address = parts.entities.address(from.address);
        let person = budgeted(name.as_ref(), &credentials.username);
        let person = parts.entities.account(user_id, person);
        let attempt = Attempt {
            account,
            password: credentials.password,
            reservation: self.enter(address, person).await?,
            remember_me: credentials.remember_me,
            user_agent: from.user_agent,
            network: (!from.address.is_unspecified()).then(|| from.address.into()),
            replaces: from.session,
        };
        self.conclude(attempt).await
    }

    /// Looks the account up. A name that is not a valid user name is handled like an unknown one.
    async fn find(&self, name: Option<&Username>) -> Result<Option<Account>, LoginError> {
        match name {
            Some(name) => Ok(self.parts.accounts.find_by_username(name).await?),
            None => Ok(None),
        }
    }

    /// Takes a place in both budgets before the password check, so that concurrent guesses cannot exceed a budget.
    async fn enter(&self, address: Entity, person: Entity) -> Result<Reservation, Refusal> {
        let policy = &self.parts.policy;
        let address = Charge {
            entity: address,
            budget: policy.address,
        };
        let person = Charge {
            entity: person,
            budget: policy.account,
        };
        self.throttle.enter(vec![address, person]).await
    }

    /// Clears the failed guesses and the lock of an account. Returns whether there were any.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn unlock(&self, id: UserId) -> Result<bool, StoreError> {
        self.parts.limits.clear(Entity::Account(id)).await
    }
}

/// Returns the name to charge if no account has it: the normalised form in which it would be stored. An account has one
/// budget for all spellings of its name. If an unknown name had one budget per spelling, that difference would reveal
/// that the account does not exist.
fn budgeted<'a>(name: Option<&'a Username>, typed: &'a str) -> &'a str {
    name.map_or(typed, Username::as_str)
}

const fn outcome_of(result: &Result<LoggedIn, LoginError>) -> Outcome {
    match result {
        Ok(_) => Ok(()),
        Err(error) => Err(error.failure()),
    }
}
