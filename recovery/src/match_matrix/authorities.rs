//! Who may have signed something: the keys of the store, and the CAs whose certificates are at hand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use trstctl_formats::Digest;
use trstctl_signer_protocol::probe::{Journal, Key, Report};

use crate::x509::Certificate;

/// Purposes by which a key is that of a CA.
const OF_A_CA: [&str; 2] = ["certificates", "crls"];

/// Both.
pub(super) struct Authorities<'a> {
    pub(super) report: &'a Report,
    pub(super) certificates: &'a [Certificate],
    /// Public keys (SPKI, DER) of open keys and of the certificates.
    candidates: Vec<Vec<u8>>,
}

/// Who signed something.
pub(super) enum Issuer<'a> {
    /// A key of the store, by its id.
    Key(&'a str),
    /// A CA whose key is not in the store.
    Elsewhere(&'a Certificate),
    /// Nobody that is known here.
    Nobody,
}

impl<'a> Authorities<'a> {
    pub(super) fn new(report: &'a Report, certificates: &'a [Certificate]) -> Self {
        let open = report.keys.iter().filter_map(|key| STANDARD.decode(key.public_key.as_ref()?).ok());
        let certified = certificates.iter().map(|certificate| certificate.public_key.clone());
        Self { report, certificates, candidates: open.chain(certified).collect() }
    }

    /// The keys of the store that are a CA's, by what their files say.
    pub(super) fn ca_keys(&self) -> impl Iterator<Item = &'a Key> {
        let keys = self.report.keys.iter();
        keys.filter(|key| key.purposes.iter().any(|purpose| OF_A_CA.contains(&purpose.as_str())))
    }

    /// The key with this public half (SPKI, DER), by what its file says.
    pub(super) fn key_of(&self, public_key: &[u8]) -> Option<&'a Key> {
        let digest = Some(digest_of(public_key));
        self.report.keys.iter().find(|key| key.public_key_sha256 == digest)
    }

    /// Who signed what `is_by` tells of.
    pub(super) fn issuer_of(&self, is_by: impl Fn(&[u8]) -> bool) -> Issuer<'a> {
        let Some(public_key) = self.candidates.iter().find(|candidate| is_by(candidate)) else {
            return Issuer::Nobody;
        };
        let of_store = self.key_of(public_key).and_then(|key| key.key_id.as_deref());
        let certificate = || self.certificates.iter().find(|found| found.public_key == *public_key);
        match (of_store, certificate()) {
            (Some(id), _) => Issuer::Key(id),
            (None, Some(certificate)) => Issuer::Elsewhere(certificate),
            (None, None) => Issuer::Nobody,
        }
    }

    /// The CA at hand that goes by this name.
    pub(super) fn named(&self, name: &str) -> Option<&'a Certificate> {
        self.certificates.iter().find(|certificate| certificate.subject == name)
    }

    /// Whether the journal was there to say anything.
    pub(super) fn has_journal(&self) -> bool {
        matches!(self.report.journal, Journal::Holds { .. })
    }

    /// The number of the last CRL of this CA, by the journal.
    pub(super) fn last_crl_number(&self, key_id: &str) -> Option<u64> {
        let known = self.report.authorities.iter().find(|authority| authority.key_id == key_id);
        known.and_then(|authority| authority.last_crl_number)
    }
}

/// As a sealed file and the journal state it.
fn digest_of(public_key: &[u8]) -> String {
    Digest(Sha256::digest(public_key).into()).to_string()
}

/// The command that tells a journal what was published after it.
pub(super) fn floor(key_id: &str, crl_number: u64) -> String {
    format!(
        "State what was published: trstctl-signer floor --ca {key_id} --crl-number {crl_number} (with --keystore, --kek, --by and --reason)"
    )
}
