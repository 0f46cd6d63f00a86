//! A member of a change in JSON that may be omitted, or null to remove the value.

use serde::{Deserialize, Deserializer};

use crate::accounts::OptionalChange;

/// A member that may be omitted or null. Use it with `#[serde(default)]`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Nullable<T> {
    #[default]
    Omitted,
    Null,
    Value(T),
}

impl<T> Nullable<T> {
    /// Returns the change: `None` if the member was omitted, `Some(None)` if it was null.
    pub(super) fn change(self) -> OptionalChange<T> {
        match self {
            Self::Omitted => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Option::deserialize(deserializer)?;
        Ok(value.map_or(Self::Null, Self::Value))
    }
}
