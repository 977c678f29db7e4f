//! The man pages of `trstctl-signer` and its commands are those that its command line makes, with sections written by hand.

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
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

const USER: &str = "Root may start the signer with --user: it becomes that user before it reads anything, without root's groups and capabilities, and may not become root again. \
The key store, the KEK file and, where it is there already, the folder of the socket must be that user's; a folder of the socket that is missing is made for it, where \
that of the user could not (in /run). What the user may not do is said by name, and the signer does not start.";

const LIMITS: &str = "A request has at most 64 KiB, one about a CRL 8 MiB; two of these are read and signed at once, and sixteen more may wait, 20 seconds long. \
A message has 10 seconds to arrive, one about a CRL from its turn on; 4096 others may be arriving. Who is refused by this is told to come again (unavailable). 256 connections are served at once, and 256 more may be about to greet; who is silent holds \
none of these places. When a fault ends the thread that writes the journal, the signer says so, stops, and exits with 1.";

const HARDENING: &str = "The signer gives up what it does not need: no core file, no debugger, no new privileges; files outside the key store, programs, TCP (Landlock); and any \
system call that it does not make ends it (seccomp). What the kernel lacks of this is said at the start; --require-hardening refuses then.";

const MEMORY: &str = "Keys, the KEK and what the signing library computes with lie in memory that no other process reads, not even root's (memfd_secret(2)); it is locked, \
and counts against RLIMIT_MEMLOCK. 8 MiB, what systems allow by default, hold some seven hundred RSA keys of 4096 bits, or several thousand others; up to 64 MiB are taken \
where they are allowed (LimitMEMLOCK= in a unit). A key for which there is no room is not opened, and Health names it. Where the kernel has no such \
memory, keys lie in locked memory, and where it may not be locked, in ordinary memory that is in no core file: either is said at the start and by Health, and \
--require-hardening refuses it.";

const FILES: &str = "In the key store: ID.key, a sealed key, never overwritten but by rewrap, which puts the same key under the new KEK in its place; ID.key.rewrapped, one that a crash \
kept from that, of no use, overwritten by the next rewrap; ID.key.pending, one that a crash interrupted, finished or removed at the \
next start; journal and journal.head. Back all of them up together, and the KEK somewhere else.";

const EXAMPLES: &str = "trstctl-signer --keystore /var/lib/trstctl/keys --kek /run/secrets/kek --socket /run/trstctl/signer.sock";

const EXIT_STATUS_OF_COMMANDS: &str = "0 when it is done, and nothing was found; 1 when it is not, or something was found: a sentence on standard error says what, and what to \
do. 2 for a mistake on the command line.";

/// Sections of a command's own page, behind those that the command line makes.
const SECTIONS: &[(&str, &[(&str, &str)])] = &[
    (
        "rewrap",
        &[(
            "EXAMPLES",
            "trstctl-signer rewrap --keystore /var/lib/trstctl/keys --kek /run/secrets/kek --new-kek /run/secrets/kek-2",
        )],
    ),
    (
        "allow",
        &[
            (
                "DESCRIPTION",
                "Lifts one refusal of the journal, exactly the one that is named, and writes into the journal who did, and why. It is over when it is used, or when another of its kind (a CRL of that CA, \
                 a head of that log, anything with an epoch) is signed first; only a serial that may be left out stays so until a CRL revokes it again. Signers that run take it up at their next request. \
                 A serial that was used is never allowed for another certificate.",
            ),
            (
                "EXAMPLES",
                "trstctl-signer allow epoch --keystore /var/lib/trstctl/keys --epoch 12 --by Ada --reason \"epoch 2^63 was a typing error\"",
            ),
        ],
    ),
    (
        "journal-verify",
        &[
            (
                "DESCRIPTION",
                "Checks that every entry follows from the one before, and that journal.head names the last; that every key has its sealed file, as the journal knows it, and every sealed file its key; \
                 and that the CRLs that are given are ones that the journal knows. It needs no KEK, and says every finding. It exits with 1 if there is one.",
            ),
            (
                "SIGNATURES",
                "None is verified. The journal knows a CRL by the SHA-256 of what is signed in it, so that one with a spoilt signature is known all the same; trstctl-dr keys check holds CRLs against the \
                 certificate of their CA, signatures and all.",
            ),
            (
                "EXAMPLES",
                "trstctl-signer journal verify --keystore /var/lib/trstctl/keys --crl published.crl",
            ),
        ],
    ),
    (
        "journal-export",
        &[("EXAMPLES", "trstctl-signer journal export --keystore /var/lib/trstctl/keys > facts.json")],
    ),
    (
        "floor",
        &[
            (
                "DESCRIPTION",
                "For a journal that is lost, or older than what was signed. Restore the newest journal that there is, if any; then state for each CA, from what is known elsewhere (its \
                 published CRLs, the control plane, an older journal), the greatest number of a CRL and the serials that it used. From then on its next CRL has a greater number, no such \
                 serial is given to another certificate, and none that was revoked is left out of a CRL before its certificate expires.",
            ),
            (
                "A NEW JOURNAL",
                "Where the key store has no journal and no journal.head, floor begins both, and adopts every key that it finds; they must open with the KEK and belong to one deployment. A CA whose \
                 key was adopted signs nothing until its floor is set (the refusal no_floor), and no head of a log is signed with such a key until that log's is. Of a log that had none: \
                 --tree-size 0 with the root of an empty tree. A journal that is damaged, or has lost its head or its end, is first moved out of the key store, by you; nothing is ever \
                 overwritten. Stop the signers before a journal is begun; one that runs on signs nothing more until it is started again. Interrupted, the floor does not stand: run the same command again.",
            ),
            (
                "AN OLDER JOURNAL",
                "Where there is a journal, floor only goes up from what it knows, and adopts keys that it does not know. Running signers take it up at once.",
            ),
            (
                "SERIALS",
                "A line of the file of --serials has a serial in hexadecimal; then, where it is known, when the certificate expires (RFC 3339); then the word revoked, if it was. Without an expiry, a revoked \
                 serial must stay on every CRL. What follows a # counts for nothing. A serial may be there several times.",
            ),
            (
                "EXAMPLES",
                "trstctl-signer floor --keystore /var/lib/trstctl/keys --kek /run/secrets/kek --ca 0b0c0d0e-1111-4222-8333-444455556666 --crl-number 4711 --serials used --epoch 12 --by Ada --reason \"disk lost, from CRL 4711 \
                 and the control plane\"",
            ),
        ],
    ),
    (
        "allow-crl-number",
        &[(
            "EXAMPLES",
            "trstctl-signer allow crl-number --keystore /var/lib/trstctl/keys --ca 0b0c0d0e-1111-4222-8333-444455556666 --number 4711 --by Ada --reason \"CRL 4712 was never published\"",
        )],
    ),
    (
        "allow-dropped-serial",
        &[(
            "EXAMPLES",
            "trstctl-signer allow dropped-serial --keystore /var/lib/trstctl/keys --ca 0b0c0d0e-1111-4222-8333-444455556666 --serial 5f3c09 --by Ada --reason \"revoked by mistake, its owner was asked\"",
        )],
    ),
    (
        "allow-epoch",
        &[(
            "EXAMPLES",
            "trstctl-signer allow epoch --keystore /var/lib/trstctl/keys --epoch 12 --by Ada --reason \"epoch 2^63 was a typing error\"",
        )],
    ),
    (
        "allow-tree-head",
        &[(
            "EXAMPLES",
            "trstctl-signer allow tree-head --keystore /var/lib/trstctl/keys --log events --tree-size 99000 --root 3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29 --by Ada --reason \"restored from the backup of Monday\"",
        )],
    ),
    ("journal-show", &[("EXAMPLES", "trstctl-signer journal show --keystore /var/lib/trstctl/keys | tail")]),
];

/// Every page: its file and its text.
fn pages() -> Vec<(String, String)> {
    let mut cli = Cli::command();
    cli.build();
    let mut pages = vec![(String::from("trstctl-signer.1"), main_page())];
    add_pages("trstctl-signer", &cli, &mut pages);
    pages
}

fn add_pages(of: &str, command: &Command, pages: &mut Vec<(String, String)>) {
    for child in command.get_subcommands().filter(|child| child.get_name() != "help") {
        let name = format!("{of}-{}", child.get_name());
        pages.push((format!("{name}.1"), page(&name, child)));
        add_pages(&name, child, pages);
    }
}

fn main_page() -> String {
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
        ("STARTED AS ROOT", USER),
        ("LIMITS", LIMITS),
        ("HARDENING", HARDENING),
        ("MEMORY FOR KEYS", MEMORY),
        ("EXIT STATUS", EXIT_STATUS),
    ] {
        write_section(&mut out, heading, text);
    }
    write_environment(&mut out, &Cli::command());
    write_section(&mut out, "FILES", FILES);
    write_section(&mut out, "EXAMPLES", EXAMPLES);
    String::from_utf8(out).unwrap()
}

fn page(name: &str, command: &Command) -> String {
    let has_commands = command.has_subcommands();
    let man = Man::new(command.clone()).title(name);
    let mut out = Vec::new();
    man.render_title(&mut out).unwrap();
    man.render_name_section(&mut out).unwrap();
    man.render_synopsis_section(&mut out).unwrap();
    man.render_options_section(&mut out).unwrap();
    if has_commands {
        man.render_subcommands_section(&mut out).unwrap();
    }
    let own = SECTIONS.iter().filter(|(of, _)| format!("trstctl-signer-{of}") == name);
    let (examples, own): (Vec<_>, Vec<_>) =
        own.flat_map(|(_, sections)| *sections).partition(|(heading, _)| *heading == "EXAMPLES");
    for (heading, text) in own {
        write_section(&mut out, heading, text);
    }
    if !has_commands {
        write_section(&mut out, "EXIT STATUS", EXIT_STATUS_OF_COMMANDS);
        write_environment(&mut out, command);
        write_section(&mut out, "FILES", FILES);
    }
    for (heading, text) in examples {
        write_section(&mut out, heading, text);
    }
    write_section(&mut out, "SEE ALSO", "trstctl-signer(1), trstctl-dr-keys(1)");
    String::from_utf8(out).unwrap()
}

fn write_section(out: &mut Vec<u8>, heading: &str, text: &str) {
    let mut roff = Roff::default();
    roff.control("SH", [heading]);
    roff.text([roman(text)]);
    roff.to_writer(out).unwrap();
}

/// The variables that stand for arguments which are left out.
fn write_environment(out: &mut Vec<u8>, command: &Command) {
    let mut roff = Roff::default();
    roff.control("SH", ["ENVIRONMENT"]);
    for argument in command.get_arguments() {
        let (Some(variable), Some(long)) = (argument.get_env(), argument.get_long()) else { continue };
        roff.control("TP", []);
        roff.text([bold(variable.to_str().unwrap())]);
        roff.text([roman(format!("Stands for --{long} where that is left out."))]);
    }
    roff.to_writer(out).unwrap();
}

#[test]
fn every_page_of_a_command_has_what_its_reader_looks_for() {
    for (file, text) in pages() {
        if text.contains(".SH SUBCOMMANDS") && file != "trstctl-signer.1" {
            continue;
        }
        for heading in ["\"EXIT STATUS\"", "ENVIRONMENT", "FILES", "EXAMPLES"] {
            assert!(text.contains(&format!("\n.SH {heading}\n")), "{file} has no {heading}");
        }
        assert!(text.contains("\\fBTRSTCTL_SIGNER_KEYSTORE\\fR"), "{file}");
    }
}

#[test]
fn the_man_pages_are_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../man");
    for (file, text) in pages() {
        let path = folder.join(file);
        if std::env::var_os("UPDATE_MAN").is_some() {
            fs::write(&path, &text).unwrap();
        }
        assert!(
            fs::read_to_string(&path).is_ok_and(|kept| kept == text),
            "run `make man`: {}",
            path.display()
        );
    }
}
