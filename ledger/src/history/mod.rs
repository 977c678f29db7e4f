//! Invents realistic histories from a seed: tenants, lifecycles, renewals, revocations, offboarding, odd messages, gaps.
//!
//! The same seed, length and options give the same bytes on every machine: the random numbers are written here, and
//! no clock is read. Entries are made one by one from a bounded set of live objects, so that a history of ten million
//! events needs no more memory than a short one. Ids are unique.
//!
//! What is marked [`Keep::Deleted`] is appended like the rest and deleted afterwards: it leaves a gap. Nothing that is kept
//! depends on it, so that [`Outcome`] holds for the log with and without it.

mod authorities;
mod draft;
mod identities;
mod inventory;
mod odd;
mod poison;
mod random;
mod tenant;
mod text;
mod world;

use bytes::Bytes;
use trstctl_formats::event::{Actor, Event};
use trstctl_formats::{StoreTime, StoredMessage};
use uuid::Uuid;

use draft::{Draft, Draw};
use random::Random;
use world::World;

/// 2026-01-02T03:00:00Z, when every history begins, in nanoseconds since 1970.
const BEGIN_NS: i64 = 1_767_322_800_000_000_000;

/// Mean time from one event to the next, in nanoseconds: a million events are most of a year.
const STEP_NS: u64 = 30_000_000_000;

/// Below this length a history is too short for gaps, offboarding and more than one tenant.
const SHORT: u64 = 100;

/// What a history is made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct HistoryOptions {
    /// Odd messages among the events.
    pub odd: Odd,
    /// Messages to be deleted afterwards.
    pub gaps: Gaps,
    /// How many events the projection has to quarantine, besides what odd messages do; at most one entry in twenty.
    pub poison_events: u64,
}

/// Messages that are no events of ours, or spell them differently: version 1 of the backup cannot say them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Odd {
    /// About one entry in 250, every kind in turn.
    #[default]
    Some,
    /// None: every entry is an event in its canonical form, with a JSON payload and its id as the only header.
    None,
}

/// Whether a history has gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gaps {
    /// At the start, in the middle and at the end; about two entries in a thousand.
    #[default]
    Some,
    /// Nothing is deleted.
    None,
}

/// A message to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Subject: `events.<type>`, as older servers wrote, or `events.<tenant>.<kind>.<id>`.
    pub subject: String,
    /// The whole header block, or empty.
    pub headers: Bytes,
    /// The stored form of the event.
    pub payload: Bytes,
    /// Whether it stays.
    pub keep: Keep,
    /// What the projection makes of it, if it stays.
    pub outcome: Outcome,
}

/// Whether a message stays in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It stays.
    Kept,
    /// It is to be deleted after all were appended.
    Deleted,
}

/// What the projection makes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Applied to the read model.
    Applied,
    /// Counted as not projected.
    NotProjected,
    /// Quarantined.
    Quarantined,
}

/// A history: an iterator of exactly as many entries as were asked for.
#[derive(Clone, Debug)]
pub struct History {
    events: u64,
    options: HistoryOptions,
    /// Entries made so far.
    made: u64,
    poison_made: u64,
    odd_made: u64,
    now_ns: i64,
    random: Random,
    world: World,
}

impl History {
    /// A history of `events` entries, with odd messages and gaps.
    pub fn new(seed: u64, events: u64) -> Self {
        Self::with_options(seed, events, HistoryOptions::default())
    }

    /// A history of `events` entries.
    pub fn with_options(seed: u64, events: u64, options: HistoryOptions) -> Self {
        let poison_events = options.poison_events.min(events / 20);
        let mut random = Random::new(seed);
        let world = World::new(random.fork(), if events < SHORT { 1 } else { 3 });
        let options = HistoryOptions { poison_events, ..options };
        Self { events, options, made: 0, poison_made: 0, odd_made: 0, now_ns: BEGIN_NS, random, world }
    }

    /// The history as a log holds it, without what was deleted: sequences from 1, and store times that mostly rise.
    ///
    /// The log's last sequence is the length of the history, also when its last entries are deleted.
    pub fn stored(mut self) -> impl Iterator<Item = StoredMessage> {
        std::iter::from_fn(move || {
            loop {
                let entry = self.next()?;
                if entry.keep == Keep::Kept {
                    return Some(self.store(entry));
                }
            }
        })
    }

    fn store(&mut self, entry: Entry) -> StoredMessage {
        let latency_ns = match self.made % 997 {
            0 => -3_000_000_000, // The server's clock was set back.
            5 => 0,
            _ => 400_000 + (self.made as i64).wrapping_mul(7919).rem_euclid(1_000_000),
        };
        StoredMessage {
            sequence: self.made,
            stored_at: StoreTime(self.now_ns + latency_ns),
            subject: entry.subject.into(),
            headers: entry.headers,
            payload: entry.payload,
        }
    }

    fn draw(&mut self) -> Draw {
        if self.is_edge() {
            return Draw::Event(self.world.chaff(Keep::Deleted));
        }
        if self.is_poison() {
            self.poison_made += 1;
            return Draw::Event(poison::draft(self.poison_made, &mut self.random, self.world.some_tenant()));
        }
        self.play_scene();
        if self.options.odd == Odd::Some && self.made > 20 && self.random.one_in(250) {
            self.odd_made += 1;
            let id = self.event_id();
            return Draw::Message(odd::message(self.odd_made, &id, self.now_ns, &mut self.random));
        }
        Draw::Event(self.world.next(self.now_ns))
    }

    /// The first two and the last three entries are gaps.
    fn is_edge(&self) -> bool {
        self.options.gaps == Gaps::Some
            && self.events >= SHORT
            && (self.made < 2 || self.made >= self.events - 3)
    }

    /// Poison is spread evenly over the history.
    fn is_poison(&self) -> bool {
        let wanted = u128::from(self.options.poison_events);
        let due = (2 * u128::from(self.poison_made) + 1) * u128::from(self.events);
        u128::from(self.poison_made) < wanted && u128::from(self.made) * 2 * wanted >= due
    }

    /// What is rare must still happen in a short history: a run of gaps, a tenant that leaves, and its return.
    fn play_scene(&mut self) {
        let gaps = self.options.gaps == Gaps::Some;
        if self.events < SHORT {
            return;
        }
        if self.made == self.events / 2 {
            self.world.offboard(self.now_ns);
        } else if self.made == self.events / 2 + 20 {
            self.world.register_again(self.now_ns);
        } else if gaps && (self.made == self.events / 3 || self.random.one_in(5000)) {
            let count = 1 + self.random.below(16);
            self.world.queue_gaps(count);
        }
    }

    fn advance_clock(&mut self) {
        self.now_ns += 1 + self.random.below(2 * STEP_NS / 1000) as i64 * 1000;
    }

    /// 22 characters; unique, since the first half is another number for each entry.
    fn event_id(&mut self) -> String {
        use base64::Engine as _;
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&random::mix(self.made).to_be_bytes());
        bytes[8..].copy_from_slice(&self.random.next().to_be_bytes());
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    }

    fn finish(&mut self, draft: Draft) -> Entry {
        let id = self.event_id();
        let headers = Bytes::from(format!("NATS/1.0\r\nNats-Msg-Id: {id}\r\n\r\n"));
        let event = Event {
            id,
            time: text::event_time(self.now_ns, &mut self.random),
            version: Some(draft.version),
            actor: self.actor(draft.tenant_id),
            kind: draft.kind.into(),
            tenant_id: draft.tenant_text.unwrap_or_else(|| draft.tenant_id.to_string()),
            data: draft.data,
        };
        Entry {
            subject: draft.subject,
            headers,
            payload: event.to_stored(),
            keep: draft.keep,
            outcome: draft.outcome,
        }
    }

    fn actor(&mut self, tenant: Uuid) -> Option<Actor> {
        if tenant.is_nil() || self.random.one_in(6) {
            return None;
        }
        let (subject, roles) = self.random.pick(text::ACTORS);
        Some(Actor {
            subject: subject.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        })
    }
}

impl Iterator for History {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.made == self.events {
            return None;
        }
        self.advance_clock();
        let entry = match self.draw() {
            Draw::Event(draft) => self.finish(draft),
            Draw::Message(entry) => entry,
        };
        self.made += 1;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.events - self.made);
        (left.unwrap_or(usize::MAX), left.ok())
    }
}

#[cfg(test)]
mod tests;
