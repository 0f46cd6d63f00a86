//! Services on real stores and several replicas: how and when the changes of one replica reach the others.
//!
//! | file | what is in it |
//! |---|---|
//! | `harness` | replicas on one file, with a clock that the tests set |
//! | `watched` | a register that counts how often it is queried, and that can be slow, unavailable or busy |
//! | `sight` | how soon a replica sees another one's changes |
//! | `queries` | how often a replica queries the store |
//! | `keys` | rotation of signing keys while tokens are in use |
//! | `clients` | client secrets and assertions |
//! | `counted` | each request is counted once, whatever the store and the caller do meanwhile |
//! | `gauges` | the values of the service gauges |
//! | `limits` | rate limits of services whose store is unavailable or whose registration was deleted |

mod clients;
mod counted;
mod gauges;
mod harness;
mod keys;
mod limits;
mod queries;
mod sight;
mod watched;
