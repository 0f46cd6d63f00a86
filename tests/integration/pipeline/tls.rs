//! OTLP over TLS: the certificates that the service trusts, and its own.

use std::{
    fs,
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use skriptoteket::{
    catalogue::CATALOGUE,
    config::{Environment, load},
    telemetry::{OtelSettings, OtlpProtocol, Telemetry},
};
use skriptoteket_testing::{certificates::Certificates, collector::Collector, wait::eventually};
use tokio::runtime::Runtime;

use crate::pipeline::{
    LIMIT, PROTOCOLS,
    service::{Service, written},
};

/// Reads the variables of an environment with a Collector behind TLS, as the service does.
fn settings(
    collector: &Collector,
    protocol: OtlpProtocol,
    files: &[(&str, &str)],
    certificates: &Certificates,
) -> OtelSettings {
    let endpoint = collector.secure_endpoint(protocol);
    let mut environment = Environment::default()
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", written(protocol))
        .with("OTEL_METRIC_EXPORT_INTERVAL", "3600000");
    for (variable, file) in files {
        environment = environment.with(*variable, certificates.path(file));
    }
    load(None, &environment).unwrap().otel
}

/// Sends one export of each signal. Returns the error, if there is one.
fn export(settings: &OtelSettings) -> Option<String> {
    let runtime = Runtime::new().unwrap();
    let _entered = runtime.enter();
    let telemetry = Telemetry::start(settings, CATALOGUE).unwrap();
    telemetry.meter().u64_counter("test").build().add(1, &[]);
    let sent = telemetry.flush(LIMIT);
    // No data is left to export.
    let _ = telemetry.shutdown(LIMIT);
    sent.err().map(|error| format!("{error:?}"))
}

fn server(certificates: &Certificates, more: &str) -> Collector {
    let [certificate, key] = ["server.pem", "server.key"].map(|it| certificates.path(it));
    let (certificate, key) = (certificate.display(), key.display());
    Collector::start_with_tls(&format!(
        "{{cert_file: {certificate}, key_file: {key}{more}}}"
    ))
}

#[test]
fn a_private_authority_is_trusted_where_it_is_named() {
    let certificates = Certificates::create();
    let collector = server(&certificates, "");
    for protocol in PROTOCOLS {
        let export =
            |files: &[(&str, &str)]| export(&settings(&collector, protocol, files, &certificates));
        let general = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem");
        let own = ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "ca.pem");
        assert_eq!(export(&[general]), None, "{protocol:?}");
        assert_eq!(export(&[own]), None, "{protocol:?}");
        // The setting of the signal has precedence: it names another authority.
        let other = Certificates::create();
        fs::copy(other.authority(), certificates.path("other.pem")).unwrap();
        let own = ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "other.pem");
        for files in [&[][..], &[general, own]] {
            assert!(export(files).is_some(), "{protocol:?}: {files:?}");
        }
    }
    eventually("the metric arrives", || {
        let page = collector.page();
        page.samples
            .iter()
            .any(|it| it.name == "test_total")
            .then_some(())
    });
}

#[test]
fn a_collector_that_asks_is_shown_the_certificate() {
    let certificates = Certificates::create();
    certificates.signed("client", "/CN=skriptoteket");
    let authority = certificates.authority();
    let asks = format!(", client_ca_file: {}", authority.display());
    let collector = server(&certificates, &asks);
    for protocol in PROTOCOLS {
        let export =
            |files: &[(&str, &str)]| export(&settings(&collector, protocol, files, &certificates));
        let trusted = ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem");
        assert!(export(&[trusted]).is_some(), "{protocol:?}");
        let general = [
            trusted,
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "client.pem"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "client.key"),
        ];
        assert_eq!(export(&general), None, "{protocol:?}");
        let own = [
            trusted,
            (
                "OTEL_EXPORTER_OTLP_METRICS_CLIENT_CERTIFICATE",
                "client.pem",
            ),
            ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "client.key"),
        ];
        assert_eq!(export(&own), None, "{protocol:?}");
    }
}

/// Speaks TLS with an untrusted certificate, and counts the connections.
fn untrusted(certificates: &Certificates) -> (String, Arc<AtomicUsize>) {
    let chain = CertificateDer::from_pem_file(certificates.path("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(certificates.path("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let came = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&came);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut server = ServerConnection::new(Arc::clone(&config)).unwrap();
            // Clients close the connection, which is what the test expects.
            let _ = server.complete_io(&mut stream);
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    (endpoint, came)
}

/// Each handshake makes the certificate verifier log an error. Exporting that error would cause the next handshake.
#[test]
fn a_certificate_that_is_not_trusted_is_a_line_and_no_loop() {
    let certificates = Certificates::create();
    for protocol in PROTOCOLS {
        let (endpoint, came) = untrusted(&certificates);
        let service = Service::start_with(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", written(protocol)),
            ("OTEL_METRIC_EXPORT_INTERVAL", "100"),
            ("OTEL_BLRP_SCHEDULE_DELAY", "100"),
        ]);
        eventually("many exports have failed", || {
            (came.load(Ordering::Relaxed) >= 20).then_some(())
        });
        let log = service.log();
        let ours = |line: &&str| line.contains("telemetry cannot be exported");
        let complaints: Vec<&str> = log.lines().filter(ours).collect();
        assert_eq!(complaints.len(), 1, "{protocol:?}: {log}");
        assert!(complaints[0].contains(&endpoint), "{complaints:?}");
        let cause = "invalid peer certificate";
        assert!(complaints[0].contains(cause), "{complaints:?}");
        assert!(!log.contains("rustls_platform_verifier"), "{log}");
        assert!(!log.contains("log.file"), "{log}");
    }
}
