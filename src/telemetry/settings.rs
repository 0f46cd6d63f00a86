//! The settings of telemetry.

use std::{fmt, time::Duration};

use url::Url;
use zeroize::Zeroizing;

/// What leaves by OTLP, and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtelSettings {
    /// `OTEL_SDK_DISABLED`: no instrument records anything.
    pub disabled: bool,
    /// Where metrics go, if anywhere.
    pub metrics: Option<OtlpTarget>,
    /// Where spans go, if anywhere.
    pub traces: Option<OtlpTarget>,
    /// Where log records go, if anywhere.
    pub logs: Option<OtlpTarget>,
    /// `/metrics` shows what there is: always, unless the SDK is disabled or `OTEL_METRICS_EXPORTER` is `none`.
    pub prometheus: bool,
    /// `OTEL_METRIC_EXPORT_INTERVAL`; 15 s if unset.
    pub metric_export_interval: Duration,
    /// `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`.
    pub sampler: TraceSampler,
    /// `OTEL_RESOURCE_ATTRIBUTES`, percent-decoded, with `OTEL_SERVICE_NAME` as `service.name`. Of two with one name the
    /// later holds.
    pub resource: Vec<(String, String)>,
}

/// Which requests are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceSampler {
    /// A caller that says whether its trace is sampled decides.
    pub parent_based: bool,
    /// How many of all others.
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

/// How many requests are traced: none at all, or a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SampledShare {
    /// None, not even those that are slow or fail.
    Nothing,
    /// This many of 2^63, and those that are slow or fail.
    Of(u64),
}

impl SampledShare {
    /// All of them.
    pub const ALL: Self = Self::Of(1 << 63);

    /// A share from 0 to 1. What lies outside becomes the nearer of the two.
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

    /// Whether a request is in the share, by 64 random bits of its own. The highest bit does not count, as in the SDK's
    /// `TraceIdRatioBased`.
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
    /// The URL that is called: for HTTP the whole path of the signal.
    pub endpoint: Url,
    /// How long one export may take.
    pub timeout: Duration,
    /// What TLS is spoken with, where the endpoint is `https`.
    pub tls: OtlpTls,
}

impl OtlpTarget {
    /// How long an export may take where nothing is said: the specification's default.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

    /// An endpoint with defaults for all else.
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
    /// PEM of the authorities that may sign the endpoint's certificate; without it those of the system may.
    pub authorities: Option<String>,
    /// What the service shows of itself, where it is asked.
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
    /// PEM of the certificate, followed by those between it and its authority.
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
    /// Leaves the query out: some services take their key there.
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
    /// Protocol, host and port, without the path of the signal.
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

/// How OTLP is spoken.
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
    /// A filter as `tracing_subscriber::EnvFilter` reads it, for example `info` or `skriptoteket=debug,info`.
    pub filter: String,
    /// The form.
    pub format: LogFormat,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}
