//! Events in the envelope's form that no projection can apply: each must be quarantined, and stop nothing.

use bytes::Bytes;
use uuid::Uuid;

use super::Outcome;
use super::draft::{Draft, Payload};
use super::random::Random;

/// The poison event number `number`: the kinds take turns.
pub fn draft(number: u64, random: &mut Random, tenant: Uuid) -> Draft {
    let id = random.uuid();
    let owner = |name: &str| owner(Payload::new().uuid("id", id), name);
    let draft = match number % 12 {
        0 => {
            let draft = Draft::new("owner.created", tenant, owner("poison"));
            Draft { tenant_text: Some("not-a-uuid".into()), ..draft }
        }
        1 => Draft::new("owner.created", tenant, owner("poison")).version(7),
        2 => without_object(tenant, "[]"),
        3 => without_object(tenant, "null"),
        4 => Draft::new("owner.created", tenant, Payload::new().uuid("id", id).text("kind", "team")),
        5 => Draft::new(
            "owner.created",
            tenant,
            self::owner(Payload::new().text("id", "11111111-1111"), "poison"),
        ),
        6 => Draft::new("owner.created", tenant, owner("nul \\u0000 inside")),
        7 => Draft::new("owner.created", tenant, owner("lone \\ud800 surrogate")),
        8 => Draft::new("owner.updated", tenant, owner("nobody")),
        9 => Draft::new(
            "certificate.revoked",
            tenant,
            revocation(&hex::encode(random.bytes::<32>()), "2026-01-02T03:00:00Z"),
        ),
        10 => Draft::new("certificate.revoked", tenant, revocation("00", "yesterday")),
        _ => Draft::new("identity.created", tenant, identity(id, "2026")),
    };
    draft.outcome(Outcome::Quarantined)
}

fn without_object(tenant: Uuid, data: &'static str) -> Draft {
    let draft = Draft::new("identity.created", tenant, Payload::default());
    Draft { data: Bytes::from_static(data.as_bytes()), ..draft }
}

fn owner(payload: Payload, name: &str) -> Payload {
    payload.text("kind", "team").text("name", name).text("email", "poison@example.com")
}

/// Of a certificate that is not there, and without the CA that would make it known nevertheless.
fn revocation(fingerprint: &str, revoked_at: &str) -> Payload {
    Payload::new()
        .text("fingerprint", fingerprint)
        .text("serial", "0")
        .text("reason", "poison")
        .text("revoked_at", revoked_at)
}

fn identity(id: Uuid, owner_id: &str) -> Payload {
    Payload::new()
        .uuid("id", id)
        .text("kind", "workload")
        .text("name", "poison")
        .text("owner_id", owner_id)
        .raw("attributes", "{}")
}
