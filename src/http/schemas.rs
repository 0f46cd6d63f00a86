//! Texts with a pattern, as described in the OpenAPI document.

use std::borrow::Cow;

use utoipa::{
    PartialSchema, ToSchema,
    openapi::{Object, RefOr, Schema, Type},
};

use crate::{
    accounts::{DisplayName, EmailAddress, Username},
    services::{Scope, ServiceId},
};

/// Declares a text with a pattern, under a name in the document.
macro_rules! text {
    ($($(#[doc = $doc:literal])+ $type:ident, $name:literal: $length:expr, $pattern:expr, $example:literal;)*) => {$(
        $(#[doc = $doc])+
        pub(super) struct $type;

        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                Object::builder()
                    .schema_type(Type::String)
                    .description(Some(concat!($($doc),+).trim()))
                    .min_length(Some(1))
                    .max_length(Some($length))
                    .pattern(Some($pattern))
                    .examples([$example])
                    .into()
            }
        }

        impl ToSchema for $type {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    )*};
}

text! {
    /// The id of a service: lowercase letters, digits and `. _ -`, starting with a letter and ending with a letter or
    /// digit.
    ServiceIdText, "ServiceId": ServiceId::MAX_BYTES, "^[a-z]([a-z0-9._-]*[a-z0-9])?$", "orders";
    /// A scope (RFC 6749, section 3.3).
    ScopeText, "Scope": Scope::MAX_BYTES, r"^[!#-\[\]-~]+$", "read";
    /// A number of requests and a unit of time: from 1/d to 10000/s.
    RateText, "Rate": 32, r"^[0-9]+(\.[0-9]+)?/[smhd]$", "100/s";
    /// A user name: letters, digits and `. _ - @ +`, starting with a letter or digit. Case-insensitive.
    UsernameText, "Username": Username::MAX_CHARS, r"^[\p{L}\p{N}][\p{L}\p{N}._@+-]*$", "ada";
    /// A name to show: visible characters on one line.
    DisplayNameText, "DisplayName": DisplayName::MAX_CHARS, r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$", "Ada Lovelace";
    /// An email address, as `<input type="email">` accepts it. It is not verified.
    EmailText, "EmailAddress": EmailAddress::MAX_BYTES, r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*$", "ada@example.org";
}
