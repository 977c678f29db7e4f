//! One tenant of a history: its live objects, and what a step needs to change them.
//!
//! Each tenant keeps at most [`MAX_LIVE`] objects of a kind; beyond that, one is forgotten: it lives on in the log, and no
//! later event speaks of it. A step queues one event or a few that belong together.

use std::collections::VecDeque;

use uuid::Uuid;

use super::authorities::Authority;
use super::draft::{Draft, Payload};
use super::identities::Identity;
use super::inventory::{Owner, Profile};
use super::random::Random;

const MAX_LIVE: usize = 256;
pub const YEAR_NS: i64 = 365 * 86_400_000_000_000;

#[derive(Clone, Debug)]
pub struct Tenant {
    pub id: Uuid,
    pub name: &'static str,
    pub subjects: Subjects,
    pub authorities: Vec<Authority>,
    pub issuers: Vec<Uuid>,
    pub owners: Vec<Owner>,
    pub profiles: Vec<Profile>,
    pub identities: Vec<Identity>,
}

/// How the server that a tenant began with names subjects.
#[derive(Clone, Copy, Debug)]
pub enum Subjects {
    /// `events.<type>`
    ByType,
    /// `events.<tenant>.<kind>.<id>`
    ByAggregate,
}

impl Tenant {
    pub fn new(id: Uuid, name: &'static str, subjects: Subjects) -> Self {
        Self {
            id,
            name,
            subjects,
            authorities: Vec::new(),
            issuers: Vec::new(),
            owners: Vec::new(),
            profiles: Vec::new(),
            identities: Vec::new(),
        }
    }

    pub fn draft(&self, kind: &'static str, aggregate: &str, id: Uuid, payload: Payload) -> Draft {
        let mut draft = Draft::new(kind, self.id, payload);
        if let Subjects::ByAggregate = self.subjects {
            draft.subject = format!("events.{}.{aggregate}.{id}", self.id);
        }
        draft
    }
}

/// One tenant and what a step needs to change it.
pub struct Scene<'a> {
    pub tenant: &'a mut Tenant,
    pub random: &'a mut Random,
    pub queue: &'a mut VecDeque<Draft>,
    pub now_ns: i64,
}

impl Scene<'_> {
    pub fn emit(&mut self, kind: &'static str, aggregate: &str, id: Uuid, payload: Payload) {
        self.queue.push_back(self.tenant.draft(kind, aggregate, id, payload));
    }

    /// The same, of version 2 of the payload in two of three cases.
    pub fn emit_1_or_2(&mut self, kind: &'static str, aggregate: &str, id: Uuid, payload: Payload) {
        let version = 1 + u64::from(!self.random.one_in(3));
        self.queue.push_back(self.tenant.draft(kind, aggregate, id, payload).version(version as i64));
    }

    pub fn begin(&mut self) {
        let payload = Payload::new().text("name", self.tenant.name);
        self.emit("tenant.registered", "tenant", self.tenant.id, payload);
        let root = self.create_authority("ca.authority.created", None, None);
        self.create_authority("ca.authority.created", Some(root), None);
        self.create_issuer();
        self.create_profile();
        self.legacy_profile();
        (0..3).for_each(|_| self.create_owner());
    }

    pub fn serial(&mut self) -> String {
        hex::encode(self.random.bytes::<16>())
    }
}

/// Adds an object to the live ones; beyond the limit another one is forgotten.
pub fn remember<T>(live: &mut Vec<T>, object: T, random: &mut Random) {
    if live.len() == MAX_LIVE {
        live.swap_remove(random.index(MAX_LIVE));
    }
    live.push(object);
}

pub fn some<'a, T>(live: &'a mut [T], random: &mut Random) -> &'a mut T {
    let index = random.index(live.len());
    &mut live[index]
}

pub fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\\n{body}\\n-----END CERTIFICATE-----\\n")
}
