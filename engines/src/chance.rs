//! Random names, secrets and ports.
//!
//! A port is only likely to be free: whoever takes one starts its engine, checks that it is its own engine that
//! answers, and tries another port if not. This process gives none twice, but after thousands: an engine that is started again
//! needs its own.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::net::TcpListener;
use std::sync::{LazyLock, Mutex, PoisonError};

use crate::EngineError;

/// Ports from here on, outside the range (32768 and up) from which Linux serves outgoing connections.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;
const PORT_ATTEMPTS: usize = 5;

/// `N` bytes from the system's random source.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut f| f.read_exact(&mut bytes))
        .expect("Linux always has /dev/urandom");
    bytes
}

/// 128 random bits as hexadecimal digits.
pub fn secret() -> String {
    format!("{:032x}", u128::from_ne_bytes(random()))
}

/// A short name that no other engine has.
pub fn name() -> String {
    format!("{:012x}", u64::from_ne_bytes(random()) >> 16)
}

/// `N` different loopback ports on which nobody listens.
pub fn free_ports<const N: usize>() -> [u16; N] {
    let held: [TcpListener; N] = std::array::from_fn(|_| free_listener());
    held.map(|listener| listener.local_addr().expect("a bound listener has an address").port())
}

/// Repeats a start with other ports when somebody else took one that was free just before.
pub fn another_port_if_taken<T>(mut start: impl FnMut() -> Result<T, EngineError>) -> Result<T, EngineError> {
    for _ in 1..PORT_ATTEMPTS {
        match start() {
            Err(EngineError::Ended { tail, .. })
                if tail.to_lowercase().contains("address already in use") => {}
            done => return done,
        }
    }
    start()
}

static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// Whether this process has not given the port yet. When half of them are given, all may be given again.
fn is_new(port: u16) -> bool {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    if given.len() > usize::from(PORTS) / 2 {
        given.clear();
    }
    given.insert(port)
}

fn free_listener() -> TcpListener {
    loop {
        let port = FIRST_PORT + u16::from_ne_bytes(random()) % PORTS;
        if !is_new(port) {
            continue;
        }
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener;
        }
    }
}
