//! Clients that are silent, too many, or talk nonsense: others are answered all the same, and the stop is not held up.

mod support;

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use support::{Signer, Site, id, refusal};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::{Bytes, http};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;
use trstctl_signer_protocol::Client;
use trstctl_signer_protocol::v1::crl_signer_client::CrlSignerClient;
use trstctl_signer_protocol::v1::signer_client::SignerClient;
use trstctl_signer_protocol::v1::{HealthRequest, ProbeRequest, SignCrlRequest, SignCrlResponse};

/// More than the signer serves at once, and than wait to be.
const SILENT: usize = 800;

/// Greatest memory that the signer may have used, in KiB.
const MAX_MEMORY_KIB: u64 = 128 << 10;

/// CRLs at once, of the greatest length: read all at once, they would take more than that.
const CRLS: usize = 20;

/// Whoever stands behind another that is silent, or sends nothing more, waits longer: ten seconds and more.
const A_WAIT: Duration = Duration::from_secs(8);

/// Many more connections than are served, or may be.
const CONNECTIONS: u64 = 10_000;

/// The most memory that the signer ever used, in KiB.
fn peak_kib(signer: &Signer) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", signer.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Asks for Health again and again until `until` is done; the longest that it took.
async fn health_meanwhile<T>(mut client: Client, until: impl Future<Output = T>) -> (T, Duration) {
    let mut longest = Duration::ZERO;
    tokio::pin!(until);
    loop {
        let begun = Instant::now();
        client.health(HealthRequest {}).await.unwrap();
        longest = longest.max(begun.elapsed());
        tokio::select! {
            done = &mut until => return (done, longest),
            () = tokio::time::sleep(Duration::from_millis(10)) => {}
        }
    }
}

#[tokio::test]
async fn silent_connections_and_junk_stop_neither_other_clients_nor_the_end() {
    most_files();
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
    let peak = peak_kib(&signer);
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

/// A client that begins as many calls as gRPC's do in Go and Rust, before it has read how many it may.
async fn hasty_client(signer: &Signer) -> SendRequest<Bytes> {
    let socket = tokio::net::UnixStream::connect(&signer.socket).await.unwrap();
    let builder = h2::client::Builder::new().initial_max_send_streams(100).handshake(socket).await;
    let (sender, connection) = builder.unwrap();
    // It ends with the test's runtime.
    drop(tokio::spawn(connection));
    sender
}

/// Begins to ask for Health; the message is to follow.
fn begun(sender: &mut SendRequest<Bytes>) -> (ResponseFuture, SendStream<Bytes>) {
    let request = http::Request::post("http://signer/trstctl.signer.v1.Signer/Health")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    sender.send_request(request, false).unwrap()
}

/// What was begun is written when the connections have had their turns.
async fn let_all_be_written() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// What a hasty client begins while the signer stands still: all of it is there when that goes on.
async fn begun_at_once<T>(
    signer: &Signer,
    begin: impl FnOnce(&mut SendRequest<Bytes>) -> T,
) -> (T, SendRequest<Bytes>) {
    let pid = Pid::from_child(&signer.child);
    kill_process(pid, Signal::STOP).unwrap();
    let mut sender = hasty_client(signer).await;
    let calls = begin(&mut sender);
    let_all_be_written().await;
    kill_process(pid, Signal::CONT).unwrap();
    (calls, sender)
}

/// Sends the message, which is empty, and takes the answer.
async fn answered((answer, mut body): (ResponseFuture, SendStream<Bytes>)) {
    body.send_data(Bytes::from_static(&[0; 5]), true).unwrap();
    let answer = answer.await.expect("it is not refused");
    assert!(!answer.headers().contains_key("grpc-status"), "{:?}", answer.headers());
}

#[tokio::test]
async fn a_hundred_calls_begun_before_the_settings_are_read_are_all_answered() {
    let site = Site::new();
    let signer = site.start("a").await;
    // No call can end before its message is sent.
    let begin = |sender: &mut SendRequest<Bytes>| (0..100).map(|_| begun(sender)).collect::<Vec<_>>();
    let (calls, _sender) = begun_at_once(&signer, begin).await;
    for call in calls {
        answered(call).await;
    }
}

#[tokio::test]
async fn a_client_that_gives_up_its_calls_while_the_signer_stands_still_keeps_its_connection() {
    let site = Site::new();
    let signer = site.start("a").await;
    let give_up = |sender: &mut SendRequest<Bytes>| {
        (0..100).for_each(|_| begun(sender).1.send_reset(h2::Reason::CANCEL));
    };
    let ((), sender) = begun_at_once(&signer, give_up).await;
    answered(begun(&mut sender.ready().await.unwrap())).await;
}

#[tokio::test]
async fn messages_that_do_not_arrive_are_bounded_in_number_and_time() {
    let site = Site::new();
    let signer = site.start("a").await;
    let (mut calls, opening) = (Vec::new(), Instant::now());
    // More than may arrive at once, each without its end.
    for _ in 0..42 {
        let mut sender = hasty_client(&signer).await;
        for _ in 0..100 {
            let (answer, mut body) = begun(&mut sender);
            body.send_data(Bytes::from_static(&[0; 3]), false).unwrap();
            calls.push((answer, body));
        }
    }
    let_all_be_written().await;
    let opened = opening.elapsed();
    let (mut at_once, mut late) = (0, 0);
    let ended = tokio::time::timeout(Duration::from_secs(60), async {
        for (answer, _body) in &mut calls {
            let answer = answer.await.unwrap();
            assert_eq!(answer.headers()["grpc-status"], "14", "{:?}", answer.headers());
            match answer.headers()["grpc-message"].to_str().unwrap() {
                said if said.contains("too%20many") => at_once += 1,
                said if said.contains("did%20not%20arrive") => late += 1,
                said => panic!("{said}"),
            }
        }
    });
    ended.await.expect("what does not arrive is not waited for");
    // A machine so slow that the first were late before the signer saw the last refuses fewer at once.
    let is_slow = opened > Duration::from_secs(5) || opening.elapsed() > Duration::from_secs(15);
    assert_eq!(at_once + late, 4200);
    assert!(late == 4096 || is_slow, "{at_once} at once, {late} late");
    signer.client().await.health(HealthRequest {}).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn long_crls_from_many_at_once_take_bounded_memory_and_health_is_answered_meanwhile() {
    let site = Site::new();
    let signer = site.start("a").await;
    let mut calls = Vec::new();
    for _ in 0..CRLS {
        let mut client = signer.crl_client().await;
        calls.push(tokio::spawn(async move {
            let request =
                SignCrlRequest { key_id: id(1), tbs: vec![0x30; (8 << 20) - 200], ..Default::default() };
            refusal(&client.sign_crl(request).await.unwrap_err())
        }));
    }
    let (answers, longest) = health_meanwhile(signer.client().await, async {
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.unwrap());
        }
        answers
    })
    .await;
    // Some had their turn, and were told that there is no such key; the others are to come again.
    assert!(answers.iter().filter(|answer| *answer == "unknown_key").count() >= 2, "{answers:?}");
    assert!(answers.iter().all(|answer| answer == "unknown_key" || answer == "unavailable"), "{answers:?}");
    assert!(longest < A_WAIT, "{longest:?}");
    let peak = peak_kib(&signer);
    println!("{peak} KiB; Health took at most {longest:?}");
    assert!(peak < MAX_MEMORY_KIB, "{peak} KiB");
}

/// A connection that more than one kind of client may use.
async fn channel(signer: &Signer) -> Channel {
    let endpoint = Endpoint::from_shared(format!("unix://{}", signer.socket.display())).unwrap();
    endpoint.connect().await.unwrap()
}

#[tokio::test]
async fn crls_that_are_begun_and_not_sent_stop_other_crls_for_seconds_only_and_nothing_else() {
    let site = Site::new();
    let signer = site.start("a").await;
    let stuck = channel(&signer).await;
    let mut calls = Vec::new();
    for _ in 0..2 {
        let mut grpc = Grpc::new(stuck.clone());
        calls.push(tokio::spawn(async move {
            grpc.ready().await.unwrap();
            let never = Request::new(tokio_stream::pending::<SignCrlRequest>());
            let path = PathAndQuery::from_static("/trstctl.signer.v1.CrlSigner/SignCrl");
            let codec = ProstCodec::<SignCrlRequest, SignCrlResponse>::default();
            grpc.client_streaming(never, path, codec).await.unwrap_err()
        }));
    }
    // They are sent first, and the other behind them on their connection: they have their turns now.
    let_all_be_written().await;
    SignerClient::new(stuck).health(HealthRequest {}).await.unwrap();
    // Some that wait for their turns, each with more than is let in before it is read, and short enough for a slow machine to
    // pass on in its time; and others on their connection.
    let (shared, begun) = (channel(&signer).await, Instant::now());
    let waiting: Vec<_> = (0..4)
        .map(|_| {
            let mut crls = CrlSignerClient::new(shared.clone());
            let tbs = vec![0x30; 1 << 20];
            let long = SignCrlRequest { key_id: id(1), tbs, ..Default::default() };
            tokio::spawn(async move { crls.sign_crl(long).await.unwrap_err() })
        })
        .collect();
    let (refusals, longest) = health_meanwhile(SignerClient::new(shared), async {
        let mut refusals = Vec::new();
        for waiting in waiting {
            refusals.push(refusal(&waiting.await.unwrap()));
        }
        refusals
    })
    .await;
    println!("Health took at most {longest:?} of {:?}", begun.elapsed());
    assert_eq!(refusals, ["unknown_key"; 4]);
    assert!(begun.elapsed() > longest * 2 && longest < A_WAIT, "{longest:?} of {:?}", begun.elapsed());
    let ended = tokio::time::timeout(Duration::from_secs(60), async {
        for call in calls {
            let refused = call.await.unwrap();
            assert_eq!((refused.code(), refusal(&refused).as_str()), (Code::Unavailable, "unavailable"));
        }
    });
    ended.await.expect("who sends nothing does not keep its turn");
}

#[tokio::test]
async fn ten_thousand_connections_do_not_stop_health() {
    // Others beside it in this process have some, too.
    let count = most_files().map_or(CONNECTIONS, |most| CONNECTIONS.min(most.saturating_sub(3000)));
    if count < CONNECTIONS {
        println!("this process may have no more than {count} connections");
    }
    let site = Site::new();
    let signer = site.start("a").await;
    let mut client = signer.client().await;
    let mut silent = Vec::new();
    while (silent.len() as u64) < count {
        silent.push(connected(&signer.socket).await);
        if silent.len() % 500 == 0 {
            let begun = Instant::now();
            client.health(HealthRequest {}).await.unwrap();
            assert!(begun.elapsed() < A_WAIT, "{:?} with {}", begun.elapsed(), silent.len());
        }
    }
    let newcomer = tokio::time::timeout(Duration::from_secs(20), async {
        signer.client().await.health(HealthRequest {}).await.unwrap();
    });
    newcomer.await.expect("a new client is answered");
    let peak = peak_kib(&signer);
    assert!(peak < MAX_MEMORY_KIB, "{peak} KiB");
}

/// As many open files as this process may have, which it may from now on.
fn most_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    limit.maximum
}

/// A connection, as soon as there is a place in the queue of those that were not accepted yet.
async fn connected(socket: &Path) -> tokio::net::UnixStream {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match tokio::net::UnixStream::connect(socket).await {
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            stream => return stream.unwrap(),
        }
    }
}
