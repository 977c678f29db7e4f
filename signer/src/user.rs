//! The user that a signer becomes when root starts it, before it reads or makes anything.
//!
//! Nothing of root stays: other groups first, then the group, then the user, each in all its forms, and with the user go the
//! capabilities. Only the folder of the socket is made before that, where there is none, and given to the user.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode, OFlags, access, fchown, mkdir, open};
use rustix::process::{Gid, Resource, Rlimit, Uid, geteuid, getrlimit, setrlimit};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// Where users are looked up; a signer asks no directory service.
const USERS: &str = "/etc/passwd";

/// What the user may lock for keys, in bytes, where root's limit is lower.
const MEMORY_FOR_KEYS: u64 = 64 << 20;

/// Why the process is not that user.
#[derive(Debug, thiserror::Error)]
pub enum UserFault {
    /// There is none.
    #[error("{USERS} has no user {0}")]
    Unknown(String),
    /// That would change nothing.
    #[error("{0} is root: give the signer a user of its own")]
    Root(String),
    /// Another user started it.
    #[error("only root can start a signer that becomes {0}: start it as root, or as {0} without --user")]
    NotRoot(String),
    /// The user cannot use what it needs.
    #[error("{name} may not {act} {}: give it to that user (chown)", path.display())]
    Refused {
        /// The user.
        name: String,
        /// What it must be able to do.
        act: &'static str,
        /// To this file or folder.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("the signer cannot become {name}: {act}: {source}")]
    Io {
        /// The user.
        name: String,
        /// What was tried.
        act: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// A user that is not root.
pub(crate) struct User {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl User {
    /// Looks a user up.
    ///
    /// # Errors
    /// [`UserFault::Unknown`], [`UserFault::Root`], [`UserFault::Io`].
    pub(crate) fn named(name: &str) -> Result<Self, UserFault> {
        let users = fs::read_to_string(USERS);
        let users = users.map_err(|source| UserFault::Io {
            name: name.to_owned(),
            act: "read /etc/passwd",
            source,
        })?;
        let user = users.lines().find_map(|line| of_line(line, name));
        let user = user.ok_or_else(|| UserFault::Unknown(name.to_owned()))?;
        if user.uid.is_root() { Err(UserFault::Root(user.name)) } else { Ok(user) }
    }

    /// Becomes that user for good. Must come before the first thread, and before the memory is made private: the kernel undoes that.
    ///
    /// # Errors
    /// [`UserFault::NotRoot`] when another user started the process; [`UserFault::Io`].
    pub(crate) fn become_it(&self, socket: Option<&Path>) -> Result<(), UserFault> {
        if geteuid() == self.uid {
            return Ok(());
        }
        if !geteuid().is_root() {
            return Err(UserFault::NotRoot(self.name.clone()));
        }
        let limit = getrlimit(Resource::Memlock);
        let most = limit.maximum.map(|most| most.max(MEMORY_FOR_KEYS));
        // In a container root may not raise it; what there is then, the memory for keys says.
        let _ = setrlimit(Resource::Memlock, Rlimit { current: most, maximum: most });
        if let Some(folder) = socket.and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty()) {
            self.make(folder)?;
        }
        set_thread_groups(&[]).map_err(self.failed("leave root's groups"))?;
        set_thread_res_gid(self.gid, self.gid, self.gid).map_err(self.failed("change the group"))?;
        set_thread_res_uid(self.uid, self.uid, self.uid).map_err(self.failed("change the user"))?;
        match set_thread_res_uid(None, Uid::ROOT, None) {
            Err(_) => Ok(()),
            Ok(()) => Err(self.failed("stay it")(rustix::io::Errno::PERM)),
        }
    }

    /// Whether this process, which is that user now, may do with a file or folder what it must.
    ///
    /// # Errors
    /// [`UserFault::Refused`]; that it is missing, is not said here.
    pub(crate) fn may(&self, act: &'static str, path: &Path, needs: Access) -> Result<(), UserFault> {
        match access(path, needs) {
            Err(rustix::io::Errno::ACCESS) => {
                Err(UserFault::Refused { name: self.name.clone(), act, path: path.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Makes the folder for this user; one that is there stays as it is.
    fn make(&self, folder: &Path) -> Result<(), UserFault> {
        match mkdir(folder, Mode::RWXU) {
            Err(rustix::io::Errno::EXIST) => return Ok(()),
            made => made.map_err(self.failed("make the folder of the socket"))?,
        }
        // By what was opened, and no link: whoever could put another thing there must not be given that.
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let given =
            open(folder, flags, Mode::empty()).and_then(|made| fchown(made, Some(self.uid), Some(self.gid)));
        given.map_err(self.failed("give it the folder of the socket"))
    }

    fn failed(&self, act: &'static str) -> impl Fn(rustix::io::Errno) -> UserFault + use<> {
        let name = self.name.clone();
        move |source| UserFault::Io { name: name.clone(), act, source: source.into() }
    }
}

/// name:password:uid:gid:… (passwd(5)).
fn of_line(line: &str, name: &str) -> Option<User> {
    let mut fields = line.split(':');
    let found = fields.next().filter(|found| *found == name)?;
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(User { name: found.to_owned(), uid: Uid::from_raw(uid), gid: Gid::from_raw(gid) })
}
