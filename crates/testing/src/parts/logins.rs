//! Logins, and the registration of accounts.

use std::{sync::Arc, time::Duration};

use skriptoteket::{
    accounts::{
        metrics::PasswordMetrics,
        password::{HashingPolicy, Passwords},
        registration::Registrar,
    },
    audit::{AuditMetrics, AuditTrail, AuditWriter},
    clock::Clock,
    guard::{Budget, Entities, GuardPolicy},
    login::{LoginParts, metrics::LoginMetrics},
    store::Stores,
    telemetry::Telemetry,
};
use tokio::runtime::Handle;

use super::SessionServices;

/// The cheapest Argon2 parameters: the cost of hashes is not under test.
pub const CHEAP: HashingPolicy = HashingPolicy {
    memory_kib: 8,
    iterations: 1,
    queue: 600,
    ..HashingPolicy::owasp(2)
};

/// Returns a budget of this many guesses.
pub const fn budget(attempts: u32) -> Budget {
    Budget {
        attempts,
        refill: Duration::from_mins(5),
        lock: Duration::from_mins(1),
        longest_lock: Duration::from_mins(15),
        forget: Duration::from_hours(24),
    }
}

/// Creates hashing threads with these parameters.
pub fn passwords(policy: &HashingPolicy, telemetry: &Telemetry) -> Passwords {
    Passwords::new(policy, PasswordMetrics::new(&telemetry.meter())).unwrap()
}

/// All parts that handle logins.
#[derive(Debug)]
pub struct LoginServices {
    /// The parts of the login service.
    pub parts: LoginParts,
    /// Creates accounts and sets passwords.
    pub registrar: Registrar,
    /// The metrics of the audit trail.
    pub audit_metrics: AuditMetrics,
    /// The task that writes the audit trail.
    pub writer: AuditWriter,
}

impl LoginServices {
    /// Wires the parts over these stores, with a budget of guesses for an account and one for an address.
    pub fn new(
        stores: &Stores,
        telemetry: &Telemetry,
        clock: &Arc<dyn Clock>,
        sessions: &SessionServices,
        hashing: &HashingPolicy,
        [account, address]: [Budget; 2],
    ) -> Self {
        let meter = telemetry.meter();
        let passwords = passwords(hashing, telemetry);
        let audit_metrics = AuditMetrics::new(&meter);
        let (audit, writer) = AuditTrail::new(Arc::clone(&stores.audit), audit_metrics.clone());
        let parts = LoginParts {
            accounts: Arc::clone(&stores.accounts),
            limits: Arc::clone(&stores.limits),
            policy: GuardPolicy { account, address },
            entities: Entities::keyed(b"the key material of a test"),
            passwords: passwords.clone(),
            sessions: sessions.sessions.clone(),
            lifecycle: sessions.lifecycle.clone(),
            audit,
            metrics: LoginMetrics::new(&meter, Arc::clone(clock)),
            clock: Arc::clone(clock),
            runtime: Handle::current(),
        };
        Self {
            parts,
            registrar: Registrar::new(Arc::clone(&stores.accounts), passwords),
            audit_metrics,
            writer,
        }
    }
}
