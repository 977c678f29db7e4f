//! Many publishes under way at once, bounded in number and bytes, each acknowledged with the sequence that it must get.
//!
//! A repeated message id waits until the server has forgotten the earlier one: a duplicate would be dropped, and shift
//! everything published behind it.
//!
//! The first message goes alone, too. In a cluster, the answer to the stream's creation can be here before the word that
//! the stream listens: a message that nobody took is published again, as long as no later one is on its way.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;
use trstctl_formats::{Class, Failure, StoredMessage};

use super::config::PUBLISH_DUPLICATE_WINDOW;
use crate::wire::{ApiRefusal, Connection, MORE_STORAGE, Message, Subscription, code};

/// Publishes under way; servers queue 10,000.
const WINDOW_MESSAGES: usize = 4_096;
/// Their bytes; a larger message is alone under way.
const WINDOW_BYTES: usize = 8 << 20;
/// Longest wait for the next acknowledgement.
const ACKNOWLEDGEMENT: Duration = Duration::from_secs(30);
/// An id that was acknowledged so recently may still be known to the server (a window of 100 ms, cleared by a timer).
const RECENT: Duration = Duration::from_secs(1);
/// Longest wait until the server has forgotten an id.
const FORGET: Duration = Duration::from_secs(10);

/// As long nobody may listen to the first message.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
/// Pause before it is published again.
const UNHEARD: Duration = Duration::from_millis(20);

/// Publishes with many messages under way.
pub struct Publisher<'a> {
    connection: &'a Connection,
    inbox: String,
    acknowledgements: Subscription,
    /// Sequence that the oldest message under way must get.
    oldest: u64,
    /// The messages under way, in order.
    under_way: VecDeque<UnderWay>,
    under_way_bytes: usize,
    recent: RecentIds,
    /// Whether the server has answered a message: from then on the stream is known to listen.
    is_heard: bool,
}

/// A message without its acknowledgement.
#[derive(Clone, Copy)]
struct UnderWay {
    /// Its sequence in the backup.
    sequence: u64,
    len_bytes: usize,
    /// Hash of its message id.
    id: Option<u64>,
    is_stored: bool,
}

#[derive(Deserialize)]
struct Acknowledgement {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    duplicate: bool,
    error: Option<ApiRefusal>,
}

/// How one publish ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Stored,
    /// Dropped by the server; the message has this sequence in the backup.
    Duplicate(u64),
    /// Nobody listens to the message of this sequence in the backup.
    Unheard(u64),
}

impl<'a> Publisher<'a> {
    /// `next` is the sequence that the first message must get.
    pub fn begin(connection: &'a Connection, next: u64) -> Result<Self, Failure> {
        let inbox = connection.new_inbox();
        let acknowledgements = connection.subscribe(&format!("{inbox}.*"))?;
        // All that is published without a question.
        acknowledgements.answers_to(|subject| !subject.starts_with('$'));
        Ok(Self {
            connection,
            inbox,
            acknowledgements,
            oldest: next,
            under_way: VecDeque::new(),
            under_way_bytes: 0,
            recent: RecentIds::default(),
            is_heard: false,
        })
    }

    /// Publishes a message, as soon as there is room.
    pub async fn send(&mut self, message: &StoredMessage) -> Result<(), Failure> {
        while !self.has_room_for(message.len_bytes()) {
            self.take_acknowledgements().await?;
        }
        let id = message_id(&message.headers).map(hash);
        let is_repeated = id.is_some_and(|id| self.recent.is_repeated(id));
        if is_repeated || !self.is_heard {
            return self.send_alone(message, id).await;
        }
        self.put_under_way(message, id).await
    }

    /// Waits until nothing is under way.
    pub async fn drain(&mut self) -> Result<(), Failure> {
        while !self.under_way.is_empty() {
            self.take_acknowledgements().await?;
        }
        Ok(())
    }

    fn has_room_for(&self, len_bytes: usize) -> bool {
        self.under_way.is_empty()
            || (self.under_way.len() < WINDOW_MESSAGES && self.under_way_bytes + len_bytes <= WINDOW_BYTES)
    }

    async fn put_under_way(&mut self, message: &StoredMessage, id: Option<u64>) -> Result<(), Failure> {
        let target = self.oldest + self.under_way.len() as u64;
        let reply = format!("{}.{target}", self.inbox);
        let sent =
            self.connection.publish(&message.subject, &reply, &message.headers, &message.payload).await;
        sent.map_err(|error| Failure::from(error).at_sequence(message.sequence))?;
        let len_bytes = message.len_bytes();
        self.under_way.push_back(UnderWay { sequence: message.sequence, len_bytes, id, is_stored: false });
        self.recent.publish(id);
        self.under_way_bytes += len_bytes;
        Ok(())
    }

    /// The first message, or one whose id was used just before: published with nothing else under way, again and again until
    /// the stream listens, or the server has forgotten the earlier one. Unheard or dropped as a duplicate, it changes nothing.
    async fn send_alone(&mut self, message: &StoredMessage, id: Option<u64>) -> Result<(), Failure> {
        self.drain().await?;
        let start = Instant::now();
        loop {
            self.put_under_way(message, id).await?;
            let answers = self.next_answers().await?;
            let outcomes = answers.iter().map(|answer| self.accept(answer)).collect::<Result<Vec<_>, _>>()?;
            let pause = match outcomes.first() {
                Some(Outcome::Duplicate(sequence)) if start.elapsed() >= FORGET => {
                    return Err(duplicate(*sequence));
                }
                Some(Outcome::Unheard(sequence)) if start.elapsed() >= HEARD_WITHIN => {
                    return Err(unheard(*sequence));
                }
                Some(Outcome::Duplicate(_)) => PUBLISH_DUPLICATE_WINDOW,
                Some(Outcome::Unheard(_)) => UNHEARD,
                Some(Outcome::Stored) | None => return Ok(()),
            };
            self.forget_under_way();
            tokio::time::sleep(pause).await;
        }
    }

    fn forget_under_way(&mut self) {
        self.under_way.clear();
        self.under_way_bytes = 0;
    }

    async fn take_acknowledgements(&mut self) -> Result<(), Failure> {
        for answer in self.next_answers().await? {
            match self.accept(&answer)? {
                Outcome::Stored => {}
                Outcome::Duplicate(sequence) => return Err(duplicate(sequence)),
                Outcome::Unheard(sequence) => return Err(unheard(sequence)),
            }
        }
        Ok(())
    }

    async fn next_answers(&mut self) -> Result<Vec<Message>, Failure> {
        match tokio::time::timeout(ACKNOWLEDGEMENT, self.acknowledgements.next_batch()).await {
            Ok(answers) => Ok(answers?),
            Err(_) => Err(Failure::new(
                Class::Unreachable,
                format!("the server acknowledged nothing for {} s", ACKNOWLEDGEMENT.as_secs()),
                "Check the server and the network between; the same command continues where this one stopped.",
            )),
        }
    }

    /// Checks one acknowledgement, and retires what it completes.
    fn accept(&mut self, answer: &Message) -> Result<Outcome, Failure> {
        let target = target_of(answer.subject());
        let at = target.checked_sub(self.oldest).and_then(|at| usize::try_from(at).ok());
        let Some(message) = at.and_then(|at| self.under_way.get_mut(at)) else {
            return Err(unexpected(answer));
        };
        let outcome = read(answer, message.sequence, target)?;
        if outcome != Outcome::Stored {
            return Ok(outcome);
        }
        message.is_stored = true;
        self.recent.acknowledge(message.id);
        self.is_heard = true;
        while let Some(stored) = self.under_way.pop_front_if(|message| message.is_stored) {
            self.oldest += 1;
            self.under_way_bytes -= stored.len_bytes;
        }
        Ok(Outcome::Stored)
    }
}

/// The sequence that the message answered here must get; it is the last token of the reply subject.
fn target_of(subject: &[u8]) -> u64 {
    let token = subject.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    std::str::from_utf8(token).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn read(answer: &Message, sequence: u64, target: u64) -> Result<Outcome, Failure> {
    let refused =
        |message: String, hint: &str| Err(Failure::new(Class::Refused, message, hint).at_sequence(sequence));
    if answer.says_nobody_listens() {
        return Ok(Outcome::Unheard(sequence));
    }
    let Ok(acknowledgement) = serde_json::from_slice::<Acknowledgement>(answer.payload()) else {
        let said = String::from_utf8_lossy(answer.payload());
        return refused(
            format!("message {sequence} was not acknowledged but answered with {said:?}"),
            "Check that the stream still exists, then run the same command again.",
        );
    };
    match acknowledgement {
        Acknowledgement { error: Some(refusal), .. } => refused(
            format!("the server refused message {sequence}: {} ({})", refusal.description, refusal.err_code),
            match refusal.err_code {
                code::INSUFFICIENT_RESOURCES | code::STORAGE_EXCEEDED | code::STORE_FAILED => MORE_STORAGE,
                _ => {
                    "Restore the log as an archive (without --method publish), which takes every message as it is."
                }
            },
        ),
        Acknowledgement { duplicate: true, .. } => Ok(Outcome::Duplicate(sequence)),
        Acknowledgement { seq, .. } if seq != target => refused(
            format!("message {sequence} got the sequence {seq} instead of {target}"),
            "Something else publishes to this log: stop it, then run the same command again.",
        ),
        _ => Ok(Outcome::Stored),
    }
}

fn unexpected(answer: &Message) -> Failure {
    let subject = String::from_utf8_lossy(answer.subject()).into_owned();
    let message = format!("an acknowledgement came that belongs to no message under way ({subject})");
    Failure::new(Class::Refused, message, "Run the same command again; it continues where this one stopped.")
}

fn unheard(sequence: u64) -> Failure {
    let message = format!("nobody takes message {sequence} (503): no stream listens to its subject");
    let hint = "Check that the stream still exists, then run the same command again.";
    Failure::new(Class::Refused, message, hint).at_sequence(sequence)
}

fn duplicate(sequence: u64) -> Failure {
    let message =
        format!("the server dropped message {sequence} as a duplicate of another with the same message id");
    let hint = "Run the same command again, or restore the log as an archive (without --method publish).";
    Failure::new(Class::Refused, message, hint).at_sequence(sequence)
}

/// Value of the first `Nats-Msg-Id` line.
fn message_id(headers: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"nats-msg-id:";
    headers.split(|&byte| byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then(|| value.trim_ascii())
    })
}

fn hash(id: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// Ids under way, and those acknowledged a short time ago, as hashes: a false hit costs a moment, nothing else.
#[derive(Default)]
struct RecentIds {
    /// When each was acknowledged; `None` for one under way, which a slow server may store only now.
    times: HashMap<u64, Option<Instant>>,
    order: VecDeque<(Instant, u64)>,
}

impl RecentIds {
    /// Whether the id is under way, or was acknowledged within [`RECENT`].
    fn is_repeated(&mut self, id: u64) -> bool {
        self.is_repeated_at(id, Instant::now())
    }

    fn is_repeated_at(&mut self, id: u64, now: Instant) -> bool {
        let is_old = |time: Instant| now.duration_since(time) > RECENT;
        while let Some((time, id)) = self.order.pop_front_if(|entry| is_old(entry.0)) {
            if self.times.get(&id) == Some(&Some(time)) {
                self.times.remove(&id);
            }
        }
        self.times.contains_key(&id)
    }

    fn publish(&mut self, id: Option<u64>) {
        self.times.extend(id.map(|id| (id, None)));
    }

    fn acknowledge(&mut self, id: Option<u64>) {
        id.into_iter().for_each(|id| self.acknowledge_at(id, Instant::now()));
    }

    fn acknowledge_at(&mut self, id: u64, now: Instant) {
        self.order.push_back((now, id));
        self.times.insert(id, Some(now));
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use bytes::Bytes;
    use trstctl_engines::{NatsOptions, NatsServer};
    use trstctl_formats::StoreTime;

    use super::*;
    use crate::log::StreamConfig;
    use crate::log::stream::StreamRequests;
    use crate::wire::ConnectOptions;

    const ANSWER: Duration = Duration::from_secs(20);

    fn message(sequence: u64) -> StoredMessage {
        let (subject, payload) = (Bytes::from_static(b"events.a"), Bytes::from(sequence.to_string()));
        StoredMessage { sequence, stored_at: StoreTime(0), subject, headers: Bytes::new(), payload }
    }

    async fn connect(server: &NatsServer) -> Connection {
        Connection::connect(&ConnectOptions::new(server.url())).await.unwrap()
    }

    #[tokio::test]
    async fn first_message_waits_until_the_stream_listens_and_is_stored_once() {
        let server = NatsServer::start(NatsOptions::default()).unwrap();
        let (ours, theirs) = (connect(&server).await, connect(&server).await);
        let mut publisher = Publisher::begin(&ours, 1).unwrap();
        let (first, second) = (message(1), message(2));
        {
            let mut sending = pin!(publisher.send(&first));
            // When this round trip is over, the server has said that nobody took it.
            tokio::select! {
                biased;
                ended = &mut sending => panic!("nobody took the first, and yet: {ended:?}"),
                passed = ours.round_trip(ANSWER) => passed.unwrap(),
            }
            let requests = StreamRequests::new(&theirs, "S").unwrap();
            assert!(requests.create(&StreamConfig::new("S", "events.>", 1).to_json()).await.is_ok());
            sending.await.unwrap();
        }
        publisher.send(&second).await.unwrap();
        // Two messages, at the sequences that they must get: else this fails.
        publisher.drain().await.unwrap();
    }

    #[tokio::test]
    async fn message_that_nobody_takes_any_more_is_told() {
        let server = NatsServer::start(NatsOptions::default()).unwrap();
        let ours = connect(&server).await;
        let requests = StreamRequests::new(&ours, "S").unwrap();
        assert!(requests.create(&StreamConfig::new("S", "events.>", 1).to_json()).await.is_ok());
        let mut publisher = Publisher::begin(&ours, 1).unwrap();
        publisher.send(&message(1)).await.unwrap();
        let _: serde_json::Value = ours.api_get("STREAM.DELETE.S", ANSWER).await.unwrap();
        publisher.send(&message(2)).await.unwrap();
        let failure = publisher.drain().await.unwrap_err();
        assert!(failure.message.contains("nobody takes message 2"), "{failure}");
    }

    #[test]
    fn the_first_message_id_counts_whatever_the_case_of_its_name() {
        assert_eq!(
            message_id(b"NATS/1.0\r\nA: b\r\nnats-msg-id:  x y \r\nNats-Msg-Id: z\r\n\r\n"),
            Some(&b"x y"[..])
        );
        assert_eq!(message_id(b"NATS/1.0\r\nA: Nats-Msg-Id: x\r\n\r\n"), None);
        assert_eq!(message_id(b""), None);
    }

    #[test]
    fn an_id_is_repeated_while_under_way_and_a_second_longer_and_then_forgotten() {
        let mut recent = RecentIds::default();
        let [a, b] = [b"a", b"b"].map(|id| hash(id));
        let start = Instant::now();
        assert!(!recent.is_repeated_at(a, start));
        [a, b].into_iter().for_each(|id| recent.publish(Some(id)));
        assert!(recent.is_repeated_at(a, start + RECENT * 9), "a slow server may store it only now");
        recent.acknowledge_at(b, start);
        recent.acknowledge_at(a, start + RECENT);
        assert!(recent.is_repeated_at(a, start + RECENT * 2));
        assert!(!recent.is_repeated_at(b, start + RECENT * 2));
        // Published again: what was said of its first time ends nothing.
        recent.publish(Some(a));
        assert!(recent.is_repeated_at(a, start + RECENT * 9));
        recent.acknowledge_at(a, start + RECENT * 9);
        assert!(!recent.is_repeated_at(a, start + RECENT * 11));
        assert!(recent.times.is_empty() && recent.order.is_empty());
    }

    #[test]
    fn the_target_is_the_last_token_of_the_reply_subject() {
        assert_eq!(target_of(b"_INBOX.abc.s1.5001"), 5001);
        assert_eq!(target_of(b"_INBOX.abc.s1.x"), 0);
    }
}
