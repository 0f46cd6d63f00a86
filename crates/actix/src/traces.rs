//! The traces of requests: those of `skriptoteket-telemetry`, or none without the feature `telemetry`.

#[cfg(feature = "telemetry")]
pub(crate) use skriptoteket_telemetry::{
    RequestFacts, RequestTrace, RequestTraces, tracing::rename,
};

#[cfg(not(feature = "telemetry"))]
pub(crate) use crate::untraced::{RequestFacts, RequestTrace, RequestTraces, rename};
