//! Logins: accounts and their passwords, login throttling, the audit trail, and the login itself.
//!
//! | module | what is in it |
//! |---|---|
//! | [`account_lifecycle`] | changes of accounts, applied to their sessions |
//! | [`accounts`] | passwords, the contract of the stores of accounts |
//! | [`audit`] | the audit trail |
//! | [`guard`] | login throttling, client addresses |
//! | [`login`] | throttling, password, session: the only place that records a login |

pub mod account_lifecycle;
pub mod accounts;
pub mod audit;
pub mod guard;
pub mod login;
