//! Escrow of a key: split it for custodians, and show that their shares give it back, without writing it anywhere.
//!
//! Every set is put together again, from the text that custodians get, before anybody sees a share.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use trstctl_formats::key_share::{self, Kind, Quorum, Secret, Share, ShareFault};
use trstctl_formats::sealed_key::{MAX_FILE_BYTES, SealedKey};
use trstctl_formats::{Class, Failure};
use zeroize::Zeroizing;

use crate::output::{Existing, Output};
use crate::secret;

/// More is not read as shares: many times the most that there can be.
const MAX_INPUT_BYTES: u64 = 64 << 10;

/// The KEK of a file of 32 bytes, as the signer reads it.
///
/// # Errors
/// A file that others may read, or of another length.
pub fn read_kek(path: &Path) -> Result<Secret, Failure> {
    let bytes = secret::read(path, "KEK")?;
    Secret::new(Kind::Kek, &bytes).ok_or_else(|| {
        let message = format!("a KEK has 32 bytes, and {} were found", bytes.len());
        let hint = "Name the raw KEK, without a newline, not its hex or base64 form.";
        Failure::new(Class::Usage, message, hint).in_file(path.display().to_string())
    })
}

/// The age identity in a file.
///
/// # Errors
/// A file that others may read, or that holds anything but one native identity.
pub fn read_identity(path: &Path) -> Result<Secret, Failure> {
    let bytes = secret::read(path, "age identity")?;
    Secret::of_identity_file(&bytes).map_err(|fault| Failure::from(fault).in_file(path.display().to_string()))
}

/// Splits a key with the system's randomness, and puts the shares together again as custodians would type them.
///
/// # Errors
/// Shares that do not give the key: a fault of this program or machine; they must not be used.
pub fn split(secret: &Secret, quorum: Quorum) -> Result<Vec<Share>, Failure> {
    let shares = key_share::split(secret, quorum, &mut UnwrapErr(SysRng));
    let typed: Vec<Share> =
        shares.iter().map(|share| Share::parse(&share.grouped_text())).collect::<Result<_, _>>()?;
    let again = key_share::combine(&typed)?;
    if again.name() != secret.name() {
        return Err(not_the_key());
    }
    Ok(shares)
}

/// Puts every set of as many shares as are needed together, and answers how many sets there were: at most 12,870. Writes nothing.
///
/// # Errors
/// A set that does not give the key: the shares must not be used.
pub fn rehearse(secret: &Secret, shares: &[Share]) -> Result<usize, Failure> {
    let needed = shares.first().map_or(0, |share| u32::from(share.threshold()));
    let sets = (0_u32..1 << shares.len()).filter(|set| set.count_ones() == needed);
    let mut count = 0;
    for set in sets {
        let some = (0..shares.len()).filter(|at| set & 1 << at != 0).map(|at| shares[at].clone());
        let again = key_share::combine(&some.collect::<Vec<_>>())?;
        if again.name() != secret.name() {
            return Err(not_the_key());
        }
        count += 1;
    }
    Ok(count)
}

fn not_the_key() -> Failure {
    let hint = "Do not use these shares. Try again on another machine, and report it.";
    Failure::new(Class::Internal, "the shares that were made do not give the key back", hint)
}

/// The shares in these files, one a line; of none, in standard input. Empty lines and those that begin with `#` are left out.
///
/// # Errors
/// A file that cannot be read, or a line that is no share, named by file and line; never by its content.
pub fn read_shares(files: &[PathBuf]) -> Result<Vec<Share>, Failure> {
    if files.is_empty() {
        return parsed(&typed(&mut io::stdin().lock())?, "standard input");
    }
    let mut shares = Vec::new();
    for path in files {
        let bytes = secret::read(path, "share")?;
        shares.extend(parsed(&bytes, &path.display().to_string())?);
    }
    Ok(shares)
}

fn typed(input: &mut impl Read) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_INPUT_BYTES as usize + 1));
    input.take(MAX_INPUT_BYTES + 1).read_to_end(&mut bytes).map_err(|error| {
        Failure::new(
            Class::Usage,
            format!("standard input cannot be read: {error}"),
            "Type the shares, or name their files.",
        )
    })?;
    if bytes.len() as u64 > MAX_INPUT_BYTES {
        return Err(Failure::new(
            Class::Usage,
            "standard input is longer than all shares",
            "Give one share a line, and nothing else.",
        ));
    }
    Ok(bytes)
}

fn parsed(bytes: &[u8], name: &str) -> Result<Vec<Share>, Failure> {
    let text = std::str::from_utf8(bytes).map_err(|_| Failure::from(ShareFault::NotAShare).in_file(name))?;
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    let shares = lines.map(|(index, line)| {
        Share::parse(line)
            .map_err(|fault| Failure::from(fault).in_file(format!("{name}, line {}", index + 1)))
    });
    shares.collect()
}

/// What a recovered key is to be held against, besides the name that its shares carry.
#[derive(Debug, Default)]
pub struct Expected {
    /// A KEK: the signer's folder of sealed keys, all of which must name it.
    pub keystore: Option<PathBuf>,
    /// An identity: its recipient. A KEK: its whole id.
    pub name: Option<String>,
}

/// What was compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Sealed keys that name the KEK.
    pub sealed_keys: Option<usize>,
    /// Whether the name was given and is the key's.
    pub name: bool,
}

/// Holds a recovered key against what it should open. Opens no sealed key: their KEK is named in the clear.
///
/// # Errors
/// [`Class::WrongKey`] for another key; a sealed key that is damaged; an empty folder.
pub fn compare(secret: &Secret, expected: &Expected) -> Result<Compared, Failure> {
    let name = secret.name();
    if let Some(other) = expected.name.as_ref().filter(|other| **other != name) {
        let message = format!("the shares give the {} {name}, and not {other}", secret.kind());
        return Err(Failure::new(Class::WrongKey, message, "Ask for the shares of the other key."));
    }
    let sealed_keys = expected.keystore.as_deref().map(|folder| sealed_under(folder, secret)).transpose()?;
    Ok(Compared { sealed_keys, name: expected.name.is_some() })
}

/// How many keys of this folder are sealed under the KEK: all, or it is an error.
fn sealed_under(folder: &Path, secret: &Secret) -> Result<usize, Failure> {
    if secret.kind() != Kind::Kek {
        return Err(Failure::new(
            Class::Usage,
            "an age identity opens no sealed keys",
            "Leave --keystore out, or give shares of the KEK.",
        ));
    }
    let mut count = 0;
    for path in sealed_files(folder).map_err(|error| unreadable(folder, &error))? {
        let name = path.display().to_string();
        let bytes = beginning(&path).map_err(|error| unreadable(&path, &error))?;
        let sealed = SealedKey::read(&bytes).map_err(|fault| Failure::from(fault).in_file(&name))?;
        if sealed.kek_id().to_string() != secret.name() {
            let message = format!(
                "the key is sealed under the KEK {}, and the shares give {}",
                sealed.kek_id(),
                secret.name()
            );
            return Err(
                Failure::new(Class::WrongKey, message, "Ask for the shares of that KEK.").in_file(name)
            );
        }
        count += 1;
    }
    if count == 0 {
        let message = format!("no sealed key (*.key) lies in {}", folder.display());
        return Err(Failure::new(Class::Usage, message, "Name the signer's key store."));
    }
    Ok(count)
}

fn sealed_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let paths =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "key")).collect())
}

fn beginning(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let name = path.display().to_string();
    Failure::new(Class::Usage, format!("{name} cannot be read: {error}"), "Name the signer's key store.")
        .in_file(name)
}

/// Where a recovered key goes. Made before the shares are read, so that nobody types them in vain.
pub struct KeyFile(Output);

impl KeyFile {
    /// A file that does not exist yet; it appears whole, with mode 0600.
    ///
    /// # Errors
    /// It exists, or its folder does not.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        Output::create(path, Existing::Refuse).map(Self)
    }

    /// Writes the key, to disk.
    ///
    /// # Errors
    /// The disk refuses, or the file exists by now.
    pub fn write(mut self, secret: &Secret) -> Result<(), Failure> {
        self.0.write_all(&secret.file()).map_err(|error| crate::output::failed("the key file", &error))?;
        self.0.publish().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rehearsal_tries_every_set_and_notices_shares_of_another_key() {
        let key = |byte| Secret::new(Kind::Kek, &[byte; 32]).unwrap();
        let quorum = Quorum::new(5, 3).unwrap();
        let (shares, others) = (split(&key(1), quorum).unwrap(), split(&key(2), quorum).unwrap());
        assert_eq!(rehearse(&key(1), &shares).unwrap(), 10);
        assert_eq!(rehearse(&key(2), &shares).unwrap_err().class, Class::Internal);
        for at in 0..shares.len() {
            let mut mixed = shares.clone();
            mixed[at] = others[at].clone();
            rehearse(&key(1), &mixed).unwrap_err();
        }
    }
}
