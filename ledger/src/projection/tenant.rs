//! The rows of one tenant that a fold knows, and what each effect does to them.
//!
//! Each branch looks only at rows that [`TenantRows::needs`] names for the effect; the caller has loaded them. The rules
//! that decide between an event and a row: a revocation is never undone and the first one stays; describing a thing
//! again keeps its status; a change of something that is not there is refused.

use uuid::Uuid;

use super::effect::{Effect, Revocation, Supersession};
use super::fold::Lookups;
use super::keyed::{Appended, Closed, Drain, Indexed, Keyed, Named};
use super::record::{Micros, Record};
use super::rows::{
    Authority, Certificate, Crl, Fault, Identity, IssuedCert, Issuer, Owner, Profile, Status, Tenant,
    Transition,
};
use super::step::Refusal;
use super::table::{Row, Table, Value};

/// Rows of one tenant, or of none: then faults only.
#[derive(Debug, Default)]
pub(super) struct TenantRows {
    stored: Stored,
    tenant: Keyed<Tenant>,
    owners: Keyed<Owner>,
    issuers: Keyed<Issuer>,
    profiles: Indexed<Profile>,
    identities: Keyed<Identity>,
    transitions: Appended<Transition>,
    certificates: Indexed<Certificate>,
    authorities: Keyed<Authority>,
    serials: Keyed<IssuedCert>,
    crls: Keyed<Crl>,
    pub(super) faults: Keyed<Fault>,
}

/// Whether rows that the fold does not know may be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stored {
    #[default]
    Perhaps,
    Nothing,
}

impl Named for Profile {
    fn name(&self) -> &str {
        &self.name
    }

    /// Only the active version of a name is ever changed by another one.
    fn closed(&self) -> Option<Closed> {
        (!self.active).then_some(None)
    }
}

impl Named for Certificate {
    fn name(&self) -> &str {
        &self.fingerprint
    }

    /// Nothing un-revokes.
    fn closed(&self) -> Option<Closed> {
        (self.status == Status::Revoked).then_some(self.revoked_at)
    }
}

impl TenantRows {
    pub(super) fn new(stored: Stored) -> Self {
        Self { stored, ..Self::default() }
    }

    /// Carries an effect out; a refusal is the reason of a fault.
    pub(super) fn apply(&mut self, effect: Effect) -> Result<(), Refusal> {
        match effect {
            Effect::Register(tenant) => self.register(tenant),
            Effect::Offboard => *self = Self::new(Stored::Nothing),
            Effect::CreateOwner(owner) => self.owners.put(owner),
            Effect::UpdateOwner(owner) => {
                self.owners.get(&owner.key()).ok_or(Refusal::Absent("owner"))?;
                self.owners.put(owner);
            }
            Effect::DeleteOwner(id) => self.owners.remove((id,)),
            Effect::CreateIssuer(issuer) => self.issuers.put(issuer),
            Effect::CreateProfile(profile) => self.put_profile(profile),
            Effect::UpdateProfile(profile) => {
                self.profiles.get(profile.id).ok_or(Refusal::Absent("profile"))?;
                self.put_profile(profile);
            }
            Effect::CreateIdentity(identity) => self.create_identity(identity),
            Effect::MoveIdentity(transition) => self.move_identity(transition)?,
            Effect::RecordCertificate(certificate, issued_at) => self.record(*certificate, issued_at),
            Effect::RevokeCertificate(revocation) => self.revoke(revocation)?,
            Effect::SupersedeCertificate(supersession) => self.supersede(supersession)?,
            Effect::CreateAuthority(authority) => self.authorities.put(authority),
            Effect::IssueSerial(serial) | Effect::RevokeSerial(serial) => self.enter_serial(serial),
            Effect::PublishCrl(crl) => self.crls.put(crl),
        }
        Ok(())
    }

    /// A registration again gives the tenant its new name; it stays registered since the first.
    fn register(&mut self, mut tenant: Tenant) {
        if let Some(first) = self.tenant.get(&()) {
            tenant.created_at = first.created_at;
        }
        self.tenant.put(tenant);
    }

    /// Of the versions of a name, the last one that was made active is.
    fn put_profile(&mut self, profile: Profile) {
        if profile.active {
            let active = self.profiles.open_named(&profile.name).into_iter();
            let others = active.filter(|id| *id != profile.id);
            others.for_each(|id| self.profiles.change(id, |p| p.active = false));
        }
        self.profiles.put(profile);
    }

    fn create_identity(&mut self, mut identity: Identity) {
        if let Some(known) = self.identities.get(&identity.key()) {
            identity.status.clone_from(&known.status);
        }
        self.identities.put(identity);
    }

    /// Whatever the lifecycle allows: the log says that it happened.
    fn move_identity(&mut self, transition: Transition) -> Result<(), Refusal> {
        let key = (transition.identity_id,);
        let known = self.identities.get(&key).ok_or(Refusal::Absent("identity"))?;
        if known.status != transition.to_state {
            self.identities.change(&key, |identity| identity.status.clone_from(&transition.to_state));
        }
        self.transitions.push(transition);
        Ok(())
    }

    fn record(&mut self, mut certificate: Certificate, issued_at: Micros) {
        self.keep_history(&mut certificate);
        if let Some(predecessor) = self.active_predecessor(&certificate) {
            self.certificates.change(predecessor, |c| c.status = Status::Superseded);
        }
        if let (Some(ca_id), false) = (certificate.ca_id, certificate.serial.is_empty()) {
            let (serial, issued_at) = (certificate.serial.clone(), Some(issued_at));
            self.enter_serial(IssuedCert { ca_id, serial, issued_at, revoked_at: None, reason_code: None });
        }
        self.certificates.put(certificate);
    }

    fn active_predecessor(&self, certificate: &Certificate) -> Option<Uuid> {
        let id = certificate.replaces_id.filter(|id| *id != certificate.id)?;
        self.certificates.get(id).filter(|p| p.status == Status::Active).map(|p| p.id)
    }

    /// What happened to the certificate stays, whatever describes it again: in its own row, and a revocation also when
    /// the same certificate is recorded under another id.
    fn keep_history(&self, certificate: &mut Certificate) {
        if let Some(known) = self.certificates.get(certificate.id) {
            certificate.status = known.status;
            certificate.revoked_at = known.revoked_at;
            certificate.revocation_reason.clone_from(&known.revocation_reason);
            certificate.renewed_at = known.renewed_at;
            certificate.superseded_by.clone_from(&known.superseded_by);
        }
        let is_open = certificate.status != Status::Revoked && has_namesakes(certificate);
        let revoked = self.certificates.first_closed_named(&certificate.fingerprint);
        if let Some(revoked) = revoked.filter(|_| is_open) {
            certificate.status = Status::Revoked;
            certificate.revoked_at = revoked.revoked_at;
            certificate.revocation_reason.clone_from(&revoked.revocation_reason);
        }
    }

    /// The serial is revoked even where the inventory does not know the certificate; that it does not is a fault.
    fn revoke(&mut self, revocation: Revocation) -> Result<(), Refusal> {
        if let Some(serial) = revocation.serial {
            self.enter_serial(serial);
        }
        let (at, reason) = (revocation.revoked_at, revocation.reason);
        self.change_certificates(&revocation.fingerprint, |certificate| {
            certificate.status = Status::Revoked;
            certificate.revoked_at = Some(at);
            certificate.revocation_reason = Some(reason.clone());
        })
    }

    fn supersede(&mut self, supersession: Supersession) -> Result<(), Refusal> {
        self.change_certificates(&supersession.fingerprint, |certificate| {
            certificate.status = Status::Superseded;
            certificate.renewed_at = Some(supersession.renewed_at);
            certificate.superseded_by.clone_from(&supersession.superseded_by);
        })
    }

    /// Changes every certificate of this fingerprint that is not revoked.
    fn change_certificates(
        &mut self,
        fingerprint: &str,
        change: impl Fn(&mut Certificate),
    ) -> Result<(), Refusal> {
        if !self.certificates.has_named(fingerprint) {
            return Err(Refusal::Absent("certificate"));
        }
        let open = self.certificates.open_named(fingerprint).into_iter();
        open.for_each(|id| self.certificates.change(id, &change));
        Ok(())
    }

    /// Adds what is said of a serial to what is known: the first issue and the first revocation stay.
    fn enter_serial(&mut self, mut serial: IssuedCert) {
        if let Some(known) = self.serials.get(&serial.key()) {
            serial.issued_at = known.issued_at.or(serial.issued_at);
            if known.revoked_at.is_some() {
                serial.revoked_at = known.revoked_at;
                serial.reason_code = known.reason_code;
            }
        }
        self.serials.put(serial);
    }
}

/// What is stored: which rows an effect needs, and taking them in.
impl TenantRows {
    /// Adds to `lookups` what `effect` looks at and the fold does not know.
    pub(super) fn needs(&self, tenant: Uuid, effect: &Effect, lookups: &mut Lookups) {
        if self.stored == Stored::Nothing {
            return;
        }
        match effect {
            Effect::Register(_) => key(&self.tenant, tenant, (), lookups),
            Effect::UpdateOwner(owner) => key(&self.owners, tenant, owner.key(), lookups),
            Effect::CreateProfile(profile) => self.needs_profiles_named(tenant, profile, lookups),
            Effect::UpdateProfile(profile) => {
                key(self.profiles.rows(), tenant, profile.key(), lookups);
                self.needs_profiles_named(tenant, profile, lookups);
            }
            Effect::CreateIdentity(identity) => key(&self.identities, tenant, identity.key(), lookups),
            Effect::MoveIdentity(moved) => key(&self.identities, tenant, (moved.identity_id,), lookups),
            Effect::RecordCertificate(certificate, _) => self.needs_of_record(tenant, certificate, lookups),
            Effect::RevokeCertificate(revocation) => {
                named(&self.certificates, tenant, &revocation.fingerprint, lookups);
                if let Some(serial) = &revocation.serial {
                    key(&self.serials, tenant, serial.key(), lookups);
                }
            }
            Effect::SupersedeCertificate(s) => named(&self.certificates, tenant, &s.fingerprint, lookups),
            Effect::IssueSerial(serial) | Effect::RevokeSerial(serial) => {
                key(&self.serials, tenant, serial.key(), lookups);
            }
            Effect::Offboard | Effect::CreateOwner(_) | Effect::DeleteOwner(_) | Effect::CreateIssuer(_) => {}
            Effect::CreateAuthority(_) | Effect::PublishCrl(_) => {}
        }
    }

    fn needs_profiles_named(&self, tenant: Uuid, profile: &Profile, lookups: &mut Lookups) {
        if profile.active {
            named(&self.profiles, tenant, &profile.name, lookups);
        }
    }

    fn needs_of_record(&self, tenant: Uuid, certificate: &Certificate, lookups: &mut Lookups) {
        key(self.certificates.rows(), tenant, certificate.key(), lookups);
        if has_namesakes(certificate) {
            named(&self.certificates, tenant, &certificate.fingerprint, lookups);
        }
        if let Some(predecessor) = certificate.replaces_id {
            key(self.certificates.rows(), tenant, (predecessor,), lookups);
        }
        if let (Some(ca_id), false) = (certificate.ca_id, certificate.serial.is_empty()) {
            key(&self.serials, tenant, (ca_id, certificate.serial.clone()), lookups);
        }
    }

    /// Takes a stored row; `None` when it is not one of this table.
    pub(super) fn load(&mut self, table: Table, row: Row) -> Option<()> {
        if self.stored == Stored::Nothing {
            return Some(());
        }
        match table {
            Table::Tenants => self.tenant.load(Record::from_row(row)?.1),
            Table::Owners => self.owners.load(Record::from_row(row)?.1),
            Table::CertificateProfiles => self.profiles.load(Record::from_row(row)?.1),
            Table::Identities => self.identities.load(Record::from_row(row)?.1),
            Table::Certificates => self.certificates.load(Record::from_row(row)?.1),
            Table::CaIssuedCerts => self.serials.load(Record::from_row(row)?.1),
            _ => return None,
        }
        Some(())
    }

    /// Takes note that the row of this key was asked for: if it was not loaded, it is not stored.
    pub(super) fn looked_up(&mut self, table: Table, key: &[Value]) {
        match (table, key) {
            (Table::Tenants, [_]) => self.tenant.load_absent(()),
            (Table::Owners, [_, Value::Uuid(id)]) => self.owners.load_absent((*id,)),
            (Table::CertificateProfiles, [_, Value::Uuid(id)]) => self.profiles.load_absent(*id),
            (Table::Identities, [_, Value::Uuid(id)]) => self.identities.load_absent((*id,)),
            (Table::Certificates, [_, Value::Uuid(id)]) => self.certificates.load_absent(*id),
            (Table::CaIssuedCerts, [_, Value::Uuid(ca), Value::Text(serial)]) => {
                self.serials.load_absent((*ca, serial.clone()));
            }
            _ => {}
        }
    }

    /// Takes note that all rows with this text were asked for.
    pub(super) fn looked_up_named(&mut self, table: Table, values: &[Value]) {
        match (table, values) {
            (Table::CertificateProfiles, [_, Value::Text(name)]) => {
                self.profiles.load_all_named(name.clone())
            }
            (Table::Certificates, [_, Value::Text(name)]) => self.certificates.load_all_named(name.clone()),
            _ => {}
        }
    }

    pub(super) fn len_bytes(&self) -> usize {
        self.tenant.len_bytes()
            + self.owners.len_bytes()
            + self.issuers.len_bytes()
            + self.profiles.len_bytes()
            + self.identities.len_bytes()
            + self.transitions.len_bytes()
            + self.certificates.len_bytes()
            + self.authorities.len_bytes()
            + self.serials.len_bytes()
            + self.crls.len_bytes()
            + self.faults.len_bytes()
    }

    pub(super) fn transitions_bytes(&self) -> usize {
        self.transitions.len_bytes()
    }

    /// What became of the rows of a table; to be moved out.
    pub(super) fn drain(&mut self, table: Table) -> &mut dyn Drain {
        match table {
            Table::Tenants => &mut self.tenant,
            Table::Owners => &mut self.owners,
            Table::Issuers => &mut self.issuers,
            Table::CertificateProfiles => &mut self.profiles,
            Table::Identities => &mut self.identities,
            Table::IdentityTransitions => &mut self.transitions,
            Table::Certificates => &mut self.certificates,
            Table::CaAuthorities => &mut self.authorities,
            Table::CaIssuedCerts => &mut self.serials,
            Table::CaCrls => &mut self.crls,
            Table::ProjectionFaults => &mut self.faults,
        }
    }
}

/// Without a fingerprint nothing says that two rows are the same certificate.
fn has_namesakes(certificate: &Certificate) -> bool {
    !certificate.fingerprint.is_empty()
}

fn key<R: Record + PartialEq>(rows: &Keyed<R>, tenant: Uuid, key: R::Key, lookups: &mut Lookups) {
    if !rows.knows(&key) {
        lookups.add_key(R::TABLE, R::key_row(Some(tenant), key));
    }
}

fn named<R: Named + PartialEq>(rows: &Indexed<R>, tenant: Uuid, name: &str, lookups: &mut Lookups) {
    if !rows.knows_all_named(name) {
        lookups.add_named(R::TABLE, vec![Value::Uuid(tenant), Value::Text(name.to_owned())]);
    }
}
