//! The man pages: made from the command line's definition, with sections written by hand.

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use crate::settings::SETTINGS;

/// A page: its file name and its text.
pub struct Page {
    /// `trstctl-dr-backup.1`
    pub file: String,
    /// roff
    pub text: String,
}

/// Hand-written sections of one command.
struct Written {
    /// Words of the command behind `trstctl-dr`, joined by `-`; empty for the program itself.
    command: &'static str,
    /// Paragraphs that follow the one-line description.
    description: &'static [&'static str],
    /// What an example does, and the example.
    examples: &'static [(&'static str, &'static str)],
}

const WRITTEN: &[Written] = &[
    Written {
        command: "",
        description: &[
            "The event log on NATS JetStream is the source of truth of a trstctl control plane; the read model in PostgreSQL is projected from it. \
             This program backs the log up, verifies backups without any server, restores one into an empty log, rebuilds the read model, \
             and audits that no table is left out of the plan.",
            "In a disaster: verify the newest backup, look at the plan, restore.",
        ],
        examples: &[
            (
                "Back up, then prove that the backup is whole:",
                "trstctl-dr backup --output events.jsonl\ntrstctl-dr verify events.jsonl",
            ),
            (
                "Look at the plan, then recover log and read model:",
                "trstctl-dr restore --rebuild --plan events.jsonl\ntrstctl-dr restore --rebuild events.jsonl",
            ),
            ("See all of it on throw-away engines:", "trstctl-dr demo"),
        ],
    },
    Written {
        command: "backup",
        description: &[
            "Pins the log's last sequence, reads every message up to it from the leader, accounts for every sequence that is missing, and writes \
             a file that appears whole or not at all, with mode 0600.",
            "The log is never created or changed. A server without the stream, or with an empty one, is an error, since it is more often the wrong \
             server than a new one.",
            "Beside the file goes its tree head, <name>.head: size, root and cut. Each backup proves while it is written that it extends the earlier one: what --after names, \
             else the head in the output's folder that reaches furthest for the same stream and deployment. A log that lost, changed or deleted messages since ends the run with \
             history_differs (exit status 7) and writes nothing. --new-history accepts the break and records the reason; later backups go after it. A head that cannot be \
             believed is an error, never passed over in silence. --key-file, --allow-unkeyed, --allow-unverified-mac and --identity concern the earlier backup only.",
        ],
        examples: &[
            (
                "Into $TRSTCTL_BACKUP_DIR, compressed and encrypted:",
                "trstctl-dr backup --compress --recipient age1…",
            ),
            (
                "After an erasure that was ordered, with the earlier backup on another disk:",
                "trstctl-dr backup --after /mnt/vault/events.jsonl --new-history \"erased by order 12/26\"",
            ),
            ("For the Go implementation:", "trstctl-dr backup --format-version 1 --output events-v1.jsonl"),
        ],
    },
    Written {
        command: "verify",
        description: &[
            "Reads every byte: checksum, grammar of each line, counts, sequences, gaps, Merkle roots, and the authentication when this host has the key. \
             No server is needed. The first fault that applies gives the verdict and the exit status.",
        ],
        examples: &[
            ("One file:", "trstctl-dr verify events.jsonl"),
            (
                "A stream, with the result as JSON:",
                "ssh vault cat events.jsonl.zst | trstctl-dr verify --json -",
            ),
            (
                "With a page for the auditor's file, printable and complete in itself:",
                "trstctl-dr verify --report verified.html events.jsonl",
            ),
        ],
    },
    Written {
        command: "inspect",
        description: &[
            "Verifies the whole file as verify does, then reads the same open file again, re-hashed, and counts: by tenant, by type, over time, with the first and last \
             store time of each, gaps, and messages that are no events (foreign). In --json everything is listed. At most 250,000 tenants and 10,000 types are counted \
             one by one; what lies beyond is counted together as other.",
            "With --events the records themselves go to standard output, each line as it stands in the backup, and nothing before the whole file was verified. \
             Conditions are joined: a record must fit all of them; of several tenants, or several types, one. They apply to the counts too.",
            "Version 1 keeps neither sequences nor store times: records are numbered from 1, and the event's own time counts.",
        ],
        examples: &[
            ("What is in it:", "trstctl-dr inspect events.jsonl.zst"),
            (
                "Every revocation of a tenant in March:",
                "trstctl-dr inspect --events --type '*.revoked' --tenant 00000000-0000-4000-8000-00000000000a \\\n    --since 2026-03-01T00:00:00Z --until 2026-03-31T23:59:59Z events.jsonl",
            ),
        ],
    },
    Written {
        command: "prove",
        description: &[
            "Verifies both, then shows by a consistency proof (RFC 9162) that the old one is the beginning of the new one's history: its records are the first ones of the new one, \
             nothing stands in its gaps, and the new one reaches as far. The old one may be a tree head (<name>.head), also one that somebody else kept.",
            "Otherwise exit status 7, and the first sequence where they part; with a tree head, the range that it can tell. A message deleted in between is named. \
             --json has the roots and the hashes of the proof.",
            "Two backups of version 1 are compared by the number of their records, since that version keeps no sequences.",
        ],
        examples: &[
            ("For the auditor who kept last year's head:", "trstctl-dr prove 2025.jsonl.head events.jsonl"),
            ("What has changed since:", "trstctl-dr prove --json old.jsonl new.jsonl"),
        ],
    },
    Written {
        command: "restore",
        description: &[
            "Verifies the whole file first. Refuses a log that holds anything else. Sends the log as one archive, so that every message has the sequence, \
             subject, headers, payload and store time that it had; then reads the live log back and compares its root with the backup's.",
            "Killed at any instant, the same command goes on to the same result. A log that already equals the backup is recognised, and only rebuilt.",
            "Without --rebuild PostgreSQL is not contacted: then trstctl-dr rebuild must run before any server starts.",
            "With --rebuild, a read model on which others have hung views, grants, indexes or the like is refused before anything is written, as by trstctl-dr rebuild; \
             --drop-additions lets them go with it.",
        ],
        examples: &[
            ("What would happen, and how long it takes:", "trstctl-dr restore --rebuild --plan events.jsonl"),
            (
                "Everything up to the minute before the mistake:",
                "trstctl-dr restore --rebuild --until 2026-01-02T03:04:00Z events.jsonl",
            ),
        ],
    },
    Written {
        command: "rebuild",
        description: &[
            "Fills a shadow schema from the log and swaps it in, in one short transaction. Readers see the old model or the new one, never half. \
             Killed anywhere, the old model stays and the next run cleans up.",
            "The schema read_model is made anew, and what others have hung on it would go with the old one: views, foreign keys and functions that use its tables, and grants, \
             policies, triggers, indexes, columns, tables and publications of theirs. Where there is any, the run is refused before it begins, and names them; \
             --drop-additions lets them go. Rights that ALTER DEFAULT PRIVILEGES gives to new tables of all schemas stay.",
            "Events that cannot be applied are quarantined in projection_faults, reported, and end the run with exit status 1; the rest is applied.",
        ],
        examples: &[
            ("What would be done, or why it would be refused:", "trstctl-dr rebuild --plan"),
            ("With more memory for a large log:", "trstctl-dr rebuild --memory-mib 1024"),
        ],
    },
    Written {
        command: "diff",
        description: &[
            "Folds the log beside the live read model and lists what differs, by table, tenant and key. Drift ends with exit status 1. \
             Without --repair it changes no row: it works in a schema of its own, and drops it.",
            "With --repair the rows that differ, and no others, become what the log makes of them: at most a thousand in a transaction, under the lock that \
             the projection takes, each compared once more before it is written, so that a live projection is not undone. Readers are not disturbed. A row \
             that the log does not explain is deleted. Every row is listed: inserted, changed or deleted. Killed anywhere, the same command mends what is left. \
             Exit status 0: all was mended. References to rows that are not there come from the events themselves; they stay, and end it with exit status 1.",
        ],
        examples: &[
            ("On a calm day:", "trstctl-dr diff"),
            (
                "Mend what somebody has changed by hand, and keep the list of it:",
                "trstctl-dr diff --repair --json > repaired.json",
            ),
        ],
    },
    Written {
        command: "doctor",
        description: &[
            "Looks at everything that a recovery needs, on a calm day: NATS and PostgreSQL reachable and of a supported version; the stream, its settings, \
             replicas, and what a power loss may cost; other streams on its subjects; what the login may publish to, command by command; roles, row-level \
             security, migrations, recovery classes; how far the projection is behind; clocks; key files, recipients and identity; the folder of backups, its \
             free space, and age and ends of the newest backup; the programs that demo and embedded mode start.",
            "Writes nothing, in no engine and no folder, and starts nothing. Each check ends as ok, warning, PROBLEM or not checked; one that fails \
             stops no other. A problem (a recovery or the next backup would fail or lose something) ends it with exit status 1; warnings do not.",
            "Deleting the stream, which restore may have to do with its own killed work, is not tried.",
        ],
        examples: &[
            ("Each morning, by a timer:", "trstctl-dr doctor --max-age 25h"),
            (
                "Only what needs a person:",
                "trstctl-dr doctor --json | jq '.checks[] | select(.state != \"ok\")'",
            ),
        ],
    },
    Written {
        command: "manifest",
        description: &["Every table has one recovery class, declared beside the migrations."],
        examples: &[("In CI:", "trstctl-dr manifest audit --migrations migrations --format github")],
    },
    Written {
        command: "manifest-audit",
        description: &[
            "Compares the declared classes with the SQL of the migrations, and with a live catalog when one is named, in both directions: a table without a class, \
             a class without a table, a table in two classes, a read-model table elsewhere, a foreign key across the schemas, a tenant table without row-level \
             security. All findings are listed.",
        ],
        examples: &[
            ("In CI:", "trstctl-dr manifest audit --migrations migrations --format junit"),
            (
                "Against the database:",
                "trstctl-dr manifest audit --database \"host=db user=trstctl dbname=trstctl sslmode=verify-full\"",
            ),
        ],
    },
    Written {
        command: "keys",
        description: &[
            "list, generate, certificate and crl ask trstctl-signer on its Unix socket, so that a CA exists and goes on without the server, as in a recovery. The private keys stay with the signer.",
            "A key whose only copy is lost is lost with all that it opens. escrow and recover keep it with several people, none of whom has it alone.",
        ],
        examples: &[
            (
                "What the signer holds, and how it is:",
                "trstctl-dr keys list --socket /run/trstctl-signer/socket",
            ),
            (
                "Split a KEK, and show that three custodians have it:",
                "trstctl-dr keys escrow --kek /run/kek --output /run/shares\ntrstctl-dr keys recover --check --keystore /var/lib/trstctl/keys",
            ),
        ],
    },
    Written {
        command: "keys-list",
        description: &[
            "Lists every key that the signer can open: id, algorithm, what it may sign, how often it was sealed under a new KEK (generation), and the SHA-256 of its public key \
             (SubjectPublicKeyInfo, DER), which a CA certificate can be compared with. Then how the signer is: version, key store, KEK, entries of its journal and the hash of the last one, the newest epoch \
             that anything was signed with, and a sentence for each thing that is not as it should be.",
            "The signer answers its own user and those that it was started with (--allow-uid).",
        ],
        examples: &[
            ("The signer of this host:", "trstctl-dr keys list --socket /run/trstctl-signer/socket"),
            (
                "The ids of all keys that sign certificates:",
                "trstctl-dr keys list --json | jq -r '.keys[] | select(.purposes | index(\"certificates\")).id'",
            ),
        ],
    },
    Written {
        command: "keys-generate",
        description: &[
            "The signer makes a key, seals it under its KEK and writes it before it answers; only the public half leaves it. What a key may sign is decided here, for ever. A CA takes certificates,crls; a key \
             for tree heads is an ed25519 key and signs nothing else.",
            "The id is chosen before the signer is asked, and told on standard error. Without an answer, ask again with the same --id: if the key was made, the answer is key_exists (exit status 2), \
             and keys list shows it. Nothing is ever overwritten.",
        ],
        examples: &[
            ("The key of a root:", "trstctl-dr keys generate --algorithm p384 --purpose certificates,crls"),
            (
                "A key under an id that was agreed on:",
                "trstctl-dr keys generate --algorithm ed25519 --purpose tree-heads \\\n    --id 6f1c5b9e-0d53-4c7f-9a64-2b8f3f0c9d11",
            ),
        ],
    },
    Written {
        command: "keys-certificate",
        description: &[
            "Builds the certificate of a CA: version 3, a random serial of 20 bytes, critical basic constraints and key usage (certificate and CRL signing), key identifiers (RFC 7093), valid from five \
             minutes ago. The signer holds it against its own rules, signs, and remembers the serial. What comes back is written only if it is exactly what was sent and its signature verifies with the issuer's key.",
            "A root (--root) certifies its own key, --ca. An intermediate (--intermediate) certifies the key --key, signed by --ca, whose certificate is --issuer; both keys are with this signer.",
            "--subject is written as in RFC 4514, most specific part first, without spaces around commas. Certificates of servers and people are issued by the server, not here. Each run makes a new certificate: \
             the signer refuses none that is as it must be. Its refusals come out by their word (signer/protocol/signer.proto), and end with exit status 8, or 2 where the arguments are at fault.",
        ],
        examples: &[
            (
                "A root for ten years, whose intermediates issue no CAs:",
                "trstctl-dr keys certificate --root --ca 6f1c5b9e-0d53-4c7f-9a64-2b8f3f0c9d11 --path-len 1 \\\n    --subject \"CN=Example Root,O=Example,C=NL\" --output root.pem",
            ),
            (
                "An intermediate below it:",
                "trstctl-dr keys certificate --intermediate --ca 6f1c5b9e-0d53-4c7f-9a64-2b8f3f0c9d11 --issuer root.pem \\\n    --key 0c0f5d6e-95a5-4b55-8a8e-6f0d7d6b1f10 --subject \"CN=Example Issuing CA,O=Example,C=NL\" --output intermediate.pem",
            ),
        ],
    },
    Written {
        command: "keys-crl",
        description: &[
            "Builds a complete CRL of the CA whose key is --ca and whose certificate is --issuer. With --previous it goes on from that CRL: its signature is verified first, every entry is taken over with date \
             and reason, and the number is one more. --revoke adds serials, in hexadecimal as openssl x509 -serial prints them; a reason is one of keyCompromise, cACompromise, affiliationChanged, superseded, \
             cessationOfOperation, privilegeWithdrawn, aACompromise.",
            "The output is DER when its name ends in .crl or .der, PEM when it ends in .pem. It is written only if what the signer answers is exactly what was sent and verifies with the CA's certificate.",
            "The signer remembers every CRL. It refuses a number that is not above the last (crl_number_not_above_last), and a CRL without a serial that was revoked and has not expired (serial_dropped): so an \
             old --previous, from a backup, makes no revoked certificate valid again. Then name the newest CRL that was published; if it is lost, a greater --number, and what was revoked since with --revoke. \
             A run without an answer may have used its number: the next one says so, and takes a greater --number.",
        ],
        examples: &[
            (
                "The first CRL of a CA, with none revoked:",
                "trstctl-dr keys crl --ca 6f1c5b9e-0d53-4c7f-9a64-2b8f3f0c9d11 --issuer root.pem --days 30 --output root-1.crl",
            ),
            (
                "The next one, with one certificate more:",
                "trstctl-dr keys crl --ca 6f1c5b9e-0d53-4c7f-9a64-2b8f3f0c9d11 --issuer root.pem --previous root-1.crl \\\n    --revoke 4A31C0:keyCompromise --days 30 --output root-2.crl",
            ),
        ],
    },
    Written {
        command: "keys-escrow",
        description: &[
            "Splits the key: any --threshold of the --shares give it back, fewer say nothing about it. The set is put together again from its text before anything is written.",
            "The folder is made with mode 0700, and must not exist. For each custodian it gets share-N.txt and share-N.html, a sheet to print with the share as groups of five characters and \
             as a QR code, and a line that says what it is. A sheet asks for nothing outside. Whoever has the folder has the key: make it on a memory file system of a machine without network, \
             print, and destroy it.",
            "--rehearse reads the shares back from the folder and puts every set of --threshold of them together: each must give the key; with --keystore, all sealed keys there must name it, \
             or no share is made. The key is written nowhere.",
            "--print shows the shares on the terminal, each as text and as a code, when Enter is pressed, and wipes it off at the next Enter: no share comes twice, and none goes into a pipe or a \
             file. Without --output nothing is written at all.",
            "An age identity is its 32 secret bytes; an SSH key cannot be split. A share names its key by a tag, and the splitting that it belongs to (docs/format/key-share.md).",
        ],
        examples: &[
            (
                "A KEK, three of five:",
                "trstctl-dr keys escrow --kek /run/kek --shares 5 --threshold 3 --output /run/shares",
            ),
            (
                "Custodians before the terminal, nothing written, the key store opened by it:",
                "trstctl-dr keys escrow --kek /run/kek --print --rehearse --keystore /var/lib/trstctl/keys",
            ),
            (
                "The identity that opens backups, two of three:",
                "trstctl-dr keys escrow --identity /run/identity --shares 3 --threshold 2 --output /run/shares",
            ),
        ],
    },
    Written {
        command: "keys-recover",
        description: &[
            "Reads shares, one a line, from files or standard input, never from arguments; spaces, hyphens and the case of letters do not matter, and lines that begin with # are left out. \
             A key that does not have the name that its shares carry is never answered. With more shares than are needed, each of them is checked.",
            "--check writes nothing: the rehearsal. --output writes the key with mode 0600, never over a file. --keystore compares the KEK with the one that every sealed key names, without \
             opening any; --expect compares with a kek_id or age recipient that is known from elsewhere.",
            "A typing error is named by its place (exit status 4), too few shares (6), shares of another key (6), of two sets (4), a share that was changed with its checksum (5).",
        ],
        examples: &[
            (
                "The rehearsal, shares typed:",
                "trstctl-dr keys recover --check --keystore /var/lib/trstctl/keys",
            ),
            (
                "The recovery, shares scanned into files:",
                "trstctl-dr keys recover --output /run/kek share-1.txt share-4.txt share-5.txt",
            ),
        ],
    },
    Written {
        command: "keys-check",
        description: &[
            "The match matrix, to be run before any restore: whether the KEK, the sealed keys, the journal, the CAs' certificates, their CRLs and some of the certificates \
             that they issued belong together. Each line ends ok, FAILED or not checked; a failed one says what to do next, one that was not checked what would make it checkable. \
             Nothing is written anywhere.",
            "This program opens no private key. It runs trstctl-signer --probe, a signer without a socket, over the key store or a copy of it: of each sealed key it reports whether the \
             KEK opens it (a wrong KEK is named with the one that fits, damage and forgery are told apart), and lets it sign. Keys are checked without a journal too; then it is not known \
             what they have signed.",
            "Each CA certificate must find its key. Each CRL must be signed by a CA of the store, and its number must not be above the last that the journal knows: if it is, the journal is \
             older than what was published, and the line names the floor that it needs. Each leaf must be signed by a CA of the store, and the journal must know its serial.",
            "Each backup is read to its end and must be authenticated by the audit key; each identity must open it. Neither KEK nor audit key nor identity may lie in the set: every file \
             is searched for them, raw, in hexadecimal and base64, also inside tar, zip, gzip, bzip2, xz and zstd.",
            "Exit status 1 when a line failed; lines that were not checked do not change it, and are counted.",
        ],
        examples: &[
            (
                "Keys and what they signed:",
                "trstctl-dr keys check --keystore copy/keys --kek /run/secrets/kek \\\n  --ca-certificate root.crt issuing.crt --crl newest.crl --leaf some.crt",
            ),
            (
                "The same, and the backup set with what should open it:",
                "trstctl-dr keys check --keystore copy/keys --kek /run/secrets/kek \\\n  --backup copy/events.jsonl.age --key-file /run/secrets/audit.key \\\n  --identity /run/secrets/identity --set copy",
            ),
        ],
    },
    Written {
        command: "demo",
        description: &[
            "Starts real engines in a throw-away folder, seeds a realistic history, backs up, verifies, refuses a flipped byte, destroys the engines, starts new \
             ones, restores, rebuilds, and compares every digest. A CA loses its host meanwhile, and goes on from the sealed key store and the KEK: trstctl-signer \
             is run for that, which lies beside this program or in PATH.",
        ],
        examples: &[("A million events:", "trstctl-dr demo --events 1000000")],
    },
    Written {
        command: "completions",
        description: &[],
        examples: &[("For bash:", "trstctl-dr completions bash > /etc/bash_completion.d/trstctl-dr")],
    },
];

/// Exit statuses, as in the specification.
pub const EXIT_STATUS: &[(u8, &str)] = &[
    (0, "Done, nothing found."),
    (1, "Done, and something needs a person: drift, quarantined events, an unclassified table."),
    (2, "Arguments, configuration, a file that is not there, an output that exists."),
    (3, "Not a backup, or one that only a newer program reads."),
    (
        4,
        "Truncated, damaged, malformed or inconsistent; or the log that was read back is not what was verified.",
    ),
    (5, "Tampered with: the authentication does not hold."),
    (6, "The key is missing or another one, or the backup carries no authentication."),
    (7, "The target is not empty or holds another history. Nothing was changed."),
    (8, "NATS, PostgreSQL, the signer or the disk: absent, refusing, full; no stream, or an empty one."),
    (9, "Interrupted. The same command goes on."),
    (10, "A fault of this program."),
];

const FILES: &[(&str, &str)] = &[
    (
        "$TRSTCTL_BACKUP_DIR/trstctl-events-<UTC time>.jsonl",
        "A backup. Ends in .jsonl.zst when compressed, .jsonl.age or .jsonl.zst.age when encrypted.",
    ),
    ("<backup>.head", "The tree head of a backup: what the next one must extend (docs/format/tree-head.md)."),
    (".trstctl-*.partial", "What a killed backup left; the next one into the same folder removes it."),
];

/// All pages, in the order of the command line.
pub fn pages() -> Vec<Page> {
    let mut command = crate::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    collect(&command, "", &mut pages);
    pages
}

fn collect(command: &Command, words: &str, pages: &mut Vec<Page>) {
    pages.push(page(command, words));
    for child in command.get_subcommands() {
        let words = if words.is_empty() {
            child.get_name().to_owned()
        } else {
            format!("{words}-{}", child.get_name())
        };
        collect(child, &words, pages);
    }
}

fn page(command: &Command, words: &str) -> Page {
    let name = if words.is_empty() { "trstctl-dr".to_owned() } else { format!("trstctl-dr-{words}") };
    let man = Man::new(command.clone().name(name.clone()))
        .title(name.to_uppercase())
        .section("1")
        .date("")
        .source("trstctl-dr")
        .manual("trstctl");
    let mut text = Vec::new();
    let written = WRITTEN.iter().find(|written| written.command == words);
    let sections = [
        Man::render_title,
        Man::render_name_section,
        Man::render_synopsis_section,
        Man::render_description_section,
    ];
    let mut rendered = sections.iter().try_for_each(|section| section(&man, &mut text));
    rendered = rendered
        .and_then(|()| description(written).to_writer(&mut text))
        .and_then(|()| man.render_options_section(&mut text));
    if command.has_subcommands() {
        rendered = rendered.and_then(|()| man.render_subcommands_section(&mut text));
    }
    rendered
        .and_then(|()| sections_by_hand(written).to_writer(&mut text))
        .expect("writing to memory does not fail");
    Page { file: format!("{name}.1"), text: String::from_utf8(text).expect("roff of our own words is UTF-8") }
}

fn description(written: Option<&Written>) -> Roff {
    let mut roff = Roff::new();
    for paragraph in written.map_or(&[][..], |written| written.description) {
        roff.control("PP", []).text([roman(*paragraph)]);
    }
    roff
}

fn sections_by_hand(written: Option<&Written>) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    for (what, example) in written.map_or(&[][..], |written| written.examples) {
        roff.control("PP", []).text([roman(*what)]).control("PP", []).control("RS", ["4"]).control("nf", []);
        roff.text(
            example
                .lines()
                .flat_map(|line| [roman(line), clap_mangen::roff::line_break()])
                .collect::<Vec<_>>(),
        );
        roff.control("fi", []).control("RE", []);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_STATUS {
        tagged(&mut roff, &code.to_string(), meaning);
    }
    roff.control("SH", ["FILES"]);
    for (file, meaning) in FILES {
        tagged(&mut roff, file, meaning);
    }
    roff.control("SH", ["ENVIRONMENT"]);
    tagged(
        &mut roff,
        "TRSTCTL_CONFIG_FILE",
        "TOML file with settings, named without TRSTCTL_ and in lower case.",
    );
    for setting in SETTINGS {
        let default = setting.default.map(|default| format!(" Default: {default}.")).unwrap_or_default();
        tagged(&mut roff, setting.name, &format!("{}.{default}", setting.what));
    }
    tagged(
        &mut roff,
        "PGPASSWORD, PGPASSFILE, PGSSLMODE, PGSSLROOTCERT, PGSSLCERT, PGSSLKEY",
        "As for psql, with the files in ~/.postgresql; docs/operations.md says what differs.",
    );
    roff
}

fn tagged(roff: &mut Roff, tag: &str, text: &str) {
    roff.control("TP", []).text([clap_mangen::roff::bold(tag)]).text([roman(text)]);
}
