//! Recipients, who may read a backup, and identities, which open it: parsed from their text forms.
//!
//! An error never repeats what it could not parse: it may be a private key in the wrong place.

use std::fmt;
use std::str::FromStr;

use age::ssh::{ParseRecipientKeyError, UnsupportedKey};

/// A private key that may open an encrypted backup. Its memory is wiped when it is dropped.
pub type Identity = Box<dyn age::Identity + Send + Sync>;

/// Somebody to whom backups are encrypted: `age1…`, `ssh-ed25519 …` or `ssh-rsa …`.
pub struct Recipient {
    text: String,
    key: Box<dyn age::Recipient + Send + Sync>,
}

impl Recipient {
    pub(super) fn key(&self) -> &dyn age::Recipient {
        &*self.key
    }

    fn new<K: age::Recipient + fmt::Display + Send + Sync + 'static>(key: K) -> Self {
        Self { text: key.to_string(), key: Box::new(key) }
    }
}

impl FromStr for Recipient {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if looks_private(text) {
            return Err(KeyError::PrivateKey);
        }
        if text.starts_with("ssh-") {
            return age::ssh::Recipient::from_str(text).map(Self::new).map_err(|error| match error {
                ParseRecipientKeyError::RsaModulusTooSmall => KeyError::RsaSize("smaller than 2048"),
                ParseRecipientKeyError::RsaModulusTooLarge => KeyError::RsaSize("larger than 4096"),
                _ => KeyError::NoRecipient,
            });
        }
        age::x25519::Recipient::from_str(text).map(Self::new).map_err(|_| KeyError::NoRecipient)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Parses a file of recipients: one a line, empty lines and lines that begin with `#` left out.
///
/// # Errors
/// The first line that is no recipient, or that there is none.
pub fn parse_recipients(text: &str) -> Result<Vec<Recipient>, KeyError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !is_comment(line));
    let recipients =
        lines.map(|(index, line)| line.parse().map_err(|error: KeyError| error.at_line(index + 1)));
    non_empty(recipients.collect::<Result<_, _>>()?)
}

/// Parses a file of identities: `AGE-SECRET-KEY-1…` lines as `age-keygen` writes them, or one SSH private key without
/// passphrase.
///
/// # Errors
/// What is no such file, a protected key, or a key of another kind. The content is never repeated.
pub fn parse_identities(bytes: &[u8]) -> Result<Vec<Identity>, KeyError> {
    let text = std::str::from_utf8(bytes).map_err(|_| KeyError::NoIdentity)?;
    match text.trim_start() {
        ssh if ssh.starts_with("-----BEGIN AGE ENCRYPTED FILE") => Err(KeyError::Protected),
        ssh if ssh.starts_with("-----BEGIN") => Ok(vec![ssh_identity(ssh)?]),
        file if file.starts_with("age-encryption.org/") => Err(KeyError::Protected),
        file => native_identities(file),
    }
}

fn ssh_identity(pem: &str) -> Result<Identity, KeyError> {
    match age::ssh::Identity::from_buffer(pem.as_bytes(), None).map_err(|_| KeyError::NoIdentity)? {
        identity @ age::ssh::Identity::Unencrypted(_) => Ok(Box::new(identity)),
        age::ssh::Identity::Encrypted(_)
        | age::ssh::Identity::Unsupported(UnsupportedKey::EncryptedPem | UnsupportedKey::EncryptedSsh(_)) => {
            Err(KeyError::Protected)
        }
        age::ssh::Identity::Unsupported(_) => Err(KeyError::UnsupportedSshKey),
    }
}

fn native_identities(text: &str) -> Result<Vec<Identity>, KeyError> {
    let lines = text.lines().enumerate().filter(|(_, line)| !is_comment(line));
    let identities = lines.map(|(index, line)| match age::x25519::Identity::from_str(line.trim()) {
        Ok(identity) => Ok(Box::new(identity) as Identity),
        Err(_) => Err(KeyError::NoIdentity.at_line(index + 1)),
    });
    non_empty(identities.collect::<Result<_, _>>()?)
}

fn is_comment(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

fn looks_private(text: &str) -> bool {
    text.get(..14).is_some_and(|start| start.eq_ignore_ascii_case("AGE-SECRET-KEY"))
        || text.starts_with("-----BEGIN")
}

fn non_empty<T>(keys: Vec<T>) -> Result<Vec<T>, KeyError> {
    if keys.is_empty() { Err(KeyError::Empty) } else { Ok(keys) }
}

/// Why a recipient or an identity was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a recipient of a kind that backups are encrypted to.
    #[error("no recipient: expected age1…, ssh-ed25519 … or ssh-rsa …")]
    NoRecipient,
    /// An RSA key of a size that is not used.
    #[error("an ssh-rsa recipient of {0} bits cannot be used")]
    RsaSize(&'static str),
    /// A private key where a public one belongs.
    #[error("this is a private key; a recipient is the public one (age-keygen -y prints it)")]
    PrivateKey,
    /// Neither an age identity nor an SSH private key.
    #[error("no identity: expected a file written by age-keygen, or an SSH private key")]
    NoIdentity,
    /// An identity under a passphrase; recovery must work unattended.
    #[error(
        "the identity is protected by a passphrase: unlock it into a file on a temporary file system first"
    )]
    Protected,
    /// An SSH key that is neither RSA nor Ed25519, or lives in hardware.
    #[error(
        "the SSH key is neither RSA nor Ed25519, or lives in hardware: backups cannot be encrypted to it"
    )]
    UnsupportedSshKey,
    /// Nothing but comments.
    #[error("the file holds no key")]
    Empty,
    /// One of the above, in a line of a file.
    #[error("line {line}: {error}")]
    AtLine {
        /// Line number, from 1.
        line: usize,
        /// What is wrong there.
        error: Box<KeyError>,
    },
}

impl KeyError {
    fn at_line(self, line: usize) -> Self {
        KeyError::AtLine { line, error: Box::new(self) }
    }
}
