//! What is sealed opens again; what is changed or cut off never passes for whole; nothing takes unbounded memory.

use proptest::prelude::*;

use super::*;

const KEY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

const EVERY: [Container; 4] = [Container::Plain, Container::Zstd, Container::Age, Container::AgeZstd];

fn identities() -> Vec<Identity> {
    parse_identities(KEY.as_bytes()).unwrap()
}

fn parts(container: Container) -> (Compression, Vec<Recipient>) {
    let compressed = matches!(container, Container::Zstd | Container::AgeZstd);
    let encrypted = matches!(container, Container::Age | Container::AgeZstd);
    let compression = if compressed { Compression::Zstd } else { Compression::None };
    (compression, encrypted.then(|| RECIPIENT.parse().unwrap()).into_iter().collect())
}

fn sealed(container: Container, plain: &[u8]) -> Vec<u8> {
    let (compression, recipients) = parts(container);
    let mut out = seal(Vec::new(), compression, &recipients).unwrap();
    out.write_all(plain).unwrap();
    out.finish().unwrap()
}

fn read(file: &[u8]) -> Result<(Container, Vec<u8>), Class> {
    let (container, mut stream) = open(file, &identities()).map_err(|failure| failure.class)?;
    let mut plain = Vec::new();
    let result = stream.read_to_end(&mut plain);
    result.map_err(|error| ContainerFault::of(&error).expect("a container's fault").kind.class())?;
    Ok((container, plain))
}

/// JSON lines that compress neither well nor badly.
fn lines(count: u64) -> Vec<u8> {
    let line = |n: u64| format!("{{\"seq\":{n},\"x\":\"{:x}\"}}\n", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (0..count).flat_map(|n| line(n).into_bytes()).collect()
}

#[test]
fn what_is_sealed_opens_again_and_says_how_it_was_sealed() {
    let plain = lines(10_000);
    for container in EVERY {
        let (compression, recipients) = parts(container);
        assert_eq!(Container::of(compression, &recipients), container);
        assert_eq!(read(&sealed(container, &plain)), Ok((container, plain.clone())));
    }
}

#[test]
fn a_file_opens_twice_through_a_borrow() {
    let plain = lines(1000);
    for container in EVERY {
        let mut file = Cursor::new(sealed(container, &plain));
        for _ in 0..2 {
            file.set_position(0);
            let mut read = Vec::new();
            open(&mut file, &identities()).unwrap().1.read_to_end(&mut read).unwrap();
            assert!(read == plain);
        }
    }
}

#[test]
fn an_encrypted_file_shows_nothing_of_its_content() {
    let file = sealed(Container::Age, b"{\"secret\":\"correct horse battery staple\"}\n");
    assert!(!file.windows(13).any(|window| window == b"correct horse"));
}

#[test]
fn a_file_that_was_not_finished_is_truncated() {
    for container in [Container::Zstd, Container::Age, Container::AgeZstd] {
        let (compression, recipients) = parts(container);
        let mut file = Vec::new();
        let mut out = seal(&mut file, compression, &recipients).unwrap();
        out.write_all(&lines(100_000)).unwrap();
        drop(out);
        assert_eq!(read(&file), Err(Class::Truncated), "{container:?}");
    }
}

#[test]
fn a_file_cut_anywhere_never_passes_for_whole() {
    let plain = lines(30);
    for container in [Container::Zstd, Container::Age, Container::AgeZstd] {
        let file = sealed(container, &plain);
        for len in 0..file.len() {
            assert!(read(&file[..len]).is_err(), "{container:?} cut at {len} of {}", file.len());
        }
    }
}

#[test]
fn an_encrypted_file_cut_between_two_chunks_is_truncated() {
    let plain = lines(5000);
    let file = sealed(Container::Age, &plain);
    let overhead = file.len() - plain.len() - 16 * plain.len().div_ceil(65536);
    for chunks in 0..2 {
        let cut = overhead + chunks * (65536 + 16);
        assert_eq!(read(&file[..cut]), Err(Class::Truncated));
    }
}

#[test]
fn one_flipped_bit_is_refused_or_harmless() {
    let plain = lines(30);
    for container in [Container::Zstd, Container::Age, Container::AgeZstd] {
        let mut file = sealed(container, &plain);
        for bit in 0..file.len() * 8 {
            file[bit / 8] ^= 1 << (bit % 8);
            // Some bits of a zstd frame mean nothing: its content is the same without them.
            if let Ok((found, content)) = read(&file) {
                assert_eq!(found, Container::Zstd, "bit {bit} of {container:?}");
                assert!(content == plain, "bit {bit}");
            }
            file[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
fn a_fault_is_reported_again_when_read_again() {
    let mut file = sealed(Container::Zstd, &lines(30));
    *file.last_mut().unwrap() ^= 1;
    let (_, mut stream) = open(&file[..], &[]).unwrap();
    let error = io::copy(&mut stream, &mut io::sink()).unwrap_err();
    assert_eq!(ContainerFault::of(&error).unwrap().kind, FaultKind::Damaged);
    assert!(stream.read(&mut [0; 9]).is_err());
}

/// A source that fails after its bytes.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buf)? {
            0 => Err(io::Error::other("the disk is gone")),
            len => Ok(len),
        }
    }
}

#[test]
fn an_error_of_the_disk_is_not_taken_for_damage() {
    for container in EVERY {
        let file = sealed(container, &lines(9000));
        let (_, mut stream) = open(Failing(&file[..file.len() - 1]), &identities()).unwrap();
        let error = io::copy(&mut stream, &mut io::sink()).unwrap_err();
        assert_eq!((error.to_string().as_str(), ContainerFault::of(&error)), ("the disk is gone", None));
        assert_eq!(open(Failing(&[]), &[]).err().unwrap().class, Class::Usage);
    }
}

#[test]
fn an_age_header_without_end_is_refused_early() {
    struct Endless(u64);
    impl Read for Endless {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let line = b"-> X25519 CJM36AHmTbdHSuOQL+NESqyVQE75f2e610iRdLPEN20\n";
            buf.iter_mut().zip(line.iter().cycle()).for_each(|(to, from)| *to = *from);
            self.0 += buf.len() as u64;
            assert!(self.0 < 1 << 20, "read on and on");
            Ok(buf.len())
        }
    }
    let lines = age_file::MAGIC.chain(Endless(0));
    assert_eq!(open(lines, &identities()).err().unwrap().class, Class::NotABackup);
    let one_line = age_file::MAGIC.chain(&b"-> "[..]).chain(io::repeat(b'x'));
    assert_eq!(open(one_line, &identities()).err().unwrap().class, Class::NotABackup);
}

#[test]
fn an_age_header_full_of_stanzas_is_judged_within_seconds() {
    let stanza = "-> X25519 CJM36AHmTbdHSuOQL+NESqyVQE75f2e610iRdLPEN20\n\
                  C3ZAeY64NXS4QFrksLm3EGz+uPRyI0eQsWw7LWbbYig\n";
    let header = [age_file::MAGIC, stanza.repeat(600).as_bytes()].concat();
    let file = [&header[..], b"--- fgMiVLJHMlg9fW7CVG/hPS5EAU4Zeg19LyCP7SoH5nA\n0123456789abcdef"].concat();
    let started = std::time::Instant::now();
    assert_eq!(open(&file[..], &identities()).err().unwrap().class, Class::WrongKey);
    assert!(started.elapsed().as_secs() < 10);
}

/// A frame header of this descriptor and what follows it.
fn frame(descriptor: u8, rest: &[u8]) -> Result<(), Class> {
    let bytes = [zstd_frame::MAGIC, &[descriptor], rest].concat();
    zstd_frame::check_header(&bytes).map_err(|failure| failure.class)
}

#[test]
fn the_window_of_a_zstd_frame_is_at_most_8_mib() {
    const CHECKSUM: u8 = 0x04;
    let exponent = |log: u8| (log - 10) << 3;
    assert_eq!(frame(CHECKSUM, &[exponent(23)]), Ok(()));
    assert_eq!(frame(CHECKSUM, &[exponent(23) + 1]), Err(Class::NotABackup));
    assert_eq!(frame(CHECKSUM, &[0xff]), Err(Class::NotABackup));
    // One segment with its length in four bytes: the length is the window.
    assert_eq!(frame(CHECKSUM | 0xa0, &(8u32 << 20).to_le_bytes()), Ok(()));
    assert_eq!(frame(CHECKSUM | 0xa0, &((8u32 << 20) + 1).to_le_bytes()), Err(Class::NotABackup));
    assert_eq!(frame(CHECKSUM | 0xe0, &u64::MAX.to_le_bytes()), Err(Class::NotABackup));
}

#[test]
fn a_zstd_frame_has_a_checksum_no_dictionary_and_no_reserved_bit() {
    assert_eq!(frame(0x00, &[0]), Err(Class::NotABackup));
    assert_eq!(frame(0x05, &[0, 7]), Err(Class::NotABackup));
    assert_eq!(frame(0x07, &[0, 0, 0, 0, 7]), Err(Class::NotABackup));
    assert_eq!(frame(0x0c, &[0]), Err(Class::Damaged));
}

#[test]
fn a_small_file_that_expands_to_gigabytes_takes_the_memory_of_its_window() {
    const GIGABYTES: u64 = 2;
    let mut out = FrameWriter::new(Vec::new()).unwrap();
    out.write_all(b"{").unwrap();
    io::copy(&mut io::repeat(b' ').take(GIGABYTES << 30), &mut out).unwrap();
    let bomb = out.finish().unwrap();
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let mut reader = FrameReader::new(&bomb[..]);
    assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap(), (GIGABYTES << 30) + 1);
    assert!(reader.memory_bytes() < 4 << 20, "{}", reader.memory_bytes());
}

proptest! {
    #[test]
    fn any_bytes_pass_through_in_pieces_of_any_size(
        content in prop::collection::vec(any::<u8>(), 0..70_000), pieces in 1usize..9000, which in 0usize..4,
    ) {
        let plain = [b"{", &content[..]].concat();
        let (compression, recipients) = parts(EVERY[which]);
        let mut out = seal(Vec::new(), compression, &recipients).unwrap();
        for piece in plain.chunks(pieces) {
            out.write_all(piece).unwrap();
        }
        let file = out.finish().unwrap();
        let (container, mut stream) = open(&file[..], &identities()).unwrap();
        prop_assert_eq!(container, EVERY[which]);
        let (mut read, mut piece) = (Vec::new(), vec![0; pieces]);
        loop {
            match stream.read(&mut piece).unwrap() {
                0 => break,
                len => read.extend_from_slice(&piece[..len]),
            }
        }
        prop_assert!(read == plain);
        prop_assert_eq!(stream.read(&mut piece).unwrap(), 0);
    }

    #[test]
    fn no_bytes_make_opening_or_reading_panic(
        magic in prop::sample::select(vec![zstd_frame::MAGIC, age_file::MAGIC, b"", b"{"]),
        rest in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = read(&[magic, &rest].concat());
    }
}
