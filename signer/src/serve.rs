//! Opens everything, then answers until it is told to stop.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::Server;
use trstctl_signer_protocol::MAX_CRL_MESSAGE_BYTES;
use trstctl_signer_protocol::v1::crl_signer_server::CrlSignerServer;
use trstctl_signer_protocol::v1::signer_server::SignerServer;

use crate::Fault;
use crate::args::Serve;
use crate::arrival::Arrivals;
use crate::hardening;
use crate::kek_file;
use crate::keyring::{Keyring, Opening};
use crate::seccomp;
use crate::service::Service;
use crate::socket::{Allowed, Socket};
use crate::turns::{self, Turns};
use crate::writer::Writer;

/// What a request of this service may have, in bytes.
const MAX_REQUEST_BYTES: usize = 64 << 10;

/// A connection lives so long, and gets so long to end its calls: silent clients go away.
const CONNECTION_AGE: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(10));

/// A client that is silent for so long is asked whether it is there, and gets so long to answer: what it holds is free again then.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// Calls under way at a stop get so long.
const DRAIN: Duration = Duration::from_secs(5);

/// What a call may send before it is read, in bytes: one that waits for its turn holds no more.
const WINDOW_BYTES: u32 = 128 << 10;

/// The same of a connection: as many as may wait leave room for the others. The others are read at once.
const CONNECTION_WINDOW_BYTES: u32 = (turns::PLACES as u32 + 1) * WINDOW_BYTES;

/// Messages of this service that have begun and not arrived, of all connections: what has arrived of them is held, at most 256 MiB.
const MAX_ARRIVING: usize = 4096;

/// Calls at once on one connection: as many as clients begin before they have read how many they may (RFC 9113, 6.5.2 recommends
/// no fewer). One more would be refused without a word of ours, however busy the signer is.
const MAX_STREAMS: u32 = 100;

/// Serves, or with `--check` says what is there.
pub(crate) fn run(args: &Serve) -> Result<ExitCode, Fault> {
    let mut lacking = hardening::keep_memory_private()?;
    let kek = kek_file::read(&args.kek)?;
    // The first key may rest on it in a moment.
    kek_file::make_durable(&args.kek)?;
    let opening = if args.check { Opening::ToCheck } else { Opening::ToServe };
    let keyring = Keyring::open(&args.keystore, kek, opening, Timestamp::now())?;
    let Some(path) = args.socket.as_deref().filter(|_| !args.check) else {
        say(&keyring.shared().findings());
        return checked(&keyring);
    };
    let allowed = Allowed::new(args.allow_uid.iter().copied())?;
    let socket = Socket::bind(path, &allowed)?;
    // Before the first thread: it covers those that are started behind it.
    lacking.extend(hardening::confine(&args.keystore, socket.folder()));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads()).enable_all().build()?;
    let shared = keyring.shared();
    let (writer, thread) = Writer::start(keyring)?;
    // Behind the last thread: it allows no other.
    lacking.extend(seccomp::forbid_other_calls());
    if args.require_hardening && !lacking.is_empty() {
        return Err(Fault::Unprotected(lacking));
    }
    say(&lacking);
    say(&shared.findings());
    let service = Service::new(writer.clone(), shared, lacking);
    runtime.block_on(answer(&socket, allowed, service, writer))?;
    // The last sender went with the service; what the thread has begun, it ends.
    runtime.shutdown_background();
    thread.join().map_err(|_| Fault::WriterEnded)?;
    Ok(ExitCode::SUCCESS)
}

/// As many as the processor runs, and more than CRLs keep busy: the next call is answered meanwhile.
fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    cores.max(turns::AT_ONCE + 1)
}

/// Tells who started the process what is not as it should be.
fn say(findings: &[String]) {
    findings.iter().for_each(|finding| eprintln!("trstctl-signer: {finding}"));
}

fn checked(keyring: &Keyring) -> Result<ExitCode, Fault> {
    let shared = keyring.shared();
    let (summary, unreadable) = (shared.summary(), shared.unreadable());
    writeln!(
        io::stdout(),
        "KEK: {}. Keys that it opens: {}; that it does not, or that are missing: {unreadable}. The journal holds; entries: {}.",
        summary.kek_id,
        shared.keys().len(),
        summary.journal_entries
    )?;
    Ok(if unreadable == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Answers until it is told to stop, or `writer` ended.
async fn answer(socket: &Socket, allowed: Allowed, service: Service, writer: Writer) -> Result<(), Fault> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let service = Arc::new(service);
    let crls =
        CrlSignerServer::from_arc(Arc::clone(&service)).max_decoding_message_size(MAX_CRL_MESSAGE_BYTES);
    let service = SignerServer::from_arc(service).max_decoding_message_size(MAX_REQUEST_BYTES);
    let (crls, service) = (Arrivals::new(crls, turns::AT_ONCE), Arrivals::new(service, MAX_ARRIVING));
    let server = Server::builder()
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .max_concurrent_streams(MAX_STREAMS)
        // A client that gives up all its calls while they wait to be looked at keeps its connection.
        .http2_max_pending_accept_reset_streams(Some(MAX_STREAMS as usize))
        .http2_keepalive_interval(Some(KEEP_ALIVE.0))
        .http2_keepalive_timeout(Some(KEEP_ALIVE.1))
        .max_connection_age(CONNECTION_AGE.0)
        .max_connection_age_grace(CONNECTION_AGE.1)
        .add_service(service)
        .add_service(Turns::new(crls))
        .serve_with_incoming_shutdown(socket.accept(allowed)?, async {
            // A dropped sender means the same.
            let _ = stopped.await;
        });
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return Ok(ended?),
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = writer.ended() => {}
    }
    let _ = stop.send(());
    match tokio::time::timeout(DRAIN, server).await {
        Ok(ended) => Ok(ended?),
        // Whoever is silent does not keep the signer from stopping.
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::Shared;

    #[test]
    fn a_signer_whose_writer_ended_by_a_fault_stops_and_says_so() {
        let folder = tempfile::TempDir::new_in("/tmp").unwrap();
        let allowed = Allowed::new([]).unwrap();
        let socket = Socket::bind(&folder.path().join("run/s"), &allowed).unwrap();
        let (writer, thread) = Writer::on_thread(|waiting| {
            drop(waiting);
            std::panic::resume_unwind(Box::new("a fault"));
        })
        .unwrap();
        let service = Service::new(writer.clone(), Arc::new(Shared::default()), Vec::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answered = runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(60), answer(&socket, allowed, service, writer)).await
        });
        assert!(answered.expect("it stops by itself").is_ok());
        let ended = thread.join().map_err(|_| Fault::WriterEnded).unwrap_err();
        assert!(ended.to_string().contains("nothing was signed since"), "{ended}");
    }
}
