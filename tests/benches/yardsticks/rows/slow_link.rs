//! A link to a server that holds back what goes there for a while, however much it is: latency alone.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// A sleep takes up to this much longer.
const OVERSLEPT: Duration = Duration::from_micros(200);

/// A port of the loopback interface that leads to `port`, what goes there `latency` later. Serves as long as the process lives.
pub fn before(port: u16, latency: Duration) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
    let own = listener.local_addr().expect("a listener has an address").port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
            for socket in [&client, &server] {
                socket.set_nodelay(true).expect("a socket that is open");
            }
            let clone = |socket: &TcpStream| socket.try_clone().expect("a socket that is open");
            relay(clone(&client), clone(&server), latency);
            relay(server, client, Duration::ZERO);
        }
    });
    own
}

/// One thread reads and notes when, the other writes when the time has come.
fn relay(mut from: TcpStream, to: TcpStream, latency: Duration) {
    let (sender, receiver): (Sender<(Instant, Vec<u8>)>, _) = channel();
    thread::spawn(move || write(to, &receiver));
    thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        while let Ok(len @ 1..) = from.read(&mut buffer) {
            if sender.send((Instant::now() + latency, buffer[..len].to_vec())).is_err() {
                return;
            }
        }
    });
}

#[expect(clippy::disallowed_methods, reason = "the latency itself")]
fn write(mut to: TcpStream, receiver: &Receiver<(Instant, Vec<u8>)>) {
    for (when, bytes) in receiver {
        thread::sleep(when.saturating_duration_since(Instant::now()).saturating_sub(OVERSLEPT));
        while Instant::now() < when {
            std::hint::spin_loop();
        }
        if to.write_all(&bytes).is_err() {
            return;
        }
    }
    // Either side may have ended it.
    let _ = to.shutdown(Shutdown::Write);
}
