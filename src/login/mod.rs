//! Login: guard → password → session. The one place that records a login.
//!
//! [`LoginService::login`] wraps the attempt once and maps its result once, so every exit is counted exactly once, in
//! the metrics and in the audit trail: `?`, the client going away, and a panic included.
//!
//! | file | what is in it |
//! |---|---|
//! | `mod` | the attempt, up to the guard |
//! | `admission` | the password check, and what follows a right password |
//! | `password_change` | changing one's own password |
//! | `metrics` | the metrics of logins and password changes |
//! | `record` | counts an attempt, whatever happens |

mod admission;
pub mod metrics;
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
    clock::Clock,
    error::{Cause, StoreError},
    guard::{
        Charge, Entities, Entity, GuardPolicy, LoginThrottle, LoginThrottleRepository, Refusal,
        Reservation,
    },
    sessions::{SessionId, Sessions, Started},
};

pub use password_change::{PasswordChange, PasswordChangeError};

use admission::Attempt;
use metrics::{LoginFailure, LoginMetrics, LoginStatus, Outcome};
use record::Record;

/// What a person presents.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The name as it was typed.
    pub username: String,
    /// The password as it was typed.
    pub password: SecretString,
    /// True for the longer session.
    pub remember_me: bool,
}

/// Where an attempt comes from.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client's address, behind trusted proxies.
    pub address: IpAddr,
    /// True where a browser says that another site sent the request.
    pub cross_site: bool,
    /// What the client says it is.
    pub user_agent: String,
    /// The session that the client has already; it ends when the login succeeds.
    pub session: Option<SessionId>,
}

/// Someone who is in.
#[derive(Clone, Debug)]
pub struct LoggedIn {
    /// The account.
    pub user: User,
    /// The new session.
    pub session: Started,
}

/// Why someone is not in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Another site sent the request.
    #[error("the login came from another site")]
    CrossSite,
    /// There is no such user, or the password is wrong; which of them is not told.
    #[error("the user name or the password is wrong")]
    InvalidCredentials,
    /// The password is right but the account is disabled. To the client this is [`LoginError::InvalidCredentials`].
    #[error("the account is disabled")]
    AccountDisabled,
    /// The account's budget of guesses is used up.
    #[error("the account is locked")]
    AccountLocked {
        /// When the next attempt may pass.
        retry_after: Duration,
    },
    /// The address's budget of guesses is used up, or too many attempts on one budget are in flight.
    #[error("the address is limited")]
    RateLimited {
        /// When the next attempt may pass.
        retry_after: Duration,
    },
    /// All threads that check passwords are busy and the queue is full.
    #[error("too many logins at once")]
    Overloaded,
    /// A store failed.
    #[error("a store failed")]
    Store(#[from] StoreError),
    /// The service failed.
    #[error("the login failed for a reason of our own")]
    Internal(#[source] Cause),
}

impl LoginError {
    /// The reason under which it is counted, and recorded in the audit trail.
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

/// What a [`LoginService`] works with.
#[derive(Clone, Debug)]
pub struct LoginParts {
    /// The accounts.
    pub accounts: Arc<dyn AccountRepository>,
    /// The budgets of guesses.
    pub limits: Arc<dyn LoginThrottleRepository>,
    /// How large they are.
    pub policy: GuardPolicy,
    /// What names them.
    pub entities: Entities,
    /// The hash threads.
    pub passwords: Passwords,
    /// The sessions.
    pub sessions: Sessions,
    /// Applies changes of accounts to them.
    pub lifecycle: AccountLifecycle,
    /// The audit trail.
    pub audit: AuditTrail,
    /// The counters.
    pub metrics: LoginMetrics,
    /// The time of audit events.
    pub clock: Arc<dyn Clock>,
    /// Where work goes on that must not stop half-way.
    pub runtime: Handle,
}

/// Lets people in. Cheap to clone.
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
    /// A login service of these parts.
    #[must_use]
    pub fn new(parts: LoginParts) -> Self {
        Self {
            throttle: LoginThrottle::new(Arc::clone(&parts.limits), parts.runtime.clone()),
            parts: Arc::new(parts),
        }
    }

    /// Tries to log someone in.
    ///
    /// Unknown user, wrong password and disabled account take the same time: each costs one look-up, one place in the
    /// budgets and one password check. An attempt waits where its account or its address has as many others in flight as
    /// its budget has left.
    ///
    /// # Errors
    ///
    /// [`LoginError`]; [`LoginError::failure`] says how each was counted.
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
            replaces: from.session,
        };
        self.conclude(attempt).await
    }

    /// A name that cannot be a name belongs to nobody, like any other unknown one.
    async fn find(&self, name: Option<&Username>) -> Result<Option<Account>, LoginError> {
        match name {
            Some(name) => Ok(self.parts.accounts.find_by_username(name).await?),
            None => Ok(None),
        }
    }

    /// Takes a place in both budgets before anything is checked, so that guesses sent at once cannot pass together.
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

    /// Forgets the failed guesses at an account, and its lock. Returns whether there were any.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the store.
    pub async fn unlock(&self, id: UserId) -> Result<bool, StoreError> {
        self.parts.limits.clear(Entity::Account(id)).await
    }
}

/// The name that an attempt is charged to if it belongs to nobody: as it would be stored. An account has one budget under
/// every way to write its name; a name that had one for each would thereby tell that it is none.
fn budgeted<'a>(name: Option<&'a Username>, typed: &'a str) -> &'a str {
    name.map_or(typed, Username::as_str)
}

const fn outcome_of(result: &Result<LoggedIn, LoginError>) -> Outcome {
    match result {
        Ok(_) => Ok(()),
        Err(error) => Err(error.failure()),
    }
}
