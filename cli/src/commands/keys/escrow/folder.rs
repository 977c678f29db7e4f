//! The folder of an escrow: new, 0700, and in it two files a custodian, 0600. All of it is flushed, or none of it stays.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use trstctl_formats::key_share::{Secret, Share};
use trstctl_formats::{Class, Failure};
use trstctl_recovery::output;
use zeroize::Zeroizing;

use super::sheet;

/// Writes the shares of a key.
pub fn write(folder: &Path, secret: &Secret, shares: &[Share]) -> Result<(), Failure> {
    let name = folder.display().to_string();
    DirBuilder::new().mode(0o700).create(folder).map_err(|error| uncreated(&name, &error))?;
    let written = write_all(folder, secret, shares);
    if written.is_err() {
        // What remains is in a folder of this run alone; the failure that is told is the first one.
        let _ = fs::remove_dir_all(folder);
    }
    written.map_err(|error| output::failed(&name, &error))
}

/// Where the text of a share stands.
pub fn text_file(folder: &Path, index: u8) -> PathBuf {
    folder.join(format!("share-{index}.txt"))
}

fn write_all(folder: &Path, secret: &Secret, shares: &[Share]) -> io::Result<()> {
    for share in shares {
        let index = share.index();
        write_file(&text_file(folder, index), &sheet::text(secret, share, shares.len()))?;
        write_file(&folder.join(format!("share-{index}.html")), &sheet::html(secret, share, shares.len()))?;
    }
    File::open(folder)?.sync_all()
}

fn write_file(path: &Path, content: &Zeroizing<String>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}

fn uncreated(name: &str, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::AlreadyExists {
        let message = format!("{name} exists already");
        return Failure::new(Class::Usage, message, "Name a folder that does not exist yet.").in_file(name);
    }
    output::failed(name, error)
}
