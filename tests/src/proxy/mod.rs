//! A proxy on loopback that stands between the program and a server, and does faults to what passes.
//!
//! It never invents anything by itself: without an armed fault, every byte arrives as it was sent. One lock decides
//! about one frame after another, so that a number picks the same frame in every run that sends the same.

mod fault;
mod frame;
mod hub;

use std::io::{BufReader, BufWriter, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

pub use fault::{Action, Fault, Pick, Way};
use frame::Frame;
pub use frame::Speech;
use hub::{Hub, Verdict};

/// A proxy; it ends all its connections when it is dropped.
pub struct Proxy {
    port: u16,
    hub: Arc<Hub>,
}

impl Proxy {
    /// Stands before the server that listens on this port of the loopback interface.
    pub fn before(port: u16, speech: Speech) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port on loopback");
        let own = listener.local_addr().expect("a listener has an address").port();
        let hub = Arc::new(Hub::new(SocketAddr::from(([127, 0, 0, 1], port)), speech));
        let accepting = hub.clone();
        thread::spawn(move || accept(&listener, &accepting));
        Self { port: own, hub }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The server's URL with the proxy's port.
    pub fn url(&self, server: &str) -> String {
        let (before, _) = server.rsplit_once(':').expect("a URL with a port");
        format!("{before}:{}", self.port)
    }

    /// Further connections lead to the server on this port.
    pub fn lead_to(&self, port: u16) {
        self.hub.lead_to(SocketAddr::from(([127, 0, 0, 1], port)));
    }

    /// Does this fault from now on, besides what is armed already.
    pub fn arm(&self, fault: Fault) {
        self.hub.arm(fault);
    }

    /// How often faults were done.
    pub fn done(&self) -> u64 {
        self.hub.done()
    }

    /// Waits until a fault was done; false when none was within half a minute.
    pub fn wait_until_done(&self) -> bool {
        self.hub.wait_until_done()
    }

    /// Lets everything pass again that a freeze holds back.
    pub fn thaw(&self) {
        self.hub.thaw();
    }

    /// Forgets all faults, ends all connections that are left, and is a wire again.
    pub fn heal(&self) {
        self.hub.heal();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.hub.close();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn accept(listener: &TcpListener, hub: &Arc<Hub>) {
    for client in listener.incoming() {
        let Ok(client) = client else { continue };
        if hub.is_closed() {
            return;
        }
        let Some(target) = hub.target() else { continue };
        // A server that is down: the client sees its connection end.
        let Ok(server) = TcpStream::connect(target) else { continue };
        join(client, server, hub);
    }
}

/// Two threads, one for each direction.
fn join(client: TcpStream, server: TcpStream, hub: &Arc<Hub>) {
    for socket in [&client, &server] {
        let _ = socket.set_nodelay(true);
    }
    let pair = |from: &TcpStream, to: &TcpStream| Some((from.try_clone().ok()?, to.try_clone().ok()?));
    let (Some(up), Some(down)) = (pair(&client, &server), pair(&server, &client)) else { return };
    hub.keep([client, server]);
    for (way, (from, to)) in [(Way::ToServer, up), (Way::ToClient, down)] {
        let hub = hub.clone();
        thread::spawn(move || {
            // Either side may end at any time: that ends the other.
            let _ = pump(&from, &to, way, &hub);
            end(&from);
            end(&to);
        });
    }
}

fn end(socket: &TcpStream) {
    let _ = socket.shutdown(Shutdown::Both);
}

fn pump(from: &TcpStream, to: &TcpStream, way: Way, hub: &Hub) -> std::io::Result<()> {
    let mut source = BufReader::with_capacity(64 * 1024, from);
    let mut sink = BufWriter::with_capacity(64 * 1024, to);
    let mut held: Option<Frame> = None;
    while let Some(mut frame) = Frame::read(&mut source, hub.speech())? {
        match hub.judge(way, &frame) {
            Verdict::Pass => {
                let hidden = hub.hidden(&frame);
                frame = if hidden > 0 { frame.renumbered(hidden) } else { frame };
                sink.write_all(&frame.bytes)?;
            }
            Verdict::Drop => {}
            Verdict::Double => {
                sink.write_all(&frame.bytes)?;
                sink.write_all(&frame.bytes)?;
            }
            Verdict::Hold => {
                held = Some(frame);
                continue;
            }
            Verdict::Flip(place) => {
                match place {
                    Some(place) => frame.flip_at(place),
                    None => frame.flip(),
                }
                sink.write_all(&frame.bytes)?;
            }
            Verdict::Say(payload) => sink.write_all(&frame.with_payload(payload.as_bytes()).bytes)?,
            Verdict::Cut(place) => {
                sink.write_all(&frame.bytes[..place])?;
                return sink.flush();
            }
            Verdict::Stall => {
                sink.flush()?;
                hub.wait_for_the_end();
                return Ok(());
            }
        }
        if let Some(late) = held.take_if(|_| !frame.subject.is_empty() || hub.speech() == Speech::Bytes) {
            sink.write_all(&late.bytes)?;
        }
        if source.buffer().is_empty() {
            sink.flush()?;
        }
    }
    sink.flush()
}
