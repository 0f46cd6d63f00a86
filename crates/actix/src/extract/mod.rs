//! Validated extractors: a handler can rely on their contents.
//!
//! | file | what is in it |
//! |---|---|
//! | `body` | bodies, mainly JSON: bounded in size and time, never quoted in messages |
//! | `client` | the client, and whether a browser reports that another site sent the request |
//! | `principal` | the user of the session, and their role |
//! | `service` | the service of the access token |
//! | `query` | query parameters from a closed list, path segments |

mod body;
mod client;
mod principal;
mod query;
#[cfg(feature = "services")]
mod service;

pub use body::{
    Body, JsonBody, OptionalJsonBody, Whole, announced, body_timeout, collect, given, given_whole,
    is_plain, secret, whole_or_null,
};
pub use client::{Client, SameSite};
pub use principal::Principal;
pub use principal::{AdminPrincipal, SuperPrincipal};
pub use query::{Parameters, Segment, page_size};
#[cfg(feature = "services")]
pub use service::{Identifying, ServiceIdentity};
