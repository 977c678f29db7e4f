//! Reads the socket and files what arrives: whole batches into the queues of subscriptions, answers to whoever asked.
//!
//! One task, large reads, one queue operation for each run of messages of the same subscription. A message that is not
//! complete stays in the buffer, which grows to the length that its line announces; limits are the parser's.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::oneshot;

use super::outgoing::Outgoing;
use super::parse::{Limits, Op, Parsed, parse};
use super::subscription::Queue;
use super::{Message, ServerInfo};
use crate::log::LogError;

/// Size of the read buffer: the largest single read.
const BUFFER_BYTES: usize = 1 << 20;
/// With less room than this, a new buffer is taken.
const SMALLEST_READ_BYTES: usize = 128 << 10;
/// After this long without a byte the server is asked for a sign of life, and after as long again given up.
const SILENCE: Duration = Duration::from_secs(20);
/// The subscription that answers to requests come by.
pub(super) const ANSWERS_SID: u64 = 1;

/// What the tasks of a connection and its handles share.
pub(super) struct Shared {
    /// The server, without user information.
    pub(super) url: String,
    pub(super) info: ServerInfo,
    pub(super) outgoing: Outgoing,
    /// The server will shut down soon.
    pub(super) leaving: AtomicBool,
    /// Bytes ever read.
    pub(super) received: AtomicU64,
    router: Mutex<Router>,
    ended: OnceLock<LogError>,
}

/// Who waits for what.
#[derive(Default)]
struct Router {
    queues: HashMap<u64, Subscribed>,
    questions: HashMap<u64, Question>,
    /// Who waits for the next PONG, in the order of the PINGs; `None` for a keep-alive.
    pongs: VecDeque<Option<oneshot::Sender<()>>>,
    /// The server's last refusal.
    last_refusal: Option<String>,
}

struct Subscribed {
    subject: Bytes,
    queue: Arc<Queue>,
    /// Subjects whose messages have their answers here.
    answers_to: Option<Subjects>,
}

/// Which subjects are meant.
pub(super) type Subjects = Box<dyn Fn(&str) -> bool + Send>;

struct Question {
    subject: String,
    answer: oneshot::Sender<Result<Message, LogError>>,
}

impl Shared {
    pub(super) fn new(url: String, info: ServerInfo) -> Self {
        Self {
            leaving: AtomicBool::new(info.ldm),
            received: AtomicU64::new(0),
            url,
            info,
            outgoing: Outgoing::default(),
            router: Mutex::default(),
            ended: OnceLock::new(),
        }
    }

    pub(super) fn add_queue(&self, sid: u64, subject: &[u8]) -> Arc<Queue> {
        let queue = Arc::new(Queue::default());
        let subject = Bytes::copy_from_slice(subject);
        let subscribed = Subscribed { subject, queue: queue.clone(), answers_to: None };
        self.router().queues.insert(sid, subscribed);
        // After the insertion: whoever ends the connection either sees this queue or was seen here.
        if let Some(reason) = self.ended.get() {
            queue.end(reason.clone());
        }
        queue
    }

    /// A publish to such a subject that is refused ends this queue from now on.
    pub(super) fn set_answers_to(&self, sid: u64, subjects: Subjects) {
        if let Some(subscribed) = self.router().queues.get_mut(&sid) {
            subscribed.answers_to = Some(subjects);
        }
    }

    pub(super) fn remove_queue(&self, sid: u64) {
        self.router().queues.remove(&sid);
    }

    pub(super) fn add_question(
        &self,
        token: u64,
        subject: &str,
    ) -> oneshot::Receiver<Result<Message, LogError>> {
        let (answer, receiver) = oneshot::channel();
        self.router().questions.insert(token, Question { subject: subject.to_owned(), answer });
        if self.ended.get().is_some() {
            self.remove_question(token);
        }
        receiver
    }

    pub(super) fn remove_question(&self, token: u64) {
        self.router().questions.remove(&token);
    }

    /// Sends a PING; its PONG says that the server has taken everything sent before.
    pub(super) fn ping(&self, waiter: Option<oneshot::Sender<()>>) {
        // Under the lock, so that waiters stand in the order of their PINGs.
        let mut router = self.router();
        if self.ended.get().is_none() {
            router.pongs.push_back(waiter);
            self.outgoing.append(|out| out.extend_from_slice(b"PING\r\n"));
        }
    }

    pub(super) fn last_refusal(&self) -> Option<String> {
        self.router().last_refusal.clone()
    }

    /// Why the connection has ended, if it has.
    pub(super) fn ended(&self) -> Option<&LogError> {
        self.ended.get()
    }

    pub(super) fn lost(&self, reason: impl Into<String>) -> LogError {
        LogError::Unreachable { url: self.url.clone(), reason: reason.into() }
    }

    /// Ends the connection for everybody; the first reason counts.
    pub(super) fn end(&self, reason: LogError) {
        let reason = self.ended.get_or_init(|| reason).clone();
        let mut router = self.router();
        router.queues.values().for_each(|subscribed| subscribed.queue.end(reason.clone()));
        // Whoever waits for these sees them dropped and looks up the reason.
        router.questions.clear();
        router.pongs.clear();
        drop(router);
        self.outgoing.close();
    }

    fn router(&self) -> MutexGuard<'_, Router> {
        self.router.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads until the connection ends, and ends it for everybody. `buffer` holds what came with the greeting.
pub(super) async fn run(shared: Arc<Shared>, mut socket: impl AsyncRead + Unpin, mut buffer: BytesMut) {
    let mut refusal = None;
    let reason = loop {
        let wanted = match take_operations(&shared, &mut buffer, &mut refusal) {
            Ok(wanted) => wanted,
            Err(reason) => break reason,
        };
        make_room(&mut buffer, wanted);
        match read(&shared, &mut socket, &mut buffer).await {
            Ok(()) => {}
            // What the server said before it closed explains more than that it closed.
            Err(reason) => break refusal.unwrap_or(reason),
        }
    };
    shared.end(reason);
}

fn make_room(buffer: &mut BytesMut, wanted: usize) {
    let missing = wanted.saturating_sub(buffer.len());
    if buffer.capacity() - buffer.len() < missing.max(SMALLEST_READ_BYTES) {
        buffer.reserve(missing.max(BUFFER_BYTES));
    }
}

async fn read(
    shared: &Shared,
    socket: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> Result<(), LogError> {
    for attempt in [0, 1] {
        match tokio::time::timeout(SILENCE, socket.read_buf(buffer)).await {
            Ok(Ok(0)) => return Err(shared.lost("the server closed the connection")),
            Ok(Ok(count)) => {
                shared.received.fetch_add(count as u64, Ordering::Relaxed);
                return Ok(());
            }
            Ok(Err(error)) => return Err(shared.lost(format!("the connection broke: {error}"))),
            Err(_) if attempt == 0 => shared.ping(None),
            Err(_) => {}
        }
    }
    Err(shared.lost(format!("not a byte in {} s, PING not answered", 2 * SILENCE.as_secs())))
}

/// Files every complete operation of the buffer, and returns the length that the rest must reach.
fn take_operations(
    shared: &Shared,
    buffer: &mut BytesMut,
    refusal: &mut Option<LogError>,
) -> Result<usize, LogError> {
    let limits = Limits::default();
    let mut found: Vec<(Op, std::ops::Range<usize>)> = Vec::new();
    let mut at = 0;
    let wanted = loop {
        match parse(&buffer[at..], &limits) {
            Ok(Parsed::Op(op, used)) => {
                found.push((op, at..at + used));
                at += used;
            }
            Ok(Parsed::Incomplete { at_least }) => break at_least,
            Err(error) => return Err(shared.lost(format!("the server broke the protocol: {error}"))),
        }
    };
    let taken = buffer.split_to(at).freeze();
    let mut batch = Batch::default();
    for (op, range) in found {
        match op {
            Op::Message(frame) if frame.sid == ANSWERS_SID => {
                answer(shared, Message::new(taken.slice(range), frame));
            }
            Op::Message(frame) => batch.add(shared, frame.sid, Message::new(taken.slice(range), frame)),
            Op::Ping => shared.outgoing.append(|out| out.extend_from_slice(b"PONG\r\n")),
            Op::Pong => pong(shared),
            Op::Ok => {}
            Op::Info(json) => notice(shared, &taken[range][json]),
            Op::Err(text) => {
                // What came before the refusal is filed before it.
                batch.file(shared);
                refused(shared, &taken[range][text], refusal);
            }
        }
    }
    batch.file(shared);
    Ok(wanted)
}

/// Messages of one subscription that follow each other.
#[derive(Default)]
struct Batch {
    sid: u64,
    messages: Vec<Message>,
}

impl Batch {
    fn add(&mut self, shared: &Shared, sid: u64, message: Message) {
        if self.sid != sid {
            self.file(shared);
            self.sid = sid;
        }
        self.messages.push(message);
    }

    fn file(&mut self, shared: &Shared) {
        if self.messages.is_empty() {
            return;
        }
        let queue = shared.router().queues.get(&self.sid).map(|subscribed| subscribed.queue.clone());
        let messages = std::mem::take(&mut self.messages);
        // Without a queue, the subscriber left while these were on their way.
        if let Some(queue) = queue {
            queue.push(messages);
        }
    }
}

fn answer(shared: &Shared, message: Message) {
    let token = message.subject().rsplit(|&byte| byte == b'.').next();
    let token = token.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let question = token.and_then(|token: u64| shared.router().questions.remove(&token));
    if let Some(question) = question {
        // A receiver that is gone has given up waiting.
        let _ = question.answer.send(Ok(message));
    }
}

fn pong(shared: &Shared) {
    if let Some(Some(waiter)) = shared.router().pongs.pop_front() {
        let _ = waiter.send(());
    }
}

fn notice(shared: &Shared, json: &[u8]) {
    if serde_json::from_slice::<ServerInfo>(json).is_ok_and(|info| info.ldm) {
        shared.leaving.store(true, Ordering::Relaxed);
    }
}

/// `-ERR`: a missing permission concerns one subject; after anything else the server closes the connection.
fn refused(shared: &Shared, text: &[u8], refusal: &mut Option<LogError>) {
    let text = String::from_utf8_lossy(text).trim().trim_matches('\'').to_owned();
    let Some(violation) = Violation::read(&text) else {
        *refusal = Some(shared.lost(format!("the server said: {text}")));
        return;
    };
    let error = |what: &str| not_permitted(what, &text);
    let mut router = shared.router();
    match violation {
        Violation::Publish(subject) => {
            let tokens: Vec<u64> = router
                .questions
                .iter()
                .filter_map(|(token, question)| (question.subject == subject).then_some(*token))
                .collect();
            for question in tokens.iter().filter_map(|token| router.questions.remove(token)) {
                let _ = question.answer.send(Err(error(&question.subject)));
            }
            let answers = |one: &&Subscribed| one.answers_to.as_ref().is_some_and(|is_such| is_such(subject));
            for subscribed in router.queues.values().filter(answers) {
                subscribed.queue.end(error(subject));
            }
            router.last_refusal = Some(text.clone());
        }
        Violation::Subscribe(subject) => {
            for subscribed in router.queues.values().filter(|one| one.subject == subject.as_bytes()) {
                subscribed.queue.end(error(&format!("subscription to {subject}")));
            }
            router.last_refusal = Some(text.clone());
        }
    }
}

fn not_permitted(what: &str, text: &str) -> LogError {
    LogError::Refused {
        what: what.to_owned(),
        reason: text.to_owned(),
        hint: "Give this NATS user permission for that subject.".to_owned(),
    }
}

enum Violation<'a> {
    Publish(&'a str),
    Subscribe(&'a str),
}

impl<'a> Violation<'a> {
    /// `Permissions Violation for Publish to "a.b"`, `… for Subscription to "a.b" using queue "q"`.
    fn read(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix("Permissions Violation for ")?;
        let subject = rest.split('"').nth(1)?;
        Some(match rest.starts_with("Subscription") {
            true => Self::Subscribe(subject),
            false => Self::Publish(subject),
        })
    }
}
