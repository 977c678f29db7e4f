//! The handle of a connection: publish, subscribe, ask. Clones share it; it closes when the last one is dropped.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::incoming::{self, ANSWERS_SID, Shared, Subjects};
use super::{ConnectOptions, Message, ServerInfo, Subscription, dial};
use crate::log::LogError;

/// A connection to one NATS server. It never reconnects by itself: when it is lost, everything that waits on it fails.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    options: ConnectOptions,
    /// Prefix of the subjects that answers come by: `_INBOX.<unique>`.
    inbox: String,
    api_prefix: String,
    next_sid: AtomicU64,
    next_token: AtomicU64,
    incoming: AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.end(self.shared.lost("this program closed the connection"));
        self.incoming.abort();
    }
}

impl Connection {
    /// Connects to the first server of the list that takes us.
    ///
    /// # Errors
    /// [`LogError::Configuration`] for an unusable URL, key or certificate file; [`LogError::Refused`] when a server refused
    /// the login, [`LogError::Untrusted`] when its certificate is not accepted; else [`LogError::Unreachable`] with what
    /// happened at each.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, LogError> {
        dial::connect(options).await
    }

    /// Begins with a socket whose login is done; `received` is what it sent meanwhile.
    pub(super) fn begin(
        shared: Shared,
        options: &ConnectOptions,
        socket: (impl AsyncRead + Unpin + Send + 'static, impl AsyncWrite + Unpin + Send + 'static),
        received: BytesMut,
    ) -> Result<Self, LogError> {
        let shared = Arc::new(shared);
        let inbox = format!("{}.{}", options.inbox_prefix()?, uuid::Uuid::new_v4().simple());
        let api_prefix = options.api_prefix()?;
        let answers = format!("{inbox}.a.*");
        shared.add_queue(ANSWERS_SID, answers.as_bytes());
        shared.outgoing.append(|out| subscribe_line(out, answers.as_bytes(), ANSWERS_SID));
        let (read, write) = socket;
        tokio::spawn(write_until_end(shared.clone(), write));
        let incoming = tokio::spawn(incoming::run(shared.clone(), read, received)).abort_handle();
        let (next_sid, next_token) = (AtomicU64::new(ANSWERS_SID + 1), AtomicU64::new(1));
        let options = options.clone();
        Ok(Self {
            inner: Arc::new(Inner { shared, options, inbox, api_prefix, next_sid, next_token, incoming }),
        })
    }

    /// What the server said of itself.
    pub fn server(&self) -> &ServerInfo {
        &self.inner.shared.info
    }

    /// How it was made: whoever must, makes another like it.
    pub fn options(&self) -> &ConnectOptions {
        &self.inner.options
    }

    /// The server's URL, without user information.
    pub fn url(&self) -> &str {
        &self.inner.shared.url
    }

    /// Whether it can still be used.
    pub fn is_open(&self) -> bool {
        self.inner.shared.ended().is_none()
    }

    /// Whether the server is about to shut down: finish what is under way, and begin the next work on another connection.
    pub fn is_leaving(&self) -> bool {
        self.inner.shared.leaving.load(Ordering::Relaxed)
    }

    /// Bytes received so far, of whatever: a large message that is still on its way shows here only.
    pub fn received_bytes(&self) -> u64 {
        self.inner.shared.received.load(Ordering::Relaxed)
    }

    /// Closes it at once for all its handles; what was published and not flushed may be lost.
    pub fn close(&self) {
        self.inner.shared.end(self.inner.shared.lost("this program closed the connection"));
        self.inner.incoming.abort();
    }

    /// A subject that nobody else uses; may be extended by further tokens.
    pub fn new_inbox(&self) -> String {
        format!("{}.s{}", self.inner.inbox, self.inner.next_token.fetch_add(1, Ordering::Relaxed))
    }

    /// Begins to receive the messages of `subject` (wildcards allowed). A missing permission shows at the first
    /// [`Subscription::next_batch`].
    ///
    /// # Errors
    /// When the connection is lost, or the subject cannot be sent.
    pub fn subscribe(&self, subject: &str) -> Result<Subscription, LogError> {
        self.usable()?;
        sendable(subject.as_bytes())?;
        let sid = self.inner.next_sid.fetch_add(1, Ordering::Relaxed);
        let queue = self.inner.shared.add_queue(sid, subject.as_bytes());
        self.inner.shared.outgoing.append(|out| subscribe_line(out, subject.as_bytes(), sid));
        Ok(Subscription::new(self.clone(), sid, queue))
    }

    pub(super) fn set_answers_to(&self, sid: u64, subjects: Subjects) {
        self.inner.shared.set_answers_to(sid, subjects);
    }

    pub(super) fn unsubscribe(&self, sid: u64) {
        self.inner.shared.remove_queue(sid);
        self.inner.shared.outgoing.append(|out| {
            let _ = write!(out, "UNSUB {sid}\r\n");
        });
    }

    /// Publishes a message: takes it into the outgoing buffer, from which it leaves by itself; waits only while some
    /// megabytes are unwritten. `reply` and `headers` may be empty; a header block is sent as it is.
    ///
    /// # Errors
    /// When the connection is lost, the subject cannot be sent, or the message is larger than the server takes. A missing
    /// permission is not seen here.
    pub async fn publish(
        &self,
        subject: impl AsRef<[u8]>,
        reply: &str,
        headers: &[u8],
        payload: &[u8],
    ) -> Result<(), LogError> {
        let subject = subject.as_ref();
        self.usable()?;
        sendable(subject)?;
        self.fits(subject, headers.len() + payload.len())?;
        let write = |out: &mut Vec<u8>| publish_operation(out, subject, reply, headers, payload);
        match self.inner.shared.outgoing.append_with_room(write).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.reason()),
        }
    }

    /// Waits until everything published before is written to the socket.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn flush(&self) -> Result<(), LogError> {
        self.inner.shared.outgoing.flush().await.map_err(|_| self.reason())
    }

    /// Waits until the server has taken everything sent before.
    ///
    /// # Errors
    /// When the connection is lost or the deadline passes.
    pub async fn round_trip(&self, deadline: Duration) -> Result<(), LogError> {
        let (waiter, pong) = oneshot::channel();
        self.inner.shared.ping(Some(waiter));
        match tokio::time::timeout(deadline, pong).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(self.reason()),
            Err(_) => Err(self.no_answer("PING", deadline)),
        }
    }

    /// Publishes a question and waits for one answer.
    ///
    /// # Errors
    /// [`LogError::NoResponders`] when nobody listens there, [`LogError::Refused`] without permission,
    /// [`LogError::Unreachable`] when the connection is lost or the deadline passes.
    pub async fn request(
        &self,
        subject: &str,
        payload: &[u8],
        deadline: Duration,
    ) -> Result<Message, LogError> {
        self.request_with_headers(subject, b"", payload, deadline).await
    }

    /// The same with a header block.
    ///
    /// # Errors
    /// As [`Connection::request`].
    pub async fn request_with_headers(
        &self,
        subject: &str,
        headers: &[u8],
        payload: &[u8],
        deadline: Duration,
    ) -> Result<Message, LogError> {
        let question = Asked::new(self, subject);
        let reply = format!("{}.a.{}", self.inner.inbox, question.token);
        let exchange = async {
            self.publish(subject, &reply, headers, payload).await?;
            let mut question = question;
            (&mut question.answer).await.unwrap_or_else(|_| Err(self.reason()))
        };
        let answer = match tokio::time::timeout(deadline, exchange).await {
            Ok(answer) => answer?,
            Err(_) => return Err(self.no_answer(subject, deadline)),
        };
        if answer.says_nobody_listens() {
            return Err(LogError::NoResponders { subject: subject.to_owned() });
        }
        Ok(answer)
    }

    /// `$JS.API.<endpoint>`, under this connection's prefix or domain.
    pub fn api_subject(&self, endpoint: &str) -> String {
        format!("{}.{endpoint}", self.inner.api_prefix)
    }

    fn usable(&self) -> Result<(), LogError> {
        match self.inner.shared.ended() {
            Some(reason) => Err(reason.clone()),
            None => Ok(()),
        }
    }

    fn reason(&self) -> LogError {
        self.usable().err().unwrap_or_else(|| self.inner.shared.lost("the connection was lost"))
    }

    fn no_answer(&self, what: &str, deadline: Duration) -> LogError {
        let mut reason = format!("no answer to {what} within {:.1} s", deadline.as_secs_f64());
        if let Some(refusal) = self.inner.shared.last_refusal() {
            reason = format!("{reason}; the server had said: {refusal}");
        }
        self.inner.shared.lost(reason)
    }

    fn fits(&self, subject: &[u8], len: usize) -> Result<(), LogError> {
        let most = self.server().max_payload;
        if len <= most {
            return Ok(());
        }
        Err(LogError::Refused {
            what: format!("a message to {}", String::from_utf8_lossy(subject)),
            reason: format!("it has {len} bytes, and max_payload of this server is {most}"),
            hint: "Raise max_payload in the NATS server's configuration.".to_owned(),
        })
    }
}

/// A question under way; forgotten when nobody waits any more.
struct Asked<'a> {
    connection: &'a Connection,
    token: u64,
    answer: oneshot::Receiver<Result<Message, LogError>>,
}

impl<'a> Asked<'a> {
    fn new(connection: &'a Connection, subject: &str) -> Self {
        let token = connection.inner.next_token.fetch_add(1, Ordering::Relaxed);
        Self { connection, token, answer: connection.inner.shared.add_question(token, subject) }
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.connection.inner.shared.remove_question(self.token);
    }
}

async fn write_until_end(shared: Arc<Shared>, socket: impl AsyncWrite + Unpin) {
    if let Err(error) = shared.outgoing.run(socket).await {
        shared.end(shared.lost(format!("the connection broke: {error}")));
    }
}

/// White space in a subject would end the protocol's word.
fn sendable(subject: &[u8]) -> Result<(), LogError> {
    if subject.is_empty() || subject.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
        return Err(LogError::Configuration {
            what: format!("subject {:?}", String::from_utf8_lossy(subject)),
            reason: "it is empty or holds white space".to_owned(),
        });
    }
    Ok(())
}

fn subscribe_line(out: &mut Vec<u8>, subject: &[u8], sid: u64) {
    out.extend_from_slice(b"SUB ");
    out.extend_from_slice(subject);
    let _ = write!(out, " {sid}\r\n");
}

fn publish_operation(out: &mut Vec<u8>, subject: &[u8], reply: &str, headers: &[u8], payload: &[u8]) {
    out.reserve(subject.len() + reply.len() + headers.len() + payload.len() + 64);
    out.extend_from_slice(if headers.is_empty() { b"PUB " } else { b"HPUB " });
    out.extend_from_slice(subject);
    out.push(b' ');
    if !reply.is_empty() {
        out.extend_from_slice(reply.as_bytes());
        out.push(b' ');
    }
    if !headers.is_empty() {
        let _ = write!(out, "{} ", headers.len());
    }
    let _ = write!(out, "{}\r\n", headers.len() + payload.len());
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}
