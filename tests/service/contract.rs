//! The API held against its own document by schemathesis, which writes requests that nobody here thought of.
//!
//! `make contract-tester` installs it. The seed is fixed: a run makes the same requests each time, as far as answers allow.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use crate::process::{PASSWORD, Service, client, plain};

/// Checks that cannot hold here, and why.
///
/// * `positive_data_acceptance`: whether a password is weak, a name taken or a service there is in no schema.
/// * `unsupported_method`: it takes `HEAD` beside a documented `GET` for an undocumented method.
const EXCLUDED: &str = "positive_data_acceptance,unsupported_method";

/// The session cookie is sent with every request, so it is not among what is made up.
const CONFIGURATION: &str = "[generation]\nwith-security-parameters = false\n";

/// A run of schemathesis: which operations, which not, which checks not, and a header that proves who asks.
struct Run<'a> {
    only: [&'a str; 2],
    except: [&'a str; 2],
    excluded: &'a str,
    header: Option<String>,
}

impl Run<'_> {
    async fn faults(&self, service: &Service, dir: &Path) -> Option<String> {
        let program =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/contract/bin/schemathesis");
        assert!(
            program.is_file(),
            "schemathesis is missing: make contract-tester"
        );
        let configuration = dir.join("schemathesis.toml");
        std::fs::write(&configuration, CONFIGURATION).unwrap();
        let mut command = Command::new(program);
        command
            .arg("--config-file")
            .arg(configuration)
            .arg("run")
            .arg(service.url("/api/openapi.json"))
            .args([
                "--seed",
                "1",
                "--max-examples",
                "8",
                "--no-shrink",
                "--max-failures",
                "20",
            ])
            .args([
                "--phases",
                "examples,coverage,fuzzing",
                "--exclude-checks",
                self.excluded,
            ])
            .args(["--no-color", "--suppress-health-check", "all"])
            .args(self.only)
            .args(self.except)
            .current_dir(dir);
        if let Some(header) = &self.header {
            command.args(["--header", header]);
        }
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let faults = || format!("{}{}", text(&output.stdout), text(&output.stderr));
        (!output.status.success()).then(faults)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_is_what_the_document_says() {
    let dir = tempfile::tempdir().unwrap();
    // Strangers are not what is tested here: they would soon be locked out.
    let settings = [
        ("guard_address_attempts", "1000000"),
        ("guard_account_attempts", "1000000"),
        ("max_sessions_per_user", "1000"),
        ("log", "error"),
    ];
    let service = Service::start(dir.path(), &settings).await;
    let admin = service.admin().await;
    let registered = admin
        .post(service.url("/api/admin/services"))
        .json(&json!({"id": "orders", "scopes": ["read"], "rate": "10000/s", "burst": 1_000_000}))
        .send()
        .await
        .unwrap();
    assert_eq!(registered.status(), 201);
    let issued: Value = registered.json().await.unwrap();
    let secret = issued["client_secret"].as_str().unwrap();
    let token = plain()
        .post(service.url("/oauth2/token"))
        .basic_auth("orders", Some(secret))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials")
        .send()
        .await
        .unwrap();
    let token: Value = token.json().await.unwrap();
    let bearer = format!(
        "Authorization: Bearer {}",
        token["access_token"].as_str().unwrap()
    );
    let basic = plain()
        .post(service.url("/"))
        .basic_auth("orders", Some(secret))
        .build()
        .unwrap();
    let basic = format!(
        "Authorization: {}",
        basic.headers()["authorization"].to_str().unwrap()
    );
    let login = service.login(&client(), "admin", PASSWORD).await;
    let cookie = login.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let cookie = format!("Cookie: {cookie}");
    // What ends the session that asks would leave nothing but 401 to the rest.
    let with_cookie = "^(show|list|register|change|create|delete|rotate|current|document)";
    let none = ["--exclude-path", "/none"];
    let path = "--include-path-regex";
    let empty_is_none = format!("{EXCLUDED},negative_data_rejection");
    let runs = [
        Run {
            only: ["--include-operation-id-regex", with_cookie],
            except: [
                "--exclude-operation-id-regex",
                "^changePassword$|^list|^show",
            ],
            excluded: EXCLUDED,
            header: Some(cookie.clone()),
        },
        // An empty query parameter counts as none, which the schema of a number cannot say.
        Run {
            only: ["--include-operation-id-regex", "^(list|show)"],
            except: none,
            excluded: &empty_is_none,
            header: Some(cookie),
        },
        Run {
            only: [path, "^/api/(login|logout|session|password)"],
            except: none,
            excluded: EXCLUDED,
            header: None,
        },
        Run {
            only: [path, "^/oauth2/"],
            except: none,
            excluded: EXCLUDED,
            header: Some(basic),
        },
        Run {
            only: [path, "^/(\\.well-known|api/services)"],
            except: none,
            excluded: EXCLUDED,
            header: Some(bearer),
        },
    ];
    let mut faults = Vec::new();
    for run in &runs {
        faults.extend(run.faults(&service, dir.path()).await);
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(
        !service.output().contains("\"ERROR\""),
        "{}",
        service.output()
    );
}
