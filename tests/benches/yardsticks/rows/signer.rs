//! SignCertificate over the socket, journaled and durable, against the bare signature of the same library; and how long a
//! request takes at half that load.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, VerificationAlgorithm,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use trstctl_signer_protocol::Client;
use trstctl_signer_protocol::v1::{Algorithm, SignCertificateRequest};

use super::signer_site::Authority;
use crate::figures::{Figures, Unit, alternate};
use crate::row::{Reach, Row, Yardstick};
use crate::setting::Setting;

/// Requests that wait at once, on [`CONNECTIONS`] connections.
const WAITING: usize = 64;
const CONNECTIONS: usize = 4;

/// How long each figure is measured.
const MEASURED: Duration = Duration::from_secs(3);

/// The longest that 99 of 100 requests may take, in seconds.
const P99: f64 = 0.005;

/// The three algorithms that are promised.
pub fn speed(setting: &Setting) -> Vec<Row> {
    [Algorithm::Rsa3072, Algorithm::P384, Algorithm::P256]
        .into_iter()
        .flat_map(|algorithm| of_algorithm(setting, algorithm))
        .collect()
}

fn of_algorithm(setting: &Setting, algorithm: Algorithm) -> [Row; 2] {
    let site = Authority::start(algorithm);
    let bare = Bare::new(algorithm);
    let tbs = site.request().tbs;
    let (theirs, ours) = alternate(
        Unit::SignaturesPerSecond,
        setting.rounds,
        || rate_of(|| drop((bare.sign)(&tbs))),
        || site.block_on(at_once(&site)),
    );
    let half = ours.median() / 2.0;
    let waits = (0..setting.rounds).map(|_| site.block_on(at_rate(&site, half))).collect();
    let name = site.algorithm_name();
    let signed = Row {
        name: String::new(),
        what: format!("SignCertificate, {name}, {WAITING} at once"),
        yardstick: Some(Yardstick { name: String::from("bare signature, one core"), figures: theirs }),
        ours,
        reach: reach(algorithm),
        limit: format!(
            "both cores: its check before it leaves takes {:.1} times what the signature takes; then the client, HTTP/2 on both \
             sides, and the rules.",
            bare.cost_of_verifying(&tbs)
        ),
    };
    let waited = Row {
        name: String::new(),
        what: format!("SignCertificate, {name}, p99 at half load"),
        yardstick: None,
        ours: Figures { unit: Unit::Seconds, values: waits },
        reach: Reach::AtMost(P99),
        limit: String::from(
            "the cores: reading, noting, signing and answering each wait for one that is busy; two syncs of the disk take the rest.",
        ),
    };
    [signed, waited]
}

fn reach(algorithm: Algorithm) -> Reach {
    match algorithm {
        Algorithm::Rsa3072 => Reach::AtLeastTimes(0.8),
        Algorithm::P384 => Reach::AtLeastTimes(0.5),
        _ => Reach::AtLeast(8_000.0),
    }
}

/// Signs bytes.
type Sign = Box<dyn Fn(&[u8]) -> Vec<u8>>;

/// Signs and verifies as the signer does, with a key of its own.
struct Bare {
    sign: Sign,
    public: ParsedPublicKey,
}

impl Bare {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::P256 => Self::ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDSA_P256_SHA256_ASN1),
            Algorithm::P384 => Self::ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING, &ECDSA_P384_SHA384_ASN1),
            _ => Self::rsa(),
        }
    }

    fn ecdsa(signing: &'static EcdsaSigningAlgorithm, verifying: &'static dyn VerificationAlgorithm) -> Self {
        let key = EcdsaKeyPair::generate(signing).expect("a key");
        let public = ParsedPublicKey::new(verifying, key.public_key()).expect("its public half");
        let random = SystemRandom::new();
        let sign = move |tbs: &[u8]| key.sign(&random, tbs).expect("a signature").as_ref().to_vec();
        Self { sign: Box::new(sign), public }
    }

    fn rsa() -> Self {
        let key = RsaKeyPair::generate(rsa::KeySize::Rsa3072).expect("a key");
        let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key());
        let sign = move |tbs: &[u8]| {
            let mut signature = vec![0; key.public_modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), tbs, &mut signature).expect("a signature");
            signature
        };
        Self { sign: Box::new(sign), public: public.expect("its public half") }
    }

    /// How many times the cost of a signature it takes to verify it.
    fn cost_of_verifying(&self, tbs: &[u8]) -> f64 {
        let signature = (self.sign)(tbs);
        let signed = rate_of(|| drop((self.sign)(tbs)));
        signed / rate_of(|| self.public.verify_sig(tbs, &signature).expect("it verifies"))
    }
}

/// How often a second.
fn rate_of(work: impl Fn()) -> f64 {
    let begun = Instant::now();
    let mut done = 0;
    while begun.elapsed() < MEASURED {
        work();
        done += 1;
    }
    f64::from(done) / begun.elapsed().as_secs_f64()
}

/// Signatures a second when [`WAITING`] requests always wait.
async fn at_once(site: &Authority) -> f64 {
    let clients = site.clients(CONNECTIONS).await;
    let done = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for number in 0..WAITING {
        let (mut client, done) = (clients[number % CONNECTIONS].clone(), Arc::clone(&done));
        let serials = site.serials();
        callers.spawn(async move {
            while begun.elapsed() < MEASURED {
                sign(&mut client, serials.request()).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    callers.join_all().await;
    done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// Seconds that 99 of 100 requests take at most, from the instant at which each is due.
async fn at_rate(site: &Authority, rate: f64) -> f64 {
    let clients = site.clients(CONNECTIONS).await;
    let serials = site.serials();
    let mut calls = JoinSet::new();
    let mut waits = VecDeque::new();
    let mut due = due_at(rate);
    for client in clients.iter().cycle() {
        let Some(due) = due.recv().await else { break };
        let (mut client, request) = (client.clone(), serials.request());
        calls.spawn(async move {
            sign(&mut client, request).await;
            due.elapsed().as_secs_f64()
        });
        while let Some(wait) = calls.try_join_next() {
            waits.push_back(wait.expect("a call ends"));
        }
    }
    waits.extend(calls.join_all().await);
    let mut waits = Vec::from(waits);
    waits.sort_by(f64::total_cmp);
    waits[waits.len() * 99 / 100]
}

/// The instants at which requests are due, each when it has come. The clock is that of a thread: those of the runtime tick in milliseconds.
#[expect(clippy::disallowed_methods, reason = "a request is due at its instant, not on a condition")]
fn due_at(rate: f64) -> UnboundedReceiver<Instant> {
    let (tell, told) = unbounded_channel();
    std::thread::spawn(move || {
        let begun = Instant::now();
        for number in 0..(rate * MEASURED.as_secs_f64()) as usize {
            let due = begun + Duration::from_secs_f64(number as f64 / rate);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if tell.send(due).is_err() {
                break;
            }
        }
    });
    told
}

async fn sign(client: &mut Client, request: SignCertificateRequest) {
    client.sign_certificate(request).await.expect("a certificate is signed");
}
