//! The Unix socket: made for its owner alone, and open only to the users that may sign.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, flock};
use rustix::process::{geteuid, umask};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;

/// Connections at once; others wait until one ends.
const MAX_CONNECTIONS: usize = 256;

/// Connections besides them that have no place yet; the oldest goes when another comes.
const MAX_WAITING: usize = 256;

/// What a client says first (RFC 9113, 3.4).
const GREETING: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection that has not said it for so long is dropped.
const GREETING_TIME: Duration = Duration::from_secs(10);

/// A socket path has at most so many bytes (`sun_path`, unix(7), less the final zero).
const MAX_PATH_BYTES: usize = 107;

/// Who nobody is: processes of foreign user namespaces appear under this id, so it never may sign.
const OVERFLOW_UID: u32 = 65534;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketFault {
    /// The operating system allows no such path.
    #[error("the socket path {} has more than {MAX_PATH_BYTES} bytes: choose a shorter one", .0.display())]
    TooLong(PathBuf),
    /// Others could replace the socket.
    #[error("the folder {} of the socket is open to others (mode {mode:04o}, owner {owner}): give it mode 0700 and this user", path.display())]
    OpenFolder {
        /// The folder.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// Its owner.
        owner: u32,
    },
    /// Processes of other user namespaces have this signer's user.
    #[error("the signer must not run as user {OVERFLOW_UID}: give it a user of its own")]
    Nobody,
    /// Another signer answers there.
    #[error("another signer answers on {}: stop it first, or choose another socket", .0.display())]
    InUse(PathBuf),
    /// Something else is there.
    #[error("{} is there and is no socket: it is left alone; choose another path", .0.display())]
    NoSocket(PathBuf),
    /// The operating system refuses.
    #[error("the socket {} cannot be {act}: {source}", path.display())]
    Io {
        /// Socket or folder.
        path: PathBuf,
        /// What was tried.
        act: &'static str,
        /// Why not.
        source: io::Error,
    },
}

/// Users that may connect, besides the signer's own.
#[derive(Clone, Debug)]
pub struct Allowed(BTreeSet<u32>);

impl Allowed {
    /// The signer's own user and these.
    ///
    /// # Errors
    /// [`SocketFault::Nobody`] for 65534.
    pub fn new(uids: impl IntoIterator<Item = u32>) -> Result<Self, SocketFault> {
        let uids: BTreeSet<u32> = uids.into_iter().chain([geteuid().as_raw()]).collect();
        if uids.contains(&OVERFLOW_UID) { Err(SocketFault::Nobody) } else { Ok(Self(uids)) }
    }

    /// What the socket's permissions must refuse: everything to others, unless another user may connect; who that is, the
    /// kernel says at each connection.
    fn mask(&self) -> u32 {
        if self.0.len() == 1 { 0o177 } else { 0o111 }
    }

    /// Which permissions of the folder are too many: without other users all of theirs, else to write.
    fn too_open(&self) -> u32 {
        if self.0.len() == 1 { 0o077 } else { 0o022 }
    }

    fn has(&self, uid: u32) -> bool {
        self.0.contains(&uid)
    }
}

/// The bound socket; its file is removed on drop.
pub struct Socket {
    path: PathBuf,
    listener: StdListener,
    /// Whoever holds this lock may remove the socket: nobody else answers on it.
    _lock: File,
}

impl Socket {
    /// Binds; the folder is made when it is missing, and must be this user's alone.
    ///
    /// # Errors
    /// Every [`SocketFault`].
    pub fn bind(path: &Path, allowed: &Allowed) -> Result<Self, SocketFault> {
        if path.as_os_str().len() > MAX_PATH_BYTES {
            return Err(SocketFault::TooLong(path.to_owned()));
        }
        let failed = |act| move |source| SocketFault::Io { path: path.to_owned(), act, source };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            own_folder(folder, allowed)?;
        }
        let lock = lock(path)?;
        remove_stale(path)?;
        // Nobody may connect between bind and chmod.
        let before = umask(Mode::from_raw_mode(allowed.mask()));
        let bound = StdListener::bind(path);
        umask(before);
        let listener = bound.map_err(failed("bound"))?;
        listener.set_nonblocking(true).map_err(failed("set up"))?;
        Ok(Self { path: path.to_owned(), listener, _lock: lock })
    }

    /// The folder that the socket is in.
    pub fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// Accepts for ever; a peer that may not connect, or says nothing, is dropped without an answer.
    ///
    /// # Errors
    /// When the runtime does not take the socket.
    pub fn accept(&self, allowed: Allowed) -> io::Result<ReceiverStream<io::Result<Peer>>> {
        let (accepted, peers) = mpsc::channel(1);
        let listener = UnixListener::from_std(self.listener.try_clone()?)?;
        tokio::spawn(async move {
            let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
            let mut newest = VecDeque::<AbortHandle>::with_capacity(MAX_WAITING);
            loop {
                tokio::select! {
                    peer = next(&listener, &allowed) => {
                        if newest.len() == MAX_WAITING
                            && let Some(oldest) = newest.pop_front()
                        {
                            // Most likely it has its place already, and this does nothing.
                            oldest.abort();
                        }
                        let introduced = tokio::spawn(introduce(peer, Arc::clone(&room), accepted.clone()));
                        newest.push_back(introduced.abort_handle());
                    }
                    () = accepted.closed() => return,
                }
            }
        });
        Ok(ReceiverStream::new(peers))
    }
}

/// Hands a peer on once it greets as clients of HTTP/2 do, at once; who is silent or says something else holds no place.
async fn introduce(mut stream: UnixStream, room: Arc<Semaphore>, accepted: mpsc::Sender<io::Result<Peer>>) {
    let mut greeting = [0; GREETING.len()];
    let read = tokio::time::timeout(GREETING_TIME, stream.read_exact(&mut greeting)).await;
    if !matches!(read, Ok(Ok(_))) || greeting != *GREETING {
        return;
    }
    let Ok(permit) = room.acquire_owned().await else { return };
    // Nobody takes it when the signer stops.
    let _ = accepted.send(Ok(Peer { unread: GREETING, stream, _permit: permit })).await;
}

/// The next peer that may connect.
async fn next(listener: &UnixListener, allowed: &Allowed) -> UnixStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if stream.peer_cred().is_ok_and(|peer| allowed.has(peer.uid())) => {
                return stream;
            }
            Ok(_) => {}
            // Out of descriptors: others must end first, and asking at once again would only spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn own_folder(folder: &Path, allowed: &Allowed) -> Result<(), SocketFault> {
    let failed = |act| move |source| SocketFault::Io { path: folder.to_owned(), act, source };
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("made")(error)),
        _ => {}
    }
    let found = fs::metadata(folder).map_err(failed("looked at"))?;
    let (mode, owner) = (found.permissions().mode() & 0o7777, found.uid());
    if mode & allowed.too_open() != 0 || owner != geteuid().as_raw() {
        return Err(SocketFault::OpenFolder { path: folder.to_owned(), mode, owner });
    }
    Ok(())
}

/// Locks the file beside the socket, for as long as this process lives.
fn lock(path: &Path) -> Result<File, SocketFault> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let failed = |source| SocketFault::Io { path: path.to_owned(), act: "locked", source };
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(name);
    let file = opened.map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(SocketFault::InUse(path.to_owned())),
        Err(error) => Err(failed(error.into())),
    }
}

/// Removes a socket that a killed signer left: the caller holds its lock.
fn remove_stale(path: &Path) -> Result<(), SocketFault> {
    let failed = |act| move |source| SocketFault::Io { path: path.to_owned(), act, source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("looked at")(error)),
        Ok(found) if !found.file_type().is_socket() => Err(SocketFault::NoSocket(path.to_owned())),
        Ok(_) => fs::remove_file(path).map_err(failed("removed")),
    }
}

/// A connection of a user that may connect; it counts against the limit until it ends.
pub struct Peer {
    /// What was read of it already, as far as nobody has taken it.
    unread: &'static [u8],
    stream: UnixStream,
    _permit: OwnedSemaphorePermit,
}

impl Connected for Peer {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Peer {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() {
            let (now, later) = self.unread.split_at(self.unread.len().min(buf.remaining()));
            buf.put_slice(now);
            self.unread = later;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Peer {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
