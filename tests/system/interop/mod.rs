//! Services and the authorization server as their clients use them: stock OAuth clients, constant load, bursts,
//! attackers and `kill -9`, all against the real program.
//!
//! | file | contents |
//! |---|---|
//! | `command` | the command line beside a running server |
//! | `clients` | third-party clients (`python/`, `node/`), which `make interop-clients` installs |
//! | `load` | requests at a constant rate, as far as the machine keeps up |
//! | `rotation` | secrets and keys rotate under load, and no request is rejected |
//! | `crowds` | many simultaneous requests against a limit |
//! | `strangers` | invented names add no series, cause no 500 and use up no memory |
//! | `secrecy` | no secret, token or assertion appears in logs, metrics or spans |
//! | `killed` | `kill -9` during requests loses no total, quota, revocation or used assertion |

mod clients;
mod command;
mod crowds;
mod killed;
mod load;
mod rotation;
mod secrecy;
mod strangers;
