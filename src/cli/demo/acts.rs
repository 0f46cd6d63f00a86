//! The acts that a plan is made of, each of them one request.

use std::{net::IpAddr, time::Duration};

use super::machines::Job;
use crate::accounts::Role;

/// One request to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// When, since the start.
    pub(super) at: Duration,
    /// What.
    pub(super) act: Act,
    /// What there is to tell about it.
    pub(super) news: Option<String>,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Somebody with an account does something at one of his devices, an index into the cast's.
    AtDevice(usize, Task),
    /// A stranger tries a password.
    Guess(Guess),
    /// A machine, an index into the cast's, does something.
    Machine(usize, Job),
    /// The operator does something to others.
    Operate(Order),
}

/// What somebody with an account does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// Logs in.
    Login {
        /// For the longer session.
        remember_me: bool,
    },
    /// Mistypes his password.
    Mistype,
    /// Has a page of another site open that tries to log him in.
    Lured,
    /// Uses the session.
    Look,
    /// Looks where else he is logged in.
    ListOwn,
    /// Logs out.
    Logout,
}

/// A wrong password from a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    /// Whose account.
    pub(super) target: Target,
    /// From where.
    pub(super) from: IpAddr,
}

/// Whose account a stranger wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// One of the cast, by index.
    Person(usize),
    /// Nobody of this number exists.
    Nobody(u32),
}

/// What the operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Looks who is logged in.
    LookAround,
    /// Gives a person a role.
    ChangeRole(usize, Role),
    /// Ends a person's sessions.
    Revoke(usize),
    /// Disables a person's account or enables it again.
    SetDisabled(usize, bool),
    /// Gives a machine a new secret.
    RotateSecret(usize),
}
