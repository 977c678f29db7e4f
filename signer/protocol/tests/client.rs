//! The client, where a signer is busy or is none.

use std::io::ErrorKind;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use trstctl_signer_protocol::connect;

#[tokio::test]
async fn a_signer_with_many_to_accept_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
    listen(&socket, 0).unwrap();
    let listener = UnixListener::from(socket);
    // The one that may wait.
    let _first = UnixStream::connect(&path).unwrap();
    let connecting = tokio::spawn({
        let path = path.clone();
        async move { connect(&path).await }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!connecting.is_finished(), "it waits for a place");
    let _accepted = listener.accept().unwrap();
    let connected = tokio::time::timeout(Duration::from_secs(60), connecting).await.unwrap().unwrap();
    assert!(connected.is_ok(), "{connected:?}");
}

#[tokio::test]
async fn no_socket_and_nobody_behind_it_are_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let cause = |error: trstctl_signer_protocol::ConnectError| error.io_cause().map(std::io::Error::kind);
    assert_eq!(cause(connect(&path).await.unwrap_err()), Some(ErrorKind::NotFound));
    drop(UnixListener::bind(&path).unwrap());
    assert_eq!(cause(connect(&path).await.unwrap_err()), Some(ErrorKind::ConnectionRefused));
}
