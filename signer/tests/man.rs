//! The man page of `trstctl-signer` is the one that its command line makes, with sections written by hand.

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use trstctl_signer::args::Cli;

const DESCRIPTION: &str = "The signer holds the CA keys of a trstctl control plane in a process of its own and answers on a Unix socket. Each key is a sealed file \
in the key store; the KEK, 32 bytes in a file, opens them. What the signer does, it first writes durably to its journal, beside the keys.";

const EXIT_STATUS: &str = "0 after a stop by SIGTERM or SIGINT, and when --check or --probe finds that everything opens; 1 when something does not, or the signer cannot \
start: the KEK is not 32 bytes, the journal is missing beside keys or does not hold, another signer answers on the socket. 3 when --probe has printed its report \
and not every key is open, or there is none.";

const PROBE: &str = "--probe answers what must be known before a restore: whether this KEK opens these keys. It reads a key store, or a copy that cannot be written, opens every *.key, \
and prints one JSON object: of each file what it says of itself, its public key, and a verdict (open, wrong_kek, damaged, forged, mismatch, unreadable) with a sentence; whether the \
journal holds, and the number of each CA's last CRL. A key is open when it has signed a challenge that its public half verified. It needs no journal; without one, keys are not compared with \
what the journal knows, which the report says. The process is confined as a serving signer is, writes nothing, and prints nothing secret. trstctl-dr keys check runs it.";

const MEMORY: &str = "Keys, the KEK and what the signing library computes with lie in memory that no other process reads, not even root's (memfd_secret(2)); it is locked, \
and counts against RLIMIT_MEMLOCK. 8 MiB, what systems allow by default, hold some seven hundred RSA keys of 4096 bits, or several thousand others; up to 64 MiB are taken \
where they are allowed (LimitMEMLOCK= in a unit). A key for which there is no room is not opened, and Health names it. Where the kernel has no such \
memory, keys lie in locked memory, and where it may not be locked, in ordinary memory that is in no core file: either is said at the start and by Health, and \
--require-hardening refuses it.";

const FILES: &str = "In the key store: ID.key, a sealed key, never overwritten but by rewrap, which puts the same key under the new KEK in its place; ID.key.rewrapped, one that a crash \
kept from that, of no use, overwritten by the next rewrap; ID.key.pending, one that a crash interrupted, finished or removed at the \
next start; journal and journal.head. Back all of them up together, and the KEK somewhere else.";

const EXAMPLES: &str = "trstctl-signer --keystore /var/lib/trstctl/keys --kek /run/secrets/kek --socket /run/trstctl/signer.sock";

fn page() -> String {
    let man = Man::new(Cli::command());
    let mut out = Vec::new();
    man.render_title(&mut out).unwrap();
    man.render_name_section(&mut out).unwrap();
    man.render_synopsis_section(&mut out).unwrap();
    write_section(&mut out, "DESCRIPTION", DESCRIPTION);
    man.render_options_section(&mut out).unwrap();
    man.render_subcommands_section(&mut out).unwrap();
    for (heading, text) in [
        ("PROBE", PROBE),
        ("EXIT STATUS", EXIT_STATUS),
        ("MEMORY FOR KEYS", MEMORY),
        ("FILES", FILES),
        ("EXAMPLES", EXAMPLES),
    ] {
        write_section(&mut out, heading, text);
    }
    String::from_utf8(out).unwrap()
}

fn write_section(out: &mut Vec<u8>, heading: &str, text: &str) {
    let mut roff = Roff::default();
    roff.control("SH", [heading]);
    roff.text([roman(text)]);
    roff.to_writer(out).unwrap();
}

#[test]
fn the_man_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../man/trstctl-signer.1");
    if std::env::var_os("UPDATE_MAN").is_some() {
        fs::write(&path, page()).unwrap();
    }
    assert!(fs::read_to_string(path).is_ok_and(|kept| kept == page()), "run `make man`");
}
