//! A network with faults: a proxy between a client and a server, on threads of the test.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU16, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use tokio::time::Instant;

use crate::ports::free_port;

/// The behaviour of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Forwards everything.
    Fair,
    /// Accepts everything and forwards nothing, like a cut cable.
    Silent,
    /// Forwards everything after this delay.
    Slow(Duration),
    /// Forwards this number of bytes to the server, then breaks the connection.
    CutRequest(usize),
    /// Forwards this number of bytes to the client, then breaks the connection.
    CutAnswer(usize),
}

/// A proxy to a loopback port. It ends with its owner; its connections break then.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    weather: Mutex<Weather>,
    leads_to: AtomicU16,
    open: Mutex<Vec<TcpStream>>,
    taken: AtomicUsize,
    ended: AtomicBool,
}

impl Proxy {
    /// Creates a proxy to the server on `port`, without faults.
    pub fn to(port: u16) -> Self {
        let own = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, own)).unwrap();
        let shared = Arc::new(Shared {
            weather: Mutex::new(Weather::Fair),
            leads_to: port.into(),
            open: Mutex::default(),
            taken: 0.into(),
            ended: false.into(),
        });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.ended.load(SeqCst) {
                    return;
                }
                of_thread.taken.fetch_add(1, SeqCst);
                // If the server is not available, the connection of the client is closed, as it would be without the proxy.
                let port = of_thread.leads_to.load(SeqCst);
                let _ = client.and_then(|client| of_thread.join(client, port));
            }
        });
        Self { port: own, shared }
    }

    /// Returns its own port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the number of connections accepted so far.
    pub fn taken(&self) -> usize {
        self.shared.taken.load(SeqCst)
    }

    /// Sets the behaviour from now on, for existing connections, too.
    pub fn set(&self, weather: Weather) {
        *lock(&self.shared.weather) = weather;
    }

    /// Forwards to the server on `port` from now on, like an address that another server takes over.
    pub fn lead_to(&self, port: u16) {
        self.shared.leads_to.store(port, SeqCst);
        self.cut();
    }

    /// Breaks all connections.
    pub fn cut(&self) {
        for stream in lock(&self.shared.open).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        self.cut();
        // Wakes the thread that accepts clients.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    ToServer,
    ToClient,
}

impl Shared {
    fn join(self: &Arc<Self>, client: TcpStream, port: u16) -> io::Result<()> {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            lock(&self.open).push(stream.try_clone()?);
        }
        let there = (client.try_clone()?, server.try_clone()?);
        self.carry(there, Way::ToServer);
        self.carry((server, client), Way::ToClient);
        Ok(())
    }

    /// Reads on one thread and writes on another, so that data sent in quick succession is not delayed more than once:
    /// the proxy adds latency but does not limit bandwidth.
    fn carry(self: &Arc<Self>, (mut from, mut to): (TcpStream, TcpStream), way: Way) {
        let (arrived, due) = mpsc::channel::<(Instant, Vec<u8>)>();
        let ends = (from.try_clone(), to.try_clone());
        thread::spawn(move || {
            for (when, bytes) in due {
                thread::sleep(when.saturating_duration_since(Instant::now()));
                if to.write_all(&bytes).is_err() {
                    break;
                }
            }
            for end in [ends.0, ends.1].into_iter().flatten() {
                let _ = end.shutdown(Shutdown::Both);
            }
        });
        let shared = Arc::clone(self);
        thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            while let Ok(read @ 1..) = from.read(&mut buffer) {
                let (passed, delay) = shared.pass(read, way);
                let bytes = buffer[..passed.unwrap_or(0)].to_vec();
                let is_cut = passed.is_none_or(|passed| passed > 0 && passed < read);
                if arrived.send((Instant::now() + delay, bytes)).is_err() || is_cut {
                    break;
                }
            }
        });
    }

    /// Returns how many of these bytes are forwarded, fewer than all if the connection breaks after them, and with
    /// which delay.
    fn pass(&self, read: usize, way: Way) -> (Option<usize>, Duration) {
        let mut weather = lock(&self.weather);
        let passed = match (*weather, way) {
            (Weather::Slow(delay), _) => return (Some(read), delay),
            (Weather::Fair, _)
            | (Weather::CutRequest(_), Way::ToClient)
            | (Weather::CutAnswer(_), Way::ToServer) => Some(read),
            (Weather::Silent, _) => Some(0),
            (Weather::CutRequest(0) | Weather::CutAnswer(0), _) => None,
            (Weather::CutRequest(left), _) => {
                *weather = Weather::CutRequest(left.saturating_sub(read));
                Some(left.min(read))
            }
            (Weather::CutAnswer(left), _) => {
                *weather = Weather::CutAnswer(left.saturating_sub(read));
                Some(left.min(read))
            }
        };
        (passed, Duration::ZERO)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
