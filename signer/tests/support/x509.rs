//! Certificates and CRLs that are to be signed, written byte by byte: good ones, and such as no library would write.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use trstctl_signer_protocol::v1::{Algorithm, Key};

pub const P256: Alg = Alg("1.2.840.10045.4.3.2", false);
pub const P384: Alg = Alg("1.2.840.10045.4.3.3", false);
pub const RSA: Alg = Alg("1.2.840.113549.1.1.11", true);
pub const ED25519: Alg = Alg("1.3.101.112", false);
pub const ML_DSA_65: Alg = Alg("2.16.840.1.101.3.4.3.18", false);

/// A signature algorithm: its id, and whether it has NULL for parameters.
#[derive(Clone, Copy)]
pub struct Alg(pub &'static str, pub bool);

impl Alg {
    pub fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::P256 => P256,
            Algorithm::P384 => P384,
            Algorithm::Ed25519 => ED25519,
            Algorithm::MlDsa65 => ML_DSA_65,
            _ => RSA,
        }
    }

    fn der(self) -> Vec<u8> {
        let parameters: &[u8] = if self.1 { &[5, 0] } else { &[] };
        seq(&[&oid(self.0), parameters])
    }
}

pub const SKI: &str = "2.5.29.14";
pub const KEY_USAGE: &str = "2.5.29.15";
pub const SAN: &str = "2.5.29.17";
pub const BASIC: &str = "2.5.29.19";
pub const CRL_NUMBER: &str = "2.5.29.20";
pub const REASON: &str = "2.5.29.21";
pub const AKI: &str = "2.5.29.35";
pub const EKU: &str = "2.5.29.37";

/// A value with its tag.
pub fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let len = content.len();
    let mut whole = vec![tag];
    match len {
        0..=127 => whole.push(len as u8),
        _ => {
            let bytes: Vec<u8> = len.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            whole.push(0x80 | bytes.len() as u8);
            whole.extend(bytes);
        }
    }
    whole.extend(content);
    whole
}

pub fn seq(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

pub fn int(content: &[u8]) -> Vec<u8> {
    tlv(2, &[content])
}

pub fn oid(text: &str) -> Vec<u8> {
    let numbers: Vec<u64> = text.split('.').map(|number| number.parse().unwrap()).collect();
    let mut content = vec![(numbers[0] * 40 + numbers[1]) as u8];
    for number in &numbers[2..] {
        let mut bytes = vec![(number & 0x7f) as u8];
        let mut rest = number >> 7;
        while rest > 0 {
            bytes.push(0x80 | (rest & 0x7f) as u8);
            rest >>= 7;
        }
        content.extend(bytes.into_iter().rev());
    }
    tlv(6, &[&content])
}

/// A name with one common name.
pub fn name(common: &str) -> Vec<u8> {
    seq(&[&tlv(0x31, &[&seq(&[&oid("2.5.4.3"), &tlv(0x0c, &[common.as_bytes()])])])])
}

/// `20300101000000Z` as what RFC 5280 asks for.
pub fn time(text: &str) -> Vec<u8> {
    if &text[..4] < "2050" { tlv(0x17, &[&text.as_bytes()[2..]]) } else { generalized(text) }
}

pub fn generalized(text: &str) -> Vec<u8> {
    tlv(0x18, &[text.as_bytes()])
}

#[derive(Clone)]
pub struct Ext(pub &'static str, pub bool, pub Vec<u8>);

impl Ext {
    fn der(&self) -> Vec<u8> {
        let critical: &[u8] = if self.1 { &[1, 1, 0xff] } else { &[] };
        seq(&[&oid(self.0), critical, &tlv(4, &[&self.2])])
    }
}

fn exts(extensions: &[Ext]) -> Vec<u8> {
    let extensions: Vec<_> = extensions.iter().map(Ext::der).collect();
    seq(&extensions.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// SHA-1 of the key's bits.
pub fn key_identifier(spki: &[u8]) -> Vec<u8> {
    let (_, spki) = x509_parser::x509::SubjectPublicKeyInfo::from_der(spki).unwrap();
    digest(&SHA1_FOR_LEGACY_USE_ONLY, &spki.subject_public_key.data).as_ref().to_vec()
}

use x509_parser::prelude::FromDer;

pub fn ski(spki: &[u8]) -> Ext {
    Ext(SKI, false, tlv(4, &[&key_identifier(spki)]))
}

pub fn aki(issuer_spki: &[u8]) -> Ext {
    Ext(AKI, false, seq(&[&tlv(0x80, &[&key_identifier(issuer_spki)])]))
}

pub fn ca(path_len: Option<u8>) -> Ext {
    let path_len = path_len.map(|len| int(&[len])).unwrap_or_default();
    Ext(BASIC, true, seq(&[&[1, 1, 0xff], &path_len]))
}

/// Named bits from the first on, in one byte, without trailing zeros.
pub fn key_usage(bits: u8) -> Ext {
    Ext(KEY_USAGE, true, tlv(3, &[&[bits.trailing_zeros() as u8, bits]]))
}

pub const DIGITAL_SIGNATURE: u8 = 0x80;
pub const KEY_ENCIPHERMENT: u8 = 0x20;
pub const KEY_AGREEMENT: u8 = 0x08;
pub const CERT_AND_CRL_SIGN: u8 = 0x06;

pub fn eku(usages: &[&str]) -> Ext {
    let usages: Vec<_> = usages.iter().map(|usage| oid(usage)).collect();
    Ext(EKU, false, seq(&usages.iter().map(Vec::as_slice).collect::<Vec<_>>()))
}

pub const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";

pub fn dns(name: &str) -> Ext {
    Ext(SAN, false, seq(&[&tlv(0x82, &[name.as_bytes()])]))
}

/// A certificate to sign.
#[derive(Clone)]
pub struct Tbs {
    pub version: Vec<u8>,
    pub serial: Vec<u8>,
    pub algorithm: Vec<u8>,
    pub issuer: Vec<u8>,
    pub not_before: Vec<u8>,
    pub not_after: Vec<u8>,
    pub subject: Vec<u8>,
    pub spki: Vec<u8>,
    pub unique_id: Vec<u8>,
    pub extensions: Vec<Ext>,
}

impl Tbs {
    fn new(serial: u8, by: &Key, issuer: &str, subject: &str, spki: &[u8]) -> Self {
        Self {
            version: tlv(0xa0, &[&int(&[2])]),
            serial: vec![serial],
            algorithm: Alg::of(by.algorithm()).der(),
            issuer: name(issuer),
            not_before: time("20260101000000Z"),
            not_after: time("20400101000000Z"),
            subject: name(subject),
            spki: spki.to_vec(),
            unique_id: Vec::new(),
            extensions: Vec::new(),
        }
    }

    pub fn root(key: &Key) -> Self {
        let extensions = vec![ca(Some(1)), key_usage(CERT_AND_CRL_SIGN), ski(&key.public_key)];
        Self { extensions, ..Self::new(1, key, "Root", "Root", &key.public_key) }
    }

    pub fn intermediate(serial: u8, root: &Key, key: &Key) -> Self {
        let mut extensions = vec![ca(Some(0)), key_usage(CERT_AND_CRL_SIGN), ski(&key.public_key)];
        extensions.push(aki(&root.public_key));
        Self { extensions, ..Self::new(serial, root, "Root", "Intermediate", &key.public_key) }
    }

    pub fn leaf(serial: u8, issuer: &str, by: &Key, spki: &[u8]) -> Self {
        let extensions = vec![
            key_usage(DIGITAL_SIGNATURE),
            eku(&[SERVER_AUTH]),
            dns("www.example.org"),
            ski(spki),
            aki(&by.public_key),
        ];
        Self { extensions, ..Self::new(serial, by, issuer, "www.example.org", spki) }
    }

    /// With another extension in place of the one of this id, or a new one.
    pub fn with(mut self, extension: Ext) -> Self {
        match self.extensions.iter_mut().find(|other| other.0 == extension.0) {
            Some(other) => *other = extension,
            None => self.extensions.push(extension),
        }
        self
    }

    pub fn without(mut self, id: &str) -> Self {
        self.extensions.retain(|extension| extension.0 != id);
        self
    }

    pub fn der(&self) -> Vec<u8> {
        seq(&[
            &self.version,
            &int(&self.serial),
            &self.algorithm,
            &self.issuer,
            &seq(&[&self.not_before, &self.not_after]),
            &self.subject,
            &self.spki,
            &self.unique_id,
            &tlv(0xa3, &[&exts(&self.extensions)]),
        ])
    }
}

/// A CRL to sign.
#[derive(Clone)]
pub struct TbsCrl {
    pub version: Vec<u8>,
    pub algorithm: Vec<u8>,
    pub issuer: Vec<u8>,
    pub this_update: Vec<u8>,
    pub next_update: Vec<u8>,
    pub entries: Option<Vec<Entry>>,
    pub extensions: Vec<Ext>,
}

#[derive(Clone)]
pub struct Entry {
    pub serial: Vec<u8>,
    pub date: Vec<u8>,
    pub extensions: Vec<Ext>,
}

pub fn entry(serial: &[u8]) -> Entry {
    Entry { serial: serial.to_vec(), date: time("20260201000000Z"), extensions: Vec::new() }
}

pub fn reason(number: u8) -> Ext {
    Ext(REASON, false, vec![10, 1, number])
}

impl TbsCrl {
    pub fn new(by: &Key, issuer: &str, number: &[u8], serials: &[&[u8]]) -> Self {
        Self {
            version: int(&[1]),
            algorithm: Alg::of(by.algorithm()).der(),
            issuer: name(issuer),
            this_update: time("20260301000000Z"),
            next_update: time("20400101000000Z"),
            entries: (!serials.is_empty()).then(|| serials.iter().map(|serial| entry(serial)).collect()),
            extensions: vec![aki(&by.public_key), Ext(CRL_NUMBER, false, int(number))],
        }
    }

    pub fn with(mut self, extension: Ext) -> Self {
        self.extensions.retain(|other| other.0 != extension.0);
        self.extensions.push(extension);
        self
    }

    pub fn without(mut self, id: &str) -> Self {
        self.extensions.retain(|extension| extension.0 != id);
        self
    }

    pub fn der(&self) -> Vec<u8> {
        let entries = self.entries.as_ref().map(|entries| {
            let entries: Vec<_> = entries.iter().map(Entry::der).collect();
            seq(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>())
        });
        seq(&[
            &self.version,
            &self.algorithm,
            &self.issuer,
            &self.this_update,
            &self.next_update,
            &entries.unwrap_or_default(),
            &tlv(0xa0, &[&exts(&self.extensions)]),
        ])
    }
}

impl Entry {
    fn der(&self) -> Vec<u8> {
        let extensions = if self.extensions.is_empty() { Vec::new() } else { exts(&self.extensions) };
        seq(&[&int(&self.serial), &self.date, &extensions])
    }
}
