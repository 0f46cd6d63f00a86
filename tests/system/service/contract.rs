//! Checks the API against its own OpenAPI document with schemathesis, which generates requests that no developer would
//! think of.
//!
//! `make contract-tester` installs schemathesis. The seed is fixed: each run makes the same requests, as far as
//! responses allow.

use std::{path::Path, process::Command};

use serde_json::{Value, json};
use skriptoteket_testing::{
    files::in_repository,
    http::{client, cookie_of, plain},
    service::{PASSWORD, Service},
};

/// Checks that cannot pass here, with reasons.
///
/// * `positive_data_acceptance`: no schema says whether a password is weak, a name is taken or a service exists.
/// * `unsupported_method`: it reports `HEAD` next to a documented `GET` as an undocumented method.
const EXCLUDED: &str = "positive_data_acceptance,unsupported_method";

/// The session cookie is sent with every request, so it is excluded from the generated data.
const CONFIGURATION: &str = "[generation]\nwith-security-parameters = false\n";

/// A run of schemathesis: the included and excluded operations, the excluded checks, and the header for authentication.
struct Run<'a> {
    only: [&'a str; 2],
    except: [&'a str; 2],
    excluded: &'a str,
    header: Option<String>,
}

impl Run<'_> {
    async fn faults(&self, service: &Service, dir: &Path) -> Option<String> {
        let program = in_repository(".cache/contract/bin/schemathesis");
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
    // The guard is not tested here: clients would soon be locked out.
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
    let cookie = format!("Cookie: {}", cookie_of(&login));
    // An operation that ends its own session would leave nothing but 401 to the rest.
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
        // An empty query parameter counts as none, which the schema of a number cannot express.
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
