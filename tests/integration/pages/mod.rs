//! Web pages, as a browser without JavaScript sees them.

mod account;
mod errors;
mod forged;
mod login;
mod next;
mod password;
mod support;
