//! What is about to be signed, as the journal is told of it.

use jiff::Timestamp;

use crate::journal::{Act, Backwards, CrlClaim, Facts, Locked, MAX_REVOKED, TreeHead};
use crate::key_id::KeyId;
use crate::keyring::KeyringFault;
use crate::serial::Serial;
use crate::tree_head::LogName;

/// Something to sign.
#[derive(Clone, Debug)]
pub struct Note {
    /// By which key.
    pub key_id: KeyId,
    /// Fencing number of the leader that asks.
    pub epoch: u64,
    /// What.
    pub what: What,
}

/// What is signed.
#[derive(Clone, Debug)]
pub enum What {
    /// The head of a log's Merkle tree.
    TreeHead(LogName, TreeHead),
    /// A certificate.
    Certificate {
        /// Its serial.
        serial: Serial,
        /// When it expires.
        not_after: Timestamp,
        /// SHA-256 of what is signed.
        tbs_sha256: [u8; 32],
    },
    /// A CRL.
    Crl {
        /// What the CA's past may forbid.
        claim: CrlClaim,
        /// When the next is due.
        next_update: Timestamp,
    },
}

impl Note {
    /// Decides on the facts so far, and stages the entries. What was signed already needs none, if its entry is durable.
    ///
    /// # Errors
    /// [`Backwards`]; what the journal refuses.
    pub fn stage(&self, journal: &mut Locked<'_>, now: Timestamp) -> Result<(), KeyringFault> {
        self.check(journal.facts())?;
        if journal.is_durable() && self.is_known(journal.facts()) {
            return Ok(());
        }
        for act in self.acts(journal.facts()) {
            journal.stage(now, act)?;
        }
        Ok(())
    }

    fn check(&self, facts: &Facts) -> Result<(), Backwards> {
        facts.in_epoch(self.epoch)?;
        match &self.what {
            What::TreeHead(log, _) => facts.is_known_of_log(self.key_id, log)?,
            What::Certificate { .. } | What::Crl { .. } => facts.is_known_of(self.key_id)?,
        }
        let authority = facts.authorities.get(&self.key_id);
        match (&self.what, authority) {
            (What::TreeHead(log, head), _) => facts.forwards(log, head, self.epoch),
            (What::Certificate { serial, tbs_sha256, .. }, Some(authority)) => {
                Ok(authority.may_certify(*serial, tbs_sha256)?)
            }
            (What::Crl { claim, .. }, Some(authority)) => Ok(authority.may_revoke(claim)?),
            (What::Certificate { .. } | What::Crl { .. }, None) => Ok(()),
        }
    }

    fn is_known(&self, facts: &Facts) -> bool {
        let authority = facts.authorities.get(&self.key_id);
        let is_known = match &self.what {
            What::TreeHead(log, head) => facts.tree_heads.get(log) == Some(head),
            What::Certificate { serial, tbs_sha256, .. } => {
                authority.is_some_and(|authority| authority.has_certified(*serial, tbs_sha256))
            }
            What::Crl { claim, .. } => {
                authority.is_some_and(|authority| authority.is_last_crl(claim.number, &claim.tbs_sha256))
            }
        };
        is_known && facts.epoch == self.epoch
    }

    fn acts(&self, facts: &Facts) -> Vec<Act> {
        let Self { key_id, epoch, what } = self.clone();
        match what {
            What::TreeHead(log, TreeHead { tree_size, root }) => {
                vec![Act::TreeHeadSigned { key_id, log, tree_size, root: hex::encode(root), epoch }]
            }
            What::Certificate { serial, not_after, tbs_sha256 } => {
                let tbs_sha256 = hex::encode(tbs_sha256);
                vec![Act::CertificateSigned { key_id, serial, not_after, tbs_sha256, epoch }]
            }
            What::Crl { claim, next_update } => {
                let authority = facts.authorities.get(&key_id);
                let newly = authority.map_or_else(|| claim.revoked.clone(), |ca| ca.newly_revoked(&claim));
                let whole = newly.len().saturating_sub(1) / MAX_REVOKED * MAX_REVOKED;
                let (before, last) = newly.split_at(whole);
                let parts = before.chunks(MAX_REVOKED);
                let mut acts: Vec<Act> =
                    parts.map(|serials| Act::SerialsRevoked { key_id, serials: serials.to_vec() }).collect();
                acts.push(Act::CrlSigned {
                    key_id,
                    number: claim.number,
                    this_update: claim.this_update,
                    next_update,
                    revoked: last.to_vec(),
                    tbs_sha256: hex::encode(claim.tbs_sha256),
                    epoch,
                });
                acts
            }
        }
    }
}
