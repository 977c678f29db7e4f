//! The key-encryption key, and what is derived from it with HKDF-SHA256.

use std::fmt;

use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::stack;

const SALT: &[u8] = b"trstctl/sealed-key/v1";

/// Memory that a KEK is kept in. Who gives it, gives one that is overwritten on drop.
pub trait KekMemory: AsRef<[u8]> + AsMut<[u8]> + Send + Sync {}

impl<T: AsRef<[u8]> + AsMut<[u8]> + Send + Sync> KekMemory for T {}

/// The key-encryption key of a deployment. Wiped on drop, never printed.
///
/// What is kept is what HKDF extracts from its 32 bytes: that opens every file, and gives nobody the bytes back.
pub struct Kek {
    /// Behind a pointer, so that a `Kek` that is moved leaves nothing behind.
    extracted: Box<dyn KekMemory>,
    id: KekId,
}

impl Kek {
    /// The KEK of these bytes, which are wiped here; other copies of them are the caller's to wipe.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self::kept_in(Zeroizing::new([0; 32]), bytes)
    }

    /// The same, kept in these 32 bytes of memory.
    ///
    /// # Panics
    /// When there are more or fewer.
    pub fn kept_in(memory: impl KekMemory + 'static, mut bytes: [u8; 32]) -> Self {
        let memory = Box::new(memory);
        let kek = stack::wiped_after(|| Self::extract(memory, &bytes));
        bytes.zeroize();
        kek
    }

    fn extract(mut extracted: Box<dyn KekMemory>, bytes: &[u8; 32]) -> Self {
        let (mut output, hkdf) = Hkdf::<Sha256>::extract(Some(SALT), bytes);
        (*extracted).as_mut().copy_from_slice(&output);
        output.as_mut_slice().zeroize();
        let mut id = KekId([0; 16]);
        hkdf.expand(b"kek-id", &mut id.0).expect("HKDF gives 16 bytes");
        Self { extracted, id }
    }

    /// Says which KEK it is, and nothing about it.
    pub fn id(&self) -> KekId {
        self.id
    }

    /// The keys of the file that begins so: its bytes before the commitment.
    pub(super) fn file_keys(&self, beginning: &[u8]) -> FileKeys {
        let hkdf = Hkdf::<Sha256>::from_prk((*self.extracted).as_ref()).expect("it is as long as a digest");
        let mut keys = FileKeys(Zeroizing::new([0; 64]));
        hkdf.expand_multi_info(&[b"file", beginning], &mut keys.0[..]).expect("HKDF gives 64 bytes");
        keys
    }
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kek({})", self.id)
    }
}

/// Which KEK it is: derived from it, so that it can be written into files and messages. Lower-case hex.
#[derive(Copy, Clone, PartialEq, Eq, Hash)]
pub struct KekId(pub [u8; 16]);

impl fmt::Display for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KekId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What belongs to one file: 32 bytes of key, and 32 of commitment to it. Wiped on drop.
pub(super) struct FileKeys(Zeroizing<[u8; 64]>);

impl FileKeys {
    pub(super) fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(Key::from_slice(&self.0[..32]))
    }

    pub(super) fn commitment(&self) -> &[u8] {
        &self.0[32..]
    }

    /// Whether the commitment is this one; takes the same time wherever they differ.
    pub(super) fn has_commitment(&self, stated: &[u8]) -> bool {
        self.commitment().ct_eq(stated).into()
    }
}
