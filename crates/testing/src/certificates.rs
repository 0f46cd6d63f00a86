//! A certificate authority for one test, and certificates of `localhost` and 127.0.0.1 that it signs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// The files of one authority. They are deleted on drop.
#[derive(Debug)]
pub struct Certificates {
    directory: TempDir,
}

impl Certificates {
    /// Creates the files with Debian's `openssl`.
    pub fn create() -> Self {
        let made = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        let extensions = made.path("extensions");
        fs::write(&extensions, "subjectAltName=DNS:localhost,IP:127.0.0.1\n").unwrap();
        made.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=authority of a test",
            "-days",
            "2",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ]);
        made.signed("server", "/CN=localhost");
        made
    }

    /// Creates a key and a certificate that the authority signs, both named after `name`.
    pub fn signed(&self, name: &str, subject: &str) {
        let [key, request, certificate] = ["key", "csr", "pem"].map(|it| format!("{name}.{it}"));
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            subject,
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "extensions",
            "-out",
            &certificate,
        ]);
    }

    /// Returns the path of the authority's own certificate, which clients trust.
    pub fn authority(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// Returns the arguments that make a server speak TLS with this certificate on `port`.
    pub fn arguments(&self, port: u16) -> Vec<String> {
        let file = |name: &str| self.path(name).display().to_string();
        [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", file("server.pem")),
            ("--tls-key-file", file("server.key")),
            ("--tls-ca-cert-file", file("ca.pem")),
            ("--tls-auth-clients", "no".to_owned()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }

    /// Returns the path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        Path::join(self.directory.path(), name)
    }

    fn openssl(&self, arguments: &[&str]) {
        let made = Command::new("openssl")
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    }
}
