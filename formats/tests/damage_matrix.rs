//! Every case of the damage matrix is refused, but for those that the specification excuses, and `docs/damage.md` says what
//! came of each.
//!
//! Whole when `TRSTCTL_TORTURE` is set, or when the table is written anew with `UPDATE_DAMAGE=1`; else all flipped bits of
//! the plain files, and of everything else a sample.

mod support;

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::{Path, PathBuf};

use support::forge::lines;
use support::matrix::{self, Damaged};
use support::outcomes::Section;
use support::{IDENTITY, RECIPIENT, V1_KEYED, V2_KEYED, is_whole, key, sibling};
use trstctl_formats::backup::{VerifyOptions, verify, verify_stream};
use trstctl_formats::container::{self, Compression, Container, Identity, Recipient};
use trstctl_formats::{Class, Failure};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn identities() -> Vec<Identity> {
    container::parse_identities(IDENTITY.as_bytes()).unwrap()
}

/// The files that are damaged: the keyed examples.
#[derive(Clone, Copy)]
struct Example {
    name: &'static str,
    plain: &'static [u8],
    /// In other containers, checked in: encryption is never the same twice.
    sealed: [(Container, &'static [u8]); 3],
}

const EXAMPLES: [Example; 2] = [
    Example {
        name: "version 1",
        plain: V1_KEYED,
        sealed: [
            (Container::Zstd, include_bytes!("examples/v1-keyed.jsonl.zst")),
            (Container::Age, include_bytes!("examples/v1-keyed.jsonl.age")),
            (Container::AgeZstd, include_bytes!("examples/v1-keyed.jsonl.zst.age")),
        ],
    },
    Example {
        name: "version 2",
        plain: V2_KEYED,
        sealed: [
            (Container::Zstd, include_bytes!("examples/v2-keyed.jsonl.zst")),
            (Container::Age, include_bytes!("examples/v2-keyed.jsonl.age")),
            (Container::AgeZstd, include_bytes!("examples/v2-keyed.jsonl.zst.age")),
        ],
    },
];

impl Example {
    /// The other example.
    fn other(&self) -> &'static Example {
        EXAMPLES.iter().find(|example| example.name != self.name).unwrap()
    }

    fn in_container(&self, container: Container) -> &'static [u8] {
        self.sealed.iter().find(|(found, _)| *found == container).unwrap().1
    }

    fn damaged_lines_and_bytes(&self) -> Vec<Damaged> {
        let sibling = sibling(self.plain);
        let others = [sibling.as_slice(), self.other().plain];
        let mut all = matrix::of_bytes(self.plain, &others);
        all.extend(matrix::of_lines(self.plain, &others));
        all
    }
}

fn name(container: Container) -> &'static str {
    match container {
        Container::Plain => "plain",
        Container::Zstd => "zstd",
        Container::Age => "age",
        Container::AgeZstd => "age around zstd",
    }
}

fn sealed(plain: &[u8], container: Container) -> Vec<u8> {
    let compression = match container {
        Container::Zstd | Container::AgeZstd => Compression::Zstd,
        Container::Plain | Container::Age => Compression::None,
    };
    let recipients: Vec<Recipient> = match container {
        Container::Age | Container::AgeZstd => vec![RECIPIENT.parse().unwrap()],
        Container::Plain | Container::Zstd => Vec::new(),
    };
    let mut sealed = container::seal(Vec::new(), compression, &recipients).unwrap();
    sealed.write_all(plain).unwrap();
    sealed.finish().unwrap()
}

/// What is in a sound container.
fn opened(bytes: &[u8], identities: &[Identity]) -> Vec<u8> {
    let mut plain = Vec::new();
    container::open(bytes, identities).unwrap().1.read_to_end(&mut plain).unwrap();
    plain
}

/// Why a damaged file may be accepted.
fn excuse(example: Example, damaged: &[u8], plain: &[u8]) -> Option<&'static str> {
    let original = example.plain;
    if damaged != plain && plain == original {
        return Some("accepted (the content is the same)");
    }
    if original != V1_KEYED {
        return None;
    }
    if plain == &original[..original.len() - 1] {
        return Some("accepted (without its last newline)");
    }
    is_case_of_a_trailer_key(original, plain)
        .then_some("accepted (case of a letter in a key name of the trailer)")
}

/// Whether two files differ in nothing but the case of one letter in a key name of the last line.
fn is_case_of_a_trailer_key(original: &[u8], damaged: &[u8]) -> bool {
    let mut differing = (0..original.len()).filter(|at| original[*at] != damaged[*at]);
    let (Some(at), None) = (differing.next(), differing.next()) else { return false };
    let trailer = original.len() - lines(original).last().unwrap().len();
    let is_in_key = original[at..].iter().position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
    original.len() == damaged.len()
        && at > trailer
        && original[at].eq_ignore_ascii_case(&damaged[at])
        && is_in_key.is_some_and(|len| original[at + len..].starts_with(b"\":"))
}

/// Where a refusal points, measured by the first byte that is not what it was.
fn place_in_plain(failure: &Failure, original: &[u8], damaged: &[u8]) -> &'static str {
    let line_of =
        |at: usize| 1 + memchr::memchr_iter(b'\n', &damaged[..at.min(damaged.len())]).count() as u64;
    let offset = usize::try_from(failure.place.offset.expect("every refusal has a place")).unwrap();
    let found = failure.place.line.unwrap_or_else(|| line_of(offset));
    let first = original.iter().zip(damaged).take_while(|(a, b)| a == b).count();
    let (damaged_line, last_line) = (line_of(first), lines(damaged).len() as u64);
    match found {
        line if line == damaged_line => "the damaged line",
        line if line == last_line => "the last line",
        line if line > damaged_line => "a line after it",
        _ => "a line before it",
    }
}

/// The same for damage of a container: where the stream that comes out of it stops.
fn place_in_stream(failure: &Failure, plain_len: usize) -> &'static str {
    match failure.place.offset.expect("every refusal has a place") {
        0 => "the beginning",
        offset if offset >= plain_len as u64 => "the end",
        _ => "where the stream stops",
    }
}

/// Counts the verdicts over the cases of a section, a sample of them where not all are tried.
fn judge(
    title: String,
    cases: &[Damaged],
    all_of: &[&str],
    mut verdict: impl FnMut(&Damaged) -> (String, Option<&'static str>),
) -> Section {
    const SAMPLE: usize = 24;
    let mut section = Section::new(title);
    for case in cases {
        section.row(case.kind).cases += 1;
    }
    for (kind, row) in &mut section.rows {
        let step = if is_complete() || all_of.contains(kind) { 1 } else { row.cases.div_ceil(SAMPLE) };
        for case in cases.iter().filter(|case| case.kind == *kind).step_by(step) {
            let (name, place) = verdict(case);
            *row.verdicts.entry(name).or_default() += 1;
            if let Some(place) = place {
                *row.places.entry(place).or_default() += 1;
            }
        }
    }
    section
}

fn is_complete() -> bool {
    is_whole() || is_update()
}

fn is_update() -> bool {
    std::env::var_os("UPDATE_DAMAGE").is_some()
}

/// The verdict on a file of the matrix, or the reason why it is accepted; panics when there is none.
fn verdict_name(
    result: &Result<(), Failure>,
    excuse: impl FnOnce() -> Option<&'static str>,
    what: &str,
) -> String {
    match result {
        Err(failure) => {
            assert!(!failure.hint.is_empty() && failure.class != Class::Usage, "{what}: {failure:?}");
            failure.class.name().to_owned()
        }
        Ok(()) => excuse().unwrap_or_else(|| panic!("{what}: accepted, and nothing excuses that")).to_owned(),
    }
}

fn damaged_plain(example: Example) -> Section {
    let key = key();
    let options = VerifyOptions { key: Some(&key), ..VerifyOptions::default() };
    let title = format!("{}, plain", example.name);
    let cases = example.damaged_lines_and_bytes();
    let mut count = 0;
    judge(title, &cases, &["a bit flipped"], |case| {
        let result = verify(Cursor::new(&case.bytes), &options).map(|_| ());
        count += 1;
        if count % 16 == 0 || is_complete() {
            let streamed = verify_stream(&case.bytes[..], &options);
            assert_eq!(
                streamed.err().map(|f| f.class),
                result.as_ref().err().map(|f| f.class),
                "{}",
                case.what
            );
        }
        let excuse = || excuse(example, &case.bytes, &case.bytes);
        let place = result.as_ref().err().map(|f| place_in_plain(f, example.plain, &case.bytes));
        (verdict_name(&result, excuse, &case.what), place)
    })
}

/// The content was damaged, then compressed or encrypted: the container is sound, and hides nothing of it.
fn damaged_then_sealed(example: Example) -> Section {
    const SAME: &str = "that of the plain file";
    let (key, identities) = (key(), identities());
    let options = VerifyOptions { key: Some(&key), identities: &identities, ..VerifyOptions::default() };
    let verdict = |bytes: &[u8]| {
        let failure = verify(Cursor::new(bytes), &options).err();
        failure.map(|failure| (failure.class, failure.place.offset))
    };
    let mut section = Section::new(format!("{}, damaged and then put into a container", example.name));
    let cases = example.damaged_lines_and_bytes();
    for (container, _) in example.sealed {
        let row = section.row(name(container));
        row.cases = cases.len();
        for case in cases.iter().step_by(if is_complete() { 1 } else { 97 }) {
            let found = verdict(&sealed(&case.bytes, container));
            assert_eq!(found, verdict(&case.bytes), "{} {}", case.kind, case.what);
            *row.verdicts.entry(SAME.to_owned()).or_default() += 1;
            *row.places.entry(SAME).or_default() += 1;
        }
    }
    section
}

fn sealed_then_damaged(example: Example, container: Container) -> Section {
    let (key, identities) = (key(), identities());
    let options = VerifyOptions { key: Some(&key), identities: &identities, ..VerifyOptions::default() };
    let title = format!("{}, put into {} and then damaged", example.name, name(container));
    let others = [example.other().in_container(container), example.plain];
    let cases = matrix::of_bytes(example.in_container(container), &others);
    judge(title, &cases, &[], |case| {
        let result = verify(Cursor::new(&case.bytes), &options).map(|_| ());
        let excuse = || excuse(example, &case.bytes, &opened(&case.bytes, &identities));
        let place = result.as_ref().err().map(|f| place_in_stream(f, example.plain.len()));
        (verdict_name(&result, excuse, &case.what), place)
    })
}

fn sections(example: Example) -> Vec<Section> {
    let containers = [Container::Zstd, Container::Age, Container::AgeZstd];
    let mut sections = vec![damaged_plain(example)];
    sections.extend(containers.map(|container| sealed_then_damaged(example, container)));
    sections.push(damaged_then_sealed(example));
    sections
}

const MARK: &str = "<!-- What follows is generated: UPDATE_DAMAGE=1 cargo test -p trstctl-formats --test damage_matrix -->\n";

#[test]
fn the_table_of_outcomes_is_current_and_nothing_unexcused_is_accepted() {
    let [ours, theirs] = std::thread::scope(|scope| {
        EXAMPLES.map(|example| scope.spawn(move || sections(example))).map(|thread| thread.join().unwrap())
    });
    let sections = [ours, theirs].concat();
    let page = repository().join("docs/damage.md");
    let document = fs::read_to_string(&page).unwrap();
    let (text, table) = document.split_once(MARK).expect("the mark of the generated part");
    if !is_complete() {
        for section in &sections {
            section.is_within(&document).unwrap_or_else(|difference| panic!("docs/damage.md: {difference}"));
        }
        return;
    }
    let generated: String = sections.iter().map(|section| format!("\n{}", section.to_markdown())).collect();
    if is_update() {
        #[allow(clippy::disallowed_methods, reason = "a page is part of the sources, not an output")]
        fs::write(&page, format!("{text}{MARK}{generated}")).unwrap();
    } else {
        assert!(
            table == generated,
            "docs/damage.md is not current; UPDATE_DAMAGE=1 writes it. Now it is\n{generated}"
        );
    }
}

#[test]
fn the_one_bit_that_version_1_hides_is_the_case_of_39_letters() {
    let key = key();
    let options = VerifyOptions { key: Some(&key), ..VerifyOptions::default() };
    let flips = matrix::of_bytes(V1_KEYED, &[]).into_iter().filter(|case| case.kind == "a bit flipped");
    let mut hidden = flips.filter(|case| is_case_of_a_trailer_key(V1_KEYED, &case.bytes));
    assert_eq!(hidden.by_ref().filter(|case| verify(Cursor::new(&case.bytes), &options).is_ok()).count(), 39);
    assert_eq!(hidden.count(), 0);
}

#[test]
fn the_examples_in_containers_hold_the_examples() {
    let identities = identities();
    for example in EXAMPLES {
        for (container, bytes) in example.sealed {
            assert_eq!(opened(bytes, &identities), example.plain, "{} {container:?}", example.name);
        }
    }
}
