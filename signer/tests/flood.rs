//! Clients that are silent, too many, or talk nonsense: others are answered all the same, and the stop is not held up.

mod support;

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::{Site, id};
use tonic::Code;
use trstctl_signer_protocol::v1::{HealthRequest, ProbeRequest};

/// More than the signer serves at once, and than wait to be.
const SILENT: usize = 800;

/// Greatest memory that the signer may have used, in KiB.
const MAX_MEMORY_KIB: u64 = 128 << 10;

#[tokio::test]
async fn silent_connections_and_junk_stop_neither_other_clients_nor_the_end() {
    let site = Site::new();
    let mut signer = site.start("a").await;
    let mut client = signer.client().await;
    client.health(HealthRequest {}).await.unwrap();
    for junk in [vec![0; 1 << 16], b"GET / HTTP/1.1\r\n\r\n".to_vec(), vec![0xff; 100_000]] {
        let mut stream = UnixStream::connect(&signer.socket).unwrap();
        // It may be hung up on in the middle.
        let _ = stream.write_all(&junk);
        client.health(HealthRequest {}).await.unwrap();
    }
    // More than have a place say the first of it, and no more.
    let greeted: Vec<_> = (0..300)
        .map(|_| {
            let mut stream = UnixStream::connect(&signer.socket).unwrap();
            stream.write_all(b"PRI * HTTP/2.0\r\n").unwrap();
            stream
        })
        .collect();
    // Beyond what waits to be accepted, the kernel refuses.
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let stream =
            tokio::time::timeout(Duration::from_millis(20), tokio::net::UnixStream::connect(&signer.socket));
        match stream.await {
            Ok(Ok(stream)) => silent.push(stream),
            _ => break,
        }
    }
    assert!(silent.len() > 256, "{}", silent.len());
    client.health(HealthRequest {}).await.unwrap();
    // Nor does anybody have to wait until they are hung up on.
    let newcomer = tokio::time::timeout(Duration::from_secs(20), async {
        signer.client().await.health(HealthRequest {}).await.unwrap();
    });
    newcomer.await.expect("a new client is answered while others are silent");
    drop(greeted);
    let status = fs::read_to_string(format!("/proc/{}/status", signer.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < MAX_MEMORY_KIB, "{peak} KiB");
    let begun = Instant::now();
    let pid = Pid::from_child(&signer.child);
    kill_process(pid, Signal::TERM).unwrap();
    let ended = tokio::task::spawn_blocking(move || signer.child.wait().unwrap());
    assert!(ended.await.unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_and_the_connection_goes_on() {
    let site = Site::new();
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    let request = ProbeRequest { key_id: id(1), nonce: vec![0; 1 << 20] };
    let refused = client.probe(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    client.health(HealthRequest {}).await.unwrap();
}
