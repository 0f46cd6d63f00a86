//! The contracts of the repositories, statement by statement, tested against every store.
//!
//! A contract is a function over a [`World`](world::World): repositories and the clock that they use. `on_every_store!`
//! generates a test of it for each store, so that a new store takes one more line in `world`.

#[macro_use]
mod world;

mod accounts;
mod audit;
mod audit_refused;
mod cached;
mod dropped;
mod limits;
mod model;
mod observed;
mod quotas;
mod redis_fixtures;
mod redis_full;
mod redis_integrity;
mod redis_limits;
mod redis_plants;
mod redis_quotas;
mod redis_rows;
mod redis_several;
mod renewals;
mod service_changes;
mod service_rotations;
mod services;
mod session_roles;
mod sessions;
mod sessions_of_users;
mod shared;
mod sqlite_file;
mod sqlite_integrity;
mod sqlite_rows;
mod tokens;
