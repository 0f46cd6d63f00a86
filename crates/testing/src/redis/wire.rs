//! A minimal Redis client for tests: the protocol in a few lines, so that tests do not rely on the client under test.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

/// A reply of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// No value.
    Nil,
    /// An integer.
    Number(i64),
    /// A simple or bulk string; not always UTF-8.
    Bytes(Vec<u8>),
    /// An array.
    List(Vec<Reply>),
    /// An error, as the server words it.
    Error(String),
}

impl Reply {
    /// Returns the text; panics if the reply is not text.
    pub fn text(&self) -> String {
        match self {
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => panic!("not text: {other:?}"),
        }
    }

    /// Returns the number; panics if the reply is not a number.
    pub fn number(&self) -> i64 {
        match self {
            Self::Number(number) => *number,
            Self::Bytes(_) => self.text().parse().unwrap(),
            other => panic!("not a number: {other:?}"),
        }
    }

    /// Returns the list; panics if the reply is not a list.
    pub fn list(self) -> Vec<Reply> {
        match self {
            Self::List(list) => list,
            other => panic!("not a list: {other:?}"),
        }
    }

    /// Returns a list of texts; panics if the reply is not one.
    pub fn texts(self) -> Vec<String> {
        self.list().iter().map(Reply::text).collect()
    }
}

/// A plain connection without TLS.
#[derive(Debug)]
pub struct Wire {
    stream: BufReader<TcpStream>,
}

impl Wire {
    /// Connects and waits until the server has read its files (`LOADING` is over).
    ///
    /// # Errors
    ///
    /// If the server does not accept the connection, or still reads its files.
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        stream.set_nodelay(true)?;
        let mut wire = Self {
            stream: BufReader::new(stream),
        };
        match wire.try_ask(&["PING"])? {
            Reply::Error(error) if error.starts_with("LOADING") => Err(io::Error::other(error)),
            _ => Ok(wire),
        }
    }

    /// Sends a command and returns the reply; panics if the connection breaks.
    pub fn ask(&mut self, words: &[&str]) -> Reply {
        self.try_ask(words).unwrap()
    }

    /// Sends a command and returns the reply.
    ///
    /// # Errors
    ///
    /// If the connection breaks.
    pub fn try_ask(&mut self, words: &[&str]) -> io::Result<Reply> {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
        }
        self.stream.get_mut().write_all(&command)?;
        self.reply()
    }

    /// Returns all matching keys, found by SCAN.
    pub fn scan(&mut self, pattern: &str) -> Vec<String> {
        let (mut cursor, mut keys) = ("0".to_owned(), Vec::new());
        loop {
            let step = self.ask(&["SCAN", &cursor, "MATCH", pattern, "COUNT", "1000"]);
            let [next, found] = <[Reply; 2]>::try_from(step.list()).unwrap();
            keys.extend(found.texts());
            cursor = next.text();
            if cursor == "0" {
                keys.sort();
                keys.dedup();
                return keys;
            }
        }
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let (kind, rest) = line.trim_end().split_at(1);
        let size = || rest.parse::<i64>().map_err(io::Error::other);
        Ok(match kind {
            "+" => Reply::Bytes(rest.as_bytes().to_vec()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Number(size()?),
            "$" | "*" if size()? < 0 => Reply::Nil,
            "$" => {
                let mut bytes = vec![0; usize::try_from(size()?).map_err(io::Error::other)? + 2];
                self.stream.read_exact(&mut bytes)?;
                bytes.truncate(bytes.len() - 2);
                Reply::Bytes(bytes)
            }
            "*" => {
                let list = (0..size()?).map(|_| self.reply());
                Reply::List(list.collect::<io::Result<_>>()?)
            }
            _ => return Err(io::Error::other(line)),
        })
    }
}
