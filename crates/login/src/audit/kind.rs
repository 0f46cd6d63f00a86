//! The kinds of audit events.

use std::{fmt, str::FromStr};

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// What was attempted. A closed set.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Kind {
            /// All kinds, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Returns the name, as in the `kind` column, in the API and on the command line.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

kinds! {
    /// A login.
    Login = "login",
    /// A user changes their own password.
    PasswordChange = "password_change",
    /// An account is created.
    UserCreate = "user_create",
    /// The role or the state (enabled, disabled) of an account is changed.
    UserChange = "user_change",
    /// An operator sets the password of an account.
    UserSetPassword = "user_set_password",
    /// The lock of an account is cleared.
    UserUnlock = "user_unlock",
    /// An account is deleted.
    UserDelete = "user_delete",
    /// Sessions of a user are ended by an administrator.
    SessionRevoke = "session_revoke",
    /// The session index is repaired.
    SessionRepair = "session_repair",
    /// A service is registered.
    ServiceRegister = "service_register",
    /// A service is changed, disabled or enabled.
    ServiceChange = "service_change",
    /// A service gets a new client secret.
    ServiceRotate = "service_rotate",
    /// A service is deleted.
    ServiceDelete = "service_delete",
    /// A signing key is created.
    KeyRotate = "key_rotate",
    /// An administrative resource is read. Only rejected reads are recorded.
    AdminRead = "admin_read",
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is not a kind of audit event.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a kind of audit event: expected one of {}", Kind::ALL.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", "))]
pub struct UnknownKind;

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut kinds = Self::ALL.iter().copied();
        kinds.find(|kind| kind.as_str() == text).ok_or(UnknownKind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(*kind));
        }
    }
}
