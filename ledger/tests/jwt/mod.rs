//! Tokens of an operator, an account and a user, as the NATS tools make them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

pub struct Issued {
    operator: KeyPair,
    account: KeyPair,
    user: KeyPair,
}

impl Issued {
    pub fn new() -> Self {
        Self { operator: KeyPair::new_operator(), account: KeyPair::new_account(), user: KeyPair::new_user() }
    }

    pub fn server_config(&self) -> String {
        let operator =
            token(&self.operator, &self.operator.public_key(), json!({"type": "operator", "version": 2}));
        let limits = json!({"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1, "wildcards": true});
        let system = KeyPair::new_account().public_key();
        let account = |key: &str, limits: &Value| {
            token(&self.operator, key, json!({"type": "account", "version": 2, "limits": limits}))
        };
        // JetStream belongs to accounts that have room in it, and never to the system's.
        let mut with_jetstream = limits.clone();
        with_jetstream["disk_storage"] = (-1).into();
        let own = self.account.public_key();
        format!(
            "operator: {operator}\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload: {{ {own}: {}, {system}: {} }}",
            account(&own, &with_jetstream),
            account(&system, &limits)
        )
    }

    pub fn creds_file(&self) -> String {
        let claims = json!({"type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
        let user = token(&self.account, &self.user.public_key(), claims);
        format!(
            "-----BEGIN NATS USER JWT-----\n{user}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            self.user.seed().unwrap()
        )
    }
}

fn token(issuer: &KeyPair, subject: &str, nats: Value) -> String {
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let claims = json!({"jti": "1", "iat": 1_700_000_000, "iss": issuer.public_key(), "name": "test", "sub": subject, "nats": nats});
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}
