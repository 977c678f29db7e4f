//! What is split: 32 bytes, and what they are.

use std::fmt;
use std::str::FromStr as _;

use age::secrecy::ExposeSecret as _;
use age::x25519;
use bech32::{Bech32, Hrp};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{KeyTag, ShareFault};
use crate::sealed_key::Kek;

const AGE_PREFIX: Hrp = Hrp::parse_unchecked("age-secret-key-");

/// What a secret is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The key that opens sealed keys.
    Kek,
    /// A native age identity, which opens backups.
    AgeIdentity,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Kek, Self::AgeIdentity];

    /// What the text of its shares begins with, before `1`.
    pub(super) fn prefix(self) -> &'static str {
        match self {
            Self::Kek => "tk",
            Self::AgeIdentity => "ti",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kek => "KEK",
            Self::AgeIdentity => "age identity",
        })
    }
}

/// A KEK or an age identity. Wiped on drop, never printed.
pub struct Secret {
    kind: Kind,
    bytes: Box<Zeroizing<[u8; 32]>>,
}

impl Secret {
    /// The secret of these bytes, which the caller wipes; `None` unless they are 32.
    pub fn new(kind: Kind, bytes: &[u8]) -> Option<Self> {
        let mut secret = Self { kind, bytes: Box::new(Zeroizing::new([0; 32])) };
        (bytes.len() == 32).then(|| secret.bytes.copy_from_slice(bytes))?;
        Some(secret)
    }

    /// The one identity in a file as `age-keygen` writes it.
    ///
    /// # Errors
    /// [`ShareFault::NotOneIdentity`]; an SSH key is none, its secret is longer.
    pub fn of_identity_file(file: &[u8]) -> Result<Self, ShareFault> {
        let text = std::str::from_utf8(file).map_err(|_| ShareFault::NotOneIdentity)?;
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (Some(line), None) = (lines.next(), lines.next()) else { return Err(ShareFault::NotOneIdentity) };
        let identity = x25519::Identity::from_str(line).map_err(|_| ShareFault::NotOneIdentity)?;
        let text = identity.to_string();
        let (_, bytes) = bech32::decode(text.expose_secret()).map_err(|_| ShareFault::NotOneIdentity)?;
        Self::new(Kind::AgeIdentity, &Zeroizing::new(bytes)).ok_or(ShareFault::NotOneIdentity)
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What names it to everybody: the kek_id, or the age recipient.
    pub fn name(&self) -> String {
        match self.kind {
            Kind::Kek => Kek::new(**self.bytes).id().to_string(),
            Kind::AgeIdentity => self.identity().to_public().to_string(),
        }
    }

    /// What names it in its shares.
    pub fn tag(&self) -> KeyTag {
        let mut tag = KeyTag([0; 8]);
        tag.0.copy_from_slice(&match self.kind {
            Kind::Kek => Kek::new(**self.bytes).id().0[..8].to_vec(),
            Kind::AgeIdentity => Sha256::digest(self.name())[..8].to_vec(),
        });
        tag
    }

    /// The content of its file: 32 bytes of a KEK; of an identity, the line that age reads, and its recipient as a comment.
    pub fn file(&self) -> Zeroizing<Vec<u8>> {
        let mut file = Zeroizing::new(Vec::with_capacity(256));
        match self.kind {
            Kind::Kek => file.extend_from_slice(&self.bytes[..]),
            Kind::AgeIdentity => {
                file.extend_from_slice(format!("# public key: {}\n", self.name()).as_bytes());
                file.extend_from_slice(self.identity().to_string().expose_secret().as_bytes());
                file.push(b'\n');
            }
        }
        file
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    fn identity(&self) -> x25519::Identity {
        let mut text = Zeroizing::new(String::with_capacity(80));
        bech32::encode_upper_to_fmt::<Bech32, _>(&mut *text, AGE_PREFIX, &self.bytes[..])
            .expect("32 bytes fit into a code of 90 characters");
        x25519::Identity::from_str(&text).expect("every 32 bytes are an X25519 key")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} {})", self.kind, self.name())
    }
}
