//! Reading a secret file: a regular file, not a link out of its folder, not readable by others.
//!
//! A mounted Kubernetes secret is a link within its own folder (trap 33): links are followed, and must end below the
//! folder that the named path stands in. Root-owned 0440 is allowed there, as such mounts are made so.

use std::fs::{self, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use trstctl_formats::container::{KeyError, Recipient, parse_recipients};
use trstctl_formats::{Class, Failure};
use zeroize::Zeroizing;

/// Largest secret file that is read; larger ones are refused.
const MAX_BYTES: u64 = 1 << 20;

/// The bytes of a secret file, wiped when dropped. `what` names it in errors, e.g. "audit signing key".
pub fn read(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let refuse = |reason: String| refused(path, what, &reason);
    let real = fs::canonicalize(path).map_err(|error| refuse(error.to_string()))?;
    stays_in_folder(path, &real).map_err(|error| refuse(error.to_string()))?;
    // Not blocking: opening a named pipe would wait for its writer.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let opened = OpenOptions::new().read(true).custom_flags(nonblocking).open(&real);
    let file = opened.map_err(|error| refuse(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| refuse(error.to_string()))?;
    check(&metadata, path.is_symlink()).map_err(refuse)?;
    // Never moved while it grows: what is moved leaves a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES as usize + 1));
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(refuse("it grew while it was read".into()));
    }
    if bytes.is_empty() {
        return Err(refuse("it is empty".into()));
    }
    Ok(bytes)
}

/// Keeps what this process reads from now on out of core files and from other processes of this user. Programs that it runs write no
/// core file either. Answers what the kernel refused.
pub fn keep_memory_private() -> Option<String> {
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    let kept = setrlimit(Resource::Core, no_core)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    kept.err().map(|error| format!("this process may leave secrets in a core file: {error}"))
}

/// The recipients in a file, a line each. No secret, so that others may read it.
pub fn read_recipients(path: &Path) -> Result<Vec<Recipient>, Failure> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| {
        let message = format!("the recipients file {name} cannot be read: {error}");
        Failure::new(Class::Usage, message, "Name a file with an age recipient on each line.").in_file(&name)
    })?;
    parse_recipients(&text).map_err(|error| bad_keys(&error, &name))
}

/// A file of keys that cannot be used. The error never repeats what the file holds.
pub fn bad_keys(error: &KeyError, name: &str) -> Failure {
    Failure::new(Class::Usage, format!("{name}: {error}"), "Correct the file, or name another one.")
        .in_file(name)
}

/// A link may lead on only within the folder that the path names.
fn stays_in_folder(path: &Path, real: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if real.starts_with(fs::canonicalize(folder)?) {
        Ok(())
    } else {
        Err("it is a link out of its folder".into())
    }
}

fn check(metadata: &Metadata, linked: bool) -> Result<(), String> {
    if !metadata.is_file() {
        return Err("it is not a regular file".into());
    }
    if metadata.len() > MAX_BYTES {
        return Err(format!("it has {} bytes, more than any key", metadata.len()));
    }
    let mode = metadata.mode() & 0o777;
    let mounted = linked && metadata.uid() == 0 && mode & 0o337 == 0;
    if mode & 0o077 != 0 && !mounted {
        return Err(format!("others may read it (mode {mode:04o})"));
    }
    Ok(())
}

fn refused(path: &Path, what: &str, reason: &str) -> Failure {
    let name = path.display().to_string();
    Failure::new(
        Class::Usage,
        format!("the {what} file {name} cannot be used: {reason}"),
        "A secret file is a regular file with mode 0600, readable by the user who runs this command.",
    )
    .in_file(name)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn secret(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(path).unwrap();
        std::io::Write::write_all(&mut file, b"key").unwrap();
        file.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn file_that_others_may_read_is_refused_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        secret(&path, 0o644);
        let failure = read(&path, "audit signing key").unwrap_err();
        assert_eq!(failure.class, Class::Usage);
        assert!(failure.message.contains("0644") && failure.message.contains("key"), "{failure}");
        secret(&path, 0o600);
        assert_eq!(*read(&path, "audit signing key").unwrap(), b"key");
    }

    #[test]
    fn missing_or_empty_file_is_an_error_and_never_no_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert_eq!(read(&path, "key").unwrap_err().class, Class::Usage);
        assert!(!path.exists());
        File::create(&path).unwrap().set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&path, "key").unwrap_err().class, Class::Usage);
    }

    #[test]
    fn mounted_secret_is_a_link_within_its_folder_and_is_read() {
        let folder = tempfile::tempdir().unwrap();
        secret(&folder.path().join("mount/..data_1/key"), 0o600);
        symlink("..data_1", folder.path().join("mount/..data")).unwrap();
        symlink("..data/key", folder.path().join("mount/key")).unwrap();
        assert_eq!(*read(&folder.path().join("mount/key"), "key").unwrap(), b"key");
    }

    #[test]
    fn link_out_of_its_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        secret(&folder.path().join("elsewhere/key"), 0o600);
        fs::create_dir(folder.path().join("mount")).unwrap();
        symlink("../elsewhere/key", folder.path().join("mount/key")).unwrap();
        assert!(read(&folder.path().join("mount/key"), "key").unwrap_err().message.contains("link"));
    }
}
