//! All tenants of a history, and the steps that are not a single tenant's.

use std::collections::VecDeque;

use uuid::Uuid;

use super::draft::{Draft, Payload};
use super::random::Random;
use super::tenant::{Scene, Subjects, Tenant, some};
use super::text;
use super::{Keep, Outcome};

const MAX_TENANTS: usize = 6;

#[derive(Clone, Debug)]
pub struct World {
    random: Random,
    tenants: Vec<Tenant>,
    /// Offboarded tenants that may come back, with their names.
    gone: VecDeque<(Uuid, &'static str)>,
    queue: VecDeque<Draft>,
    registered: usize,
    now_ns: i64,
    epoch: u64,
}

impl World {
    pub fn new(random: Random, tenants: usize) -> Self {
        let mut world = Self {
            random,
            tenants: Vec::new(),
            gone: VecDeque::new(),
            queue: VecDeque::new(),
            registered: 0,
            now_ns: super::BEGIN_NS,
            epoch: 0,
        };
        (0..tenants).for_each(|_| world.register_new());
        world
    }

    /// The next event.
    pub fn next(&mut self, now_ns: i64) -> Draft {
        self.now_ns = now_ns;
        loop {
            if let Some(draft) = self.queue.pop_front() {
                return draft;
            }
            self.step();
        }
    }

    /// A tenant that is registered now.
    pub fn some_tenant(&mut self) -> Uuid {
        some(&mut self.tenants, &mut self.random).id
    }

    fn step(&mut self) {
        match self.random.below(10_000) {
            0..2 => self.offboard(self.now_ns),
            2..40 => self.register_again(self.now_ns),
            40..120 if self.tenants.len() < MAX_TENANTS => self.register_new(),
            120..220 => {
                let draft = self.chaff(Keep::Kept);
                self.queue.push_back(draft);
            }
            _ => self.tenant_step(),
        }
    }

    fn tenant_step(&mut self) {
        let index = self.random.index(self.tenants.len());
        let mut scene = Scene {
            tenant: &mut self.tenants[index],
            random: &mut self.random,
            queue: &mut self.queue,
            now_ns: self.now_ns,
        };
        match scene.random.below(1000) {
            0..30 => scene.create_owner(),
            30..50 => scene.update_owner(),
            50..54 => scene.delete_owner(),
            54..60 => scene.create_profile(),
            60..75 => scene.update_profile(),
            75..230 => scene.create_identity(),
            230..280 => scene.issue_beside_identities(),
            280..285 => scene.revoke_beside_identities(),
            285..305 => scene.publish_crl(),
            305..306 => scene.rotate_authority(),
            _ => scene.advance_identity(),
        }
    }

    /// Events that change no row: nothing depends on them.
    pub fn chaff(&mut self, keep: Keep) -> Draft {
        let mut draft = match self.random.below(4) {
            0 => self.leader_elected(),
            1 => self.archive_or_recovery(),
            _ => self.foreign_event(),
        };
        draft.keep = keep;
        draft.outcome(Outcome::NotProjected)
    }

    fn leader_elected(&mut self) -> Draft {
        self.epoch += 1;
        let replica = format!("trstctl-{}", self.random.below(3));
        let payload = Payload::new().number("epoch", self.epoch).text("replica", &replica);
        Draft::new("leader.elected", Uuid::nil(), payload)
    }

    fn archive_or_recovery(&mut self) -> Draft {
        let tenant = self.some_tenant();
        let (kind, what) =
            self.random.pick(&[("audit.archived", "bundle"), ("recovery.completed", "backup")]);
        let digest = hex::encode(self.random.bytes::<32>());
        Draft::new(kind, tenant, Payload::new().text(what, &digest).text("at", &text::time(self.now_ns)))
    }

    fn foreign_event(&mut self) -> Draft {
        let tenant = self.some_tenant();
        let kind = self.random.pick(text::FOREIGN_KINDS);
        let payload = Payload::new()
            .number("score", self.random.below(1000))
            .raw("nested", "{\"a\":[1,2.50,-3e7,true,null],\"ключ\":\"値\",\"a\":\"again\"}");
        Draft::new(kind, tenant, payload)
    }

    /// Queues events to be deleted afterwards, one after the other.
    pub fn queue_gaps(&mut self, count: u64) {
        for _ in 0..count {
            let draft = self.chaff(Keep::Deleted);
            self.queue.push_front(draft);
        }
    }

    fn register_new(&mut self) {
        let id = self.random.uuid();
        let name = text::TENANTS[self.registered % text::TENANTS.len()];
        let subjects =
            if self.registered.is_multiple_of(2) { Subjects::ByType } else { Subjects::ByAggregate };
        self.registered += 1;
        self.register(id, name, subjects);
    }

    /// A tenant that was offboarded comes back, with nothing.
    pub fn register_again(&mut self, now_ns: i64) {
        self.now_ns = now_ns;
        if let Some((id, name)) = self.gone.pop_front() {
            self.register(id, name, Subjects::ByAggregate);
        }
    }

    fn register(&mut self, id: Uuid, name: &'static str, subjects: Subjects) {
        let mut tenant = Tenant::new(id, name, subjects);
        let (random, queue) = (&mut self.random, &mut self.queue);
        let mut scene = Scene { tenant: &mut tenant, random, queue, now_ns: self.now_ns };
        scene.begin();
        self.tenants.push(tenant);
    }

    /// A tenant leaves, unless there is only one.
    pub fn offboard(&mut self, now_ns: i64) {
        self.now_ns = now_ns;
        if self.tenants.len() < 2 {
            return;
        }
        let index = self.random.index(self.tenants.len());
        let tenant = self.tenants.swap_remove(index);
        let draft = tenant.draft("tenant.offboarded", "tenant", tenant.id, Payload::default());
        self.queue.push_back(draft);
        self.gone.push_back((tenant.id, tenant.name));
    }
}
