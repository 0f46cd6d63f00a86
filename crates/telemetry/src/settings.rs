//! The settings of telemetry.

use std::{fmt, time::Duration};

use url::Url;
use zeroize::Zeroizing;

/// What is exported over OTLP, and the endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtelSettings {
    /// `OTEL_SDK_DISABLED`: no instrument records anything.
    pub disabled: bool,
    /// The target of metrics, if they are exported.
    pub metrics: Option<OtlpTarget>,
    /// The target of spans, if they are exported.
    pub traces: Option<OtlpTarget>,
    /// The target of log records, if they are exported.
    pub logs: Option<OtlpTarget>,
    /// Whether `/metrics` shows metrics: always, unless the SDK is disabled or `OTEL_METRICS_EXPORTER` is `none`.
    pub prometheus: bool,
    /// `OTEL_METRIC_EXPORT_INTERVAL`; 15 s if unset.
    pub metric_export_interval: Duration,
    /// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
    pub sampler: TraceSampler,
    /// `OTEL_RESOURCE_ATTRIBUTES`, percent-decoded, with `OTEL_SERVICE_NAME` as `service.name`. If a name occurs
    /// twice, the later value applies.
    pub resource: Vec<(String, String)>,
}

/// Which requests are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceSampler {
    /// If the caller reports whether its trace is sampled, that decides.
    pub parent_based: bool,
    /// The share of all other requests.
    pub others: SampledShare,
}

impl Default for TraceSampler {
    /// `parentbased_traceidratio` with 0.01.
    fn default() -> Self {
        Self {
            parent_based: true,
            others: SampledShare::from_ratio(0.01),
        }
    }
}

/// The share of requests that are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampledShare {
    /// None, not even requests that are slow or fail.
    Nothing,
    /// This many of 2^63, and requests that are slow or fail.
    Of(u64),
}

impl SampledShare {
    /// All requests.
    pub const ALL: Self = Self::Of(1 << 63);

    /// Creates a share from 0 to 1. Values outside are clamped.
    #[must_use]
    pub fn from_ratio(ratio: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "from 0 to 2^63, and a share needs no more digits than it was written with"
        )]
        let of = (ratio.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
        Self::Of(of)
    }

    /// Returns true if a request is in the share, by its own 64 random bits. The highest bit is ignored, as in the
    /// SDK's `TraceIdRatioBased`.
    #[must_use]
    pub const fn takes(self, random: u64) -> bool {
        match self {
            Self::Nothing => false,
            Self::Of(of) => random >> 1 < of,
        }
    }
}

/// One OTLP endpoint. Headers and compression are read by the exporter from their standard variables.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpTarget {
    /// The protocol.
    pub protocol: OtlpProtocol,
    /// The request URL; for HTTP with the path of the signal.
    pub endpoint: Url,
    /// Timeout of one export.
    pub timeout: Duration,
    /// Certificates, if the endpoint is `https`.
    pub tls: OtlpTls,
}

impl OtlpTarget {
    /// Default timeout of an export, from the specification.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// Creates a target with defaults for all other settings.
    #[must_use]
    pub fn new(protocol: OtlpProtocol, endpoint: Url) -> Self {
        Self {
            protocol,
            endpoint,
            timeout: Self::DEFAULT_TIMEOUT,
            tls: OtlpTls::default(),
        }
    }
}

/// The certificates of one endpoint, each file read and checked.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct OtlpTls {
    /// PEM of the authorities that may sign the endpoint's certificate; without it those of the system are used.
    pub authorities: Option<String>,
    /// The client certificate of the service, if the endpoint requires one.
    pub identity: Option<ClientIdentity>,
}

impl fmt::Debug for OtlpTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtlpTls")
            .field("authorities", &self.authorities.is_some())
            .field("identity", &self.identity)
            .finish()
    }
}

/// A certificate and its private key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// PEM of the certificate, followed by the intermediate certificates.
    pub certificate: String,
    /// PEM of the key.
    pub key: Zeroizing<String>,
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientIdentity")
    }
}

impl fmt::Display for OtlpTarget {
    /// Omits the query: some services take their key there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            OtlpProtocol::Grpc => "grpc",
            OtlpProtocol::HttpProtobuf => "http/protobuf",
        };
        let origin = self.endpoint.origin().ascii_serialization();
        write!(f, "{protocol} to {origin}{}", self.endpoint.path())
    }
}

impl OtlpTarget {
    /// Formats protocol, host and port, without the path of the signal.
    #[must_use]
    pub fn collector(&self) -> String {
        let whole = self.to_string();
        let path = self.endpoint.path();
        whole.strip_suffix(path).unwrap_or(&whole).to_owned()
    }
}

impl fmt::Debug for OtlpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OtlpTarget({self})")
    }
}

/// The OTLP protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP.
    HttpProtobuf,
}

/// How logs are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A filter in the syntax of `tracing_subscriber::EnvFilter`, for example `info` or `skriptoteket=debug,info`.
    pub filter: String,
    /// The format.
    pub format: LogFormat,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// Human-readable text.
    Human,
    /// One JSON object per line.
    Json,
}
