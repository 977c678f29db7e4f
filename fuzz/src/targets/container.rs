//! What a backup is wrapped in.

use std::io::{ErrorKind, Read};
use std::sync::LazyLock;

use trstctl_formats::Class;
use trstctl_formats::container::{
    self, Compression, Container, ContainerFault, Identity, Plain, Recipient, parse_identities,
};

use super::{Outcome, refusal};

const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
/// Whom the encrypted inputs are for.
pub const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

static IDENTITIES: LazyLock<Vec<Identity>> =
    LazyLock::new(|| parse_identities(IDENTITY.as_bytes()).expect("this is an identity"));

/// No more of a plain stream is read: a few bytes can stand for gigabytes.
const MOST_BYTES: u64 = 4 << 20;

/// A container that is opened is one of the four, holds the same when it is opened again with what its file gave, and ends
/// where the file ends: neither less of it nor more is accepted.
pub fn container(file: &[u8]) -> Outcome {
    use Class::*;
    let (container, plain) = match container::open(file, &IDENTITIES) {
        Ok(opened) => opened,
        Err(failure) => {
            return refusal::of_file(&failure, &[NotABackup, WrongKey, Truncated, Damaged, Inconsistent]);
        }
    };
    outside_is_named(container, file);
    let (content, end) = read(plain);
    if let End::Fault(class) = end {
        return Outcome::from(format!("{container:?}, {}", class.name()));
    }
    let (again, reopened, _) = container::open_to_reopen(file, &IDENTITIES).expect("it was opened before");
    assert_eq!(again, container);
    assert!(read(reopened).0 == content);
    if matches!(end, End::Reached) {
        sealed_again(container, &content);
        ends_with_the_file(container, file);
    }
    Outcome::from(format!("{container:?}, {end:?}"))
}

/// The outermost layer has the first bytes that the format gives it.
fn outside_is_named(container: Container, file: &[u8]) {
    let magic: &[u8] = match container {
        Container::Plain => b"{",
        Container::Zstd => b"\x28\xb5\x2f\xfd",
        Container::Age | Container::AgeZstd => b"age-encryption.org/v1\n",
    };
    assert!(file.starts_with(magic), "{container:?}");
    assert!(container.extension().starts_with(".jsonl"));
}

#[derive(Debug)]
enum End {
    Reached,
    /// There is more than is read here.
    More,
    Fault(Class),
}

fn read<R: Read>(plain: Plain<R>) -> (Vec<u8>, End) {
    let mut content = Vec::new();
    match plain.take(MOST_BYTES).read_to_end(&mut content) {
        Ok(len) if len as u64 == MOST_BYTES => (content, End::More),
        Ok(_) => (content, End::Reached),
        Err(error) => {
            let fault = ContainerFault::of(&error).unwrap_or_else(|| panic!("no container's fault: {error}"));
            assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::InvalidData));
            let failure = fault.to_failure();
            refusal::of_file(&failure, &[Class::Truncated, Class::Damaged, Class::Inconsistent]);
            (content, End::Fault(failure.class))
        }
    }
}

/// What came out goes in and comes out again.
fn sealed_again(container: Container, content: &[u8]) {
    use std::io::Write as _;
    let recipient: Recipient = RECIPIENT.parse().expect("this is a recipient");
    let (compression, recipients) = match container {
        Container::Plain => (Compression::None, vec![]),
        Container::Zstd => (Compression::Zstd, vec![]),
        Container::Age => (Compression::None, vec![recipient]),
        Container::AgeZstd => (Compression::Zstd, vec![recipient]),
    };
    let mut sealed = container::seal(Vec::new(), compression, &recipients).expect("a vector takes it");
    sealed.write_all(content).expect("a vector takes it");
    let file = sealed.finish().expect("a vector takes it");
    if content.first() != Some(&b'{') && matches!(container, Container::Plain | Container::Age) {
        return; // Nothing that is called plain begins so.
    }
    let (again, plain) = container::open(&file[..], &IDENTITIES).expect("what was sealed opens");
    assert_eq!(again, container);
    let (reread, end) = read(plain);
    assert!(matches!(end, End::Reached) && reread == content, "{end:?}");
}

fn ends_with_the_file(container: Container, file: &[u8]) {
    if container == Container::Plain {
        return;
    }
    let is_whole = |file: &[u8]| {
        let opened = container::open(file, &IDENTITIES);
        opened.is_ok_and(|(_, plain)| matches!(read(plain).1, End::Reached))
    };
    assert!(!is_whole(&file[..file.len() - 1]), "a byte less is accepted too");
    assert!(!is_whole(&[file, b"\0"].concat()), "a byte more is accepted too");
}
