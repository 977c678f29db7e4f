//! CAs and a log that have signed something, and what they are asked for next; every request has epoch 1.

use trstctl_signer_protocol::v1::{Algorithm, GenerateKeyRequest, Key, Purpose, SignTreeHeadRequest};
use trstctl_signer_protocol::{Client, CrlClient};

use super::x509::{Tbs, TbsCrl};
use super::{Site, certificate, crl, crl_request, generate, id, leaf_request, refusal, root_request};

/// The number of the key of tree heads.
pub const HEADS: u32 = 9;

/// A root, and whose key its leaves certify.
pub struct Ca {
    pub key: Key,
    pub root: Vec<u8>,
    pub subject: Vec<u8>,
}

impl Ca {
    pub async fn new(client: &mut Client, number: u32) -> Self {
        let key = generate(client, &id(number), Algorithm::P256).await.unwrap();
        let subject = generate(client, &id(number + 100), Algorithm::P256).await.unwrap().public_key;
        let root = certificate(client, root_request(&key, Tbs::root(&key).der())).await.unwrap();
        Self { key, root, subject }
    }

    pub async fn leaf(&self, client: &mut Client, serial: u8) -> Result<(), String> {
        let tbs = Tbs::leaf(serial, "Root", &self.key, &self.subject).der();
        let signed = certificate(client, leaf_request(&self.key, &self.root, tbs)).await;
        signed.map(drop).map_err(|status| refusal(&status))
    }

    pub async fn crl(&self, client: &mut CrlClient, number: u8, serials: &[&[u8]]) -> Result<(), String> {
        let tbs = TbsCrl::new(&self.key, "Root", &[number], serials).der();
        let signed = crl(client, crl_request(&self.key, &self.root, tbs)).await;
        signed.map(drop).map_err(|status| refusal(&status))
    }
}

pub async fn tree_head(client: &mut Client, log: &str, tree_size: u64, root: u8) -> Result<(), String> {
    let request =
        SignTreeHeadRequest { key_id: id(HEADS), log: log.into(), tree_size, root: vec![root; 32], epoch: 1 };
    client.sign_tree_head(request).await.map(drop).map_err(|status| refusal(&status))
}

/// Two CAs and a key for tree heads that have signed, and no signer.
pub async fn site() -> (Site, [Ca; 2]) {
    let site = Site::new();
    let signer = site.start("make").await;
    let (mut client, mut crls) = (signer.client().await, signer.crl_client().await);
    let cas = [Ca::new(&mut client, 1).await, Ca::new(&mut client, 2).await];
    let purposes = vec![Purpose::TreeHeads.into()];
    let request = GenerateKeyRequest { key_id: id(HEADS), algorithm: Algorithm::Ed25519.into(), purposes };
    client.generate_key(request).await.unwrap();
    for ca in &cas {
        ca.leaf(&mut client, 2).await.unwrap();
        ca.leaf(&mut client, 3).await.unwrap();
        ca.crl(&mut crls, 7, &[&[2]]).await.unwrap();
    }
    tree_head(&mut client, "d/events", 70, 1).await.unwrap();
    signer.kill();
    (site, cas)
}
