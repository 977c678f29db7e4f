//! A file system of a few megabytes, so that disks are full for real.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A tmpfs of its own size, unmounted when dropped.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many KiB. `None`, and says why, where that is not permitted: then the test proves nothing here.
    pub fn mount(kib: u64) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let options = format!("size={kib}k,mode=0755");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self { folder }),
            Ok(output) => {
                println!(
                    "SKIPPED: no tmpfs may be mounted: {}",
                    String::from_utf8_lossy(&output.stderr).trim()
                );
                None
            }
            Err(error) => {
                println!("SKIPPED: no tmpfs can be mounted: {error}");
                None
            }
        }
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
