//! A signer that root starts and that becomes another user.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::geteuid;
use support::{Site, generate, id};
use trstctl_signer_protocol::v1::Algorithm;

/// A user that every system has, and its number.
const USER: (&str, u32) = ("daemon", 1);

fn refusal(command: &mut Command) -> String {
    let ended = command.output().unwrap();
    assert!(!ended.status.success());
    String::from_utf8(ended.stderr).unwrap()
}

#[tokio::test]
async fn a_signer_that_root_starts_is_its_user_in_every_thread_and_owns_what_it_makes() {
    if !geteuid().is_root() {
        return println!("only root can start a signer that becomes another user");
    }
    let site = Site::new();
    site.give_to(USER.1);
    // Root makes the folder of the socket, where the user could not.
    chown(site.folder.path(), Some(0), Some(0)).unwrap();
    fs::set_permissions(site.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let signer = site
        .start_with("a", |command| {
            command.args(["--user", USER.0, "--allow-uid", "0"]);
        })
        .await;
    generate(&mut signer.client().await, &id(1), Algorithm::P256).await.unwrap();

    for thread in fs::read_dir(format!("/proc/{}/task", signer.child.id())).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!([field("Uid:"), field("Gid:")], [["1"; 4], ["1"; 4]]);
        assert_eq!(field("Groups:"), Vec::<String>::new());
        for capabilities in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(field(capabilities), ["0000000000000000"], "{capabilities}");
        }
    }
    let key = site.keystore().join(format!("{}.key", id(1)));
    for path in [&key, &signer.socket, signer.socket.parent().unwrap()] {
        assert_eq!(fs::metadata(path).unwrap().uid(), USER.1, "{path:?}");
    }
    // Not the user's own processes: the memory was made private behind the change.
    let mut reader = Command::new("cat");
    reader.arg(format!("/proc/{}/environ", signer.child.id())).uid(USER.1).gid(USER.1);
    assert!(!reader.output().unwrap().status.success());
}

#[test]
fn a_user_that_is_unknown_root_or_without_access_is_refused_by_name() {
    let site = Site::new();
    let as_user = |name: &str| {
        let mut command = site.command();
        command.args(["--user", name, "--socket"]).arg(site.socket("a"));
        command
    };
    let said = refusal(&mut as_user("nobody-has-this-name"));
    assert!(said.contains("has no user nobody-has-this-name"), "{said}");
    assert!(refusal(&mut as_user("root")).contains("give the signer a user of its own"));
    if !geteuid().is_root() {
        assert!(refusal(&mut as_user(USER.0)).contains("only root can start"));
        return println!("the rest only root can try");
    }
    site.give_to(USER.1 + 1);
    let said = refusal(as_user(USER.0).uid(USER.1 + 1).gid(USER.1 + 1));
    assert!(said.contains("only root can start a signer that becomes daemon"), "{said}");
    fs::set_permissions(site.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let said = refusal(&mut as_user(USER.0));
    assert!(said.contains("daemon may not write to") && said.contains("/keystore"), "{said}");
    chown(site.keystore(), Some(USER.1), Some(USER.1)).unwrap();
    let said = refusal(&mut as_user(USER.0));
    assert!(said.contains("daemon may not read") && said.contains("/kek"), "{said}");
    assert!(support::files_of(&site.keystore()).is_empty());
    // A check needs no more than to read.
    let said = refusal(site.command().args(["--check", "--user", USER.0]));
    assert!(said.contains("daemon may not read") && said.contains("/kek"), "{said}");
}
