//! Extensions: each once, what is critical understood, what is known well-formed.

use der::asn1::ObjectIdentifier;
use der::oid::AssociatedOid;
use der::{Decode, Encode};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::AuthorityKeyIdentifier;

use super::der::strict;
use super::{Rule, Unfit};

/// The extensions of a certificate, a CRL or an entry.
#[derive(Clone, Copy)]
pub(super) struct Extensions<'a>(&'a [Extension]);

/// An extension that was read.
pub(super) struct Found<T> {
    pub(super) is_critical: bool,
    pub(super) value: T,
}

impl<'a> Extensions<'a> {
    /// Those of an optional field: if it is there, it has some, and none twice.
    pub(super) fn of(field: Option<&'a Vec<Extension>>) -> Result<Self, Unfit> {
        let Some(extensions) = field else { return Ok(Self(&[])) };
        Rule::BadExtension.refuse_if(extensions.is_empty(), "the list of extensions is empty")?;
        let mut ids: Vec<_> = extensions.iter().map(|extension| extension.extn_id).collect();
        ids.sort();
        let is_twice = ids.windows(2).any(|pair| pair[0] == pair[1]);
        Rule::BadExtension.refuse_if(is_twice, "an extension is there twice")?;
        Ok(Self(extensions))
    }

    /// One of them, read strictly.
    pub(super) fn get<T>(self) -> Result<Option<Found<T>>, Unfit>
    where
        T: for<'b> Decode<'b> + Encode + AssociatedOid,
    {
        self.get_as(T::OID)
    }

    /// The one with this id, read strictly.
    pub(super) fn get_as<T>(self, id: ObjectIdentifier) -> Result<Option<Found<T>>, Unfit>
    where
        T: for<'b> Decode<'b> + Encode,
    {
        let Some(extension) = self.0.iter().find(|extension| extension.extn_id == id) else {
            return Ok(None);
        };
        let value = strict(extension.extn_value.as_bytes());
        let value = value.ok_or(Rule::BadExtension.broken("an extension is malformed"))?;
        Ok(Some(Found { is_critical: extension.critical, value }))
    }

    /// Whether one of them is critical and none of these.
    pub(super) fn has_critical_but(self, known: &[ObjectIdentifier]) -> bool {
        self.0.iter().any(|extension| extension.critical && !known.contains(&extension.extn_id))
    }

    /// Whether one of them is none of these.
    pub(super) fn has_but(self, known: &[ObjectIdentifier]) -> bool {
        self.0.iter().any(|extension| !known.contains(&extension.extn_id))
    }
}

/// Refuses any authority key identifier but this, alone.
pub(super) fn names_authority(
    found: Option<&Found<AuthorityKeyIdentifier>>,
    key_identifier: &[u8],
) -> Result<(), Unfit> {
    let rule = Rule::WrongKeyIdentifier;
    let found = found.ok_or(rule.broken("the authority key identifier is missing"))?;
    rule.refuse_if(found.is_critical, "the authority key identifier is critical")?;
    let AuthorityKeyIdentifier {
        key_identifier: stated,
        authority_cert_issuer,
        authority_cert_serial_number,
    } = &found.value;
    let is_alone = authority_cert_issuer.is_none() && authority_cert_serial_number.is_none();
    rule.refuse_if(!is_alone, "the authority key identifier names issuer and serial too")?;
    let is_that = stated.as_ref().is_some_and(|stated| stated.as_bytes() == key_identifier);
    rule.refuse_if(!is_that, "the authority key identifier is not the issuer's subject key identifier")
}
