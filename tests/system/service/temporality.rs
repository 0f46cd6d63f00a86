//! OTLP settings by the standard environment variables.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::Duration,
};

use skriptoteket_testing::service::Service;

/// A monotonic sum, as the end of its OTLP encoding: the temporality and the monotonic flag.
const DELTA: [u8; 4] = [0x10, 1, 0x18, 1];
const CUMULATIVE: [u8; 4] = [0x10, 2, 0x18, 1];

/// Reads the body of one request, and responds to it.
fn body(mut stream: &TcpStream) -> Option<Vec<u8>> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(found) = line.strip_prefix("content-length:") {
            length = found.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    stream.write_all(answer).ok()?;
    Some(body)
}

/// Starts a receiver of OTLP over HTTP. Returns its endpoint and the bodies that it receives.
fn receiver() -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, bodies) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Some(body) = body(&stream)
                && sender.send(body).is_err()
            {
                return;
            }
        }
    });
    (endpoint, bodies)
}

fn has(body: &[u8], part: &[u8]) -> bool {
    body.windows(part.len()).any(|it| it == part)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_of_the_store_are_cumulative_also_where_deltas_are_preferred() {
    let (endpoint, bodies) = receiver();
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "200"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
    ];
    let service = Service::start(dir.path(), &settings).await;
    service.admin().await;
    let (mut totals, mut recorded) = (false, false);
    while !(totals && recorded) {
        let body = bodies.recv_timeout(Duration::from_secs(20)).unwrap();
        if has(&body, b"skriptoteket.sessions_started") {
            assert!(has(&body, &CUMULATIVE) && !has(&body, &DELTA));
            totals = true;
        }
        if has(&body, b"skriptoteket.logins") {
            assert!(
                has(&body, &DELTA),
                "counters of this process are delta sums"
            );
            recorded = true;
        }
    }
}
