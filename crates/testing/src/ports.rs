//! Free ports.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

/// The first port, and the number of ports. All are below the range for outgoing connections, so that none of them
/// takes a port before its server does.
const FIRST: u16 = 12_000;
const PORTS: u16 = 18_000;

/// Returns a loopback port that is free now.
pub fn free_port() -> u16 {
    // Test processes that run at the same time begin at different places.
    static NEXT: LazyLock<AtomicU32> = LazyLock::new(|| (std::process::id() * 12).into());
    loop {
        let offset = NEXT.fetch_add(1, Relaxed) % u32::from(PORTS);
        let port = FIRST + u16::try_from(offset).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
