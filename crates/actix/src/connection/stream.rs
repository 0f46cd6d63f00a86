//! The stream between a socket and actix-http.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::web::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

use super::{
    chunks::{Chunks, Progress},
    head::{Body, Head, Refusal, Search},
    state::{Connection, Reading},
};

/// Number of bytes per read.
const PIECE: usize = 8 * 1024;

/// The request that actix-http gets in place of a rejected one. The layer recognises it by its number on the
/// connection.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: -\r\nConnection: close\r\n\r\n";

/// Header of a request without a body.
const NO_BODY: &[u8] = b"Content-Length: 0\r\n";

/// Passes only complete heads to actix-http, and tracks what is being read and written.
pub(crate) struct Stream {
    socket: TcpStream,
    connection: Rc<Connection>,
    /// Bytes received and not classified yet.
    inbox: BytesMut,
    /// Bytes ready for actix-http.
    outbox: BytesMut,
    search: Search,
    follows: Follows,
    /// Whether our side of the socket is closed.
    shut: bool,
}

/// What the next bytes belong to.
#[derive(Clone, Copy, Debug)]
enum Follows {
    Head,
    Rest(u64),
    Chunks(Chunks),
    /// Bytes that belong to no request; actix-http handles them.
    Anything,
    /// Bytes to discard.
    Nothing,
}

impl Stream {
    pub(super) fn new(socket: TcpStream, connection: Rc<Connection>) -> Self {
        Self {
            socket,
            connection,
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
            search: Search::default(),
            follows: Follows::Head,
            shut: false,
        }
    }

    pub(crate) const fn connection(&self) -> &Rc<Connection> {
        &self.connection
    }

    /// Classifies received bytes; returns false if more bytes are needed.
    fn sort(&mut self) -> bool {
        if self.inbox.is_empty() {
            return false;
        }
        match self.follows {
            Follows::Head => return self.sort_head(),
            Follows::Rest(left) => {
                let there = u64::try_from(self.inbox.len()).unwrap_or(u64::MAX);
                let taken = there.min(left);
                self.pass(usize::try_from(taken).unwrap_or(usize::MAX));
                self.follows = Follows::Rest(left - taken);
                if left == taken {
                    self.expect_head();
                }
            }
            Follows::Chunks(mut chunks) => {
                let progress = chunks.follow(&self.inbox);
                self.follows = Follows::Chunks(chunks);
                match progress {
                    Progress::GoesOn => self.pass(self.inbox.len()),
                    Progress::Ended(length) => {
                        self.pass(length);
                        self.expect_head();
                    }
                    Progress::Broken => self.follows = Follows::Anything,
                }
            }
            Follows::Anything => self.pass(self.inbox.len()),
            Follows::Nothing => {
                self.inbox.clear();
                return false;
            }
        }
        true
    }

    fn sort_head(&mut self) -> bool {
        let reading = self.connection.reading.get();
        if matches!(reading, Reading::Nothing(_)) {
            let since = if self.connection.is_first() {
                // Counts from the start of the connection.
                reading.since()
            } else {
                self.connection.now()
            };
            self.connection.reading.set(Reading::Head(since));
        }
        match self.search.head(&self.inbox) {
            None => false,
            Some(Ok(head)) => {
                self.hand_over(head);
                true
            }
            Some(Err(refusal)) => {
                self.refuse(refusal);
                true
            }
        }
    }

    fn hand_over(&mut self, head: Head) {
        if head.has_no_length {
            // Inserted before the empty line, which ends with LF or CRLF.
            let bytes = &self.inbox[..head.length];
            let end = if bytes.ends_with(b"\r\n") { 2 } else { 1 };
            self.pass(head.length - end);
            self.outbox.extend_from_slice(NO_BODY);
            self.pass(end);
        } else {
            self.pass(head.length);
        }
        self.connection.hand_over();
        self.follows = match head.body {
            Body::None => Follows::Head,
            Body::Length(length) => Follows::Rest(length),
            Body::Chunked => Follows::Chunks(Chunks::START),
            Body::Endless => Follows::Anything,
        };
        let now = self.connection.now();
        self.connection.reading.set(match head.body {
            Body::None => Reading::Nothing(now),
            _ => Reading::Body(now),
        });
    }

    fn expect_head(&mut self) {
        self.follows = Follows::Head;
        let now = self.connection.now();
        self.connection.reading.set(Reading::Nothing(now));
    }

    /// Replaces a rejected request by the stand-in request, so that its response follows the previous ones, like any
    /// other.
    fn refuse(&mut self, refusal: Refusal) {
        self.connection.refuse(refusal);
        self.follows = Follows::Nothing;
        self.inbox = BytesMut::new();
        self.outbox.extend_from_slice(STAND_IN);
    }

    /// Passes the next `length` bytes to actix-http.
    fn pass(&mut self, length: usize) {
        if self.outbox.is_empty() && length == self.inbox.len() {
            std::mem::swap(&mut self.outbox, &mut self.inbox);
        } else {
            self.outbox.extend_from_slice(&self.inbox[..length]);
            let _ = self.inbox.split_to(length);
        }
    }

    /// Reads more bytes; returns 0 at the end of the stream.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; PIECE];
        let mut piece = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.socket).poll_read(context, &mut piece))?;
        self.inbox.extend_from_slice(piece.filled());
        Poll::Ready(Ok(piece.filled().len()))
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.outbox.is_empty() {
                let length = this.outbox.len().min(buffer.remaining());
                buffer.put_slice(&this.outbox.split_to(length));
                return Poll::Ready(Ok(()));
            }
            if this.sort() {
                continue;
            }
            if this.connection.is_overdue() {
                this.refuse(Refusal::HeadTooSlow);
                continue;
            }
            if ready!(this.poll_fill(context))? == 0 {
                // The response to a rejected request must not be cut off when its client has finished sending.
                return if matches!(this.follows, Follows::Nothing) {
                    Poll::Pending
                } else {
                    Poll::Ready(Ok(()))
                };
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        match written {
            Poll::Pending => self.connection.stalled(),
            Poll::Ready(_) => self.connection.progressed(),
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // actix-http flushes when the socket has accepted all data.
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.connection.flushed();
        Poll::Ready(Ok(()))
    }

    /// Closes our side. If the client may still be sending, waits until it closes its own side: otherwise the system
    /// would respond to further data with a reset, which discards a response that the client has not read yet.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.shut {
            ready!(Pin::new(&mut this.socket).poll_shutdown(context))?;
            this.shut = true;
        }
        if !this.connection.may_be_sent_to() {
            return Poll::Ready(Ok(()));
        }
        if this.connection.closing.get().is_none() {
            let now = this.connection.now();
            this.connection.closing.set(Some(now));
        }
        while ready!(this.poll_fill(context))? > 0 {
            this.inbox.clear();
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, net::Ipv4Addr, time::Duration};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::{
        super::{
            register::Register,
            state::{Due, Timeouts},
        },
        *,
    };

    #[tokio::test]
    async fn a_client_that_takes_some_of_an_answer_does_not_stand_still() {
        let hour = Duration::from_hours(1);
        let timeouts = Timeouts {
            head: 100 * hour,
            body: hour,
            keep_alive: 100 * hour,
            close: hour,
        };
        let address = Ipv4Addr::LOCALHOST;
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (mut client, (socket, _)) = (client.unwrap(), listener.accept().await.unwrap());
        let register = Register::new(3);
        let place = register.enter(address.into());
        let connection = Rc::new(Connection::new(place, register, timeouts));
        let mut stream = Stream::new(socket, Rc::clone(&connection));
        let answer = vec![0; 1024 * 1024];
        let mut written = 0;
        // Writes as much as the system accepts.
        while let Poll::Ready(some) =
            poll_fn(|context| Poll::Ready(Pin::new(&mut stream).poll_write(context, &answer))).await
        {
            written += some.unwrap();
        }
        let started_at = connection.now();
        assert_eq!(connection.due(started_at + hour), Due::Close);
        let reads = tokio::spawn(async move {
            let mut piece = vec![0; written];
            client.read_exact(&mut piece).await.unwrap();
            client
        });
        assert!(stream.write(&answer).await.unwrap() > 0);
        let _client = reads.await.unwrap();
        assert_ne!(connection.due(started_at + hour), Due::Close);
        assert_eq!(connection.due(started_at + 10 * hour), Due::Close);
    }
}
