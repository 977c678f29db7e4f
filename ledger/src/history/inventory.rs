//! Issuers, profiles and owners of a tenant.

use uuid::Uuid;

use super::Outcome;
use super::draft::Payload;
use super::tenant::{Scene, pem, remember, some};
use super::text;

#[derive(Clone, Debug)]
pub struct Owner {
    pub id: Uuid,
    pub use_count: u64,
}

#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    pub id: Uuid,
    pub version: u64,
}

impl Scene<'_> {
    pub fn create_issuer(&mut self) {
        let id = self.random.uuid();
        let chain =
            format!("[\"{}\",\"{}\"]", pem(&self.random.bytes::<96>()), pem(&self.random.bytes::<96>()));
        let kind = if self.random.one_in(4) { "ssh_ca" } else { "x509_ca" };
        let payload = Payload::new()
            .uuid("id", id)
            .text("kind", kind)
            .text("name", &format!("{kind} of {}", self.tenant.name))
            .raw("chain", &chain)
            .bytes("public_key", &self.random.bytes::<65>())
            .raw("internal", if self.random.one_in(3) { "false" } else { "true" });
        self.emit("issuer.created", "issuer", id, payload);
        remember(&mut self.tenant.issuers, id, self.random);
    }

    pub fn create_profile(&mut self) {
        let (id, name) = (self.random.uuid(), format!("profil-é-{}", self.random.below(1_000_000)));
        let payload = self.profile(id, &name, 1);
        let draft = self.tenant.draft("profile.created", "profile", id, payload);
        self.queue.push_back(draft.version(2));
        remember(&mut self.tenant.profiles, Profile { name, id, version: 1 }, self.random);
    }

    /// A new version of a profile is a row of its own; it takes over as the active one of its name.
    pub fn update_profile(&mut self) {
        let index = self.random.index(self.tenant.profiles.len());
        let Profile { id, name, version } = self.tenant.profiles[index].clone();
        let payload = self.profile(id, &name, version + 1);
        self.tenant.profiles[index].version += 1;
        let draft = self.tenant.draft("profile.updated", "profile", id, payload);
        self.queue.push_back(draft.version(2));
    }

    /// Version 1 of the payload, of older servers, which the projection only counts.
    pub fn legacy_profile(&mut self) {
        let id = self.random.uuid();
        let payload = self.profile(id, "legacy", 1);
        let draft = self.tenant.draft("profile.created", "profile", id, payload);
        self.queue.push_back(draft.outcome(Outcome::NotProjected));
    }

    fn profile(&mut self, id: Uuid, name: &str, version: u64) -> Payload {
        let days = 1 + self.random.below(365);
        let spec = format!(
            "{{\"validity_days\":{days},\"usages\":[\"server_auth\",\"client_auth\"],\"sans\":{{\"max\":10}}}}"
        );
        Payload::new()
            .uuid("id", id)
            .text("name", name)
            .number("version", version)
            .raw("spec", &spec)
            .raw("active", "true")
            .text("created_by", self.random.pick(text::ACTORS).0)
    }

    pub fn create_owner(&mut self) {
        let id = self.random.uuid();
        let payload = self.owner(id);
        self.emit("owner.created", "owner", id, payload);
        remember(&mut self.tenant.owners, Owner { id, use_count: 0 }, self.random);
    }

    pub fn update_owner(&mut self) {
        let id = some(&mut self.tenant.owners, self.random).id;
        let payload = self.owner(id);
        self.emit("owner.updated", "owner", id, payload);
    }

    /// Only an owner that nothing refers to.
    pub fn delete_owner(&mut self) {
        let index = self.random.index(self.tenant.owners.len());
        if self.tenant.owners[index].use_count > 0 || self.tenant.owners.len() < 3 {
            return;
        }
        let id = self.tenant.owners.swap_remove(index).id;
        self.emit("owner.deleted", "owner", id, Payload::new().uuid("id", id));
    }

    fn owner(&mut self, id: Uuid) -> Payload {
        let name = format!("{}-{}", self.random.pick(text::OWNERS), self.random.below(100));
        Payload::new()
            .uuid("id", id)
            .text("kind", self.random.pick(text::OWNER_KINDS))
            .text("name", &name)
            .text("email", &format!("team-{}@example.com", self.random.below(1000)))
    }
}
