//! A scripted attacker: no response is a 500, and no series contains a word of theirs.

use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use skriptoteket_testing::service::Service;

const METHODS: [&str; 12] = [
    "GET",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "HEAD",
    "OPTIONS",
    "TRACE",
    "BREW",
    "x",
    "PROPFIND",
    "GETGETGET",
];
const PATHS: [&str; 12] = [
    "/api/login",
    "/api/session",
    "/api/sessions",
    "/api/sessions/x",
    "/api/admin/users",
    "/api/admin/sessions",
    "/",
    "/metrics",
    "/api/openapi.json",
    "/api/../etc/passwd",
    "/%2e%2e/%00",
    "/api/password",
];
const TYPES: [&str; 5] = [
    "application/json",
    "application/json; charset=latin1",
    "text/plain",
    "application/x-www-form-urlencoded",
    "x",
];

/// Returns letters that fit anywhere in a request.
fn word(rng: &mut StdRng) -> String {
    let length = rng.random_range(1..20);
    (0..length)
        .map(|_| char::from(rng.random_range(b'a'..=b'z')))
        .collect()
}

fn body(rng: &mut StdRng) -> Vec<u8> {
    match rng.random_range(0..7) {
        0 => Vec::new(),
        1 => format!(
            "{{\"username\":\"{}\",\"password\":\"{}\"}}",
            word(rng),
            word(rng)
        )
        .into_bytes(),
        2 => (0..200).map(|_| rng.random()).collect(),
        3 => vec![b'['; 5_000],
        4 => vec![b'x'; 20_000],
        5 => b"{\"username\":1,\"password\":[null]}".to_vec(),
        _ => b"{\"username\":\"\\ud800\",\"password\":\"\\u0000\"}".to_vec(),
    }
}

fn request(rng: &mut StdRng) -> Vec<u8> {
    let method = METHODS[rng.random_range(0..METHODS.len())];
    let mut path = PATHS[rng.random_range(0..PATHS.len())].to_owned();
    match rng.random_range(0..4) {
        0 => path = format!("{path}/{}", word(rng)),
        1 => path = format!("{path}?{}={}", word(rng), word(rng)),
        _ => {}
    }
    let content_type = TYPES[rng.random_range(0..TYPES.len())];
    let body = body(rng);
    let mut request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}.example\r\nUser-Agent: {}\r\nX-Forwarded-For: {}\r\nForwarded: for={}\r\n\
         X-Forwarded-Proto: {}\r\ntraceparent: {}\r\nCookie: skriptoteket={}; {}={}\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        word(rng), word(rng), word(rng), word(rng), word(rng), word(rng), word(rng), word(rng), word(rng),
        body.len(),
    )
    .into_bytes();
    request.extend(body);
    request
}

/// Sends a request. Returns the status, or `None` if the server closed the connection without a response.
fn send(port: u16, request: &[u8]) -> Option<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    // The server may respond and close before it has read all of a body that is too large.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    text.split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
}

fn wave(port: u16, seed: u64, n: usize) -> BTreeSet<u16> {
    let mut rng = StdRng::seed_from_u64(seed);
    let statuses = (0..n).filter_map(|_| send(port, &request(&mut rng)));
    statuses.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_hostile_requests_add_no_series_and_meet_no_500() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path(), &[]).await;
    let port = service.port();
    // The first wave covers every existing route and status. The second, with other names, adds nothing.
    tokio::task::spawn_blocking(move || wave(port, 1, 1_500))
        .await
        .unwrap();
    let before: BTreeSet<String> = service
        .page()
        .await
        .series()
        .into_iter()
        .map(str::to_owned)
        .collect();
    let statuses = tokio::task::spawn_blocking(move || wave(port, 2, 1_000))
        .await
        .unwrap();
    let page = service.page().await;
    let after: BTreeSet<String> = page.series().into_iter().map(str::to_owned).collect();
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?}");
    assert!(
        !after.iter().any(|it| it.contains("overflow")),
        "no overflow series"
    );
    assert!(
        statuses
            .iter()
            .all(|it| (400..500).contains(it) || *it == 200),
        "{statuses:?}"
    );
    assert!(
        statuses.len() > 3,
        "the wave got too few statuses: {statuses:?}"
    );
    assert_eq!(
        page.value("skriptoteket_login_failures_total{reason=\"internal_error\"}"),
        0.0
    );
}
