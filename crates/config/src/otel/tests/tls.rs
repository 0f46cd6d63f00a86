//! The certificate and key files that `OTEL_…` variables name.

use tempfile::TempDir;

use super::{from_env, otel};

#[test]
fn a_certificate_is_of_all_signals_or_of_one() {
    let files = Files::new();
    let authority = files.path("ca.pem");
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318");
    let trusted = |name: &str| {
        let settings = otel([endpoint, (name, authority.as_str())]);
        [settings.metrics, settings.traces, settings.logs]
            .map(|target| target.unwrap().tls.authorities.is_some())
    };
    assert_eq!(trusted("OTEL_EXPORTER_OTLP_CERTIFICATE"), [true; 3]);
    assert_eq!(
        trusted("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE"),
        [true, false, false]
    );
    assert_eq!(
        trusted("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE"),
        [false, true, false]
    );
    assert_eq!(
        trusted("OTEL_EXPORTER_OTLP_LOGS_CERTIFICATE"),
        [false, false, true]
    );

    let (certificate, key) = (files.path("ca.pem"), files.path("ca.key"));
    let settings = otel([
        endpoint,
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &certificate),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key),
    ]);
    let shown = settings.traces.unwrap().tls.identity.unwrap();
    assert!(
        shown
            .certificate
            .starts_with("-----BEGIN CERTIFICATE-----\n")
    );
    assert!(shown.key.contains("PRIVATE KEY"));
    assert_eq!(format!("{shown:?}"), "ClientIdentity");
}

#[test]
fn files_that_are_of_no_use_say_what_would_be() {
    let files = Files::new();
    let certificate = "OTEL_EXPORTER_OTLP_CERTIFICATE";
    let own = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE";
    let key = "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY";
    let pem = std::fs::read_to_string(files.path("ca.pem")).unwrap();
    let bad = |name: &str, text: &str| {
        std::fs::write(files.path(name), text).unwrap();
        files.path(name)
    };
    let bom = bad("bom.pem", &format!("\u{feff}{pem}"));
    let cut = bad("cut.pem", &pem[..pem.len() / 2]);
    let text = bad("text.pem", "nothing of the kind\n");
    let junk = bad(
        "junk.pem",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    let locked = bad(
        "locked.key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    let [ca, ca_key, other_key] = ["ca.pem", "ca.key", "other.key"].map(|it| files.path(it));
    let missing = files.path("missing.pem");
    let directory = files.path("");
    // Without its last line end, which is a separate fault.
    let content = pem.trim_end().to_owned();
    for (variables, named, expected) in [
        (
            vec![(certificate, &missing)],
            certificate,
            "cannot be read: No such file",
        ),
        (
            vec![(certificate, &directory)],
            certificate,
            "cannot be read: Is a directory",
        ),
        (vec![(certificate, &bom)], certificate, "byte order mark"),
        (vec![(certificate, &cut)], certificate, "is damaged"),
        (vec![(certificate, &text)], certificate, "this one has none"),
        (
            vec![(certificate, &ca_key)],
            certificate,
            "this one has none",
        ),
        (
            vec![(certificate, &junk)],
            certificate,
            "number 1 in this one is invalid",
        ),
        (
            vec![(certificate, &content)],
            certificate,
            "the path of a file, not its content",
        ),
        (
            vec![(own, &ca)],
            own,
            "expected OTEL_EXPORTER_OTLP_CLIENT_KEY as well",
        ),
        (
            vec![(key, &ca_key)],
            key,
            "expected OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE as well",
        ),
        (
            vec![(own, &ca), (key, &other_key)],
            key,
            "the private key of the certificate in OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
        ),
        (vec![(own, &ca), (key, &locked)], key, "not encrypted"),
        (vec![(own, &ca), (key, &ca)], key, "BEGIN PRIVATE KEY"),
        (vec![(own, &junk), (key, &ca_key)], key, "X.509"),
    ] {
        // Also if nothing is exported.
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name, value.as_str()));
        let faults = from_env(variables).unwrap_err().to_string();
        assert!(
            faults.starts_with(named) && faults.contains(expected),
            "{faults}"
        );
        assert_eq!(faults.lines().count(), 1, "{faults}");
    }
    // A key in place of its path is not shown.
    let secret = std::fs::read_to_string(ca_key).unwrap();
    let faults = from_env([(key, secret.as_str())]).unwrap_err().to_string();
    assert!(
        !faults.contains("BEGIN") && !faults.contains(" = "),
        "{faults}"
    );
}

/// An authority with its key, and another key, created by `openssl`.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        let new = [
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ];
        for name in ["ca", "other"] {
            let (subject, key, certificate) = (
                format!("/CN={name}"),
                format!("{name}.key"),
                format!("{name}.pem"),
            );
            let more = ["-subj", &subject, "-keyout", &key, "-out", &certificate];
            let mut openssl = std::process::Command::new("openssl");
            let made = openssl.args(new).args(more).current_dir(&files.0).output();
            assert!(made.unwrap().status.success());
        }
        files
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }
}
