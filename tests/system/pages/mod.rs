//! The pages in headless Chromium, driven by Playwright; see `browser/main.mjs`.
//!
//! `make browser` installs what this needs.

use std::{path::Path, process::Command};

use skriptoteket_testing::{
    files::in_repository,
    http::client,
    service::{PASSWORD, Service},
};

const USERS: [&str; 6] = [
    "js-light",
    "js-dark",
    "plain",
    "svensk",
    "locked-js",
    "locked-plain",
];

/// Creates the users of the browser.
async fn add_users(service: &Service) {
    let http = client();
    let log_in = serde_json::json!({"username": "admin", "password": PASSWORD});
    let logged_in = http.post(service.url("/api/login")).json(&log_in).send();
    assert!(logged_in.await.unwrap().status().is_success());
    for name in USERS {
        let body = serde_json::json!({"username": name, "password": PASSWORD, "display_name": "Ada Lovelace"});
        let added = http
            .post(service.url("/api/admin/users"))
            .json(&body)
            .send();
        assert_eq!(added.await.unwrap().status(), 201);
    }
}

fn run(service: &Service) -> std::process::Output {
    let directory = in_repository("tests/system/pages/browser");
    assert!(
        Path::new(&directory).join("node_modules").is_dir(),
        "Playwright is missing: make browser"
    );
    let mut node = Command::new("node");
    node.current_dir(&directory)
        .arg("main.mjs")
        .arg(service.url(""))
        .arg(PASSWORD);
    if let Some(pictures) = std::env::var_os("PICTURES") {
        node.arg(pictures);
    }
    node.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_uses_every_page_with_and_without_javascript() {
    let dir = tempfile::tempdir().unwrap();
    // A logo that is wider than a narrow screen.
    let logo = dir.path().join("logo.svg");
    let drawing = r#"<svg xmlns="http://www.w3.org/2000/svg" width="1200" height="32" viewBox="0 0 1200 32"/>"#;
    std::fs::write(&logo, drawing).unwrap();
    let settings = [
        ("logo_file", logo.to_str().unwrap()),
        ("guard_account_attempts", "3"),
        ("guard_account_regain", "1d"),
    ];
    let service = Service::start(dir.path(), &settings).await;
    add_users(&service).await;
    let done = run(&service);
    let (stdout, stderr) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{stdout}\n{stderr}");
    assert!(!service.output().contains(PASSWORD));
}
