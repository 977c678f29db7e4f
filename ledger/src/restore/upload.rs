//! The restore conversation: chunks to the server, each answered, at most some unanswered, and an empty one at the end.
//!
//! Two rules make it all or nothing. The last chunk of data is held back until the whole backup has given the same
//! digest again, because a server may make the stream live at the tar's last byte. And whatever goes wrong, the end is
//! never sent: the connection is closed instead, for a tar that was cut and then ended is accepted as a shorter log.
//!
//! The first chunk travels alone. Servers of a cluster tell each other by several routes, so that the request's answer can
//! be here before the word that somebody listens for chunks: then the server in between says that nobody does. A chunk
//! that nobody took can be sent again, as long as no later one is on its way.

use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::Instant;
use trstctl_formats::{Class, Failure};

use super::refusal::{self, Stage};
use crate::log::LogError;
use crate::wire::{ApiError, ApiRefusal, Connection, MORE_STORAGE, Message, Subscription};

/// Largest chunk, in bytes; smaller where the server's `max_payload` is.
const CHUNK_BYTES: usize = 128 << 10;
/// Unanswered chunks.
const WINDOW: usize = 32;
/// Chunks made ahead of sending.
const CHUNKS_AHEAD: usize = 32;
/// A server gives up after 5 s without a chunk; a slow source is helped out with slivers of the chunk at hand.
const TRICKLE_AFTER: Duration = Duration::from_secs(2);
/// Longest silence towards the server.
const SILENCE: Duration = Duration::from_secs(3);
/// Size of a sliver, in bytes.
const SLIVER_BYTES: usize = 1 << 10;
/// As long somebody may be missing who takes the first chunk; a server that had nothing for so long has given up.
const FIRST_TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// Pause before the first chunk is sent again.
const FIRST_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Longest wait for the answer to a chunk.
const CHUNK_ANSWER: Duration = Duration::from_secs(30);
/// Longest wait for the final answer, and a second more for so many bytes.
const FINAL_ANSWER: Duration = Duration::from_secs(120);
const FINAL_BYTES_A_SECOND: u64 = 4 << 20;

/// Where the archive is written to: it leaves in chunks.
pub(super) struct ChunkWriter {
    sender: mpsc::Sender<Bytes>,
    buffer: Vec<u8>,
    chunk_bytes: usize,
}

impl ChunkWriter {
    /// A writer, and the chunks that come out of it.
    pub(super) fn new(max_payload: usize) -> (Self, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let chunk_bytes = CHUNK_BYTES.min(max_payload.max(1));
        (Self { sender, buffer: Vec::with_capacity(chunk_bytes), chunk_bytes }, receiver)
    }

    /// Hands over what is left.
    pub(super) fn end(mut self) -> io::Result<()> {
        if self.buffer.is_empty() { Ok(()) } else { self.send() }
    }

    fn send(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.buffer, Vec::with_capacity(self.chunk_bytes));
        let closed = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the restore has stopped");
        self.sender.blocking_send(Bytes::from(chunk)).map_err(closed)
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.chunk_bytes - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == self.chunk_bytes {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An archive on its way into the server.
pub(super) struct Upload<'a> {
    connection: &'a Connection,
    stream: &'a str,
    deliver: &'a str,
    inbox: String,
    answers: Subscription,
    sent: u64,
    sent_bytes: u64,
    unanswered: usize,
    last_sent: Instant,
    last_answer: Instant,
}

impl<'a> Upload<'a> {
    /// `deliver` is where the server takes the chunks.
    pub(super) fn begin(
        connection: &'a Connection,
        stream: &'a str,
        deliver: &'a str,
    ) -> Result<Self, Failure> {
        let inbox = connection.new_inbox();
        let answers = connection.subscribe(&format!("{inbox}.*"))?;
        let chunks = deliver.to_owned();
        answers.answers_to(move |subject| subject == chunks);
        let now = Instant::now();
        Ok(Self {
            connection,
            stream,
            deliver,
            inbox,
            answers,
            sent: 0,
            sent_bytes: 0,
            unanswered: 0,
            last_sent: now,
            last_answer: now,
        })
    }

    /// Sends the chunks as they come, and gives the last one back: it must wait until nothing can go wrong any more.
    ///
    /// On an error, here and below, the caller closes the connection.
    pub(super) async fn send_all_but_the_last(
        &mut self,
        mut chunks: mpsc::Receiver<Bytes>,
        first: Option<Bytes>,
    ) -> Result<Option<Bytes>, Failure> {
        let mut held = first;
        loop {
            while self.unanswered >= WINDOW {
                self.take_answer().await?;
            }
            tokio::select! {
                biased;
                answer = self.answers.next() => self.check(&answer?)?,
                chunk = chunks.recv() => match chunk {
                    None => return Ok(held),
                    Some(chunk) => if let Some(before) = held.replace(chunk) {
                        self.send_chunk(before).await?;
                    }
                },
                () = tokio::time::sleep_until(self.last_sent + TRICKLE_AFTER) => self.trickle(&mut held).await?,
            }
        }
    }

    /// Sends the last chunk and the end. Only the answer to the end is success.
    pub(super) async fn finish(mut self, held: Option<Bytes>) -> Result<(), Failure> {
        if let Some(last) = held {
            self.send_chunk(last).await?;
        }
        while self.unanswered > 0 {
            self.take_answer().await?;
        }
        self.end().await
    }

    /// Keeps the server waiting a little longer.
    async fn trickle(&mut self, held: &mut Option<Bytes>) -> Result<(), Failure> {
        if let Some(chunk) = held.as_mut().filter(|chunk| chunk.len() > SLIVER_BYTES) {
            let sliver = chunk.split_to(SLIVER_BYTES);
            return self.send_chunk(sliver).await;
        }
        if self.last_sent.elapsed() < SILENCE {
            tokio::time::sleep_until(self.last_sent + SILENCE).await;
            return Ok(());
        }
        Err(Failure::new(
            Class::Unreachable,
            format!("the backup could not be read fast enough: nothing came for {} s", SILENCE.as_secs()),
            "Nothing was restored. Copy the backup to a fast local disk and run the same command again.",
        ))
    }

    async fn send_chunk(&mut self, chunk: Bytes) -> Result<(), Failure> {
        if self.sent == 0 { self.send_first(chunk).await } else { self.send(chunk).await }
    }

    async fn send_first(&mut self, chunk: Bytes) -> Result<(), Failure> {
        let deadline = Instant::now() + FIRST_TAKEN_WITHIN;
        loop {
            self.send(chunk.clone()).await?;
            let answer = self.next_answer().await?;
            if !answer.says_nobody_listens() || Instant::now() >= deadline {
                return self.check(&answer);
            }
            self.unanswered = 0;
            tokio::time::sleep(FIRST_AGAIN_AFTER).await;
        }
    }

    async fn send(&mut self, chunk: Bytes) -> Result<(), Failure> {
        self.sent += 1;
        self.sent_bytes += chunk.len() as u64;
        let reply = format!("{}.{}", self.inbox, self.sent);
        self.connection.publish(self.deliver, &reply, b"", &chunk).await?;
        self.unanswered += 1;
        self.last_sent = Instant::now();
        if self.unanswered == 1 {
            self.last_answer = self.last_sent;
        }
        Ok(())
    }

    async fn take_answer(&mut self) -> Result<(), Failure> {
        let answer = self.next_answer().await?;
        self.check(&answer)
    }

    async fn next_answer(&mut self) -> Result<Message, Failure> {
        match tokio::time::timeout_at(self.last_answer + CHUNK_ANSWER, self.answers.next()).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(silent_server(self.stream, CHUNK_ANSWER)),
        }
    }

    fn check(&mut self, answer: &Message) -> Result<(), Failure> {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.last_answer = Instant::now();
        match answer.payload() {
            [] if answer.says_nobody_listens() => Err(given_up(self.stream)),
            [] => Ok(()),
            said => Err(self.refused(said)),
        }
    }

    /// An answer that is not empty ends the conversation, whatever it says.
    fn refused(&self, answer: &[u8]) -> Failure {
        match read_final(answer, self.stream) {
            Err(failure) => failure,
            Ok(()) => Failure::new(
                Class::Refused,
                format!("the server ended the restore of {} before its end", self.stream),
                "Look into the server's log, then run the same command again.",
            ),
        }
    }

    /// The empty message, and the one answer that counts.
    async fn end(mut self) -> Result<(), Failure> {
        let reply = format!("{}.end", self.inbox);
        self.connection.publish(self.deliver, &reply, b"", b"").await?;
        let patience = FINAL_ANSWER + Duration::from_secs(self.sent_bytes / FINAL_BYTES_A_SECOND);
        let answer = match tokio::time::timeout(patience, self.answers.next()).await {
            Ok(answer) => answer?,
            Err(_) => return Err(silent_server(self.stream, patience)),
        };
        if answer.payload().is_empty() {
            return Err(given_up(self.stream));
        }
        read_final(answer.payload(), self.stream)
    }
}

fn read_final(answer: &[u8], stream: &str) -> Result<(), Failure> {
    // So servers say, without JSON, that a chunk could not be stored.
    if let Some(said) = answer.strip_prefix(b"-ERR ") {
        let said = String::from_utf8_lossy(said);
        let message = format!("the server could not store the archive of {stream}: {}", said.trim());
        return Err(Failure::new(Class::Refused, message, MORE_STORAGE));
    }
    read_json(answer).map_err(|error| refusal::failure(error, stream, Stage::Archive))
}

fn read_json(answer: &[u8]) -> Result<(), ApiError> {
    let endpoint = "STREAM.RESTORE";
    let answer: Value = serde_json::from_slice(answer).map_err(|error| {
        ApiError::Failed(LogError::Refused {
            what: endpoint.to_owned(),
            reason: format!("the final answer is not JSON: {error}"),
            hint: "Check that the NATS server's version is supported (2.9 and newer).".to_owned(),
        })
    })?;
    match answer.get("error").cloned().map(serde_json::from_value::<ApiRefusal>) {
        None => Ok(()),
        Some(refusal) => Err(ApiError::Refused {
            endpoint: endpoint.to_owned(),
            refusal: refusal.unwrap_or(ApiRefusal { code: 0, err_code: 0, description: answer.to_string() }),
        }),
    }
}

fn given_up(stream: &str) -> Failure {
    Failure::new(
        Class::Refused,
        format!("the server has given up the restore of {stream}: it takes no more chunks (503)"),
        "Look into the server's log for the reason (disk full, no memory, restarted), then run the same command again.",
    )
}

fn silent_server(stream: &str, patience: Duration) -> Failure {
    Failure::new(
        Class::Unreachable,
        format!("the server did not answer within {} s while {stream} was restored", patience.as_secs()),
        "Check the server and the network between, then run the same command again.",
    )
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use trstctl_engines::{NatsOptions, NatsServer};

    use super::*;
    use crate::wire::ConnectOptions;

    const SUBJECT: &str = "chunks";

    async fn connect(server: &NatsServer) -> Connection {
        Connection::connect(&ConnectOptions::new(server.url())).await.unwrap()
    }

    async fn answer(connection: &Connection, chunk: &Message, text: &[u8]) {
        let reply = std::str::from_utf8(chunk.reply()).unwrap();
        connection.publish(reply, "", b"", text).await.unwrap();
        connection.flush().await.unwrap();
    }

    /// Takes chunks, and answers each with nothing, until the empty one. What came, in order.
    async fn take_chunks(connection: Connection) -> Vec<Bytes> {
        let mut chunks = connection.subscribe(SUBJECT).unwrap();
        let mut taken = Vec::new();
        loop {
            let chunk = chunks.next().await.unwrap();
            if chunk.payload().is_empty() {
                answer(&connection, &chunk, b"{}").await;
                return taken;
            }
            taken.push(chunk.payload_bytes());
            answer(&connection, &chunk, b"").await;
        }
    }

    #[tokio::test]
    async fn first_chunk_waits_until_somebody_takes_it_and_is_taken_once() {
        let server = NatsServer::start(NatsOptions::default()).unwrap();
        let (ours, theirs) = (connect(&server).await, connect(&server).await);
        let mut upload = Upload::begin(&ours, "S", SUBJECT).unwrap();
        let (sender, chunks) = mpsc::channel(8);
        for byte in 1..=5_u8 {
            sender.send(Bytes::from(vec![byte; 10])).await.unwrap();
        }
        drop(sender);
        let taking;
        let held = {
            let mut sending = pin!(upload.send_all_but_the_last(chunks, None));
            // When this round trip is over, the server has said that nobody took the first.
            tokio::select! {
                biased;
                ended = &mut sending => panic!("nobody took the first, and yet: {ended:?}"),
                passed = ours.round_trip(CHUNK_ANSWER) => passed.unwrap(),
            }
            taking = tokio::spawn(take_chunks(theirs));
            sending.await.unwrap()
        };
        upload.finish(held).await.unwrap();
        assert_eq!(taking.await.unwrap(), (1..=5).map(|byte| vec![byte; 10]).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn first_chunk_that_nobody_ever_takes_ends_the_restore() {
        let server = NatsServer::start(NatsOptions::default()).unwrap();
        let ours = connect(&server).await;
        let mut upload = Upload::begin(&ours, "S", SUBJECT).unwrap();
        let failure = upload.send_chunk(Bytes::from_static(b"one")).await.unwrap_err();
        assert!(failure.message.contains("takes no more chunks"), "{failure}");
    }

    #[tokio::test]
    async fn chunk_that_nobody_takes_any_more_ends_the_restore() {
        let server = NatsServer::start(NatsOptions::default()).unwrap();
        let (ours, theirs) = (connect(&server).await, connect(&server).await);
        let mut chunks = theirs.subscribe(SUBJECT).unwrap();
        theirs.round_trip(CHUNK_ANSWER).await.unwrap();
        let mut upload = Upload::begin(&ours, "S", SUBJECT).unwrap();
        let (first, ()) = tokio::join!(upload.send_chunk(Bytes::from_static(b"one")), async {
            answer(&theirs, &chunks.next().await.unwrap(), b"").await;
        });
        first.unwrap();
        drop(chunks);
        theirs.round_trip(CHUNK_ANSWER).await.unwrap();
        upload.send_chunk(Bytes::from_static(b"two")).await.unwrap();
        let failure = upload.take_answer().await.unwrap_err();
        assert!(failure.message.contains("takes no more chunks"), "{failure}");
    }

    #[test]
    fn chunks_hold_all_bytes_in_order_and_no_more_than_a_message_may() {
        let (mut writer, mut chunks) = ChunkWriter::new(1_000);
        let bytes: Vec<u8> = (0..10_500_u32).map(|n| n as u8).collect();
        writer.write_all(&bytes).unwrap();
        writer.end().unwrap();
        let mut lengths = Vec::new();
        let mut received = Vec::new();
        while let Ok(chunk) = chunks.try_recv() {
            lengths.push(chunk.len());
            received.extend_from_slice(&chunk);
        }
        assert_eq!(received, bytes);
        assert_eq!(lengths, [[1_000; 10].as_slice(), &[500]].concat());
    }

    #[test]
    fn a_writer_whose_chunks_nobody_takes_fails() {
        let (mut writer, chunks) = ChunkWriter::new(10);
        drop(chunks);
        assert_eq!(writer.write_all(&[0; 20]).unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn only_an_answer_without_error_is_success() {
        assert!(
            read_json(br#"{"type":"io.nats.jetstream.api.v1.stream_create_response","config":{}}"#).is_ok()
        );
        let error = read_json(br#"{"error":{"code":500,"err_code":10062,"description":"x"}}"#).unwrap_err();
        assert_eq!(error.err_code(), 10062);
        assert!(read_json(br#"{"error":"odd"}"#).is_err());
        assert!(read_json(b"hello").is_err());
    }

    #[test]
    fn a_chunk_that_could_not_be_stored_asks_for_more_disk() {
        let failure = read_final(b"-ERR 'storage failure during restore'", "S").unwrap_err();
        assert_eq!(failure.class, Class::Refused);
        assert!(
            failure.message.contains("storage failure") && failure.hint.contains("more disk"),
            "{failure}"
        );
    }
}
