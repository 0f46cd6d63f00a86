//! A stub issuer with configurable responses.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
};

/// Sends the same bytes in response to each request; without any, it lets clients wait. Its threads end with the test process.
pub(crate) struct Stub {
    /// `http://…`.
    pub(crate) url: String,
    answer: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicU64>,
}

impl Stub {
    /// Creates a stub that lets clients wait.
    pub(crate) fn silent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stub = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            answer: Arc::default(),
            asked: Arc::default(),
        };
        let (answer, asked) = (stub.answer.clone(), stub.asked.clone());
        thread::spawn(move || {
            let mut waiting = Vec::new();
            for stream in listener.incoming() {
                asked.fetch_add(1, SeqCst);
                let stream = stream.unwrap();
                match &*answer.lock().unwrap() {
                    Some(answer) => respond(stream, answer),
                    None => waiting.push(stream),
                }
            }
        });
        stub
    }

    /// Creates a stub with this response.
    pub(crate) fn with(status: &str, headers: &str, body: &str) -> Self {
        let stub = Self::silent();
        stub.answers(status, headers, body);
        stub
    }

    /// Sets the response from now on.
    pub(crate) fn answers(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        *self.answer.lock().unwrap() = Some(format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
        ));
    }

    /// Lets clients wait from now on.
    pub(crate) fn falls_silent(&self) {
        *self.answer.lock().unwrap() = None;
    }

    /// Returns the number of requests received.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(SeqCst)
    }
}

fn respond(mut stream: TcpStream, answer: &str) {
    let mut request = [0; 8192];
    // A client may close the connection early.
    let _ = stream.read(&mut request);
    let _ = stream.write_all(answer.as_bytes());
}
