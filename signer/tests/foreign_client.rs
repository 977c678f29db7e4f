//! A client that has nothing of ours but `signer.proto` drives the signer: Python with gRPC's C library, `foreign_client/drive.py`.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use support::Site;

/// The Python that has gRPC: whichever comes first on the path, or the one of Debian's packages.
fn python() -> &'static str {
    let has_grpc = |python: &&str| {
        let import =
            Command::new(python).args(["-c", "import grpc, google.protobuf"]).stderr(Stdio::null()).status();
        import.is_ok_and(|status| status.success())
    };
    let found = ["python3", "/usr/bin/python3"].into_iter().find(has_grpc);
    found.expect("no python3 has grpc: `make setup` installs python3-grpcio and python3-protobuf")
}

#[tokio::test]
async fn a_foreign_client_made_from_the_definition_drives_the_signer() {
    let site = Site::new();
    let signer = site.start("a").await;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut drive = Command::new(python());
    // -B: nothing compiled is left beside the sources.
    drive.arg("-B").arg(here.join("tests/foreign_client/drive.py")).arg(here.join("protocol/signer.proto"));
    let driven = drive.arg(&signer.socket).output().unwrap();
    assert!(
        driven.status.success(),
        "{}{}",
        String::from_utf8_lossy(&driven.stdout),
        String::from_utf8_lossy(&driven.stderr)
    );
    assert_eq!(String::from_utf8_lossy(&driven.stdout).lines().count(), 7);
}
