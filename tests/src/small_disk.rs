//! A file system of a few megabytes, so that disks are full for real.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::scale::is_whole;

/// A tmpfs of its own size, unmounted when dropped.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many KiB. `None`, and says why, where that is not permitted: then the test proves nothing here. The whole form
    /// demands it.
    pub fn mount(kib: u64) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = format!("size={kib}k,mode=0755");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        let refused = match mount {
            Ok(output) if output.status.success() => return Some(Self { folder }),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        assert!(!is_whole(), "no tmpfs may be mounted, which the whole form needs: {refused}");
        println!("SKIPPED: no tmpfs may be mounted: {refused}");
        None
    }

    /// Gives it another size.
    pub fn resize(&self, kib: u64) {
        let options = format!("remount,size={kib}k");
        let mount = Command::new("mount").args(["-o", &options]).arg(self.folder.path()).status();
        assert!(mount.is_ok_and(|status| status.success()), "the tmpfs takes another size");
    }

    /// Its root.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // An engine may still be ending in it: it goes when that is gone.
        let _ = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
    }
}
