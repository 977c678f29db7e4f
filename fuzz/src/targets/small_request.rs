//! The requests of the signer that hold no certificate and no CRL.

use std::collections::BTreeSet;

use prost::Message;
use trstctl_signer::fuzzing;
use trstctl_signer_protocol::v1::{GenerateKeyRequest, ProbeRequest, SignTreeHeadRequest};

use super::Outcome;
use super::authority::refused;

/// What comes before every nonce that is signed, so that no challenge is anything else.
const CHALLENGE: &[u8] = b"trstctl/signer/probe/v1\0";

/// The same bytes as each of three messages: a key that may be made is asked for in one spelling, a tree head is three lines that say what was
/// asked for, a challenge is nothing else.
pub fn small_request(input: &[u8]) -> Outcome {
    let shapes = [key(input), tree_head(input), probe(input)];
    Outcome::from(shapes.join(" / "))
}

fn key(input: &[u8]) -> Outcome {
    let Ok(request) = GenerateKeyRequest::decode(input) else { return Outcome::from("no message") };
    match fuzzing::key(&request) {
        Ok(again) => {
            assert_eq!((&again.key_id, again.algorithm), (&request.key_id, request.algorithm));
            let purposes =
                |request: &GenerateKeyRequest| request.purposes.iter().copied().collect::<BTreeSet<_>>();
            assert!(!again.purposes.is_empty() && purposes(&again) == purposes(&request));
            Outcome::from("a key")
        }
        Err(refusal) => refused(&refusal, &["bad_request"]),
    }
}

fn tree_head(input: &[u8]) -> Outcome {
    let Ok(request) = SignTreeHeadRequest::decode(input) else { return Outcome::from("no message") };
    match fuzzing::tree_head(&request) {
        Ok(text) => {
            let text = String::from_utf8(text).expect("a checkpoint is text");
            let lines: Vec<_> = text.split('\n').collect();
            let [log, size, root, ""] = lines[..] else { panic!("not three lines: {text:?}") };
            assert!(log == request.log && !log.is_empty() && size == request.tree_size.to_string());
            assert!(root.len() == 44 && request.root.len() == 32);
            Outcome::from("a tree head")
        }
        Err(refusal) => refused(&refusal, &["bad_request"]),
    }
}

fn probe(input: &[u8]) -> Outcome {
    let Ok(request) = ProbeRequest::decode(input) else { return Outcome::from("no message") };
    match fuzzing::probe(&request) {
        Ok(text) => {
            let expected = [&[0x20; 64], CHALLENGE, &request.nonce].concat();
            assert!(text == expected && (16..=64).contains(&request.nonce.len()));
            Outcome::from("a challenge")
        }
        Err(refusal) => refused(&refusal, &["bad_request"]),
    }
}
