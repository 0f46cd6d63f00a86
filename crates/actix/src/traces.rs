//! The traces of requests: those of `skriptoteket-telemetry`, or none without the feature `traces`.

#[cfg(feature = "traces")]
pub(crate) use skriptoteket_telemetry::{
    RequestFacts, RequestTrace, RequestTraces, tracing::rename,
};

#[cfg(not(feature = "traces"))]
pub(crate) use crate::untraced::{RequestFacts, RequestTrace, RequestTraces, rename};
