//! Third-party clients: they discover the service by its metadata alone, and verify its tokens with its published keys.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use skriptoteket_testing::{files::in_repository, process::spawn_for_life, service::Service};

use crate::interop::command::command;

/// Time limit of a client's whole run.
const TIME_LIMIT: Duration = Duration::from_mins(1);

/// Returns the interpreter and the script of the Python client.
fn python() -> [PathBuf; 2] {
    [
        ".cache/interop/python/bin/python",
        "tests/system/interop/python/client.py",
    ]
    .map(in_root)
}

/// Returns the interpreter and the script of the Node client.
fn node() -> [PathBuf; 2] {
    let packages = in_root("tests/system/interop/node/node_modules");
    assert!(
        packages.is_dir(),
        "`make interop-clients` installs the clients"
    );
    [
        "node".into(),
        in_root("tests/system/interop/node/client.mjs"),
    ]
}

fn in_root(path: &str) -> PathBuf {
    let path = in_repository(path);
    let hint = "`make interop-clients` installs the clients";
    assert!(path.exists(), "there is no {}: {hint}", path.display());
    path
}

/// Runs a client to its end against a server that signs tokens with `algorithm`.
async fn run([program, script]: [PathBuf; 2], algorithm: &str) {
    let dir = tempfile::tempdir().unwrap();
    let server = Service::start(dir.path(), &[("token_algorithm", algorithm)]).await;

    let complaints = dir.path().join("complaints");
    let mut command_line = Command::new("setpriv");
    command_line
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .arg(script)
        .current_dir(dir.path())
        // Without it authlib rejects plain HTTP, even on loopback.
        .env("AUTHLIB_INSECURE_TRANSPORT", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(File::create(&complaints).unwrap());
    let mut client = spawn_for_life(command_line);
    let (mut input, output) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
    let mut output = BufReader::new(output);
    let mut keys = String::new();
    output.read_line(&mut keys).unwrap();
    let complained = || fs::read_to_string(&complaints).unwrap();
    assert!(!keys.is_empty(), "it generated no keys: {}", complained());

    let registered = register(dir.path(), &keys);
    let secret = registered["client_secret"].as_str().unwrap();
    let issuer = server.url("");
    let told = json!({
        "issuer": issuer, "audience": issuer, "algorithm": algorithm,
        "client_id": registered["client_id"], "client_secret": secret,
    });
    writeln!(input, "{told}").unwrap();
    drop(input);

    let started_at = Instant::now();
    let status = loop {
        if let Some(status) = client.try_wait().unwrap() {
            break status;
        }
        if started_at.elapsed() > TIME_LIMIT {
            client.kill().unwrap();
            break client.wait().unwrap();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let steps: Vec<String> = output.lines().map_while(Result::ok).collect();
    let report = format!("{steps:#?}\n{}", complained());
    assert!(!report.contains(secret), "it printed the client's secret");
    assert!(!report.contains("eyJ"), "it printed a token");
    assert!(
        status.success(),
        "{status} after {:?}: {report}",
        started_at.elapsed()
    );
    assert_eq!(steps.last().map(String::as_str), Some("done"), "{report}");
}

/// Registers `inventory` as an operator does in a script that reads the output.
fn register(dir: &Path, keys: &str) -> Value {
    let file = dir.join("inventory.jwks");
    fs::write(&file, keys).unwrap();
    let file = file.to_str().unwrap();
    let register = ["service", "register", "inventory", "--scope", "stock:read"];
    let arguments = [&register[..], &["--public-keys", file, "--json"]].concat();
    let output = command(dir, None, &arguments);
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{complaints}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn python_clients_get_check_and_revoke_tokens_signed_by_ed25519() {
    run(python(), "EdDSA").await;
}

#[tokio::test]
async fn python_clients_get_check_and_revoke_tokens_signed_by_p256() {
    run(python(), "ES256").await;
}

#[tokio::test]
async fn node_clients_get_check_and_revoke_tokens_signed_by_ed25519() {
    run(node(), "EdDSA").await;
}

#[tokio::test]
async fn node_clients_get_check_and_revoke_tokens_signed_by_p256() {
    run(node(), "ES256").await;
}
