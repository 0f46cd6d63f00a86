//! The service behind a real nginx with its defaults: requests arrive by HTTP/1.0, without a length if there is no
//! body.

use std::{net::TcpListener, path::Path, process::Command, time::Duration};

use serde_json::json;
use skriptoteket_testing::{
    http::{client, plain},
    process::{Killed, spawn_for_life},
    service::{PASSWORD, Service},
};

/// Starts nginx in front of `service`. It is stopped when the returned guard is dropped.
async fn start(dir: &Path, service: &Service) -> (String, Killed) {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let configuration = format!(
        "daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.log;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off;\n\
           client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;\n\
           uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
           server {{ listen 127.0.0.1:{port};\n\
             location / {{ proxy_pass {upstream}; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }} }} }}\n",
        dir = dir.display(),
        upstream = service.url(""),
    );
    let file = dir.join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "nginx", "-p"])
        .arg(dir)
        .arg("-c")
        .arg(&file)
        // The directory of server programs is not in the PATH of every user.
        .env(
            "PATH",
            format!("{}:/usr/sbin", std::env::var("PATH").unwrap()),
        );
    let mut nginx = Killed(spawn_for_life(command));
    let base = format!("http://127.0.0.1:{port}");
    for _ in 0..2_000 {
        assert!(nginx.0.try_wait().unwrap().is_none(), "nginx ended");
        if plain()
            .get(format!("{base}/.well-known/jwks.json"))
            .send()
            .await
            .is_ok()
        {
            return (base, nginx);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nginx does not respond");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_a_body_pass_through_nginx_as_it_comes() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]).await;
    let (base, _nginx) = start(dir.path(), &service).await;
    let browser = client();
    let credentials = json!({"username": "admin", "password": PASSWORD});
    let login = browser
        .post(format!("{base}/api/login"))
        .json(&credentials)
        .send()
        .await
        .unwrap();
    assert_eq!(login.status(), 200);
    let registered = browser
        .post(format!("{base}/api/admin/services"))
        .json(&json!({"id": "orders"}))
        .send()
        .await
        .unwrap();
    assert_eq!(registered.status(), 201);
    let issued: serde_json::Value = registered.json().await.unwrap();
    let token = plain()
        .post(format!("{base}/oauth2/token"))
        .basic_auth("orders", issued["client_secret"].as_str())
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials")
        .send()
        .await
        .unwrap();
    assert_eq!(token.status(), 200);
    let token: serde_json::Value = token.json().await.unwrap();
    let token = token["access_token"].as_str().unwrap();
    // As `curl -X POST` sends them: without a body and without a length.
    for (path, status) in [
        ("/api/services/orders/heartbeat", 204),
        ("/api/services/orders/check", 200),
        ("/api/services/other/check", 403),
    ] {
        let request = plain().post(format!("{base}{path}")).bearer_auth(token);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
    let rotate = browser.post(format!("{base}/api/admin/services/orders/rotate"));
    assert_eq!(rotate.send().await.unwrap().status(), 200);
    for status in [204, 204] {
        let logout = browser
            .post(format!("{base}/api/logout"))
            .send()
            .await
            .unwrap();
        assert_eq!(logout.status(), status);
    }
    let session = browser
        .get(format!("{base}/api/session"))
        .send()
        .await
        .unwrap();
    assert_eq!(session.status(), 401);
    let head = plain()
        .head(format!("{base}/.well-known/jwks.json"))
        .send()
        .await
        .unwrap();
    assert_eq!(head.status(), 200);
    let page = service.page().await;
    for (route, status) in [
        ("/api/services/{id}/heartbeat", "204"),
        ("/api/services/{id}/check", "200"),
    ] {
        let series = format!(
            r#"http_server_request_duration_seconds_count{{http_request_method="POST",http_response_status_code="{status}",http_route="{route}",url_scheme="http"}}"#
        );
        assert_eq!(page.value(&series), 1.0);
    }
}
