//! Secrets planted in every form and wrapping, and files that would rather not be searched.

use std::io::Write;
use std::process::Stdio;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::progress::{Phase, Unit};

const SECRET: [u8; 32] = *b"\x00\xfb\xff key of thirty-two byte\x80\x00\x01\xfe\x1f\x8b";

struct Nobody;

impl Progress for Nobody {
    fn begin(&self, _: &'static str, _: Option<u64>, _: Unit) {}
    fn done(&self, _: u64) {}
    fn step(&self, _: &'static str) {}
    fn end(&self, _: &Phase) {}
    fn interrupted(&self) -> bool {
        false
    }
}

/// Searches a folder with this one file.
fn search_in(name: &str, bytes: &[u8], limits: &Limits) -> Searched {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), bytes).unwrap();
    let sought = [Sought::new(&[0x77; 32]).unwrap(), Sought::new(&SECRET).unwrap()];
    let searched = search(&[folder.path().to_owned()], &sought, limits, &Nobody).unwrap();
    assert!(searched.traces.iter().all(|trace| trace.sought == 1), "the other secret is nowhere");
    searched
}

/// The one trace of it: as what, in which member.
#[track_caller]
fn found(name: &str, bytes: &[u8]) -> (&'static str, String) {
    let searched = search_in(name, bytes, &Limits::default());
    let [trace] = &searched.traces[..] else { panic!("{name}: {searched:?}") };
    assert!(trace.place.file.ends_with(name));
    (trace.form, trace.place.members.join(" > "))
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 3).unwrap()
}

/// An archive as `tar` makes it, with a member before and one behind.
fn tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    for (name, bytes) in [("a first", &[1; 700][..]), ("z last", &[2; 512])] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    fs::write(path, bytes).unwrap();
    let mut command = std::process::Command::new("tar");
    command.arg("-C").arg(folder.path()).args(["-cf", "-", "a first", name, "z last"]);
    let output = command.output().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// What a program in Python makes of bytes.
fn python(program: &str, bytes: &[u8]) -> Vec<u8> {
    // One may lack what compresses.
    let has_modules = |python: &&str| {
        let mut command = std::process::Command::new(python);
        command.args(["-c", "import bz2, lzma, zlib"]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    let python = ["python3", "/usr/bin/python3"].into_iter().find(has_modules);
    let mut command = std::process::Command::new(python.expect("a Python 3 with bz2, lzma and zlib"));
    command.args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(bytes).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success());
    output.stdout
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    python("import sys, lzma; sys.stdout.buffer.write(lzma.compress(sys.stdin.buffer.read()))", bytes)
}

fn bz2(bytes: &[u8]) -> Vec<u8> {
    python("import sys, bz2; sys.stdout.buffer.write(bz2.compress(sys.stdin.buffer.read()))", bytes)
}

/// An archive with a folder, a member before `etc/kek` and one behind, all kept by this method of Python's `zipfile`.
fn zip(method: &str, bytes: &[u8]) -> Vec<u8> {
    zip_by(&format!("put(zipfile.ZipFile(file, 'w', zipfile.{method}))"), bytes)
}

fn zip_by(how: &str, bytes: &[u8]) -> Vec<u8> {
    let program = format!(
        "import io, sys, zipfile
content = sys.stdin.buffer.read()
def put(archive, **more):
    with archive:
        archive.writestr('etc/', b'')
        for name, content_of in [('a first', b'1' * 70000), ('etc/kek', content), ('z last', b'2' * 512)]:
            with archive.open(name, 'w', **more) as member:
                member.write(content_of)
class Pipe:
    def write(self, bytes):
        return file.write(bytes)
    def flush(self):
        pass
file = io.BytesIO()
{how}
sys.stdout.buffer.write(file.getvalue())"
    );
    python(&program, bytes)
}

fn hexadecimal() -> String {
    SECRET.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn each_form_of_a_secret_is_found_and_named() {
    let base64 = BASE64_STANDARD.encode(SECRET);
    let inside = |alphabet: &dyn Fn(&[u8]) -> String, before: usize| {
        format!("x {} y", alphabet(&[&vec![7; before], &SECRET[..], b"behind"].concat()))
    };
    let (standard, url) =
        (|bytes: &[u8]| BASE64_STANDARD.encode(bytes), |bytes: &[u8]| BASE64_URL_SAFE.encode(bytes));
    let pem = |text: &str, width: usize| {
        let lines: Vec<&str> =
            text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN KEY-----\n{}\n-----END KEY-----\n", lines.join("\n"))
    };
    for (name, text, form) in [
        ("hex", hexadecimal(), "hexadecimal"),
        ("HEX", format!("KEK={}", hexadecimal().to_uppercase()), "hexadecimal"),
        ("base64", base64.clone(), "base64"),
        ("base64-1", inside(&standard, 1), "base64"),
        ("base64-2", inside(&standard, 2), "base64"),
        ("url", inside(&url, 0), "base64"),
        ("url-1", inside(&url, 1), "base64"),
        ("url-2", inside(&url, 2), "base64"),
        ("pem", pem(&base64, 20), "base64"),
        ("pem-of-more", pem(&standard(&[&[3; 64][..], &SECRET].concat()), 64), "base64"),
        ("json", serde_json::to_string(&pem(&base64, 10)).unwrap(), "base64"),
        (
            "hex-dump",
            hexadecimal()
                .as_bytes()
                .chunks(4)
                .map(|two| format!("{} ", String::from_utf8_lossy(two)))
                .collect(),
            "hexadecimal",
        ),
        ("twice", standard(base64.as_bytes()), "base64 twice"),
        ("of-hex", standard(format!("{}\n", hexadecimal()).as_bytes()), "base64 of hexadecimal"),
    ] {
        assert_eq!(found(name, text.as_bytes()), (form, String::new()), "{name}");
    }
    assert_eq!(found("raw", &[&[5; 99][..], &SECRET, &[5; 9]].concat()).0, "raw");
}

#[test]
fn a_text_of_its_own_is_found_in_either_case_and_in_base64() {
    let text = "AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0S";
    let sought = [Sought::new(&SECRET).unwrap().or_text(text)];
    for (content, form) in [
        (format!("# created\n{text}\n"), "text"),
        (text.to_lowercase(), "text"),
        (BASE64_STANDARD.encode(format!("# created\n{text}\n")), "base64 of text"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), content).unwrap();
        let searched = search(&[folder.path().to_owned()], &sought, &Limits::default(), &Nobody).unwrap();
        assert_eq!(searched.traces.iter().map(|trace| trace.form).collect::<Vec<_>>(), [form]);
    }
}

#[test]
fn a_secret_in_archives_and_compressed_members_is_found_by_file_and_member() {
    let text = BASE64_STANDARD.encode(SECRET);
    let member = String::from("etc/kek");
    let long = format!("{}/kek", "long".repeat(40));
    for (name, bytes, form, members) in [
        ("a.tar", tar("etc/kek", &SECRET), "raw", member.clone()),
        ("a.tar.gz", gz(&tar("etc/kek", text.as_bytes())), "base64", member.clone()),
        ("a.tar.zst", zst(&tar("etc/kek", &SECRET)), "raw", member.clone()),
        ("a.zst", zst(hexadecimal().as_bytes()), "hexadecimal", String::new()),
        ("a.gz", gz(&SECRET), "raw", String::new()),
        ("two.gz", [gz(&[1; 9]), gz(&SECRET)].concat(), "raw", String::new()),
        ("two.zst", [zst(&[1; 9]), zst(&SECRET)].concat(), "raw", String::new()),
        ("gz-in.tar", tar("etc/kek.gz", &gz(&SECRET)), "raw", String::from("etc/kek.gz")),
        (
            "in-all.tar",
            tar("in.tar.gz", &gz(&tar("etc/kek", &zst(&SECRET)))),
            "raw",
            String::from("in.tar.gz > etc/kek"),
        ),
        ("long.tar", tar(&long, &SECRET), "raw", long.clone()),
        ("a.tar.xz", xz(&tar("etc/kek", &SECRET)), "raw", member.clone()),
        ("two.xz", [xz(&[1; 9]), xz(&SECRET)].concat(), "raw", String::new()),
        ("a.tar.bz2", bz2(&tar("etc/kek", text.as_bytes())), "base64", member.clone()),
        ("two.bz2", [bz2(&[1; 9]), bz2(&SECRET)].concat(), "raw", String::new()),
        ("stored.zip", zip("ZIP_STORED", &SECRET), "raw", member.clone()),
        ("deflated.zip", zip("ZIP_DEFLATED", text.as_bytes()), "base64", member.clone()),
        ("bzip2.zip", zip("ZIP_BZIP2", &SECRET), "raw", member.clone()),
        (
            "large.zip",
            zip_by("put(zipfile.ZipFile(file, 'w', 8), force_zip64=True)", &SECRET),
            "raw",
            member.clone(),
        ),
        ("piped.zip", zip_by("put(zipfile.ZipFile(Pipe(), 'w', 8))", &SECRET), "raw", member.clone()),
        (
            "large-piped.zip",
            zip_by("put(zipfile.ZipFile(Pipe(), 'w', 8), force_zip64=True)", &SECRET),
            "raw",
            member.clone(),
        ),
        ("in.zip", zip("ZIP_DEFLATED", &xz(&tar("b", &SECRET))), "raw", String::from("etc/kek > b")),
        ("second.bz2", [bz2(b""), bz2(&SECRET)].concat(), "raw", String::new()),
        (
            "second.zip",
            [zip("ZIP_STORED", b"first"), zip("ZIP_DEFLATED", &SECRET)].concat(),
            "raw",
            member.clone(),
        ),
        (
            "behind-none.zip",
            [zip_by("zipfile.ZipFile(file, 'w').close()", b""), zip("ZIP_DEFLATED", &SECRET)].concat(),
            "raw",
            member.clone(),
        ),
        ("second.tar", [tar("b", b"first"), tar("etc/kek", &gz(&SECRET))].concat(), "raw", member.clone()),
        ("zip-in.tar", tar("a.zip", &zip("ZIP_DEFLATED", &SECRET)), "raw", String::from("a.zip > etc/kek")),
    ] {
        assert_eq!(found(name, &bytes), (form, members), "{name}");
    }
}

#[test]
fn a_secret_is_found_across_the_border_of_two_pieces_and_behind_much() {
    for before in [65_536 - 31, 65_536 - 1, 65_536 - 16, 3 * 65_536 - 7] {
        let bytes = [&vec![4; before], &SECRET[..], &[4; 100]].concat();
        assert_eq!(found("raw", &bytes).0, "raw");
        assert_eq!(found("raw.zst", &zst(&bytes)).0, "raw");
        let text = format!("{}{}", "z".repeat(before), BASE64_STANDARD.encode(SECRET));
        assert_eq!(found("text.gz", &gz(text.as_bytes())).0, "base64");
    }
}

#[test]
fn a_clean_set_is_clean_and_counted_and_links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (set, away) = (folder.path().join("set"), folder.path().join("away"));
    fs::create_dir_all(set.join("in")).unwrap();
    fs::write(&away, SECRET).unwrap();
    std::os::unix::fs::symlink(&away, set.join("link")).unwrap();
    fs::write(set.join("in/a.tar.gz"), gz(&tar("b", &SECRET[..31]))).unwrap();
    fs::write(set.join("backup.age"), "age-encryption.org/v1\n…").unwrap();
    let sought = [Sought::new(&SECRET).unwrap()];
    let searched = search(&[set], &sought, &Limits::default(), &Nobody).unwrap();
    assert_eq!((searched.files, searched.encrypted), (2, 1));
    assert_eq!((searched.traces, searched.unsearched), (Vec::new(), Vec::new()));
}

#[test]
fn a_bomb_ends_with_a_finding_and_the_search_goes_on() {
    let limits = Limits { free_bytes: 1 << 20, ..Limits::default() };
    let zeros = vec![0; 64 << 20];
    for (name, bomb) in [
        ("bomb.zst", zst(&zeros)),
        ("bomb.gz", gz(&gz(&zeros))),
        ("bomb.tar", tar("bomb.zst", &zst(&zeros))),
        ("bomb.xz", xz(&zeros)),
        ("bomb.bz2", bz2(&zeros)),
        ("bomb.zip", zip("ZIP_DEFLATED", &zeros)),
        ("bomb-piped.zip", zip_by("put(zipfile.ZipFile(Pipe(), 'w', 8))", &zeros)),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), &bomb).unwrap();
        fs::write(folder.path().join("z"), SECRET).unwrap();
        let sought = [Sought::new(&SECRET).unwrap()];
        let searched = search(&[folder.path().to_owned()], &sought, &limits, &Nobody).unwrap();
        // What is compressed behind it, in the same archive, is not searched either.
        assert_eq!(searched.unsearched.len(), if name == "bomb.zip" { 2 } else { 1 }, "{name}: {searched:?}");
        for unsearched in &searched.unsearched {
            assert_eq!(unsearched.why, Why::Expands, "{name}");
            assert!(unsearched.place.to_string().contains("bomb"), "{}", unsearched.place);
        }
        assert_eq!(searched.traces.len(), 1, "the next file is searched");
    }
}

#[test]
fn what_cannot_be_opened_is_named_and_searched_as_it_is() {
    let limits = Limits { depth: 2, ..Limits::default() };
    let why = |bytes: &[u8]| {
        let searched = search_in("file", bytes, &limits);
        searched.unsearched.into_iter().map(|unsearched| unsearched.why).collect::<Vec<_>>()
    };
    assert_eq!(why(&gz(&gz(&gz(b"deep")))), [Why::TooDeep]);
    assert_eq!(why(&gz(&gz(b"not too deep"))), []);
    let cut = |bytes: Vec<u8>| bytes[..bytes.len() - 9].to_vec();
    assert!(matches!(why(&cut(gz(&[1; 999])))[..], [Why::Broken(_)]));
    assert!(matches!(why(&cut(zst(&[1; 999])))[..], [Why::Broken(_)]));
    assert!(matches!(why(&tar("a", &[1; 2000])[..1600])[..], [Why::Broken(_)]));
    assert!(matches!(why(&cut(xz(&[1; 999])))[..], [Why::Broken(_)]));
    assert!(matches!(why(&cut(bz2(&[1; 999])))[..], [Why::Broken(_)]));
    let mut halves = zip("ZIP_STORED", &[1; 999]);
    halves.truncate(70_500);
    assert!(matches!(why(&halves)[..], [Why::Broken(_)]));
    halves.extend([0; 999]);
    assert!(matches!(why(&halves)[..], [Why::Broken(_)]), "no header where the next one should be");
    assert_eq!(why(&zip("ZIP_LZMA", b"a")), vec![Why::UnknownKind("rare zip method"); 4]);
    let endless = why(&zip_by("put(zipfile.ZipFile(Pipe(), 'w', 0))", b"a"));
    assert!(matches!(endless[..], [Why::UnknownKind("zip without lengths"), Why::Broken(_)]), "{endless:?}");
    let much_memory = python(
        "import sys, lzma
filters = [{'id': lzma.FILTER_LZMA2, 'preset': 0, 'dict_size': 128 << 20}]
sys.stdout.buffer.write(lzma.compress(sys.stdin.buffer.read(), filters=filters))",
        &SECRET,
    );
    assert_eq!(why(&much_memory), [Why::UnknownKind("xz that needs much memory")]);
    let followed = [tar("a", b"a"), b"something else".repeat(99)].concat();
    assert!(matches!(why(&followed)[..], [Why::Broken(_)]));
    let followed = [zip("ZIP_STORED", b"a"), b"something else".to_vec()].concat();
    assert!(matches!(why(&followed)[..], [Why::Broken(_)]));
    for (kind, first) in [
        ("7z", &b"7z\xbc\xaf\x27\x1c"[..]),
        ("split zip", b"PK\x07\x08PK\x03\x04"),
        ("lz4", b"\x04\x22\x4d\x18"),
        ("s2", b"\xff\x06\0\0S2sTwO"),
        ("snappy", b"\xff\x06\0\0sNaPpY"),
        ("compress", b"\x1f\x9d\x90"),
        ("lzip", b"LZIP\x01"),
        ("rar", b"Rar!\x1a\x07"),
        ("ar", b"!<arch>\n"),
        ("cpio", b"070701"),
        ("squashfs", b"hsqs"),
        ("qcow2", b"QFI\xfb"),
    ] {
        assert_eq!(why(&[first, &[0; 600]].concat()), [Why::UnknownKind(kind)]);
        // What is not compressed in it is found all the same.
        assert_eq!(search_in("file", &[first, &SECRET].concat(), &limits).traces.len(), 1);
    }
}

#[test]
fn many_traces_of_one_secret_do_not_hide_another() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..=MAX_TOLD {
        fs::write(folder.path().join(format!("{number:03}")), SECRET).unwrap();
    }
    fs::write(folder.path().join("z"), [0x77; 32]).unwrap();
    let sought = [Sought::new(&SECRET).unwrap(), Sought::new(&[0x77; 32]).unwrap()];
    let searched = search(&[folder.path().to_owned()], &sought, &Limits::default(), &Nobody).unwrap();
    let of = |sought| searched.traces.iter().filter(|trace| trace.sought == sought).count();
    assert_eq!((of(0), of(1)), (MAX_TOLD, 1));
}

#[test]
fn an_archive_of_many_members_fills_no_memory_with_what_is_said_of_them() {
    let many = python(
        "import io, sys, zipfile
file = io.BytesIO()
with zipfile.ZipFile(file, 'w') as archive:
    for number in range(3000):
        archive.writestr(f'{number}', sys.stdin.buffer.read() if number == 0 else b'7z\\xbc\\xaf\\x27\\x1c')
sys.stdout.buffer.write(file.getvalue())",
        &SECRET,
    );
    let (sought, limits) = ([Sought::new(&SECRET).unwrap()], Limits::default());
    let mut opener = Opener::new(&sought, &limits, many.len() as u64);
    opener.search(&mut &many[..], &Place { file: PathBuf::from("many.zip"), members: Vec::new() }, 0);
    assert_eq!((opener.traces.len(), opener.unsearched.len()), (1, MAX_TOLD));
}

#[test]
fn members_that_are_encrypted_are_counted_and_those_behind_them_are_searched() {
    let mut archive = zip("ZIP_STORED", &SECRET);
    // The flags of the first member that has content: that of the folder has none.
    let at = archive.windows(7).position(|name| name == b"a first").unwrap() - 24;
    archive[at] |= 1;
    let searched = search_in("file", &archive, &Limits::default());
    assert_eq!((searched.encrypted, searched.traces.len()), (1, 1));
    assert_eq!(searched.traces[0].place.members, ["etc/kek"]);
}
