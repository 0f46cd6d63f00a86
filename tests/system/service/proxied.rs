//! The service behind the edge proxy of docker-compose.yml: the real nginx with the shipped `docker/nginx.conf`, started by
//! the shipped `docker/proxy.sh`.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Client, StatusCode, header::HeaderMap};
use serde_json::json;
use skriptoteket_testing::{
    files::read,
    http::builder,
    ports::free_port,
    process::{Killed, spawn_for_life},
    service::Service,
    wait::TIME_LIMIT,
};

/// Failed logins that an address is allowed.
const ATTEMPTS: usize = 3;

/// An nginx in front of a service. It is killed when this is dropped.
struct EdgeProxy {
    _child: Killed,
    port: u16,
    /// The port for the demo.
    demo_port: u16,
}

impl EdgeProxy {
    /// Starts it with the shipped files. Ports and directories are replaced by those of the test.
    fn start(dir: &Path, service: &Service) -> Self {
        let (port, demo_port) = (free_port(), free_port());
        let temporary = format!("{}/", dir.display());
        let upstream = format!("127.0.0.1:{}", service.port());
        let listen = format!("listen 127.0.0.1:{port};");
        let demo_listen = format!("listen 127.0.0.1:{demo_port};");
        let resolv_conf = dir.join("resolv.conf");
        fs::write(&resolv_conf, "nameserver 127.0.0.11\n").unwrap();
        let configuration = shipped(
            "nginx.conf",
            &[
                ("/tmp/", &temporary),
                ("listen 8080;", &listen),
                ("listen 127.0.0.1:8081;", &demo_listen),
                ("app:8080", &upstream),
            ],
        );
        let script = shipped(
            "proxy.sh",
            &[
                ("/tmp/", &temporary),
                ("/etc/resolv.conf", &resolv_conf.display().to_string()),
                // A single process, which ends with the test.
                ("daemon off;", "daemon off; master_process off;"),
            ],
        );
        fs::write(dir.join("nginx.conf"), configuration).unwrap();
        fs::write(dir.join("proxy.sh"), script).unwrap();

        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "sh"])
            .arg(dir.join("proxy.sh"))
            .args(["-e", "stderr", "-c"])
            .arg(dir.join("nginx.conf"))
            // On Debian nginx is in a directory that is only in the PATH of root.
            .env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
            .stdin(Stdio::null());
        let mut child = Killed(spawn_for_life(command));
        let started_at = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = child.0.try_wait().unwrap() {
                panic!("nginx ended with {status}");
            }
            assert!(started_at.elapsed() < TIME_LIMIT, "nginx does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self {
            _child: child,
            port,
            demo_port,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Logs in with a wrong password and these headers.
    async fn guess(&self, client: &Client, headers: HeaderMap) -> StatusCode {
        Self::guess_at(&self.url("/api/login"), client, headers).await
    }

    async fn guess_at(url: &str, client: &Client, headers: HeaderMap) -> StatusCode {
        let answer = client
            .post(url)
            .json(&json!({"username": "nobody", "password": "wrong-guess"}))
            .headers(headers)
            .send()
            .await
            .unwrap();
        answer.status()
    }
}

/// Returns a file of `docker/` with these replacements. Every replaced text must occur in the file.
fn shipped(name: &str, changes: &[(&str, &str)]) -> String {
    let mut text = read(&format!("docker/{name}"));
    for (from, to) in changes {
        assert!(text.contains(from), "{name} has no {from}");
        text = text.replace(from, to);
    }
    text
}

/// Returns a client with this address.
fn client_at(address: Ipv4Addr) -> Client {
    let address = IpAddr::V4(address);
    builder().local_address(address).no_proxy().build().unwrap()
}

/// Returns a service, and an nginx in front of it.
///
/// The service also trusts the clients' addresses, as it would those of a network that clients and the proxy share:
/// only the proxy keeps the clients' own claims from it.
async fn proxied(dir: &Path) -> (Service, EdgeProxy) {
    let attempts = ATTEMPTS.to_string();
    let settings = [
        ("trusted_proxies", "127.0.0.0/8"),
        ("guard_address_attempts", &attempts),
        ("guard_account_attempts", "1000"),
        // No attempt is forgotten while a slow machine runs the test.
        ("guard_address_regain", "1h"),
        ("guard_lock", "15m"),
    ];
    let service = Service::start(dir, &settings).await;
    let proxy = EdgeProxy::start(dir, &service);
    (service, proxy)
}

/// Returns the headers by which a client could claim the address `address`.
fn forgeries(address: &str) -> Vec<(&'static str, HeaderMap)> {
    let forged = |lines: &[(&'static str, String)]| {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    };
    let plain = address.to_owned();
    let through_proxy = format!("{address}, 127.0.0.1");
    vec![
        ("an address", forged(&[("x-forwarded-for", plain.clone())])),
        (
            "the trusted proxy behind it",
            forged(&[("x-forwarded-for", through_proxy.clone())]),
        ),
        (
            "a line for each",
            forged(&[
                ("x-forwarded-for", plain.clone()),
                ("x-forwarded-for", "127.0.0.1".to_owned()),
            ]),
        ),
        (
            "with a port",
            forged(&[("x-forwarded-for", format!("{address}:4711"))]),
        ),
        (
            "nothing, behind an address",
            forged(&[("x-forwarded-for", format!("{address},, ,"))]),
        ),
        (
            "with underscores",
            forged(&[("x_forwarded_for", plain.clone())]),
        ),
        (
            "the headers of other proxies",
            forged(&[
                ("forwarded", format!("for={address}")),
                ("x-real-ip", plain.clone()),
                ("x-client-ip", plain.clone()),
                ("true-client-ip", plain.clone()),
                ("cf-connecting-ip", plain),
            ]),
        ),
        (
            "as a header of the connection",
            forged(&[
                ("x-forwarded-for", through_proxy),
                ("connection", "x-forwarded-for, keep-alive".to_owned()),
            ]),
        ),
    ]
}

#[tokio::test]
async fn behind_the_edge_proxy_a_client_cannot_choose_its_address() {
    let dir = tempfile::tempdir().unwrap();
    let (_service, proxy) = proxied(dir.path()).await;

    for (kind, (name, _)) in forgeries("192.0.2.1").iter().enumerate() {
        let kind_number = u8::try_from(kind).unwrap();
        let client = client_at(Ipv4Addr::new(127, 0, 1, kind_number + 1));
        let mut statuses = Vec::new();
        for guess in 0..ATTEMPTS + 2 {
            let (_, headers) = forgeries(&format!("198.51.100.{guess}")).remove(kind);
            statuses.push(proxy.guess(&client, headers).await.as_u16());
        }
        assert_eq!(statuses, [401, 401, 401, 429, 429], "{name}");
    }
}

#[tokio::test]
async fn behind_the_edge_proxy_nobody_locks_the_address_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let (_service, proxy) = proxied(dir.path()).await;
    let victim = Ipv4Addr::new(127, 0, 2, 1);

    for (kind, (name, headers)) in forgeries(&victim.to_string()).into_iter().enumerate() {
        let attacker = client_at(Ipv4Addr::new(127, 0, 3, u8::try_from(kind).unwrap() + 1));
        for _ in 0..ATTEMPTS {
            let status = proxy.guess(&attacker, headers.clone()).await;
            assert_eq!(status, 401, "{name}");
        }
    }
    let status = proxy.guess(&client_at(victim), HeaderMap::new()).await;
    assert_eq!(status, 401);
}

#[tokio::test]
async fn behind_the_edge_proxy_a_client_cannot_choose_its_scheme() {
    let dir = tempfile::tempdir().unwrap();
    let (service, proxy) = proxied(dir.path()).await;
    let mut headers = HeaderMap::new();
    headers.insert("x-forwarded-proto", "https".parse().unwrap());

    let client = client_at(Ipv4Addr::new(127, 0, 4, 1));
    assert_eq!(proxy.guess(&client, headers).await, 401);

    let page = service.page().await;
    let requests = |scheme: &str| {
        let label = format!("url_scheme=\"{scheme}\"");
        page.sum("http_server_request_duration_seconds_count", &label)
    };
    assert_eq!((requests("http"), requests("https")), (1.0, 0.0));
}

#[tokio::test]
async fn the_demo_names_its_clients_at_a_port_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (_service, proxy) = proxied(dir.path()).await;
    let url = format!("http://127.0.0.1:{}/api/login", proxy.demo_port);
    let demo = client_at(Ipv4Addr::LOCALHOST);

    for client in 0..ATTEMPTS + 2 {
        let (_, headers) = forgeries(&format!("198.51.100.{client}")).remove(0);
        assert_eq!(EdgeProxy::guess_at(&url, &demo, headers).await, 401);
    }
}

#[tokio::test]
async fn behind_the_edge_proxy_a_browser_gets_the_login_page() {
    let dir = tempfile::tempdir().unwrap();
    let (_service, proxy) = proxied(dir.path()).await;
    let client = client_at(Ipv4Addr::LOCALHOST);
    let get = async |path, accept: &'static str| {
        let request = client.get(proxy.url(path)).header("accept", accept);
        request.send().await.unwrap()
    };

    let root = get("/", "text/html").await;
    assert_eq!((root.status().as_u16(), root.url().path()), (200, "/login"));
    assert!(root.text().await.unwrap().contains("<h1>Log in</h1>"));
    let missing = get("/missing", "*/*").await;
    assert_eq!(missing.status(), 404);
    let kind = missing.headers()["content-type"].clone();
    assert_eq!(kind, "application/problem+json");
}

#[tokio::test]
async fn the_edge_proxy_is_healthy_while_it_reaches_a_replica() {
    let dir = tempfile::tempdir().unwrap();
    let (mut service, proxy) = proxied(dir.path()).await;
    let health = async |address: Ipv4Addr| {
        let asked = client_at(address).get(proxy.url("/proxy-health")).send();
        asked.await.unwrap().status().as_u16()
    };

    assert_eq!(health(Ipv4Addr::LOCALHOST).await, 200);
    assert_eq!(health(Ipv4Addr::new(127, 0, 5, 1)).await, 403);
    service.kill();
    assert_eq!(health(Ipv4Addr::LOCALHOST).await, 502);
}
