//! Steps 5 and 6 of the verdict: what the whole file decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::ends::{LastText, Origin, Trailer};
use super::facts::LineFault;
use super::findings::Findings;
use super::text;
use crate::backup::key::{Mac, mac_is};
use crate::backup::limits::MAX_GAP_RANGES;
use crate::backup::tenants::TenantHead;
use crate::backup::trailer::{TrailerV1, TrailerV2, digest_of_hex, tenants_fit};
use crate::backup::{Content, Header};
use crate::json;
use crate::{Digest, Failure};

/// What the file is measured against.
pub(crate) struct Case<'a> {
    pub(crate) header: &'a Header,
    pub(crate) trailer: &'a Trailer,
    pub(crate) last: &'a LastText<'a>,
    pub(crate) origin: Origin,
    pub(crate) sha256: Digest,
    /// Version 1 with a key: the MAC over the same bytes.
    pub(crate) mac: Option<&'a Mac>,
    pub(crate) findings: &'a Findings,
    /// Version 2.
    pub(crate) content: Option<&'a Content>,
    /// Version 2; `None` when there are more than a trailer can say.
    pub(crate) tenants: Option<&'a [TenantHead]>,
}

impl Case<'_> {
    /// The first failure that applies.
    pub(crate) fn judge(&self) -> Result<(), Failure> {
        if !self.checksum_holds() {
            return Err(self.damaged());
        }
        if let (Trailer::V1(trailer), Origin::Keyed, Some(mac)) = (self.trailer, self.origin, self.mac)
            && !digest_of_hex(trailer.hmac_sha256.as_bytes()).is_some_and(|stated| mac_is(mac, &stated))
        {
            return Err(text::tampered_v1(self.last));
        }
        if let Some(fault) = &self.findings.malformed {
            return Err(text::malformed(fault));
        }
        if let Some(fault) = &self.findings.inconsistent {
            return Err(text::inconsistent(fault));
        }
        let difference = match (self.trailer, self.content) {
            (Trailer::V1(trailer), _) => self.difference_v1(trailer),
            (Trailer::V2(trailer), Some(content)) => self.difference_v2(trailer, content),
            (Trailer::V2(_), None) => None,
        };
        difference.map_or(Ok(()), |what| Err(text::inconsistent_trailer(self.last, &what)))
    }

    fn checksum_holds(&self) -> bool {
        match self.trailer {
            Trailer::V1(trailer) => trailer.sha256 == self.sha256.to_string(),
            Trailer::V2(trailer) => trailer.sha256 == self.sha256,
        }
    }

    fn damaged(&self) -> Failure {
        let (malformed, inconsistent) = (&self.findings.malformed, &self.findings.inconsistent);
        let first: Option<&LineFault> = malformed.iter().chain(inconsistent).min_by_key(|fault| fault.line);
        text::damaged(self.last, first, &self.differing_tenants())
    }

    /// Tenants whose records are not what the trailer says.
    fn differing_tenants(&self) -> Vec<String> {
        let (Trailer::V2(TrailerV2 { tenants: Some(stated), .. }), Some(found)) =
            (self.trailer, self.tenants)
        else {
            return Vec::new();
        };
        let by_id = |tenants: &[TenantHead]| -> BTreeMap<Arc<[u8]>, TenantHead> {
            tenants.iter().map(|tenant| (Arc::clone(&tenant.id), tenant.clone())).collect()
        };
        let (stated, found) = (by_id(stated), by_id(found));
        let ids: BTreeSet<_> = stated.keys().chain(found.keys()).collect();
        let differing = ids.into_iter().filter(|id| stated.get(*id) != found.get(*id));
        differing.map(|id| json::decode_go(id).into_owned()).collect()
    }

    fn difference_v1(&self, trailer: &TrailerV1) -> Option<String> {
        let cut = self.header.event_cut_sequence;
        unequal("records", trailer.records, self.findings.records)
            .or_else(|| unequal("event_cut_sequence", trailer.event_cut_sequence, cut))
    }

    fn difference_v2(&self, trailer: &TrailerV2, content: &Content) -> Option<String> {
        let header = self.header;
        unequal("records", trailer.records, content.records)
            .or_else(|| unequal("first_sequence", trailer.first_sequence, content.first_sequence))
            .or_else(|| unequal("the header's first_sequence", header.first_sequence, content.first_sequence))
            .or_else(|| unequal("last_sequence", trailer.last_sequence, content.last_sequence))
            .or_else(|| self.gaps_difference(trailer, content))
            .or_else(|| unequal("merkle_root", trailer.merkle_root, content.merkle_root))
            .or_else(|| self.tenants_difference(trailer))
            .or_else(|| unequal("event_cut_sequence", trailer.event_cut_sequence, header.event_cut_sequence))
    }

    fn gaps_difference(&self, trailer: &TrailerV2, content: &Content) -> Option<String> {
        let count = self.findings.fold.gap_ranges_through(content.last_sequence);
        match &trailer.gaps {
            None if count > MAX_GAP_RANGES as u64 => None,
            None => Some(format!("gaps is null, and there are only {count} ranges")),
            Some(stated) if *stated == content.gaps && count <= MAX_GAP_RANGES as u64 => None,
            Some(stated) => {
                let at = stated.iter().zip(&content.gaps).take_while(|(a, b)| a == b).count();
                let range = |ranges: &[(u64, u64)]| {
                    ranges.get(at).map_or(String::from("none"), |r| format!("{}–{}", r.0, r.1))
                };
                Some(format!(
                    "gap {} is stated as {}, and is {}",
                    at + 1,
                    range(stated),
                    range(&content.gaps)
                ))
            }
        }
    }

    fn tenants_difference(&self, trailer: &TrailerV2) -> Option<String> {
        match (&trailer.tenants, self.tenants) {
            (Some(stated), Some(found)) if stated == found => None,
            (Some(stated), None) => Some(format!(
                "{} tenants are stated, and there are more than a trailer can say",
                stated.len()
            )),
            (Some(_), Some(_)) => {
                let differing = self.differing_tenants();
                Some(format!("tenants differ from the records: {}", text::list(&differing)))
            }
            // `null` takes four bytes, the newline one.
            (None, Some(found)) if tenants_fit(self.last.bytes.len() + 1 - 4, found) => {
                Some(String::from("tenants is null, and there are few enough to say"))
            }
            (None, _) => None,
        }
    }
}

fn unequal<T: PartialEq + std::fmt::Display>(name: &str, stated: T, found: T) -> Option<String> {
    (stated != found).then(|| format!("{name} is stated as {stated}, and is {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreTime;
    use crate::backup::FormatVersion;
    use crate::backup::verify::findings::Renumber;
    use crate::backup::verify::options::Cut;

    const ZERO: Digest = Digest([0; 32]);

    /// A trailer that has too much to say.
    fn trailer() -> Trailer {
        Trailer::V2(TrailerV2 {
            sha256: ZERO,
            merkle_root: ZERO,
            records: 1,
            first_sequence: 1,
            last_sequence: 1,
            event_cut_sequence: 1,
            gaps: None,
            tenants: None,
            authentication: None,
        })
    }

    /// Calls with a case of such a trailer, which takes so many bytes.
    fn with_case<T>(
        trailer_bytes: usize,
        sequences: impl Iterator<Item = u64>,
        tenants: &[TenantHead],
        judge: impl FnOnce(&Case<'_>, &TrailerV2) -> T,
    ) -> T {
        let header = Header {
            version: FormatVersion::V2,
            created_at: StoreTime(0),
            deployment_id: None,
            stream: String::new(),
            first_sequence: 1,
            event_cut_sequence: u64::MAX,
        };
        let mut findings = Findings::new(&header, Cut::All, Renumber::No);
        sequences.for_each(|sequence| findings.fold.push(sequence, ZERO));
        let bytes = vec![0; trailer_bytes];
        let trailer = trailer();
        let Trailer::V2(stated) = &trailer else { unreachable!("it is one of version 2") };
        let case = Case {
            header: &header,
            trailer: &trailer,
            last: &LastText { bytes: &bytes, terminated: true, overlong: false, offset: 0, line: None },
            origin: Origin::Unkeyed,
            sha256: ZERO,
            mac: None,
            findings: &findings,
            content: None,
            tenants: Some(tenants),
        };
        judge(&case, stated)
    }

    #[test]
    fn gaps_may_be_null_only_when_there_are_more_than_a_million() {
        let last = 2 * MAX_GAP_RANGES as u64 + 1;
        with_case(0, (1..=last).step_by(2), &[], |case, trailer| {
            let difference = |last| case.gaps_difference(trailer, &case.findings.fold.content_through(last));
            let few = String::from("gaps is null, and there are only 1000000 ranges");
            assert_eq!(difference(last), Some(few));
            assert_eq!(difference(last + 1), None, "the end is one more gap");
            let spelled_out = |last| case.findings.fold.content_through(last).gaps.len();
            assert_eq!((spelled_out(last), spelled_out(last + 1)), (MAX_GAP_RANGES, 0));
        });
    }

    #[test]
    fn tenants_may_be_null_only_when_the_trailer_would_be_longer_than_a_line() {
        let tenants = [TenantHead { id: b"t"[..].into(), records: 1, merkle_root: ZERO }];
        let list = format!("[{{\"tenant_id\":\"t\",\"records\":1,\"merkle_root\":\"{ZERO}\"}}]");
        // With the list in place of `null`, it would be as long as a line may be, newline included.
        let longest = FormatVersion::V2.max_line_bytes() - "\n".len() - list.len() + "null".len();
        let difference = |trailer_bytes| {
            with_case(trailer_bytes, 1..=1, &tenants, |case, trailer| case.tenants_difference(trailer))
        };
        let few = String::from("tenants is null, and there are few enough to say");
        assert_eq!((difference(longest), difference(longest + 1)), (Some(few), None));
    }
}
