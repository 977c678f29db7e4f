//! What one CA has signed so far, and what it therefore must not sign.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::entry::UsedSerial;
use crate::serial::Serial;

/// What a CA, which is one key, has signed. Sixty bytes a certificate, so that a million of them fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    certificates: BTreeMap<Serial, Issued>,
    revoked: BTreeMap<Serial, Expiry>,
    last_crl: Option<LastCrl>,
    has_floor: bool,
    /// The number that the next CRL may have though it is not above the last.
    allowed_number: Option<u64>,
}

/// A certificate that was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Issued {
    expiry: Expiry,
    /// `None` where a floor alone says that there is one.
    tbs: Option<ShortDigest>,
}

/// The first half of a SHA-256: enough to tell whether the same is asked for again. The journal has all of it.
type ShortDigest = [u8; 16];

/// Seconds since 1970, rounded up; the greatest means never, or not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Expiry(u32);

#[derive(Clone, Debug, PartialEq, Eq)]
struct LastCrl {
    number: u64,
    /// `None` for a floor: no CRL is the same as that one.
    tbs: Option<[u8; 32]>,
}

/// What a CRL says, as far as the CA's past forbids anything about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlClaim {
    /// Its number.
    pub number: u64,
    /// When it begins.
    pub this_update: Timestamp,
    /// SHA-256 of what is to be signed.
    pub tbs_sha256: [u8; 32],
    /// What it revokes, ascending.
    pub revoked: Vec<Serial>,
}

/// Why a CA must not sign this after what it has signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The serial was given to another certificate, or revoked.
    #[error(
        "serial {0} was used before by this CA: a certificate with it was signed, or it was revoked. Choose another; if the control plane was \
         restored, it lost certificates that were issued since"
    )]
    SerialUsed(Serial),
    /// The CRL's number is not above the last one.
    #[error(
        "CRLs of this CA are numbered up to {last} already, and this one has {asked}: it must be greater. If the control plane was restored, go on above {last}"
    )]
    CrlNumber {
        /// The number asked for.
        asked: u64,
        /// That of the last CRL.
        last: u64,
    },
    /// A certificate would be valid again.
    #[error(
        "serial {0} was revoked by this CA, its certificate has not expired when this CRL begins, and the CRL leaves it out: it would be valid again. \
         If the control plane was restored, revoke it there once more"
    )]
    SerialDropped(Serial),
}

impl Authority {
    /// Whether a certificate may be signed; the very same one again may.
    ///
    /// # Errors
    /// [`Contradiction::SerialUsed`].
    pub fn may_certify(&self, serial: Serial, tbs_sha256: &[u8; 32]) -> Result<(), Contradiction> {
        let is_same = self.has_certified(serial, tbs_sha256);
        if is_same || !self.is_used(serial) { Ok(()) } else { Err(Contradiction::SerialUsed(serial)) }
    }

    /// Whether this very certificate was signed, or was about to be.
    pub fn has_certified(&self, serial: Serial, tbs_sha256: &[u8; 32]) -> bool {
        self.certificates.get(&serial).is_some_and(|issued| issued.tbs == Some(short(tbs_sha256)))
    }

    /// Whether a CRL may be signed; the very same one again may, as long as it is the last.
    ///
    /// # Errors
    /// [`Contradiction::CrlNumber`], [`Contradiction::SerialDropped`].
    pub fn may_revoke(&self, claim: &CrlClaim) -> Result<(), Contradiction> {
        self.may_follow(claim.number, &claim.tbs_sha256)?;
        let begins = seconds(claim.this_update);
        let mut listed = claim.revoked.iter().peekable();
        for (serial, expiry) in &self.revoked {
            while listed.next_if(|listed| *listed < serial).is_some() {}
            let is_expired = *expiry != Expiry::NEVER && i64::from(expiry.0) < begins;
            if listed.peek() != Some(&serial) && !is_expired {
                return Err(Contradiction::SerialDropped(*serial));
            }
        }
        Ok(())
    }

    /// Whether the number may be the next.
    ///
    /// # Errors
    /// [`Contradiction::CrlNumber`].
    pub fn may_follow(&self, number: u64, tbs_sha256: &[u8; 32]) -> Result<(), Contradiction> {
        if self.allowed_number == Some(number) {
            return Ok(());
        }
        match &self.last_crl {
            Some(last) if number <= last.number && !self.is_last_crl(number, tbs_sha256) => {
                Err(Contradiction::CrlNumber { asked: number, last: last.number })
            }
            _ => Ok(()),
        }
    }

    /// Whether this very CRL is the last.
    pub fn is_last_crl(&self, number: u64, tbs_sha256: &[u8; 32]) -> bool {
        self.last_crl.as_ref().is_some_and(|last| last.number == number && last.tbs == Some(*tbs_sha256))
    }

    /// Whether a person has stated the least that it has signed.
    pub fn has_floor(&self) -> bool {
        self.has_floor
    }

    /// Whether the serial is known, as one of a certificate or a revoked one.
    pub fn is_used(&self, serial: Serial) -> bool {
        self.has_signed(serial) || self.has_revoked(serial)
    }

    /// Those of the claim that were not revoked before.
    pub fn newly_revoked(&self, claim: &CrlClaim) -> Vec<Serial> {
        claim.revoked.iter().filter(|serial| !self.revoked.contains_key(serial)).copied().collect()
    }

    /// The number of the last CRL.
    pub fn last_crl_number(&self) -> Option<u64> {
        self.last_crl.as_ref().map(|last| last.number)
    }

    /// Whether a certificate with this serial was signed.
    pub fn has_signed(&self, serial: Serial) -> bool {
        self.certificates.contains_key(&serial)
    }

    /// Whether this serial was revoked.
    pub fn has_revoked(&self, serial: Serial) -> bool {
        self.revoked.contains_key(&serial)
    }

    /// All that are revoked now, ascending.
    pub fn revoked_serials(&self) -> impl Iterator<Item = Serial> {
        self.revoked.keys().copied()
    }

    /// Notes a certificate.
    pub(super) fn certified(&mut self, serial: Serial, not_after: Timestamp, tbs_sha256: &[u8; 32]) {
        let issued = Issued { expiry: Expiry::of(not_after), tbs: Some(short(tbs_sha256)) };
        self.certificates.insert(serial, issued);
    }

    /// Notes serials of certificates that were signed elsewhere. What is known of them already stays.
    pub(super) fn used(&mut self, serials: Vec<UsedSerial>) {
        for UsedSerial { serial, not_after } in serials {
            let expiry = not_after.map_or(Expiry::NEVER, Expiry::of);
            self.certificates.entry(serial).or_insert(Issued { expiry, tbs: None });
        }
    }

    /// Notes what a CRL newly revokes. A serial that was never seen signed counts as one that does not expire.
    pub(super) fn revoked(&mut self, serials: Vec<Serial>) {
        for serial in serials {
            let expiry = self.certificates.get(&serial).map_or(Expiry::NEVER, |issued| issued.expiry);
            self.revoked.entry(serial).or_insert(expiry);
        }
    }

    /// Notes that the next CRL may have this number.
    pub(super) fn number_allowed(&mut self, number: u64) {
        self.allowed_number = Some(number);
    }

    /// Notes that a revoked serial may be left out of CRLs. Used it stays.
    pub(super) fn drop_allowed(&mut self, serial: Serial) {
        self.revoked.remove(&serial);
        self.used(vec![UsedSerial { serial, not_after: None }]);
    }

    /// Notes a CRL, with which what was allowed for it is over.
    pub(super) fn crl_signed(&mut self, number: u64, tbs_sha256: [u8; 32]) {
        self.allowed_number = None;
        self.last_crl = Some(LastCrl { number, tbs: Some(tbs_sha256) });
    }

    /// Notes the least number of its last CRL.
    pub(super) fn floor_set(&mut self, crl_number: u64) {
        self.has_floor = true;
        if crl_number > self.last_crl_number().unwrap_or(0) {
            self.last_crl = Some(LastCrl { number: crl_number, tbs: None });
        }
    }
}

impl Expiry {
    const NEVER: Self = Self(u32::MAX);

    fn of(time: Timestamp) -> Self {
        let seconds = seconds(time).max(0);
        u32::try_from(seconds).map_or(Self::NEVER, Self)
    }
}

/// Whole seconds since 1970: times in certificates have no others.
fn seconds(time: Timestamp) -> i64 {
    time.as_second()
}

fn short(digest: &[u8; 32]) -> ShortDigest {
    let (first, _) = digest.split_at(16);
    first.try_into().expect("half of it has 16 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serials(texts: &[&str]) -> Vec<Serial> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn claim(number: u64, this_update_s: i64, revoked: &[&str]) -> CrlClaim {
        CrlClaim {
            number,
            this_update: Timestamp::from_second(this_update_s).unwrap(),
            tbs_sha256: [number as u8; 32],
            revoked: serials(revoked),
        }
    }

    fn authority() -> Authority {
        let mut authority = Authority::default();
        let not_after = Timestamp::from_second(1000).unwrap();
        for serial in serials(&["01", "02", "05"]) {
            authority.certified(serial, not_after, &[1; 32]);
        }
        // The last was never seen signed.
        authority.revoked(serials(&["02", "05", "09"]));
        authority.crl_signed(7, [7; 32]);
        authority
    }

    #[test]
    fn a_serial_is_used_once_for_one_certificate() {
        let authority = authority();
        for (serial, tbs, may) in
            [("01", 1, true), ("01", 2, false), ("03", 2, true), ("09", 1, false), ("02", 1, true)]
        {
            assert_eq!(authority.may_certify(serials(&[serial])[0], &[tbs; 32]).is_ok(), may, "{serial}");
        }
    }

    #[test]
    fn a_revoked_serial_stays_until_its_certificate_has_expired() {
        let authority = authority();
        let dropped = |serial| Err(Contradiction::SerialDropped(serials(&[serial])[0]));
        for (this_update_s, revoked, expected) in [
            (500, &["02", "05", "09"][..], Ok(())),
            (500, &["01", "02", "04", "05", "09", "0a"], Ok(())),
            (500, &["05", "09"], dropped("02")),
            (500, &["02", "05"], dropped("09")),
            (500, &[], dropped("02")),
            (1000, &["02", "09"], dropped("05")),
            (1001, &["09"], Ok(())),
            (1001, &[], dropped("09")),
        ] {
            assert_eq!(authority.may_revoke(&claim(8, this_update_s, revoked)), expected, "{revoked:?}");
        }
        assert_eq!(authority.newly_revoked(&claim(8, 500, &["01", "02", "0a"])), serials(&["01", "0a"]));
    }

    #[test]
    fn a_crl_number_rises_but_for_the_very_same_crl() {
        let authority = authority();
        for (number, tbs, may) in [(6, 6, false), (7, 7, true), (7, 8, false), (8, 8, true)] {
            assert_eq!(authority.may_follow(number, &[tbs; 32]).is_ok(), may, "{number}");
        }
    }

    #[test]
    fn a_floor_lifts_the_number_and_its_serials_are_used_for_no_other() {
        let mut authority = authority();
        authority.floor_set(7);
        assert!(authority.may_follow(7, &[7; 32]).is_ok(), "the last CRL is still the same one");
        authority.floor_set(9);
        for (number, tbs, may) in [(7, 7, false), (9, 7, false), (10, 1, true)] {
            assert_eq!(authority.may_follow(number, &[tbs; 32]).is_ok(), may, "{number}");
        }
        let at = |serial, not_after_s: Option<i64>| UsedSerial {
            serial: serials(&[serial])[0],
            not_after: not_after_s.map(|seconds| Timestamp::from_second(seconds).unwrap()),
        };
        authority.used(vec![at("01", None), at("0b", Some(600)), at("0c", None)]);
        authority.revoked(serials(&["01", "0b", "0c"]));
        let tbs = [1; 32];
        assert!(authority.may_certify(serials(&["01"])[0], &tbs).is_ok(), "what was known of it stays");
        assert!(authority.may_certify(serials(&["0b"])[0], &tbs).is_err());
        let after = claim(10, 1001, &["09", "0c"]);
        assert_eq!(authority.may_revoke(&after), Ok(()), "the others have expired");
        let without = claim(10, 1001, &["09"]);
        assert_eq!(authority.may_revoke(&without), Err(Contradiction::SerialDropped(serials(&["0c"])[0])));
    }

    #[test]
    fn what_a_person_allows_is_one_thing_once() {
        let mut authority = authority();
        authority.number_allowed(3);
        for (number, may) in [(2, false), (3, true), (4, false), (7, false), (8, true)] {
            assert_eq!(authority.may_follow(number, &[1; 32]).is_ok(), may, "{number}");
        }
        let mut other = authority.clone();
        other.crl_signed(8, [8; 32]);
        assert!(other.may_follow(3, &[1; 32]).is_err(), "the next CRL was another");
        authority.crl_signed(3, [3; 32]);
        for (number, may) in [(3, false), (4, true)] {
            assert_eq!(authority.may_follow(number, &[1; 32]).is_ok(), may, "{number}");
        }
        authority.drop_allowed(serials(&["09"])[0]);
        assert_eq!(authority.may_revoke(&claim(4, 500, &["02", "05"])), Ok(()));
        assert!(authority.may_revoke(&claim(4, 500, &["02"])).is_err(), "one serial, no other");
        assert!(authority.may_certify(serials(&["09"])[0], &[9; 32]).is_err(), "used it stays");
        authority.revoked(serials(&["09"]));
        assert!(authority.may_revoke(&claim(4, 500, &["02", "05"])).is_err(), "revoked once more");
    }

    #[test]
    fn an_expiry_beyond_what_is_counted_is_none() {
        let far = Timestamp::MAX;
        assert_eq!(Expiry::of(far), Expiry::NEVER);
        assert_eq!(Expiry::of(Timestamp::from_second(-5).unwrap()), Expiry(0));
    }
}
