//! An effect: what one event does, in the terms of the tables, before it meets the rows that are there.
//!
//! One reader a type takes the payload's keys (spec "Events of the core"); one branch of `TenantRows::apply` carries the
//! effect out.

use uuid::Uuid;

use super::payload::{Fields, Misfit};
use super::record::Micros;
use super::rows::{
    Authority, Certificate, Crl, Identity, IssuedCert, Issuer, Owner, Profile, Status, Tenant, Transition,
};

/// What an event does to the rows of its tenant.
#[derive(Debug)]
pub(super) enum Effect {
    Register(Tenant),
    Offboard,
    CreateOwner(Owner),
    UpdateOwner(Owner),
    DeleteOwner(Uuid),
    CreateIssuer(Issuer),
    CreateProfile(Profile),
    UpdateProfile(Profile),
    CreateIdentity(Identity),
    MoveIdentity(Transition),
    /// The certificate as described, and when its serial counts as issued.
    RecordCertificate(Box<Certificate>, Micros),
    RevokeCertificate(Revocation),
    SupersedeCertificate(Supersession),
    CreateAuthority(Authority),
    /// A serial that was issued, with `issued_at`.
    IssueSerial(IssuedCert),
    /// A serial that was revoked, with `revoked_at`.
    RevokeSerial(IssuedCert),
    PublishCrl(Crl),
}

/// A revocation addresses certificates by fingerprint, and a serial of a CA when it names one.
#[derive(Debug)]
pub(super) struct Revocation {
    pub fingerprint: String,
    pub reason: String,
    pub revoked_at: Micros,
    pub serial: Option<IssuedCert>,
}

/// A renewal addresses certificates by fingerprint.
#[derive(Debug)]
pub(super) struct Supersession {
    pub fingerprint: String,
    pub superseded_by: Option<String>,
    pub renewed_at: Micros,
}

/// What an event says outside its payload.
pub(super) struct Context<'a> {
    pub sequence: u64,
    pub kind: &'a str,
    pub time: Micros,
}

pub(super) type Reader = fn(&Context<'_>, &Fields<'_>) -> Result<Effect, Misfit>;

pub(super) fn tenant_registered(event: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    Ok(Effect::Register(Tenant { name: data.text("name")?, created_at: event.time }))
}

pub(super) fn owner_created(_: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    owner(data).map(Effect::CreateOwner)
}

pub(super) fn owner_updated(_: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    owner(data).map(Effect::UpdateOwner)
}

/// A deletion needs the id only: what else it says has no row to go to.
pub(super) fn owner_deleted(_: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    Ok(Effect::DeleteOwner(data.uuid("id")?))
}

fn owner(data: &Fields<'_>) -> Result<Owner, Misfit> {
    Ok(Owner {
        id: data.uuid("id")?,
        kind: data.text("kind")?,
        name: data.text("name")?,
        email: data.text("email")?,
    })
}

pub(super) fn issuer_created(_: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    Ok(Effect::CreateIssuer(Issuer {
        id: data.uuid("id")?,
        kind: data.text("kind")?,
        name: data.text("name")?,
        chain: data.texts("chain")?,
        public_key: data.text("public_key")?,
        internal: data.flag("internal")?,
    }))
}

pub(super) fn profile_created(_: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    profile(data).map(Effect::CreateProfile)
}

pub(super) fn profile_updated(_: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    profile(data).map(Effect::UpdateProfile)
}

fn profile(data: &Fields<'_>) -> Result<Profile, Misfit> {
    Ok(Profile {
        id: data.uuid("id")?,
        name: data.indexed_text("name")?,
        version: data.int("version")?,
        spec: data.json("spec")?,
        active: data.flag("active")?,
        created_by: data.text("created_by")?,
    })
}

pub(super) fn identity_created(_: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    Ok(Effect::CreateIdentity(Identity {
        id: data.uuid("id")?,
        kind: data.text("kind")?,
        name: data.text("name")?,
        owner_id: data.uuid("owner_id")?,
        issuer_id: data.uuid_or_none("issuer_id")?,
        attributes: data.json("attributes")?,
        status: "requested".to_owned(),
    }))
}

pub(super) fn identity_moved(event: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    Ok(Effect::MoveIdentity(Transition {
        identity_id: data.uuid("identity_id")?,
        sequence: super::step::column_sequence(event.sequence),
        from_state: data.text("from")?,
        to_state: data.text("to")?,
        event_type: event.kind.to_owned(),
        reason: data.text_or_none("reason")?,
        occurred_at: event.time,
    }))
}

pub(super) fn certificate_recorded(event: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    let certificate = Certificate {
        id: data.uuid("id")?,
        fingerprint: data.indexed_text("fingerprint")?,
        serial: data.indexed_text("serial")?,
        subject: data.text("subject")?,
        sans: data.texts("sans")?,
        issuer: data.text("issuer")?,
        status: Status::Active,
        not_before: data.time_or_none("not_before")?,
        not_after: data.time_or_none("not_after")?,
        revoked_at: None,
        revocation_reason: None,
        renewed_at: None,
        replaces_id: data.uuid_or_none("replaces_id")?,
        superseded_by: None,
        ca_id: data.uuid_or_none("ca_id")?,
        owner_id: data.uuid_or_none("owner_id")?,
        key_algorithm: data.text("key_algorithm")?,
        deployment_location: data.text("deployment_location")?,
        source: data.text("source")?,
        certificate_der: data.bytes_or_none("certificate_der")?,
    };
    Ok(Effect::RecordCertificate(Box::new(certificate), event.time))
}

pub(super) fn certificate_revoked(_: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    let (serial, revoked_at) = (data.indexed_text("serial")?, data.time("revoked_at")?);
    let (ca_id, reason_code) = (data.uuid_or_none("ca_id")?, data.int_or_none("reason_code")?);
    Ok(Effect::RevokeCertificate(Revocation {
        fingerprint: data.indexed_text("fingerprint")?,
        reason: data.text("reason")?,
        revoked_at,
        serial: ca_id.filter(|_| !serial.is_empty()).map(|ca_id| IssuedCert {
            ca_id,
            serial,
            issued_at: None,
            revoked_at: Some(revoked_at),
            reason_code,
        }),
    }))
}

pub(super) fn certificate_superseded(_: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    data.text("serial")?;
    Ok(Effect::SupersedeCertificate(Supersession {
        fingerprint: data.indexed_text("fingerprint")?,
        superseded_by: data.text_or_none("superseded_by")?,
        renewed_at: data.time("renewed_at")?,
    }))
}

pub(super) fn authority(_: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    Ok(Effect::CreateAuthority(Authority {
        id: data.uuid("id")?,
        parent_id: data.uuid_or_none("parent_id")?,
        common_name: data.text("common_name")?,
        kind: data.text("kind")?,
        certificate_pem: data.text("certificate_pem")?,
        signer_handle: data.text("signer_handle")?,
        serial: data.text("serial")?,
        not_after: data.time("not_after")?,
        predecessor_id: data.uuid_or_none("predecessor_id")?,
    }))
}

pub(super) fn serial_issued(event: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    Ok(Effect::IssueSerial(IssuedCert {
        ca_id: data.uuid("ca_id")?,
        serial: data.indexed_text("serial")?,
        issued_at: Some(data.time_or_none("issued_at")?.unwrap_or(event.time)),
        revoked_at: None,
        reason_code: None,
    }))
}

/// Without `revoked_at`, the event's own time: a revocation must not depend on an optional key.
pub(super) fn serial_revoked(event: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    Ok(Effect::RevokeSerial(IssuedCert {
        ca_id: data.uuid("ca_id")?,
        serial: data.indexed_text("serial")?,
        issued_at: None,
        revoked_at: Some(data.time_or_none("revoked_at")?.unwrap_or(event.time)),
        reason_code: data.int_or_none("reason_code")?,
    }))
}

pub(super) fn crl_published(_: &Context<'_>, data: &Fields<'_>) -> Result<Effect, Misfit> {
    Ok(Effect::PublishCrl(Crl {
        ca_id: data.uuid("ca_id")?,
        crl_number: data.int("crl_number")?,
        crl_der: data.bytes("crl_der")?,
        this_update: data.time("this_update")?,
        next_update: data.time("next_update")?,
        revoked_count: data.int("revoked_count")?,
    }))
}
