//! Every rule for certificates and CRLs is broken once, alone, and refused by name before the journal hears of it.

mod support;

use support::x509::{
    AKI, BASIC, CRL_NUMBER, EKU, Entry, Ext, KEY_USAGE, RSA, SAN, SERVER_AUTH, SKI, Tbs, TbsCrl, aki,
    ca as ca_ext, dns, eku, entry, generalized, int, key_usage, name, reason, seq, ski, time, tlv,
};
use support::{
    Signer, Site, certificate, crl, crl_request, files_of, generate, id, intermediate_request, leaf_request,
    refusal, root_request,
};
use tonic::Status;
use trstctl_signer_protocol::v1::{
    Algorithm, CertificateKind, GenerateKeyRequest, Key, LeafUsage, Purpose, SignCertificateRequest,
};
use trstctl_signer_protocol::{Client, CrlClient};

/// A CA with one below it, and a key for leaves.
struct Ca {
    site: Site,
    _signer: Signer,
    client: Client,
    crls: CrlClient,
    root_key: Key,
    key: Key,
    subject: Vec<u8>,
    root: Vec<u8>,
    intermediate: Vec<u8>,
}

impl Ca {
    async fn new() -> Self {
        let site = Site::new();
        let signer = site.start("a").await;
        let (mut client, crls) = (signer.client().await, signer.crl_client().await);
        let root_key = generate(&mut client, &id(1), Algorithm::P256).await.unwrap();
        let key = generate(&mut client, &id(2), Algorithm::P256).await.unwrap();
        let subject = generate(&mut client, &id(3), Algorithm::P256).await.unwrap().public_key;
        let tbs = Tbs::root(&root_key).der();
        let root = certificate(&mut client, root_request(&root_key, tbs)).await.unwrap();
        let tbs = Tbs::intermediate(2, &root_key, &key).der();
        let intermediate =
            certificate(&mut client, intermediate_request(&root_key, &root, tbs)).await.unwrap();
        Self { site, _signer: signer, client, crls, root_key, key, subject, root, intermediate }
    }

    fn leaf(&self) -> Tbs {
        Tbs::leaf(9, "Intermediate", &self.key, &self.subject)
    }

    fn leaf_request(&self, tbs: &Tbs) -> SignCertificateRequest {
        leaf_request(&self.key, &self.intermediate, tbs.der())
    }

    /// The intermediate's certificate with something else in it. Who signed it, the signer cannot know.
    fn odd_issuer(&self, change: impl FnOnce(Tbs) -> Tbs) -> Vec<u8> {
        let tbs = change(Tbs::intermediate(2, &self.root_key, &self.key));
        seq(&[&tbs.der(), &tbs.algorithm, &tlv(3, &[&[0, 1]])])
    }

    fn odd_issuers(&self) -> [(Vec<u8>, &'static str); 10] {
        let of_version_1 = |tbs: Tbs| Tbs { version: vec![], ..tbs };
        let without_subject = |tbs: Tbs| Tbs { subject: seq(&[]), ..tbs };
        let with_a_doubled = |mut tbs: Tbs| {
            tbs.extensions.push(ca_ext(None));
            tbs
        };
        let tbs = Tbs::intermediate(2, &self.root_key, &self.key);
        let rsa = seq(&[&support::x509::oid(RSA.0), &[5, 0]]);
        [
            (seq(&[&tbs.der(), &rsa, &tlv(3, &[&[0, 1]])]), "the signature"),
            (seq(&[&tbs.der(), &tbs.algorithm, &tlv(3, &[&[1, 1]])]), "the signature"),
            (self.odd_issuer(of_version_1), "not of version 3"),
            (self.odd_issuer(without_subject), "has no subject"),
            (self.odd_issuer(with_a_doubled), "there twice"),
            (self.odd_issuer(|tbs| tbs.without(BASIC)), "not that of a CA"),
            (self.odd_issuer(|tbs| tbs.with(Ext(BASIC, true, seq(&[])))), "not that of a CA"),
            (self.odd_issuer(|tbs| tbs.without(KEY_USAGE)), "states no key usage"),
            (self.odd_issuer(|tbs| tbs.without(SKI)), "no subject key identifier"),
            (self.odd_issuer(|tbs| tbs.with(key_usage(0x02))), "to sign certificates"),
        ]
    }

    /// Each leaf is refused with its word, for what its message says; the good one is signed.
    async fn refuses_each_leaf(&mut self, cases: &[(Tbs, &str, &str)]) {
        let files = files_of(&self.site.keystore());
        for (tbs, word, what) in cases {
            let request = self.leaf_request(tbs);
            is_refused(certificate(&mut self.client, request).await, word, what);
        }
        assert_eq!(files_of(&self.site.keystore()), files, "the journal hears of none");
        let request = self.leaf_request(&self.leaf());
        certificate(&mut self.client, request).await.unwrap();
    }

    fn crl(&self) -> TbsCrl {
        TbsCrl::new(&self.key, "Intermediate", &[1], &[&[9], &[10]])
    }
}

/// Alternative names with this value.
fn san(value: Vec<u8>) -> Ext {
    Ext(SAN, false, value)
}

fn is_refused(refused: Result<Vec<u8>, Status>, word: &str, what: &str) {
    let refused = refused.expect_err(what);
    assert_eq!(refusal(&refused), word, "{refused}");
    assert!(refused.message().contains(what), "{what}: {refused}");
}

#[tokio::test]
async fn every_rule_for_the_fields_and_names_of_a_leaf_is_broken_once() {
    let mut ca = Ca::new().await;
    let good = ca.leaf();
    let cases = [
        (Tbs { version: vec![], ..good.clone() }, "bad_version", "not of version 3"),
        (Tbs { version: tlv(0xa0, &[&int(&[1])]), ..good.clone() }, "bad_version", "not of version 3"),
        (Tbs { unique_id: tlv(0x81, &[&[0, 1]]), ..good.clone() }, "bad_version", "unique identifiers"),
        (Tbs { serial: vec![0], ..good.clone() }, "bad_serial", "positive integer"),
        (Tbs { serial: vec![0x80], ..good.clone() }, "bad_serial", "positive integer"),
        (Tbs { serial: [&[0, 0x80][..], &[1; 19]].concat(), ..good.clone() }, "bad_serial", "at most 20"),
        (Tbs { serial: vec![0, 1], ..good.clone() }, "bad_encoding", "its one DER encoding"),
        (
            Tbs { algorithm: seq(&[&support::x509::oid(RSA.0), &[5, 0]]), ..good.clone() },
            "wrong_algorithm",
            "not the key's",
        ),
        (Tbs { issuer: name("Root"), ..good.clone() }, "wrong_issuer", "not the subject"),
        (Tbs { not_before: time("20250101000000Z"), ..good.clone() }, "bad_validity", "issuer's is not"),
        (Tbs { not_after: time("20410101000000Z"), ..good.clone() }, "bad_validity", "issuer's is not"),
        (Tbs { not_after: time("20260101000000Z"), ..good.clone() }, "bad_validity", "before it begins"),
        (
            Tbs { not_after: generalized("20400101000000Z"), ..good.clone() },
            "bad_encoding",
            "its one DER encoding",
        ),
        (Tbs { subject: name("Intermediate"), ..good.clone() }, "bad_name", "issuer's own name"),
        (Tbs { subject: seq(&[]), ..good.clone() }, "bad_name", "alternative names are critical"),
        (Tbs { subject: seq(&[]), ..good.clone() }.without(SAN), "bad_name", "names nobody"),
        (good.clone().without(SAN), "bad_name", "names are missing"),
        (good.clone().with(dns("two words")), "bad_name", "alternative name is none"),
        (good.clone().with(san(seq(&[&tlv(0x87, &[&[1; 5]])]))), "bad_name", "alternative name is none"),
        (good.clone().with(san(seq(&[]))), "bad_name", "alternative name is none"),
    ];
    ca.refuses_each_leaf(&cases).await;
}

#[tokio::test]
async fn every_rule_for_the_key_of_a_leaf_is_broken_once() {
    let mut ca = Ca::new().await;
    let good = ca.leaf();
    let rsa = |modulus: &[u8], exponent: &[u8]| {
        let algorithm = seq(&[&support::x509::oid("1.2.840.113549.1.1.1"), &[5, 0]]);
        seq(&[&algorithm, &tlv(3, &[&[0], &seq(&[&int(modulus), &int(exponent)])])])
    };
    let with_key = |spki: Vec<u8>| Tbs { spki, ..good.clone() }.without(SKI);
    let off_curve = {
        let mut spki = ca.subject.clone();
        *spki.last_mut().unwrap() ^= 1;
        spki
    };
    let cases = [
        (with_key(off_curve), "bad_key", "not a key of its kind"),
        (with_key(ca.key.public_key.clone()), "bad_key", "no other certificate does"),
        (with_key(rsa(&[&[0x00, 0xff][..], &[0xff; 127]].concat(), &[1, 0, 1])), "bad_key", "weak"),
        (with_key(rsa(&[&[0x00, 0xff][..], &[0xff; 255]].concat(), &[3])), "bad_key", "weak"),
        (with_key(rsa(&[&[0x00, 0xff][..], &[0xff; 254], &[0xfe]].concat(), &[1, 0, 1])), "bad_key", "weak"),
        (
            with_key(seq(&[&seq(&[&support::x509::oid("1.2.3.4")]), &tlv(3, &[&[0, 1]])])),
            "bad_key",
            "unknown kind",
        ),
    ];
    ca.refuses_each_leaf(&cases).await;
}

#[tokio::test]
async fn every_rule_for_the_extensions_of_a_leaf_is_broken_once() {
    let mut ca = Ca::new().await;
    let good = ca.leaf();
    let mut twice = good.clone();
    twice.extensions.push(dns("b.example.org"));
    let cases = [
        (twice, "bad_extension", "there twice"),
        (
            good.clone().with(Ext("1.2.3.4", true, vec![5, 0])),
            "bad_extension",
            "critical extension is unknown",
        ),
        (good.clone().with(san(vec![0x30, 5])), "bad_extension", "malformed"),
        (good.clone().with(Ext("2.5.29.31", false, seq(&[]))), "bad_extension", "lists nothing"),
        (
            good.clone().with(Ext(
                "1.3.6.1.5.5.7.1.1",
                true,
                seq(&[&seq(&[&support::x509::oid("1.3.6.1.5.5.7.48.1"), &tlv(0x86, &[b"http://o"])])]),
            )),
            "bad_extension",
            "access is critical",
        ),
        (good.clone().with(ca_ext(None)), "wrong_constraints", "a leaf is no CA"),
        (
            good.clone().with(Ext("2.5.29.30", true, seq(&[&tlv(0xa0, &[&seq(&[&tlv(0x82, &[b"a"])])])]))),
            "wrong_constraints",
            "no name constraints",
        ),
    ];
    ca.refuses_each_leaf(&cases).await;
}

#[tokio::test]
async fn every_rule_for_the_usages_and_key_identifiers_of_a_leaf_is_broken_once() {
    let mut ca = Ca::new().await;
    let good = ca.leaf();
    let client_auth = "1.3.6.1.5.5.7.3.2";
    let wrong_ski = Ext(SKI, false, tlv(4, &[&[1; 20]]));
    let both_ways =
        seq(&[&tlv(0x80, &[&support::x509::key_identifier(&ca.key.public_key)]), &tlv(0x82, &[&[1]])]);
    let cases = [
        (good.clone().without(KEY_USAGE), "wrong_usage", "usage is missing"),
        (good.clone().with(Ext(KEY_USAGE, false, key_usage(0x80).2)), "wrong_usage", "usage is not critical"),
        (good.clone().with(key_usage(0x84)), "wrong_usage", "does not fit the leaf"),
        (good.clone().with(key_usage(0xa0)), "wrong_usage", "does not fit the leaf"),
        (good.clone().with(Ext(KEY_USAGE, true, vec![3, 2, 0, 0x80])), "bad_extension", "malformed"),
        (good.clone().without(EKU), "wrong_usage", "not those that are asked for"),
        (good.clone().with(eku(&[client_auth])), "wrong_usage", "not those that are asked for"),
        (good.clone().with(eku(&[SERVER_AUTH, client_auth])), "wrong_usage", "not those that are asked for"),
        (good.clone().with(wrong_ski), "wrong_key_identifier", "not that of the key"),
        (good.clone().without(AKI), "wrong_key_identifier", "is missing"),
        (good.clone().with(aki(&ca.root_key.public_key)), "wrong_key_identifier", "not the issuer's"),
        (good.clone().with(Ext(AKI, true, aki(&ca.key.public_key).2)), "wrong_key_identifier", "is critical"),
        (good.clone().with(Ext(AKI, false, both_ways)), "wrong_key_identifier", "names issuer and serial"),
    ];
    ca.refuses_each_leaf(&cases).await;
}

#[tokio::test]
async fn every_rule_for_a_ca_is_broken_once_and_refused_by_name() {
    let mut ca = Ca::new().await;
    let third = generate(&mut ca.client, &id(4), Algorithm::P384).await.unwrap();
    let files = files_of(&ca.site.keystore());
    let good = Tbs::intermediate(8, &ca.root_key, &third);
    let request = |tbs: &Tbs| intermediate_request(&ca.root_key, &ca.root, tbs.der());
    let cases = [
        (good.clone().without(BASIC), "wrong_constraints", "are missing"),
        (good.clone().with(Ext(BASIC, false, ca_ext(Some(0)).2)), "wrong_constraints", "not critical"),
        (good.clone().with(Ext(BASIC, true, seq(&[]))), "wrong_constraints", "not a CA's"),
        (good.clone().with(ca_ext(Some(1))), "wrong_constraints", "not below the issuer's"),
        (good.clone().with(ca_ext(None)), "wrong_constraints", "not below the issuer's"),
        (
            good.clone().with(Ext("2.5.29.30", false, seq(&[&tlv(0xa0, &[&seq(&[&tlv(0x82, &[b"a"])])])]))),
            "wrong_constraints",
            "not critical",
        ),
        (good.clone().with(key_usage(0x02)), "wrong_usage", "not that of a CA"),
        (good.clone().with(key_usage(0x26)), "wrong_usage", "not that of a CA"),
        (good.clone().without(SKI), "wrong_key_identifier", "is missing"),
        (Tbs { subject: seq(&[]), ..good.clone() }, "bad_name", "no empty subject"),
        (
            Tbs { spki: ca.root_key.public_key.clone(), ..good.clone() }.with(ski(&ca.root_key.public_key)),
            "bad_key",
            "no other certificate does",
        ),
    ];
    for (tbs, word, what) in &cases {
        is_refused(certificate(&mut ca.client, request(tbs)).await, word, what);
    }
    assert_eq!(files_of(&ca.site.keystore()), files, "the journal hears of none");
    let request = intermediate_request(&ca.root_key, &ca.root, good.der());
    certificate(&mut ca.client, request).await.unwrap();
}

#[tokio::test]
async fn every_rule_for_the_issuer_and_for_what_is_asked_is_broken_once() {
    let mut ca = Ca::new().await;
    let third = generate(&mut ca.client, &id(4), Algorithm::P384).await.unwrap();
    let files = files_of(&ca.site.keystore());
    let good = Tbs::intermediate(8, &ca.root_key, &third);
    let by_intermediate = Tbs {
        issuer: name("Intermediate"),
        subject: name("Third"),
        ..good.clone().with(aki(&ca.key.public_key)).with(ca_ext(Some(0)))
    };
    let of_key = |issuer: &[u8]| leaf_request(&ca.key, issuer, ca.leaf().der());
    let leaf_usage = |kind: CertificateKind, usages: &[LeafUsage]| SignCertificateRequest {
        kind: kind.into(),
        usages: usages.iter().map(|usage| (*usage).into()).collect(),
        ..ca.leaf_request(&ca.leaf())
    };
    let root = Tbs::root(&third);
    let cases = [
        (
            intermediate_request(&ca.key, &ca.intermediate, by_intermediate.der()),
            "wrong_constraints",
            "not below",
        ),
        (of_key(&ca.root), "bad_issuer", "another public key"),
        (of_key(&[]), "bad_issuer", "is missing"),
        (of_key(b"none"), "bad_issuer", "no certificate in DER"),
        (
            SignCertificateRequest {
                issuer_certificate: ca.root.clone(),
                ..root_request(&third, root.der())
            },
            "bad_issuer",
            "a root has no",
        ),
        (
            root_request(&third, Tbs { issuer: name("Other"), ..root.clone() }.der()),
            "wrong_issuer",
            "not the subject",
        ),
        (
            root_request(&third, root.clone().with(aki(&ca.key.public_key)).der()),
            "wrong_key_identifier",
            "not the issuer's",
        ),
        (
            root_request(
                &third,
                Tbs { spki: ca.key.public_key.clone(), ..root.clone() }.with(ski(&ca.key.public_key)).der(),
            ),
            "bad_key",
            "a root states the sealed key",
        ),
        (leaf_usage(CertificateKind::Leaf, &[]), "wrong_usage", "no certificate of this kind"),
        (
            leaf_usage(CertificateKind::Leaf, &[LeafUsage::ServerAuth, LeafUsage::ServerAuth]),
            "wrong_usage",
            "no certificate of this kind",
        ),
        (
            leaf_usage(CertificateKind::Leaf, &[LeafUsage::ServerAuth, LeafUsage::OcspSigning]),
            "wrong_usage",
            "no certificate of this kind",
        ),
        (leaf_usage(CertificateKind::Unspecified, &[]), "bad_request", "kind of certificate"),
        (leaf_usage(CertificateKind::Leaf, &[LeafUsage::Unspecified]), "bad_request", "usage is unknown"),
        (SignCertificateRequest { key_id: id(9), ..of_key(&ca.intermediate) }, "unknown_key", "no key"),
    ];
    for (request, word, what) in cases {
        is_refused(certificate(&mut ca.client, request).await, word, what);
    }
    for (issuer, what) in ca.odd_issuers() {
        let request = leaf_request(&ca.key, &issuer, ca.leaf().der());
        is_refused(certificate(&mut ca.client, request).await, "bad_issuer", what);
    }
    assert_eq!(files_of(&ca.site.keystore()), files, "the journal hears of none");
}

#[tokio::test]
async fn every_rule_for_a_crl_is_broken_once_and_refused_by_name() {
    let mut ca = Ca::new().await;
    let files = files_of(&ca.site.keystore());
    let good = ca.crl();
    let with_entries = |entries: Vec<Entry>| TbsCrl { entries: Some(entries), ..good.clone() };
    let with_ext = |extension: Ext| with_entries(vec![Entry { extensions: vec![extension], ..entry(&[9]) }]);
    let cases = [
        (TbsCrl { version: vec![], ..good.clone() }, "bad_encoding", "no TBSCertList"),
        (TbsCrl { version: int(&[0]), ..good.clone() }, "bad_encoding", "not of version 2"),
        (
            TbsCrl { algorithm: seq(&[&support::x509::oid(RSA.0), &[5, 0]]), ..good.clone() },
            "wrong_algorithm",
            "not the key's",
        ),
        (TbsCrl { issuer: name("Root"), ..good.clone() }, "wrong_issuer", "not the subject"),
        (TbsCrl { next_update: vec![], ..good.clone() }, "bad_validity", "when the next is due"),
        (
            TbsCrl { next_update: time("20260301000000Z"), ..good.clone() },
            "bad_validity",
            "before this one begins",
        ),
        (
            TbsCrl { this_update: time("20390101000000Z"), ..good.clone() },
            "bad_validity",
            "ahead of the signer's clock",
        ),
        (TbsCrl { this_update: generalized("20260301000000Z"), ..good.clone() }, "bad_validity", "UTCTime"),
        (good.clone().without(CRL_NUMBER), "bad_number", "has no number"),
        (good.clone().with(Ext(CRL_NUMBER, true, int(&[1]))), "bad_number", "is critical"),
        (good.clone().with(Ext(CRL_NUMBER, false, int(&[1; 9]))), "bad_number", "above 2^64-1"),
        (good.clone().without(AKI), "wrong_key_identifier", "is missing"),
        (good.clone().with(aki(&ca.root_key.public_key)), "wrong_key_identifier", "not the issuer's"),
        (good.clone().with(Ext("2.5.29.27", true, int(&[1]))), "bad_extension", "another extension"),
        (good.clone().with(Ext("2.5.29.28", true, seq(&[]))), "bad_extension", "another extension"),
        (with_entries(vec![]), "bad_entry", "should not be"),
        (with_entries(vec![entry(&[9]), entry(&[9])]), "bad_entry", "there twice"),
        (with_entries(vec![entry(&[0x80])]), "bad_entry", "positive integer"),
        (
            with_entries(vec![Entry { date: time("20260302000000Z"), ..entry(&[9]) }]),
            "bad_entry",
            "later than this update",
        ),
        (with_ext(reason(0)), "bad_entry", "a reason"),
        (with_ext(reason(6)), "bad_entry", "can be undone"),
        (with_ext(reason(8)), "bad_entry", "can be undone"),
        (with_ext(reason(7)), "bad_extension", "malformed"),
        (with_ext(Ext("2.5.29.29", true, seq(&[]))), "bad_extension", "an entry has another"),
    ];
    for (tbs, word, what) in &cases {
        let request = crl_request(&ca.key, &ca.intermediate, tbs.der());
        is_refused(crl(&mut ca.crls, request).await, word, what);
    }
    let request = crl_request(&ca.key, &ca.root, good.der());
    is_refused(crl(&mut ca.crls, request).await, "bad_issuer", "another public key");
    let without_crls = ca.odd_issuer(|tbs| tbs.with(key_usage(0x04)));
    let request = crl_request(&ca.key, &without_crls, good.der());
    is_refused(crl(&mut ca.crls, request).await, "bad_issuer", "to sign CRLs");
    assert_eq!(files_of(&ca.site.keystore()), files, "the journal hears of none");
    let good = with_ext(reason(1));
    crl(&mut ca.crls, crl_request(&ca.key, &ca.intermediate, good.der())).await.unwrap();
}

#[tokio::test]
async fn a_key_signs_only_what_it_is_for() {
    let mut ca = Ca::new().await;
    for (number, purpose) in [(5, Purpose::Crls), (6, Purpose::Certificates)] {
        let purposes = vec![purpose.into()];
        let request = GenerateKeyRequest { key_id: id(number), algorithm: Algorithm::P256.into(), purposes };
        ca.client.generate_key(request).await.unwrap();
    }
    let request = SignCertificateRequest { key_id: id(5), ..ca.leaf_request(&ca.leaf()) };
    is_refused(certificate(&mut ca.client, request).await, "wrong_purpose", "not for certificates");
    let mut request = crl_request(&ca.key, &ca.intermediate, ca.crl().der());
    request.key_id = id(6);
    is_refused(crl(&mut ca.crls, request).await, "wrong_purpose", "not for CRLs");
}
