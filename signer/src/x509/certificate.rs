//! The rules for certificates.

use der::asn1::ObjectIdentifier;
use der::oid::AssociatedOid;
use der::{Encode, flagset::FlagSet};
use jiff::Timestamp;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityInfoAccessSyntax, AuthorityKeyIdentifier, BasicConstraints, CertificatePolicies,
    CrlDistributionPoints, ExtendedKeyUsage, KeyUsage, KeyUsages, NameConstraints, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::{TbsCertificate, Version};

use super::der::{in_right_form, seconds, signature_algorithm, strict, timestamp};
use super::extensions::{Extensions, Found, names_authority};
use super::issuer::Issuer;
use super::subject_key::{self, Family};
use super::{Rule, Signatory, Unfit};
use crate::serial::Serial;

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A CA's, signed by its own key.
    Root,
    /// A CA's, signed by another CA.
    Intermediate,
    /// Of one that signs no certificates.
    Leaf,
}

/// An extended key usage (RFC 5280, 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Usage {
    ServerAuth,
    ClientAuth,
    CodeSigning,
    EmailProtection,
    TimeStamping,
    OcspSigning,
}

/// What the caller means.
#[derive(Clone, Debug)]
pub struct Meaning {
    /// What it is for.
    pub kind: Kind,
    /// Its extended key usages.
    pub usages: Vec<Usage>,
}

/// What the journal notes of a certificate that may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Its serial.
    pub serial: Serial,
    /// When it expires.
    pub not_after: Timestamp,
}

impl Usage {
    fn oid(self) -> ObjectIdentifier {
        ObjectIdentifier::new_unwrap(match self {
            Self::ServerAuth => "1.3.6.1.5.5.7.3.1",
            Self::ClientAuth => "1.3.6.1.5.5.7.3.2",
            Self::CodeSigning => "1.3.6.1.5.5.7.3.3",
            Self::EmailProtection => "1.3.6.1.5.5.7.3.4",
            Self::TimeStamping => "1.3.6.1.5.5.7.3.8",
            Self::OcspSigning => "1.3.6.1.5.5.7.3.9",
        })
    }

    /// Whether a key with this usage has no other.
    fn is_alone(self) -> bool {
        matches!(self, Self::TimeStamping | Self::OcspSigning)
    }

    /// Whether its holder does nothing but sign.
    fn only_signs(self) -> bool {
        matches!(self, Self::CodeSigning | Self::TimeStamping | Self::OcspSigning)
    }
}

/// Checks a certificate against all rules but those of what was signed before.
///
/// # Errors
/// [`Unfit`], for the first rule that it breaks.
pub fn check(
    tbs: &[u8],
    issuer_certificate: &[u8],
    key: Signatory<'_>,
    meaning: &Meaning,
) -> Result<Fit, Unfit> {
    let issuer = match meaning.kind {
        Kind::Root if issuer_certificate.is_empty() => None,
        Kind::Root => return Err(Rule::BadIssuer.broken("a root has no certificate of an issuer")),
        Kind::Intermediate | Kind::Leaf => Some(key.issuer.read(issuer_certificate, key)?),
    };
    let tbs: TbsCertificate =
        strict(tbs).ok_or(Rule::BadEncoding.broken("this is no TBSCertificate in its one DER encoding"))?;
    let serial = basics(&tbs, key)?;
    validity(&tbs, issuer.as_deref())?;
    names(&tbs, issuer.as_deref(), meaning.kind)?;
    let family = subject_key::check(tbs.subject_public_key_info())?;
    let extensions = Extensions::of(tbs.extensions())?;
    extensions_are_known(extensions)?;
    constraints(extensions, issuer.as_deref(), meaning.kind)?;
    usage(extensions, meaning, family)?;
    extended_usage(extensions, meaning)?;
    keys_and_identifiers(&tbs, extensions, issuer.as_deref(), key, meaning.kind)?;
    alternative_names(&tbs, extensions, meaning)?;
    may_issue(issuer.as_deref())?;
    Ok(Fit { serial, not_after: timestamp(tbs.validity().not_after) })
}

fn basics(tbs: &TbsCertificate, key: Signatory<'_>) -> Result<Serial, Unfit> {
    Rule::BadVersion.refuse_if(tbs.version() != Version::V3, "the certificate is not of version 3")?;
    let has_unique_ids = tbs.issuer_unique_id().is_some() || tbs.subject_unique_id().is_some();
    Rule::BadVersion.refuse_if(has_unique_ids, "the certificate has unique identifiers")?;
    let serial = Serial::of_der(tbs.serial_number().as_bytes());
    let serial = serial
        .map_err(|_| Rule::BadSerial.broken("the serial is not a positive integer of at most 20 bytes"))?;
    let is_of_key = *tbs.signature() == signature_algorithm(key.algorithm);
    Rule::WrongAlgorithm.refuse_if(!is_of_key, "the signature algorithm is not the key's")?;
    Ok(serial)
}

fn validity(tbs: &TbsCertificate, issuer: Option<&Issuer>) -> Result<(), Unfit> {
    let (begins, ends) = (tbs.validity().not_before, tbs.validity().not_after);
    in_right_form(begins)?;
    in_right_form(ends)?;
    let (begins, ends) = (seconds(begins), seconds(ends));
    Rule::BadValidity.refuse_if(begins >= ends, "the certificate ends before it begins")?;
    let is_within = issuer.is_none_or(|issuer| issuer.validity_s.0 <= begins && ends <= issuer.validity_s.1);
    Rule::BadValidity.refuse_if(!is_within, "the certificate is valid when its issuer's is not")
}

fn names(tbs: &TbsCertificate, issuer: Option<&Issuer>, kind: Kind) -> Result<(), Unfit> {
    let is_ca = kind != Kind::Leaf;
    Rule::BadName.refuse_if(is_ca && tbs.subject().is_empty(), "a CA has no empty subject")?;
    let expected = issuer.map_or(tbs.subject(), |issuer| &issuer.name);
    Rule::WrongIssuer
        .refuse_if(tbs.issuer() != expected, "the issuer is not the subject of the issuer's certificate")?;
    let is_own = issuer.is_some() && tbs.subject() == expected;
    Rule::BadName.refuse_if(is_own, "the subject has the issuer's own name")
}

/// Extensions that are understood when they are critical.
const KNOWN: [ObjectIdentifier; 10] = [
    AuthorityInfoAccessSyntax::OID,
    AuthorityKeyIdentifier::OID,
    BasicConstraints::OID,
    CertificatePolicies::OID,
    CrlDistributionPoints::OID,
    ExtendedKeyUsage::OID,
    KeyUsage::OID,
    NameConstraints::OID,
    SubjectAltName::OID,
    SubjectKeyIdentifier::OID,
];

fn extensions_are_known(extensions: Extensions<'_>) -> Result<(), Unfit> {
    let has_unknown = extensions.has_critical_but(&KNOWN);
    Rule::BadExtension.refuse_if(has_unknown, "a critical extension is unknown")?;
    // Those that no other rule reads.
    let access = extensions.get::<AuthorityInfoAccessSyntax>()?;
    let points = extensions.get::<CrlDistributionPoints>()?;
    let policies = extensions.get::<CertificatePolicies>()?;
    let is_empty = access.as_ref().is_some_and(|found| found.value.0.is_empty())
        || points.as_ref().is_some_and(|found| found.value.0.is_empty())
        || policies.as_ref().is_some_and(|found| found.value.0.is_empty());
    Rule::BadExtension.refuse_if(is_empty, "an extension lists nothing")?;
    let is_critical = access.is_some_and(|found| found.is_critical);
    Rule::BadExtension.refuse_if(is_critical, "the authority information access is critical")
}

fn constraints(extensions: Extensions<'_>, issuer: Option<&Issuer>, kind: Kind) -> Result<(), Unfit> {
    let rule = Rule::WrongConstraints;
    let basic = extensions.get::<BasicConstraints>()?;
    let subtrees = extensions.get::<NameConstraints>()?;
    if kind == Kind::Leaf {
        let is_ca = basic.is_some_and(|found| found.value.ca || found.value.path_len_constraint.is_some());
        rule.refuse_if(is_ca, "a leaf is no CA and has no path length")?;
        return rule.refuse_if(subtrees.is_some(), "a leaf has no name constraints");
    }
    let basic = basic.ok_or(rule.broken("a CA's basic constraints are missing"))?;
    rule.refuse_if(
        !basic.is_critical || !basic.value.ca,
        "a CA's basic constraints are not critical or not a CA's",
    )?;
    let is_critical = subtrees.is_none_or(|found| found.is_critical);
    rule.refuse_if(!is_critical, "the name constraints are not critical")?;
    let path_len = basic.value.path_len_constraint;
    match issuer.and_then(|issuer| issuer.path_len) {
        Some(above) if path_len.is_none_or(|below| below >= above) => {
            Err(rule.broken("the path length is not below the issuer's"))
        }
        _ => Ok(()),
    }
}

fn usage(extensions: Extensions<'_>, meaning: &Meaning, family: Family) -> Result<(), Unfit> {
    let rule = Rule::WrongUsage;
    let usage = extensions.get::<KeyUsage>()?.ok_or(rule.broken("the key usage is missing"))?;
    rule.refuse_if(!usage.is_critical, "the key usage is not critical")?;
    let usage = usage.value.0;
    if meaning.kind != Kind::Leaf {
        let allowed = KeyUsages::KeyCertSign | KeyUsages::CRLSign | KeyUsages::DigitalSignature;
        let is_fit = usage.contains(KeyUsages::KeyCertSign) && allowed.contains(usage);
        return rule.refuse_if(!is_fit, "the key usage is not that of a CA");
    }
    let mut allowed: FlagSet<KeyUsages> = KeyUsages::DigitalSignature | KeyUsages::NonRepudiation;
    if !meaning.usages.iter().any(|usage| usage.only_signs()) {
        match family {
            Family::Rsa => allowed |= KeyUsages::KeyEncipherment,
            Family::EllipticCurve => allowed |= KeyUsages::KeyAgreement,
            Family::SigningOnly => {}
        }
    }
    let is_fit = !usage.is_empty() && allowed.contains(usage);
    rule.refuse_if(!is_fit, "the key usage does not fit the leaf's key and what it is for")
}

fn extended_usage(extensions: Extensions<'_>, meaning: &Meaning) -> Result<(), Unfit> {
    let rule = Rule::WrongUsage;
    let mut wanted = meaning.usages.clone();
    wanted.sort();
    wanted.dedup();
    let is_said = wanted.len() == meaning.usages.len();
    let is_possible = match meaning.kind {
        Kind::Root => wanted.is_empty(),
        Kind::Intermediate => true,
        Kind::Leaf => {
            !wanted.is_empty() && (wanted.len() == 1 || !wanted.iter().any(|usage| usage.is_alone()))
        }
    };
    rule.refuse_if(!is_said || !is_possible, "no certificate of this kind is for what is asked")?;
    let found = extensions.get::<ExtendedKeyUsage>()?;
    let is_critical = found.as_ref().is_some_and(|found| found.is_critical);
    let mut stated = found.map(|found| found.value.0).unwrap_or_default();
    let mut wanted: Vec<_> = wanted.iter().map(|usage| usage.oid()).collect();
    stated.sort();
    wanted.sort();
    rule.refuse_if(stated != wanted, "the extended key usages are not those that are asked for")?;
    let must_be_critical = meaning.kind == Kind::Leaf && meaning.usages == [Usage::TimeStamping];
    rule.refuse_if(must_be_critical && !is_critical, "the usage of a time stamping key is not critical")
}

fn keys_and_identifiers(
    tbs: &TbsCertificate,
    extensions: Extensions<'_>,
    issuer: Option<&Issuer>,
    key: Signatory<'_>,
    kind: Kind,
) -> Result<(), Unfit> {
    let spki = tbs.subject_public_key_info();
    let is_sealed_key = spki.to_der().is_ok_and(|spki| spki == key.public_key);
    Rule::BadKey.refuse_if(
        is_sealed_key != (kind == Kind::Root),
        "a root states the sealed key, and no other certificate does",
    )?;
    let rule = Rule::WrongKeyIdentifier;
    let own = extensions.get::<SubjectKeyIdentifier>()?;
    rule.refuse_if(kind != Kind::Leaf && own.is_none(), "a CA's subject key identifier is missing")?;
    let is_right = own.as_ref().is_none_or(|own| is_plain_identifier(own, tbs));
    rule.refuse_if(!is_right, "the subject key identifier is critical or not that of the key")?;
    let authority = extensions.get::<AuthorityKeyIdentifier>()?;
    match (issuer, &own) {
        (Some(issuer), _) => names_authority(authority.as_ref(), &issuer.key_identifier),
        (None, Some(own)) if authority.is_some() => {
            names_authority(authority.as_ref(), own.value.0.as_bytes())
        }
        (None, _) => Ok(()),
    }
}

fn is_plain_identifier(own: &Found<SubjectKeyIdentifier>, tbs: &TbsCertificate) -> bool {
    !own.is_critical && subject_key::is_identifier_of(own.value.0.as_bytes(), tbs.subject_public_key_info())
}

fn alternative_names(
    tbs: &TbsCertificate,
    extensions: Extensions<'_>,
    meaning: &Meaning,
) -> Result<(), Unfit> {
    let rule = Rule::BadName;
    let Some(found) = extensions.get::<SubjectAltName>()? else {
        rule.refuse_if(tbs.subject().is_empty(), "the certificate names nobody")?;
        let is_needed = meaning.kind == Kind::Leaf && meaning.usages.contains(&Usage::ServerAuth);
        return rule.refuse_if(is_needed, "a server's alternative names are missing");
    };
    let is_odd = tbs.subject().is_empty() && !found.is_critical;
    rule.refuse_if(is_odd, "without a subject, the alternative names are critical")?;
    let is_good = !found.value.0.is_empty() && found.value.0.iter().all(is_good_name);
    rule.refuse_if(!is_good, "an alternative name is none")
}

fn is_good_name(name: &GeneralName) -> bool {
    match name {
        GeneralName::DnsName(name) => is_dns_name(name.as_str()),
        GeneralName::IpAddress(address) => matches!(address.as_bytes().len(), 4 | 16),
        GeneralName::Rfc822Name(address) => {
            address.as_str().split('@').filter(|part| !part.is_empty()).count() == 2
        }
        GeneralName::UniformResourceIdentifier(uri) => uri.as_str().contains(':'),
        _ => true,
    }
}

/// Labels of letters, digits, hyphens and underscores; the first may be an asterisk.
fn is_dns_name(name: &str) -> bool {
    let name = name.strip_prefix("*.").unwrap_or(name);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

fn may_issue(issuer: Option<&Issuer>) -> Result<(), Unfit> {
    let may = issuer.is_none_or(|issuer| issuer.usage.key_cert_sign());
    Rule::BadIssuer.refuse_if(!may, "the issuer's certificate does not allow it to sign certificates")
}
