//! The tree head of a backup: what the next backup must extend, in one line (`docs/format/tree-head.md`).
//!
//! It stands beside the backup, which may be encrypted so that this host cannot read it. What was read is an
//! [`UncheckedHead`]; only its MAC, or what the operator allows, makes a [`TrustedHead`] of it.

use sha2::{Digest as _, Sha256};

use crate::backup::{Allow, BackupKey, FormatVersion, Summary};
use crate::backup::{push_integer, read_string};
use crate::json::{self, Cursor, Fault};
use crate::merkle::{Block, Blocks, MAX_BLOCKS, TreeHead};
use crate::{Class, Digest, Failure, StoreTime, rfc3339};

/// What every tree head begins with.
const TAG: &[u8] = b"{\"format\":\"trstctl-tree-head\"";
/// A longer file is no tree head.
pub const MAX_HEAD_BYTES: usize = 1 << 20;
/// Other heads that a new history may set aside.
pub const MAX_SET_ASIDE: usize = 1000;

/// What a backup held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// When the backup began.
    pub created_at: StoreTime,
    /// The deployment that the log belongs to, when known.
    pub deployment_id: Option<String>,
    /// Name of the stream.
    pub stream: String,
    /// As in the backup's trailer.
    pub first_sequence: u64,
    /// As in the backup's trailer.
    pub event_cut_sequence: u64,
    /// Records of the backup.
    pub records: u64,
    /// Root over all of them.
    pub merkle_root: Digest,
    /// Roots over parts of them.
    pub blocks: Blocks,
    /// Name of the backup, without its folder.
    pub file: String,
    /// The checksum in its trailer.
    pub backup_sha256: Digest,
    /// Somebody accepted that this backup does not extend the one before.
    pub new_history: Option<NewHistory>,
}

/// A break that somebody accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHistory {
    /// Why, in that person's words.
    pub reason: String,
    /// Name of the backup or head whose history this one does not extend, when it could be read.
    pub earlier: Option<String>,
    /// Heads that could not be believed: name and SHA-256 of each. Later backups pass them over.
    pub set_aside: Vec<(String, Digest)>,
}

/// A head as it was read. What it claims may be anybody's.
#[derive(Clone, Debug)]
pub struct UncheckedHead {
    head: Head,
    /// Key id, MAC, and what the MAC covers.
    authentication: Option<(String, Digest, Vec<u8>)>,
}

/// A head that this host believes.
#[derive(Clone, Debug)]
pub struct TrustedHead {
    /// What it says.
    pub head: Head,
    /// Its MAC was checked and holds; else the operator's word stands in for it, or there is no key on this host.
    pub authenticated: bool,
}

/// What this host may believe of heads.
#[derive(Clone, Debug, Default)]
pub struct HeadTrust {
    /// Keys of this host; any of them may have made the MAC.
    pub keys: Vec<BackupKey>,
    /// Accept a keyed head without its key.
    pub unverified_mac: Allow,
    /// Accept an unkeyed head although there is a key.
    pub unkeyed: Allow,
}

/// Whether a file that begins so is a tree head.
pub fn is_head(beginning: &[u8]) -> bool {
    beginning.starts_with(TAG)
}

impl Head {
    /// The head of a version 2 backup of this name; `None` for version 1, which has no sequences.
    pub fn of(summary: &Summary, file: &str, new_history: Option<NewHistory>) -> Option<Self> {
        let (content, blocks) = (summary.content.as_ref()?, summary.blocks.clone()?);
        debug_assert_eq!(summary.header.version, FormatVersion::V2);
        Some(Self {
            created_at: summary.header.created_at,
            deployment_id: summary.header.deployment_id.clone(),
            stream: summary.header.stream.clone(),
            first_sequence: content.first_sequence,
            event_cut_sequence: content.last_sequence,
            records: content.records,
            merkle_root: content.merkle_root,
            blocks,
            file: file.to_owned(),
            backup_sha256: summary.sha256,
            new_history,
        })
    }

    /// Size and root.
    pub fn tree_head(&self) -> TreeHead {
        TreeHead { len: self.records, root: self.merkle_root }
    }

    /// Whether it can be of the log with this stream and deployment. A deployment that one side does not state may be any.
    pub fn is_of(&self, stream: &str, deployment_id: Option<&str>) -> bool {
        let same = self.deployment_id.as_deref().zip(deployment_id).is_none_or(|(a, b)| a == b);
        self.stream == stream && same
    }

    /// The file: one line, authenticated when there is a key.
    pub fn write(&self, key: Option<&BackupKey>) -> Vec<u8> {
        let mut out = TAG.to_vec();
        out.extend_from_slice(b",\"version\":1,\"created_at\":\"");
        rfc3339::write_store_time(self.created_at, &mut out);
        out.push(b'"');
        if let Some(deployment_id) = &self.deployment_id {
            push_text(&mut out, b",\"deployment_id\":\"", deployment_id);
        }
        push_text(&mut out, b",\"stream\":\"", &self.stream);
        push_number(&mut out, b",\"first_sequence\":", self.first_sequence);
        push_number(&mut out, b",\"event_cut_sequence\":", self.event_cut_sequence);
        push_number(&mut out, b",\"records\":", self.records);
        push_digest(&mut out, b",\"merkle_root\":\"", self.merkle_root);
        self.push_blocks(&mut out);
        push_text(&mut out, b",\"file\":\"", &self.file);
        push_digest(&mut out, b",\"backup_sha256\":\"", self.backup_sha256);
        if let Some(new_history) = &self.new_history {
            new_history.push(&mut out);
        }
        let sha256 = sha256(&out);
        push_digest(&mut out, b",\"sha256\":\"", sha256);
        if let Some(key) = key {
            push_text(&mut out, b",\"key_id\":\"", &key.key_id());
            let mac = key.head_mac(&out);
            push_digest(&mut out, b",\"hmac_sha256\":\"", mac);
        }
        out.extend_from_slice(b"}\n");
        out
    }

    fn push_blocks(&self, out: &mut Vec<u8>) {
        push_number(out, b",\"block_records\":", self.blocks.leaves_per_block());
        out.extend_from_slice(b",\"blocks\":[");
        for (index, block) in self.blocks.list.iter().enumerate() {
            push_number(out, if index == 0 { b"[" } else { b",[" }, block.last_sequence);
            push_digest(out, b",\"", block.root);
            out.push(b']');
        }
        out.push(b']');
    }

    /// Reads a file in its one spelling, and checks that what it says of itself agrees.
    ///
    /// # Errors
    /// `not_a_backup`, `newer_version`, `truncated`, `damaged`, `inconsistent`.
    pub fn read(file: &[u8]) -> Result<UncheckedHead, Failure> {
        let rest = file.strip_prefix(TAG).ok_or_else(no_head)?;
        let line = file.strip_suffix(b"\n").ok_or_else(ends_early)?;
        match rest.strip_prefix(b",\"version\":") {
            Some([b'1', b',', ..]) => {}
            Some([b'1'..=b'9', ..]) => return Err(newer()),
            _ => return Err(damaged("it states no version")),
        }
        let text = str::from_utf8(line).map_err(|_| damaged("it is not UTF-8"))?;
        let read = read_line(text.as_bytes());
        let (head, authentication, sha256_holds) =
            read.map_err(|fault| damaged(&format!("expected {} at byte {}", fault.expected, fault.at)))?;
        if !sha256_holds {
            return Err(damaged("its content does not have the checksum that it states"));
        }
        match head.contradiction() {
            Some(what) => Err(inconsistent(what)),
            None => Ok(UncheckedHead { head, authentication }),
        }
    }

    fn contradiction(&self) -> Option<&'static str> {
        let (first, cut) = (self.first_sequence, self.event_cut_sequence);
        if self.records == 0 && first != cut + 1 {
            return Some("without records, its first sequence is the cut + 1");
        }
        if !self.blocks.are_of(&self.tree_head()) {
            return Some("its blocks do not make its root");
        }
        let mut lowest = first;
        for (index, block) in self.blocks.list.iter().enumerate() {
            lowest += self.blocks.leaves_of(index, self.records);
            if block.last_sequence + 1 < lowest || block.last_sequence > cut {
                return Some("its blocks hold more records than there are sequences");
            }
            lowest = block.last_sequence + 1;
        }
        None
    }
}

impl NewHistory {
    fn push(&self, out: &mut Vec<u8>) {
        push_text(out, b",\"new_history\":{\"reason\":\"", &self.reason);
        if let Some(earlier) = &self.earlier {
            push_text(out, b",\"earlier\":\"", earlier);
        }
        out.extend_from_slice(b",\"set_aside\":[");
        for (index, (name, sha256)) in self.set_aside.iter().enumerate() {
            push_text(out, if index == 0 { b"[\"" } else { b",[\"" }, name);
            push_digest(out, b",\"", *sha256);
            out.push(b']');
        }
        out.extend_from_slice(b"]}");
    }

    fn read(cursor: &mut Cursor<'_>) -> Result<Option<Self>, Fault> {
        if !cursor.take(b",\"new_history\":{\"reason\":\"") {
            return Ok(None);
        }
        let reason = read_text(cursor)?;
        let earlier = if cursor.take(b",\"earlier\":\"") { Some(read_text(cursor)?) } else { None };
        cursor.expect(b",\"set_aside\":[")?;
        let set_aside = read_list(cursor, MAX_SET_ASIDE, |cursor| {
            cursor.expect(b"[\"")?;
            let name = read_text(cursor)?;
            cursor.expect(b",\"")?;
            let sha256 = read_digest(cursor)?;
            cursor.expect(b"]")?;
            Ok((name, sha256))
        })?;
        cursor.expect(b"}")?;
        Ok(Some(Self { reason, earlier, set_aside }))
    }
}

type Read = (Head, Option<(String, Digest, Vec<u8>)>, bool);

fn read_line(line: &[u8]) -> Result<Read, Fault> {
    let mut cursor = Cursor::new(line);
    cursor.expect(b"{\"format\":\"trstctl-tree-head\",\"version\":1,\"created_at\":\"")?;
    let at = cursor.place();
    let created_at = rfc3339::parse_utc(cursor.string()?.raw).and_then(|time| time.exact());
    let created_at = created_at.ok_or(Fault::new(at, "a time in UTC"))?;
    let deployment_id =
        if cursor.take(b",\"deployment_id\":\"") { Some(read_text(&mut cursor)?) } else { None };
    cursor.expect(b",\"stream\":\"")?;
    let stream = read_text(&mut cursor)?;
    cursor.expect(b",\"first_sequence\":")?;
    let first_sequence = cursor.integer()?;
    cursor.expect(b",\"event_cut_sequence\":")?;
    let event_cut_sequence = cursor.integer()?;
    cursor.expect(b",\"records\":")?;
    let records = cursor.integer()?;
    cursor.expect(b",\"merkle_root\":\"")?;
    let merkle_root = read_digest(&mut cursor)?;
    let blocks = read_blocks(&mut cursor)?;
    cursor.expect(b",\"file\":\"")?;
    let file = read_text(&mut cursor)?;
    cursor.expect(b",\"backup_sha256\":\"")?;
    let backup_sha256 = read_digest(&mut cursor)?;
    let new_history = NewHistory::read(&mut cursor)?;
    let covered = cursor.place();
    cursor.expect(b",\"sha256\":\"")?;
    let sha256_holds = read_digest(&mut cursor)? == sha256(&line[..covered]);
    let authentication = read_authentication(&mut cursor, line)?;
    cursor.expect(b"}")?;
    cursor.end()?;
    let head = Head {
        created_at,
        deployment_id,
        stream,
        first_sequence,
        event_cut_sequence,
        records,
        merkle_root,
        blocks,
        file,
        backup_sha256,
        new_history,
    };
    Ok((head, authentication, sha256_holds))
}

fn read_blocks(cursor: &mut Cursor<'_>) -> Result<Blocks, Fault> {
    cursor.expect(b",\"block_records\":")?;
    let at = cursor.place();
    let leaves = cursor.integer()?;
    if !leaves.is_power_of_two() {
        return Err(Fault::new(at, "a power of two"));
    }
    cursor.expect(b",\"blocks\":[")?;
    let list = read_list(cursor, MAX_BLOCKS, |cursor| {
        cursor.expect(b"[")?;
        let last_sequence = cursor.integer()?;
        cursor.expect(b",\"")?;
        let root = read_digest(cursor)?;
        cursor.expect(b"]")?;
        Ok(Block { last_sequence, root })
    })?;
    Ok(Blocks { level: leaves.trailing_zeros(), list })
}

/// Elements of a list, of which the opening bracket was taken.
fn read_list<'a, T>(
    cursor: &mut Cursor<'a>,
    limit: usize,
    read: impl Fn(&mut Cursor<'a>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut list = Vec::new();
    while !cursor.take(b"]") {
        if list.len() == limit {
            return Err(cursor.fault("the end of so long a list"));
        }
        if !list.is_empty() {
            cursor.expect(b",")?;
        }
        list.push(read(cursor)?);
    }
    Ok(list)
}

fn read_authentication(
    cursor: &mut Cursor<'_>,
    line: &[u8],
) -> Result<Option<(String, Digest, Vec<u8>)>, Fault> {
    if !cursor.take(b",\"key_id\":\"") {
        return Ok(None);
    }
    let key_id = read_text(cursor)?;
    let covered = line[..cursor.place()].to_vec();
    cursor.expect(b",\"hmac_sha256\":\"")?;
    Ok(Some((key_id, read_digest(cursor)?, covered)))
}

fn read_digest(cursor: &mut Cursor<'_>) -> Result<Digest, Fault> {
    let at = cursor.place();
    let text = cursor.string()?.raw;
    crate::backup::digest_of_hex(text).ok_or(Fault::new(at, "64 hex digits, lower case"))
}

fn read_text(cursor: &mut Cursor<'_>) -> Result<String, Fault> {
    Ok(json::decode_go(read_string(cursor)?).into_owned())
}

fn push_text(out: &mut Vec<u8>, before: &[u8], text: &str) {
    out.extend_from_slice(before);
    json::push_v2_escaped(out, text.as_bytes());
    out.push(b'"');
}

fn push_number(out: &mut Vec<u8>, before: &[u8], number: u64) {
    out.extend_from_slice(before);
    push_integer(out, number);
}

fn push_digest(out: &mut Vec<u8>, before: &[u8], digest: Digest) {
    out.extend_from_slice(before);
    out.extend_from_slice(hex::encode(digest.0).as_bytes());
    out.push(b'"');
}

/// SHA-256 of a file or a part of it.
pub fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

impl UncheckedHead {
    /// What it says, to find out whether it is of interest.
    pub fn claims(&self) -> &Head {
        &self.head
    }

    /// Decides whether this host believes it, by the rules for backups.
    ///
    /// # Errors
    /// `tampered`, `wrong_key`, `key_missing`, `unkeyed`.
    pub fn check(self, trust: &HeadTrust) -> Result<TrustedHead, Failure> {
        let authenticated = match &self.authentication {
            None if trust.keys.is_empty() || trust.unkeyed == Allow::Yes => false,
            None => return Err(unkeyed()),
            Some((key_id, mac, covered)) => match trust.keys.iter().find(|key| key.key_id() == *key_id) {
                Some(key) if key.head_mac_is(covered, mac) => true,
                Some(_) => return Err(tampered()),
                None if trust.keys.is_empty() && trust.unverified_mac == Allow::Yes => false,
                None if trust.keys.is_empty() => return Err(key_missing(key_id)),
                None => return Err(wrong_key(key_id)),
            },
        };
        Ok(TrustedHead { head: self.head, authenticated })
    }
}

const ANOTHER: &str = "Name another backup or head with --after, or accept the break with --new-history REASON; keep this file \
                       for the investigation.";

fn no_head() -> Failure {
    Failure::new(Class::NotABackup, "This is no tree head of a backup.", ANOTHER)
}

fn newer() -> Failure {
    let hint = "Use the release of trstctl-dr that wrote it, or a newer one.";
    Failure::new(Class::NewerVersion, "The tree head has a newer version than this program reads (1).", hint)
}

fn ends_early() -> Failure {
    Failure::new(Class::Truncated, "The tree head ends inside its line.", ANOTHER)
}

fn damaged(what: &str) -> Failure {
    Failure::new(Class::Damaged, format!("The tree head is damaged: {what}."), ANOTHER)
}

fn inconsistent(what: &str) -> Failure {
    Failure::new(Class::Inconsistent, format!("The tree head contradicts itself: {what}."), ANOTHER)
}

fn tampered() -> Failure {
    let message = "The tree head was changed after it was written: its MAC does not hold, though the key is the right one.";
    Failure::new(Class::Tampered, message, ANOTHER)
}

fn unkeyed() -> Failure {
    let message = "The tree head is not authenticated, and this host expects one that is: somebody may have cut the MAC off.";
    let hint = "If you know where it comes from, accept it with --allow-unkeyed. Else name another one with --after, or accept \
                the break with --new-history REASON.";
    Failure::new(Class::Unkeyed, message, hint)
}

fn key_missing(key_id: &str) -> Failure {
    let message = format!(
        "The tree head is authenticated (key {}), and this host has no key to check that with.",
        key_id.escape_debug()
    );
    let hint = "Set TRSTCTL_AUDIT_SIGNING_KEY_FILE or give --key-file FILE. --allow-unverified-mac accepts it unchecked.";
    Failure::new(Class::KeyMissing, message, hint)
}

fn wrong_key(key_id: &str) -> Failure {
    let message = format!(
        "The tree head was authenticated with key {}, which this host does not have.",
        key_id.escape_debug()
    );
    let hint = "After a rotation, give the older audit signing key with --key-file FILE. Else name another head with --after, or \
                accept the break with --new-history REASON.";
    Failure::new(Class::WrongKey, message, hint)
}
