//! Raw bytes over a socket, for requests that no HTTP client would send.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    time::{Duration, Instant},
};

/// Time limit of every wait. Nothing is expected to take this long.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A connection, and the bytes received on it.
pub(crate) struct Raw {
    stream: TcpStream,
    received: Vec<u8>,
}

/// A response as received.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Received {
    /// Returns the value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Expects a problem document with the headers of every response, after which the connection is closed.
    #[track_caller]
    pub(crate) fn expect_last_problem(&self, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], status);
        assert_eq!(self.header("connection"), Some("close"), "{self:?}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(self.header(name), Some(value), "{self:?}");
        }
    }
}

impl Raw {
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        stream.set_write_timeout(Some(TIME_LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Sends bytes. The peer may have closed already.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    pub(crate) fn end_of_sending(&mut self) -> &mut Self {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// Reads the available bytes for a moment. Returns true at the end of the stream.
    fn read_some(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(0) => true,
            Ok(length) => {
                self.received.extend_from_slice(&piece[..length]);
                false
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                false
            }
            Err(_) => true,
        }
    }

    /// Takes the next complete response.
    fn take(&mut self) -> Option<Received> {
        let text = String::from_utf8_lossy(&self.received).into_owned();
        let (head, rest) = text.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut answer = Received {
            status,
            head: head.to_owned(),
            body: String::new(),
        };
        let length = answer
            .header("content-length")
            .map_or(0, |it| it.parse().unwrap());
        rest.get(..length)?.clone_into(&mut answer.body);
        self.received.drain(..head.len() + 4 + length);
        Some(answer)
    }

    /// Returns the next response.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Received {
        let started_at = Instant::now();
        loop {
            if let Some(answer) = self.take() {
                return answer;
            }
            let ended = self.read_some();
            if let (true, None) = (ended, self.take_ready()) {
                panic!(
                    "no response was received: {:?}",
                    String::from_utf8_lossy(&self.received)
                );
            }
            assert!(started_at.elapsed() < TIME_LIMIT, "no response in time");
        }
    }

    fn take_ready(&self) -> Option<()> {
        let text = String::from_utf8_lossy(&self.received);
        text.contains("\r\n\r\n").then_some(())
    }

    /// Sends `drop` repeatedly until the peer has closed. Received bytes are kept.
    #[track_caller]
    pub(crate) fn drip_until_closed(&mut self, drop: &[u8]) {
        let started_at = Instant::now();
        while !self.read_some() {
            let _ = self.stream.write_all(drop);
            assert!(
                started_at.elapsed() < TIME_LIMIT,
                "the connection is still open: {:?}",
                String::from_utf8_lossy(&self.received)
            );
        }
    }

    /// Waits without sending until the peer has closed.
    #[track_caller]
    pub(crate) fn wait_until_closed(&mut self) {
        self.drip_until_closed(b"");
    }

    /// Returns the next response that has been received, if there is one.
    pub(crate) fn came(&mut self) -> Option<Received> {
        self.take()
    }

    /// Returns whether the peer has not closed.
    pub(crate) fn is_open(&mut self) -> bool {
        !self.read_some()
    }

    /// Writes without reading until the peer has closed.
    #[track_caller]
    pub(crate) fn flood_until_closed(&mut self, request: &[u8]) {
        self.stream
            .set_write_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let started_at = Instant::now();
        loop {
            match self.stream.write_all(request) {
                Ok(()) => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
            assert!(started_at.elapsed() < TIME_LIMIT, "the connection is held");
        }
    }
}
