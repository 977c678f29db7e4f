//! Identities of a tenant on their way through the lifecycle, and the certificates that they hold.

use uuid::Uuid;

use super::draft::Payload;
use super::tenant::{Scene, YEAR_NS, remember, some};
use super::text;

#[derive(Clone, Debug)]
pub struct Identity {
    pub id: Uuid,
    pub owner_id: Uuid,
    pub status: Status,
    pub certificate: Option<Certificate>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Requested,
    Issued,
    Deployed,
    Renewing,
    Revoked,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Requested => "requested",
            Status::Issued => "issued",
            Status::Deployed => "deployed",
            Status::Renewing => "renewing",
            Status::Revoked => "revoked",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Certificate {
    pub id: Uuid,
    pub ca_id: Uuid,
    pub serial: String,
    pub fingerprint: String,
}

impl Scene<'_> {
    pub fn create_identity(&mut self) {
        let id = self.random.uuid();
        let owner = some(&mut self.tenant.owners, self.random);
        owner.use_count += 1;
        let owner_id = owner.id;
        let issuer_id = (!self.random.one_in(5)).then(|| self.random.pick(&self.tenant.issuers));
        let name = format!("svc-{}.{}", self.random.below(100_000), self.random.pick(text::ENVIRONMENTS));
        let payload = Payload::new()
            .uuid("id", id)
            .text("kind", self.random.pick(text::IDENTITY_KINDS))
            .text("name", &name)
            .uuid("owner_id", owner_id)
            .optional_uuid("issuer_id", issuer_id);
        let payload = payload.raw("attributes", &self.attributes());
        self.emit("identity.created", "identity", id, payload);
        let identity = Identity { id, owner_id, status: Status::Requested, certificate: None };
        remember(&mut self.tenant.identities, identity, self.random);
    }

    /// Mostly a line, sometimes empty, rarely some 100 KB.
    fn attributes(&mut self) -> String {
        let environment = self.random.pick(text::ENVIRONMENTS);
        match self.random.below(2000) {
            0 => format!("{{\"blob\":\"{}\"}}", hex::encode(vec![0xab; 20_000 + self.random.index(80_000)])),
            1..200 => "{}".to_owned(),
            _ => {
                format!("{{\"env\":\"{environment}\",\"replicas\":{},\"note\":\"🦀\"}}", self.random.below(9))
            }
        }
    }

    pub fn advance_identity(&mut self) {
        if self.tenant.identities.is_empty() {
            return self.create_identity();
        }
        let index = self.random.index(self.tenant.identities.len());
        match self.tenant.identities[index].status {
            Status::Requested => self.issue(index),
            Status::Issued if self.random.one_in(30) => self.revoke(index),
            Status::Issued => self.transition(index, "identity.deployed", Status::Deployed),
            Status::Deployed if self.random.one_in(12) => self.revoke(index),
            Status::Deployed => self.transition(index, "identity.renewing", Status::Renewing),
            Status::Renewing if self.random.one_in(30) => self.revoke(index),
            Status::Renewing => self.renew(index),
            Status::Revoked => self.retire(index),
        }
    }

    fn issue(&mut self, index: usize) {
        self.transition(index, "identity.issued", Status::Issued);
        self.record_certificate(index);
    }

    fn renew(&mut self, index: usize) {
        let old = self.tenant.identities[index].certificate.clone();
        let new = self.record_certificate(index);
        if let Some(old) = old {
            let payload = Payload::new()
                .text("fingerprint", &old.fingerprint)
                .text("serial", &old.serial)
                .text("superseded_by", &new)
                .text("renewed_at", &text::time(self.now_ns));
            self.emit("certificate.superseded", "certificate", old.id, payload);
        }
        self.transition(index, "identity.renewed", Status::Deployed);
    }

    /// A certificate is sometimes revoked twice: the first revocation wins.
    fn revoke(&mut self, index: usize) {
        let certificate = self.tenant.identities[index].certificate.clone();
        if let Some(certificate) = certificate {
            self.count_revocation(certificate.ca_id);
            for _ in 0..1 + u8::from(self.random.one_in(10)) {
                self.now_ns += 1_000_000;
                let payload = Payload::new()
                    .text("fingerprint", &certificate.fingerprint)
                    .uuid("ca_id", certificate.ca_id)
                    .text("serial", &certificate.serial)
                    .text("reason", self.random.pick(text::REASONS))
                    .number("reason_code", self.random.below(6))
                    .text("revoked_at", &text::time(self.now_ns));
                self.emit("certificate.revoked", "certificate", certificate.id, payload);
            }
        }
        self.transition(index, "identity.revoked", Status::Revoked);
    }

    fn count_revocation(&mut self, ca_id: Uuid) {
        if let Some(authority) = self.tenant.authorities.iter_mut().find(|authority| authority.id == ca_id) {
            authority.revoked += 1;
        }
    }

    fn retire(&mut self, index: usize) {
        let id = self.tenant.identities.swap_remove(index).id;
        let payload = Payload::new().uuid("identity_id", id).text("from", "revoked").text("to", "retired");
        self.emit_1_or_2("identity.retired", "identity", id, payload);
    }

    fn transition(&mut self, index: usize, kind: &'static str, to: Status) {
        let identity = &mut self.tenant.identities[index];
        let (id, from) = (identity.id, identity.status);
        identity.status = to;
        let mut payload =
            Payload::new().uuid("identity_id", id).text("from", from.name()).text("to", to.name());
        if self.random.one_in(3) {
            payload = payload.text("reason", self.random.pick(text::REASONS));
        }
        if self.random.one_in(4) {
            payload = payload.text("idempotency_key", &hex::encode(self.random.bytes::<8>()));
        }
        self.emit_1_or_2(kind, "identity", id, payload);
    }

    /// Records a certificate for an identity, in place of the one that it has, and answers the fingerprint.
    fn record_certificate(&mut self, index: usize) -> String {
        let authority = some(&mut self.tenant.authorities, self.random).id;
        let owner_id = self.tenant.identities[index].owner_id;
        let certificate = Certificate {
            id: self.random.uuid(),
            ca_id: authority,
            serial: self.serial(),
            fingerprint: hex::encode(self.random.bytes::<32>()),
        };
        let fingerprint = certificate.fingerprint.clone();
        let old = self.tenant.identities[index].certificate.replace(certificate.clone());
        let payload = self.certificate(&certificate, owner_id, old.map(|old| old.id));
        self.emit("certificate.recorded", "certificate", certificate.id, payload);
        fingerprint
    }

    fn certificate(&mut self, certificate: &Certificate, owner: Uuid, replaces: Option<Uuid>) -> Payload {
        let host = self.random.below(1_000_000);
        let payload = Payload::new()
            .uuid("id", certificate.id)
            .uuid("ca_id", certificate.ca_id)
            .optional_uuid("owner_id", (!self.random.one_in(8)).then_some(owner))
            .text("subject", &format!("CN=host-{host}.example.com,O={}", self.tenant.name))
            .raw("sans", &format!("[\"host-{host}.example.com\",\"bücher-{host}.example.org\"]"))
            .text("issuer", &format!("CN={} issuing CA", self.tenant.name))
            .text("serial", &certificate.serial)
            .text("fingerprint", &certificate.fingerprint)
            .text("key_algorithm", self.random.pick(text::ALGORITHMS))
            .text("not_before", &text::time(self.now_ns))
            .text("not_after", &text::time(self.now_ns + YEAR_NS / 4))
            .text("deployment_location", self.random.pick(text::LOCATIONS))
            .text("source", self.random.pick(text::SOURCES))
            .optional_uuid("replaces_id", replaces);
        if self.random.one_in(8) {
            let mut der = vec![0; 500 + self.random.index(700)];
            self.random.fill(&mut der);
            return payload.bytes("certificate_der", &der);
        }
        payload
    }
}
