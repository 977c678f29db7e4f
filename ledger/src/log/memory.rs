//! The event log in memory, for tests: the same contract, with deletion, raw insertion and a limit on its size.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trstctl_formats::{StoreTime, StoredMessage};

use super::{Accounting, Appended, EventLog, Expected, LogError, LogReader, LogState, NewMessage};

/// Most messages and bytes of a batch.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 8 << 20;

/// A log in memory. Clones are the same log. Message ids are remembered for ever.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    messages: BTreeMap<u64, StoredMessage>,
    last_sequence: u64,
    last_of_subject: HashMap<bytes::Bytes, u64>,
    ids: HashMap<Vec<u8>, u64>,
    len_bytes: u64,
    limit_bytes: Option<u64>,
}

impl MemoryLog {
    /// An empty log without limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty log that refuses whatever would take it beyond so many bytes.
    pub fn with_space(limit_bytes: u64) -> Self {
        let log = Self::default();
        log.lock().limit_bytes = Some(limit_bytes);
        log
    }

    /// Puts a message in as it is, leaving a gap before it where its sequence is not the next one.
    ///
    /// # Errors
    /// [`LogError::WrongLastSequence`] when its sequence is not above the last one; [`LogError::Refused`] without space.
    pub fn insert(&self, message: StoredMessage) -> Result<(), LogError> {
        let mut inner = self.lock();
        if message.sequence <= inner.last_sequence {
            let expected = message.sequence.saturating_sub(1);
            return Err(LogError::WrongLastSequence { expected, actual: inner.last_sequence });
        }
        inner.store(message)
    }

    /// Deletes a message; says whether it was there.
    pub fn delete(&self, sequence: u64) -> bool {
        let mut inner = self.lock();
        let removed = inner.messages.remove(&sequence);
        if let Some(message) = &removed {
            inner.len_bytes -= message.len_bytes() as u64;
        }
        removed.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn state(&self) -> LogState {
        LogState {
            first_sequence: self.messages.keys().next().copied().unwrap_or(self.last_sequence + 1),
            last_sequence: self.last_sequence,
            messages: self.messages.len() as u64,
            len_bytes: self.len_bytes,
        }
    }

    fn store(&mut self, message: StoredMessage) -> Result<(), LogError> {
        let len_bytes = self.len_bytes + message.len_bytes() as u64;
        if self.limit_bytes.is_some_and(|limit| len_bytes > limit) {
            return Err(LogError::Refused {
                what: format!("message {}", message.sequence),
                reason: "insufficient resources".to_owned(),
                hint: "Give the log more space.".to_owned(),
            });
        }
        self.len_bytes = len_bytes;
        self.last_sequence = message.sequence;
        self.last_of_subject.insert(message.subject.clone(), message.sequence);
        self.messages.insert(message.sequence, message);
        Ok(())
    }

    fn append(
        &mut self,
        message: NewMessage,
        expected: Expected,
        now: StoreTime,
    ) -> Result<Appended, LogError> {
        let id = message.message_id().map(<[u8]>::to_vec);
        if let Some(&sequence) = id.as_ref().and_then(|id| self.ids.get(id)) {
            return Ok(Appended { sequence, duplicate: true });
        }
        let headers = message.headers_expecting(expected)?;
        let subject = bytes::Bytes::from(message.subject);
        self.check(&subject, expected)?;
        let sequence = self.last_sequence + 1;
        self.store(StoredMessage { sequence, stored_at: now, subject, headers, payload: message.payload })?;
        self.ids.extend(id.map(|id| (id, sequence)));
        Ok(Appended { sequence, duplicate: false })
    }

    fn check(&self, subject: &bytes::Bytes, expected: Expected) -> Result<(), LogError> {
        let (expected, actual) = match expected {
            Expected::Any => return Ok(()),
            Expected::LastOfLog(sequence) => (sequence, self.last_sequence),
            Expected::LastOfSubject(sequence) => {
                (sequence, self.last_of_subject.get(subject).copied().unwrap_or(0))
            }
        };
        match expected == actual {
            true => Ok(()),
            false => Err(LogError::WrongLastSequence { expected, actual }),
        }
    }

    /// The messages from `from` up to `through`, as many as a batch takes.
    fn batch(&self, from: u64, through: u64) -> Vec<StoredMessage> {
        let mut len_bytes = 0;
        let fits = |message: &&StoredMessage| {
            let first = len_bytes == 0;
            len_bytes += message.len_bytes();
            first || len_bytes <= BATCH_BYTES
        };
        self.messages
            .range(from..=through)
            .map(|(_, message)| message)
            .take(BATCH)
            .take_while(fits)
            .cloned()
            .collect()
    }
}

impl EventLog for MemoryLog {
    type Reader = MemoryReader;

    async fn state(&self) -> Result<LogState, LogError> {
        Ok(self.lock().state())
    }

    async fn append(&self, message: NewMessage, expected: Expected) -> Result<Appended, LogError> {
        let now = jiff::Timestamp::now().as_nanosecond();
        let now = StoreTime(i64::try_from(now).expect("the clock stands before the year 2262"));
        self.lock().append(message, expected, now)
    }

    async fn read(&self, from: u64, through: u64) -> Result<MemoryReader, LogError> {
        let last = self.lock().last_sequence;
        if through > last {
            return Err(LogError::beyond(through, last));
        }
        Ok(MemoryReader { log: self.clone(), next: from.max(1), through, accounting: Accounting::default() })
    }
}

/// A complete reading of a log in memory.
#[derive(Debug)]
pub struct MemoryReader {
    log: MemoryLog,
    next: u64,
    through: u64,
    accounting: Accounting,
}

impl MemoryReader {
    fn skip_to(&mut self, next: u64) {
        if next > self.next {
            match self.accounting.gaps.last_mut() {
                Some(gap) if gap.1 + 1 == self.next => gap.1 = next - 1,
                _ => self.accounting.gaps.push((self.next, next - 1)),
            }
        }
        self.next = next;
    }
}

impl LogReader for MemoryReader {
    async fn next_batch(&mut self) -> Result<Option<Vec<StoredMessage>>, LogError> {
        if self.next > self.through {
            return Ok(None);
        }
        let batch = self.log.lock().batch(self.next, self.through);
        for message in &batch {
            self.skip_to(message.sequence);
            self.next = message.sequence + 1;
        }
        self.accounting.records += batch.len() as u64;
        if batch.is_empty() {
            self.skip_to(self.through + 1);
            return Ok(None);
        }
        Ok(Some(batch))
    }

    fn accounting(&self) -> &Accounting {
        &self.accounting
    }
}
