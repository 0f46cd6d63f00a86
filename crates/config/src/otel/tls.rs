//! Reads and checks the certificate and key files for exports over TLS.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::{
    Error as TlsError, InconsistentKeys, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use skriptoteket_telemetry::{ClientIdentity, OtlpTls};

use crate::{
    faults::{Origin, Problem, Reported},
    forms::{FilePath, Form},
    variables::{Found, Variables},
};

use super::variables::of_signal;

/// Maximum size of a file, in bytes. The authorities of a whole system take about 250 KiB.
const LONGEST: u64 = 4 * 1024 * 1024;

const CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
const CLIENT_CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
const CLIENT_KEY: &str = "OTEL_EXPORTER_OTLP_CLIENT_KEY";

/// The files of one level: of all signals, or of one signal.
#[derive(Default)]
pub(super) struct TlsFiles {
    authorities: Option<String>,
    certificate: Option<Given<Vec<CertificateDer<'static>>>>,
    key: Option<Given<PrivateKeyDer<'static>>>,
}

/// The content of a file, and the variable that named it.
struct Given<T> {
    content: T,
    variable: String,
    shown: Option<String>,
}

/// Reads the variables of all signals, or those of one signal.
pub(super) fn files(
    variables: &mut Variables<'_>,
    signal: Option<&str>,
) -> Result<TlsFiles, Reported> {
    let name =
        |general: &str| signal.map_or_else(|| general.to_owned(), |it| of_signal(general, it));
    let authorities = content(variables, &name(CERTIFICATE), authorities);
    let certificate = content(variables, &name(CLIENT_CERTIFICATE), certificates);
    let key = content(variables, &name(CLIENT_KEY), key);
    Ok(TlsFiles {
        authorities: authorities?.map(|it| it.content),
        certificate: certificate?,
        key: key?,
    })
}

/// Returns the files that apply to a signal: its own, or else the general ones.
pub(super) fn of(
    variables: &mut Variables<'_>,
    own: &TlsFiles,
    shared: &TlsFiles,
) -> Result<OtlpTls, Reported> {
    let authorities = own.authorities.as_ref().or(shared.authorities.as_ref());
    let certificate = own.certificate.as_ref().or(shared.certificate.as_ref());
    let key = own.key.as_ref().or(shared.key.as_ref());
    let identity = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(identity(variables, certificate, key)?),
        (
            Some(Given {
                variable, shown, ..
            }),
            None,
        ) => {
            return Err(alone(variables, variable, shown.clone(), CLIENT_KEY));
        }
        (
            None,
            Some(Given {
                variable, shown, ..
            }),
        ) => {
            return Err(alone(
                variables,
                variable,
                shown.clone(),
                CLIENT_CERTIFICATE,
            ));
        }
    };
    Ok(OtlpTls {
        authorities: authorities.cloned(),
        identity,
    })
}

fn alone(
    variables: &mut Variables<'_>,
    variable: &str,
    shown: Option<String>,
    missing: &str,
) -> Reported {
    let problem = Problem::Expected(format!(
        "{missing} as well: a certificate and its key are used together"
    ));
    let origin = Origin::Variable(variable.to_owned());
    variables.faults.report(origin, shown, problem)
}

fn identity(
    variables: &mut Variables<'_>,
    certificate: &Given<Vec<CertificateDer<'static>>>,
    key: &Given<PrivateKeyDer<'static>>,
) -> Result<ClientIdentity, Reported> {
    let chain = certificate.content.clone();
    let pair = CertifiedKey::from_der(chain, key.content.clone_key(), &default_provider());
    let expected = match pair {
        Ok(_) => {
            return Ok(ClientIdentity {
                certificate: certificates_pem(&certificate.content),
                key: key_pem(&key.content),
            });
        }
        Err(TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            format!(
                "the private key of the certificate in {}",
                certificate.variable
            )
        }
        Err(TlsError::InvalidCertificate(_)) => {
            format!(
                "a certificate in {} that is X.509 version 3",
                certificate.variable
            )
        }
        Err(_) => {
            "an RSA key of 2048 bits or more, an ECDSA key on P-256 or P-384, or an Ed25519 key"
                .into()
        }
    };
    let origin = Origin::Variable(key.variable.clone());
    let problem = Problem::Expected(expected);
    Err(variables.faults.report(origin, key.shown.clone(), problem))
}

/// Returns the content of the file that a variable names.
fn content<T>(
    variables: &mut Variables<'_>,
    variable: &str,
    parse: fn(&[u8]) -> Result<T, Problem>,
) -> Result<Option<Given<T>>, Reported> {
    let Some(Found {
        text,
        origin,
        written,
    }) = variables.variable(variable)?
    else {
        return Ok(None);
    };
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    // A user who writes the content instead of the path may have written a key.
    let is_pem = text.contains("-----");
    let shown = (!is_pem).then_some(written);
    let read = || {
        if is_pem {
            return Err(Problem::Expected(
                "the path of a file, not its content".into(),
            ));
        }
        let path = FilePath.read(text)?;
        parse(&read(&path)?)
    };
    match read() {
        Ok(content) => Ok(Some(Given {
            content,
            variable: variable.to_owned(),
            shown,
        })),
        Err(problem) => Err(variables.faults.report(origin, shown, problem)),
    }
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let mut bytes = Zeroizing::new(Vec::new());
    let file = File::open(path).map_err(Problem::Unreadable)?;
    let mut file = file.take(LONGEST + 1);
    file.read_to_end(&mut bytes).map_err(Problem::Unreadable)?;
    if bytes.len() as u64 > LONGEST {
        let error = io::Error::other(format!("it is longer than {LONGEST} bytes"));
        return Err(Problem::Unreadable(error));
    }
    if bytes.starts_with(b"\xef\xbb\xbf")
        || bytes.starts_with(b"\xff\xfe")
        || bytes.starts_with(b"\xfe\xff")
    {
        return Err(Problem::Expected(
            "a PEM file in ASCII; this one begins with a byte order mark, as some editors write it"
                .into(),
        ));
    }
    Ok(bytes)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let expected = |why: &str| {
        Problem::Expected(format!(
            "a PEM file with -----BEGIN CERTIFICATE----- in it; this one {why}"
        ))
    };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| expected("is damaged"))?;
    if found.is_empty() {
        return Err(expected("has none"));
    }
    Ok(found)
}

fn authorities(pem: &[u8]) -> Result<String, Problem> {
    let found = certificates(pem)?;
    for (index, certificate) in found.iter().enumerate() {
        if RootCertStore::empty().add(certificate.clone()).is_err() {
            let at = index + 1;
            return Err(Problem::Expected(format!(
                "a PEM file of X.509 certificates; number {at} in this one is invalid"
            )));
        }
    }
    Ok(certificates_pem(&found))
}

fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Problem> {
    let encrypted = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
    let old_encrypted = b"Proc-Type: 4,ENCRYPTED";
    let holds = |part: &[u8]| pem.windows(part.len()).any(|it| it == part);
    if holds(encrypted) || holds(old_encrypted) {
        return Err(Problem::Expected(
            "a private key that is not encrypted, in a file that only the service can read".into(),
        ));
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        Problem::Expected(
            "a PEM file with -----BEGIN PRIVATE KEY----- in it (or RSA, or EC PRIVATE KEY)".into(),
        )
    })
}

/// Encodes the certificates again, so that nothing else in the file reaches the exporters: some read only the first
/// section, others reject a file with an unknown section.
fn certificates_pem(certificates: &[CertificateDer<'_>]) -> String {
    let write = |it: &CertificateDer<'_>| section("CERTIFICATE", it);
    certificates.iter().map(write).collect()
}

fn key_pem(key: &PrivateKeyDer<'_>) -> Zeroizing<String> {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    Zeroizing::new(section(label, key.secret_der()))
}

fn section(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem + "-----END " + label + "-----\n"
}
