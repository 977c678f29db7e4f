//! Certification authorities of a tenant, what they issue besides identities, and their CRLs.

use uuid::Uuid;

use super::Outcome;
use super::draft::Payload;
use super::tenant::{Scene, YEAR_NS, pem, remember, some};
use super::text;

#[derive(Clone, Debug)]
pub struct Authority {
    pub id: Uuid,
    pub parent: Option<Uuid>,
    pub crl_number: u64,
    pub revoked: u64,
    pub last_serial: Option<String>,
}

impl Scene<'_> {
    pub fn create_authority(
        &mut self,
        kind: &'static str,
        parent: Option<Uuid>,
        predecessor: Option<Uuid>,
    ) -> Uuid {
        let id = self.random.uuid();
        let rank = if parent.is_none() { "root" } else { "issuing" };
        let pem = pem(&self.random.bytes::<192>());
        let payload = Payload::new()
            .uuid("id", id)
            .optional_uuid("parent_id", parent)
            .text("common_name", &format!("{} {rank} CA", self.tenant.name))
            .text("kind", rank)
            .text("certificate_pem", &pem)
            .text("signer_handle", &format!("ca-{rank}-{}", hex::encode(self.random.bytes::<6>())))
            .text("serial", &self.serial())
            .text("not_after", &text::time(self.now_ns + 5 * YEAR_NS))
            .optional_uuid("predecessor_id", predecessor);
        self.emit(kind, "ca", id, payload);
        let authority = Authority { id, parent, crl_number: 0, revoked: 0, last_serial: None };
        remember(&mut self.tenant.authorities, authority, self.random);
        id
    }

    pub fn rotate_authority(&mut self) {
        let index = self.random.index(self.tenant.authorities.len());
        let Authority { id, parent, .. } = self.tenant.authorities[index];
        self.create_authority("ca.authority.rotated", parent, Some(id));
    }

    pub fn issue_beside_identities(&mut self) {
        let serial = self.serial();
        let issued_at = text::time(self.now_ns);
        let authority = some(&mut self.tenant.authorities, self.random);
        authority.last_serial = Some(serial.clone());
        let id = authority.id;
        let payload = Payload::new().uuid("ca_id", id).text("serial", &serial).text("issued_at", &issued_at);
        self.emit("ca.certificate.issued", "ca", id, payload);
    }

    pub fn revoke_beside_identities(&mut self) {
        let authority = some(&mut self.tenant.authorities, self.random);
        let Some(serial) = authority.last_serial.take() else { return };
        authority.revoked += 1;
        let id = authority.id;
        let payload = Payload::new()
            .uuid("ca_id", id)
            .text("serial", &serial)
            .number("reason_code", self.random.below(6))
            .text("revoked_at", &text::time(self.now_ns));
        self.emit("ca.certificate.revoked", "ca", id, payload);
    }

    /// Mostly small; now and then of 100 KB. Version 1 is that of older servers, which the projection only counts.
    pub fn publish_crl(&mut self) {
        let authority = some(&mut self.tenant.authorities, self.random);
        authority.crl_number += 1;
        let (id, number, revoked) = (authority.id, authority.crl_number, authority.revoked);
        let entries = if self.random.one_in(50) { 2500 } else { revoked.min(400) };
        let mut der = vec![0; 180 + 36 * entries as usize];
        self.random.fill(&mut der);
        let payload = Payload::new()
            .uuid("ca_id", id)
            .number("crl_number", number)
            .bytes("crl_der", &der)
            .text("this_update", &text::time(self.now_ns))
            .text("next_update", &text::time(self.now_ns + YEAR_NS / 52))
            .number("revoked_count", revoked);
        let version = 1 + self.random.below(3) as i64;
        let outcome = if version == 1 { Outcome::NotProjected } else { Outcome::Applied };
        let draft = self.tenant.draft("ca.crl.published", "ca", id, payload);
        self.queue.push_back(draft.version(version).outcome(outcome));
    }
}
