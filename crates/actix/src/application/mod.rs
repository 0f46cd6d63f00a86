//! Sessions and logins as a part of an application: everything that has to be created, started and stopped.
//!
//! | file | what is in it |
//! |---|---|
//! | `builder` | [`Skriptoteket::builder`]: the settings of an application |
//! | `start` | checks the settings, connects, and wires the parts |
//! | `inputs` | checks the values that an application gives |
//! | `own_runtime` | the runtime of the background tasks |
//! | `housekeeping` | removes outdated state of login throttling, and logs stores that do not respond |
//! | `running` | [`Skriptoteket`]: what an application uses while it runs, and its shutdown |
//! | `meters` | where the metrics go |
//! | `layer` | [`SessionLayer`]: requests, sessions, metrics and problems in one middleware |
//! | `error` | why an application cannot start |
//! | `sessions` | wires the parts of sessions; also used by the server |
//! | `supervision` | keeps background tasks running |
//! | `exports` | the first and the last export of metrics |
//! | `instance_id` | the `service.instance.id` shared by all replicas |
//! | `key_file` | the file of the cookie key |

#[cfg(feature = "builder")]
mod builder;
#[cfg(feature = "builder")]
mod error;
#[cfg(feature = "telemetry")]
pub mod exports;
#[cfg(feature = "builder")]
mod housekeeping;
#[cfg(feature = "builder")]
mod inputs;
pub mod instance_id;
pub mod key_file;
#[cfg(feature = "builder")]
mod layer;
#[cfg(feature = "builder")]
mod meters;
#[cfg(feature = "builder")]
mod own_runtime;
#[cfg(feature = "builder")]
mod running;
mod sessions;
#[cfg(feature = "builder")]
mod start;
pub mod supervision;

#[cfg(feature = "builder")]
pub use builder::Builder;
#[cfg(feature = "builder")]
pub use error::BuildError;
#[cfg(feature = "builder")]
pub use layer::SessionLayer;
#[cfg(feature = "builder")]
pub use running::Skriptoteket;
pub use sessions::{SessionMeters, SessionServices, SessionSettings, SessionStores};
