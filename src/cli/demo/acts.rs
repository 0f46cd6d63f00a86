//! The acts of a plan, each of them one request.

use std::{net::IpAddr, time::Duration};

use super::machines::Job;
use crate::accounts::Role;

/// One request to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The time since the start.
    pub(super) at: Duration,
    pub(super) act: Act,
    /// A message for the journal.
    pub(super) news: Option<String>,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A user does something on one of their devices, an index into the cast's.
    AtDevice(usize, Task),
    /// An attacker tries a password.
    Guess(Guess),
    /// A machine, an index into the cast's, does something.
    Machine(usize, Job),
    /// The operator changes something.
    Operate(Order),
}

/// What a user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    Login {
        /// Requests the longer session.
        remember_me: bool,
    },
    /// Mistypes the password.
    Mistype,
    /// Has a page of another site open that tries to log the user in.
    Lured,
    /// Uses the session.
    Look,
    /// Lists their own sessions.
    ListOwn,
    Logout,
}

/// A wrong password from an attacker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Guess {
    pub(super) target: Target,
    pub(super) from: IpAddr,
}

/// The account that an attacker tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// One of the cast, by index.
    Person(usize),
    /// A name with this number, which does not exist.
    Nobody(u32),
}

/// What the operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Lists the sessions.
    LookAround,
    /// Assigns a role to a person.
    ChangeRole(usize, Role),
    /// Ends a person's sessions.
    Revoke(usize),
    /// Disables a person's account or enables it again.
    SetDisabled(usize, bool),
    /// Rotates the secret of a machine.
    RotateSecret(usize),
}
