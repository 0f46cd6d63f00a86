//! What handlers take from a request, checked: a handler that has it may rely on it.
//!
//! | file | what is in it |
//! |---|---|
//! | `body` | bodies, JSON above all: bounded in size and time, never quoted back |
//! | `client` | who the client is, and whether a browser says that another site sent the request |
//! | `principal` | whose session it is, and what role it has |
//! | `service` | whose access token the request came with |
//! | `query` | query parameters from a closed list, path segments |

mod body;
mod client;
mod principal;
mod query;
mod service;

pub(super) use body::{
    Body, JsonBody, OptionalJsonBody, Whole, announced, body_timeout, collect, given, given_whole,
    is_plain, secret, whole_or_null,
};
pub(super) use client::{Client, SameSite};
pub use principal::Principal;
pub(super) use principal::{AdminPrincipal, SuperPrincipal};
pub(super) use query::{Parameters, Segment, page_size};
pub use service::{Identifying, ServiceIdentity};
