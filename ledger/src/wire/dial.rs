//! How a connection begins: TCP, the server's INFO, TLS, CONNECT, and the PONG that says we are in.
//!
//! TLS begins before anything of ours is sent. Nothing that came before it in clear is believed afterwards: bytes behind
//! the first INFO end the attempt, so that nobody in between can slip words into the encrypted conversation.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::incoming::Shared;
use super::login::{Encrypted, connect_operation};
use super::parse::{Limits, Op, Parsed, parse};
use super::server_url::{Scheme, ServerUrl};
use super::tls::{self, TlsError};
use super::{ConnectOptions, Connection, ServerInfo};
use crate::log::LogError;

/// Tries the servers in order. A wrong configuration ends the attempts at once: it is wrong for all of them.
pub(super) async fn connect(options: &ConnectOptions) -> Result<Connection, LogError> {
    let servers = options.servers()?;
    let mut failures = Vec::new();
    for server in &servers {
        let attempt = tokio::time::timeout(options.connect_timeout(), connect_to(options, server)).await;
        match attempt {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error @ LogError::Configuration { .. })) => return Err(error),
            Ok(Err(error)) => failures.push(error),
            Err(_) => failures.push(unreachable(
                server,
                format!("no connection within {:.1} s", options.connect_timeout().as_secs_f64()),
            )),
        }
    }
    Err(combined(failures))
}

/// One failure as it is; of several, a refusal first (it says more than a silence), else all of them.
fn combined(mut failures: Vec<LogError>) -> LogError {
    let is_refusal =
        |error: &LogError| matches!(error, LogError::Refused { .. } | LogError::Untrusted { .. });
    let refusal = failures.iter().position(is_refusal);
    match (refusal, failures.len()) {
        (Some(at), _) => failures.swap_remove(at),
        (None, 0) => LogError::Configuration { what: "NATS URL".into(), reason: "it names no server".into() },
        (None, 1) => failures.swap_remove(0),
        (None, _) => {
            let mut urls = Vec::new();
            let mut reasons = Vec::new();
            for failure in failures {
                if let LogError::Unreachable { url, reason } = failure {
                    reasons.push(format!("{url}: {reason}"));
                    urls.push(url);
                }
            }
            LogError::Unreachable { url: urls.join(","), reason: reasons.join("; ") }
        }
    }
}

fn unreachable(server: &ServerUrl, reason: impl Into<String>) -> LogError {
    LogError::Unreachable { url: server.to_string(), reason: reason.into() }
}

async fn connect_to(options: &ConnectOptions, server: &ServerUrl) -> Result<Connection, LogError> {
    let mut socket = TcpStream::connect((server.host.as_str(), server.port))
        .await
        .map_err(|error| unreachable(server, error.to_string()))?;
    socket.set_nodelay(true).map_err(|error| unreachable(server, error.to_string()))?;
    let mut received = BytesMut::new();
    let info = greeting(server, &mut socket, &mut received).await?;
    if !wants_tls(options, server, &info)? {
        enter(options, server, &info, Encrypted::No, &mut socket, &mut received).await?;
        return Connection::begin(
            Shared::new(server.to_string(), info),
            options,
            socket.into_split(),
            received,
        );
    }
    if !received.is_empty() {
        return Err(unreachable(server, "unencrypted bytes came before TLS began"));
    }
    let mut socket = tls::handshake(options, server, socket).await.map_err(|error| match error {
        TlsError::Configuration(error) => error,
        TlsError::Certificate(reason) => LogError::Untrusted { url: server.to_string(), reason },
        TlsError::Handshake(reason) => unreachable(server, format!("TLS did not come about: {reason}")),
    })?;
    enter(options, server, &info, Encrypted::Yes, &mut socket, &mut received).await?;
    Connection::begin(Shared::new(server.to_string(), info), options, tokio::io::split(socket), received)
}

/// `tls://`, an authority or a client certificate mean TLS or nothing: a server, or somebody in between, that offers
/// none would get the login in clear.
fn wants_tls(options: &ConnectOptions, server: &ServerUrl, info: &ServerInfo) -> Result<bool, LogError> {
    let demanded = server.scheme == Scheme::Tls || options.ca_file.is_some() || options.cert_file.is_some();
    if demanded && !info.tls_required && !info.tls_available {
        return Err(LogError::Refused {
            what: format!("TLS at {server}"),
            reason: "the server offers none".to_owned(),
            hint: "Turn TLS on at the server; or use nats:// without CA and client certificate, if clear text is acceptable."
                .to_owned(),
        });
    }
    Ok(demanded || info.tls_required)
}

async fn greeting(
    server: &ServerUrl,
    socket: &mut (impl AsyncRead + Unpin),
    received: &mut BytesMut,
) -> Result<ServerInfo, LogError> {
    match next_word(server, socket, received).await? {
        Word::Info(info) => Ok(*info),
        Word::Refused(text) => Err(refused_login(server, &text)),
        Word::Ping | Word::Pong => Err(unreachable(server, "what answers there is no NATS server")),
    }
}

/// Logs in, and waits for the PONG.
async fn enter(
    options: &ConnectOptions,
    server: &ServerUrl,
    info: &ServerInfo,
    encrypted: Encrypted,
    socket: &mut (impl AsyncRead + AsyncWrite + Unpin),
    received: &mut BytesMut,
) -> Result<(), LogError> {
    let operation = connect_operation(options, server, info, encrypted)?;
    let broken = |error: std::io::Error| unreachable(server, format!("the connection broke: {error}"));
    socket.write_all(&operation).await.map_err(broken)?;
    socket.flush().await.map_err(broken)?;
    loop {
        match next_word(server, socket, received).await? {
            Word::Pong => return Ok(()),
            Word::Refused(text) => return Err(refused_login(server, &text)),
            Word::Ping => socket.write_all(b"PONG\r\n").await.map_err(broken)?,
            Word::Info(_) => {}
        }
    }
}

fn refused_login(server: &ServerUrl, text: &str) -> LogError {
    LogError::Refused {
        what: format!("the login at {server}"),
        reason: text.to_owned(),
        hint: "Check the NATS user, its password, token, NKey or creds file, and that they have not expired."
            .to_owned(),
    }
}

/// What a server says before we are in.
enum Word {
    Info(Box<ServerInfo>),
    Ping,
    Pong,
    Refused(String),
}

async fn next_word(
    server: &ServerUrl,
    socket: &mut (impl AsyncRead + Unpin),
    received: &mut BytesMut,
) -> Result<Word, LogError> {
    let foreign = || unreachable(server, "what answers there is no NATS server");
    loop {
        match parse(received, &Limits::default()).map_err(|_| foreign())? {
            Parsed::Op(op, used) => {
                let bytes = received.split_to(used);
                match op {
                    Op::Info(json) => {
                        let info = serde_json::from_slice(&bytes[json]).map_err(|_| foreign())?;
                        return Ok(Word::Info(Box::new(info)));
                    }
                    Op::Ping => return Ok(Word::Ping),
                    Op::Pong => return Ok(Word::Pong),
                    Op::Err(text) => {
                        let text = String::from_utf8_lossy(&bytes[text]).trim().trim_matches('\'').to_owned();
                        return Ok(Word::Refused(text));
                    }
                    Op::Ok => {}
                    Op::Message(_) => return Err(foreign()),
                }
            }
            Parsed::Incomplete { .. } => {
                let count = socket
                    .read_buf(received)
                    .await
                    .map_err(|error| unreachable(server, format!("the connection broke: {error}")))?;
                if count == 0 {
                    return Err(unreachable(server, "the server closed the connection"));
                }
            }
        }
    }
}
