#!/usr/bin/env python3
"""Checks a backup of the event log with nothing but Python 3.11: a second reader, written from docs/format/backup.md
and sharing no code with trstctl-dr, for auditors and for the day when that program no longer exists.

    read_backup.py [--key-file KEY] [--allow-unverified-mac] [--allow-unkeyed] [--json] FILE

Prints the verdict: class, place, what to do. Exit codes are those of that page. A file of any size takes the memory of
a few lines, and of what is known about each tenant and gap. zstd and age files: unpack them with their own tools first.
"""

import argparse, base64, datetime, hashlib, hmac, io, json, re, sys

if sys.version_info < (3, 11):
    sys.exit("This needs Python 3.11 or newer.")

OTHER_COPY = "Do not restore from this file. Fetch it again; if that copy fails too, take the backup before it."
OTHER_BACKUP = "Do not restore from this file: whoever wrote it, wrote it wrong. Keep it, and take another backup."
INCIDENT = ("A security incident: keep the file, and restore from another copy. (Version 1 cannot tell another key "
            "from tampering: after a rotation, try the older key.)")
CLASSES = {  # exit code, what to do
    "usage": (2, "Correct the command."),
    "not_a_backup": (3, "Check the file's name and where it came from."),
    "newer_version": (3, "Use the program that wrote it, or a newer one."),
    "truncated": (4, OTHER_COPY), "damaged": (4, OTHER_COPY),
    "malformed_record": (4, OTHER_BACKUP), "inconsistent": (4, OTHER_BACKUP),
    "tampered": (5, INCIDENT),
    "key_missing": (6, "Give the audit signing key with --key-file; --allow-unverified-mac trusts the checksum alone."),
    "wrong_key": (6, "After a rotation, give the older audit signing key with --key-file."),
    "unkeyed": (6, "If you know where this file comes from, accept it with --allow-unkeyed."),
}
HEADER_FORMAT, TRAILER_FORMAT = "trstctl-event-log-backup", "trstctl-event-log-backup-trailer"
HEADER_TAG, TRAILER_TAG = (b'{"format":"%s"' % name.encode() for name in (HEADER_FORMAT, TRAILER_FORMAT))
MAX_LINE = {1: 64 << 20, 2: 128 << 20}  # bytes, the newline included
MAX_OPEN = {1: 10_000, 2: 129}  # brackets open at once, the line's own object counted
MAX_GAPS, MAX_TENANTS = 1_000_000, 250_000


class Refused(Exception):
    """The verdict. `line` counts from 1, `offset` from 0 and is where the line begins; None where that is not known."""

    def __init__(self, verdict, message, line=None, offset=None):
        super().__init__(message)
        self.verdict, self.line, self.offset = verdict, line, offset


class Fault(Exception):
    """A line is against the grammar."""


# --- JSON (RFC 8259), without recursion: a line of version 1 may be nested 10,000 deep --------------------------------

STRING = rb'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+"'
NUMBER = rb"-?(?:0(?![0-9])|[1-9][0-9]*+)(?:\.[0-9]++|(?!\.))(?:[eE][-+]?[0-9]++|(?![eE]))"
SPACE = rb"[ \t\r\n]*+"
SCALAR = rb"(?:%s|%s|true|false|null)" % (STRING, NUMBER)
TOKEN = re.compile(rb"%s(?:(%s)|(?:%s|true|false|null)|([][{}:,]))" % (SPACE, STRING, NUMBER))
MEMBER = SPACE + STRING + SPACE + b":" + SPACE + SCALAR + SPACE
SIMPLE = re.compile(rb"%s(?:%s|\{%s(?:,%s)*+\})" % (SPACE, SCALAR, MEMBER, MEMBER))  # Most values are.
OPEN, NEXT = re.compile(SPACE + rb"(\{)" + SPACE + rb"(\}?)"), re.compile(SPACE + rb"([,}])")
KEY = re.compile(rb"%s(%s)%s:" % (SPACE, STRING, SPACE))
ROLES = re.compile(rb"\[%s(?:(?:%s|null)%s(?:,%s(?:%s|null)%s)*+)?+\]" % (SPACE, STRING, SPACE, SPACE, STRING, SPACE))


def value_end(text, at, depth):
    """Where the JSON value at `at` ends; at most `depth` brackets may be open at once."""
    if simple := SIMPLE.match(text, at):
        return simple.end()
    brackets, expected = [], "value"
    while True:
        token = TOKEN.match(text, at)
        if not token:
            raise Fault(f"no JSON: expected a {expected}")
        string, sign, at = token[1], token[2], token.end()
        may_close = expected == "comma" or expected.endswith("or end")
        closes = may_close and brackets and sign == {b"[": b"]", b"{": b"}"}[brackets[-1]]
        if sign in (b"[", b"{") and expected.startswith("value") and len(brackets) < depth:
            brackets.append(sign)
            expected = "value or end" if sign == b"[" else "key or end"
        elif string and expected.startswith("key"):
            expected = "colon"
        elif sign == b":" and expected == "colon":
            expected = "value"
        elif sign == b"," and expected == "comma":
            expected = "key" if brackets[-1] == b"{" else "value"
        elif closes or (sign is None and expected.startswith("value")):
            if closes:
                brackets.pop()
            if not brackets:
                return at
            expected = "comma"
        else:
            raise Fault(f"no JSON: expected a {expected}, nested at most {depth} deep")


def members(text, depth=MAX_OPEN[1]):
    """Key and value of each member of the object that a line is; its grammar is checked on the way, up to the end."""
    sign = OPEN.match(text)
    if not sign:
        raise Fault("no JSON object")
    while sign[sign.lastindex] != b"}":
        key = KEY.match(text, sign.end())
        if not key:
            raise Fault("no JSON: expected a key")
        end = value_end(text, key.end(), depth - 1)
        # Keys match whatever their case; the long s is an s too (lower() knows the Kelvin sign).
        yield as_string(key[1]).replace("\u017f", "s").lower(), text[key.end():end].strip()
        sign = NEXT.match(text, end)
        if not sign:
            raise Fault("no JSON: expected a comma or the end of the object")
    if text[sign.end():].strip(b" \t\r\n"):
        raise Fault("something follows the object")


# --- Version 1: lenient. Each kind of value is checked and read by one function ---------------------------------------


def as_string(raw):
    if raw[:1] != b'"':
        raise Fault("expected a string")
    if b"\\" not in raw:
        return raw[1:-1].decode("utf-8", "replace")
    return json.loads(raw.decode("utf-8", "replace"))  # How invalid bytes are read decides no verdict.


def as_integer(raw):
    if not re.fullmatch(rb"-?[0-9]{1,18}", raw):
        raise Fault("expected an integer of at most 18 digits")
    return int(raw)


def as_count(raw):
    if as_integer(raw) < 0 or raw[:1] == b"-":
        raise Fault("expected an integer that is not negative")
    return int(raw)


RFC3339 = re.compile(rb'"(\d{4})-(\d\d)-(\d\d)T(\d\d?):(\d\d):(\d\d)(?:[.,](\d+))?(?:Z|[-+](\d\d):(\d\d))"')


def as_time(raw):
    match = RFC3339.fullmatch(raw)
    try:  # Year 0 is a leap year, like 2000.
        datetime.datetime(int(match[1]) or 2000, *map(int, match.group(2, 3, 4, 5, 6)))
    except (TypeError, ValueError):
        match = None
    if not match or int(match[8] or 0) > 24 or int(match[9] or 0) > 60:
        raise Fault("expected a real time of RFC 3339")
    return match


def as_actor(raw):
    for key, value in members(raw):
        if key == "subject" and value != b"null":
            as_string(value)
        if key == "roles" and value != b"null" and not ROLES.fullmatch(value):
            raise Fault("expected a list of roles")


V1 = {"format": as_string, "version": as_integer, "created_at": as_time, "event_cut_sequence": as_count,
      "id": as_string, "type": as_string, "tenant_id": as_string, "v": as_integer, "time": as_time, "actor": as_actor,
      "sha256": as_string, "hmac_sha256": as_string, "records": as_count}
HEADER_V1 = ("format", "version", "created_at", "event_cut_sequence")
RECORD_V1 = ("id", "type", "tenant_id", "v", "time", "actor")
TRAILER_V1 = ("format", "sha256", "hmac_sha256", "records", "event_cut_sequence")


def read_v1(line, names):
    """The named members of a line: unknown ones are ignored, `null` leaves unset, the last one of a name counts."""
    return {key: V1[key](raw) for key, raw in members(line) if key in names and raw != b"null"}


def is_object(line):
    try:
        return list(members(line)) is not None
    except Fault:
        return False


def is_trailer(line, version):
    """Whether a line is tagged as a trailer: by its first bytes, in version 1 also by what it says."""
    if line.startswith(TRAILER_TAG) or version == 2:
        return line.startswith(TRAILER_TAG)
    if b"backup-trailer" not in line and b"\\u" not in line:
        return False  # Nothing in it reads so.
    try:
        texts = [raw for key, raw in members(line) if key == "format" and raw[:1] == b'"']
        return bool(texts) and as_string(texts[-1]) == TRAILER_FORMAT
    except Fault:
        return False


# --- Version 2: canonical. A line that the writer would spell otherwise does not match --------------------------------

INT = rb"(?:0|[1-9][0-9]{0,17})"
STR = rb'"(?:[^"\\\x00-\x1f]|\\["\\bfnrt]|\\u00(?:0[0-7bef]|1[0-9a-f]))*+"'
TIME = rb'"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{0,8}[1-9])?Z"'
HEX = rb'"[0-9a-f]{64}"'
B64 = rb'"(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?"'


def list_of(item):
    return rb"\[(?:%s(?:,%s)*+)?+\]" % (item, item)


def grammar(text, **kinds):
    """A pattern from a template in which `<int>` stands for INT, and so on; `<int:name>` is given that name."""
    kinds = {"int": INT, "str": STR, "time": TIME, "hex": HEX, "b64": B64, **kinds}

    def kind(match):
        pattern = kinds[match[1].decode()]
        return b"(?P<%s>%s)" % (match[2], pattern) if match[2] else pattern

    literal = text.replace(b"{", rb"\{").replace(b"}", rb"\}")
    return re.compile(re.sub(rb"(?<!P)<([a-z0-9]+)(?::([a-z0-9_]+))?>", kind, literal))


HEADER_V2 = grammar(HEADER_TAG + b',"version":2,"created_at":<time:created_at>(?:,"deployment_id":<str>)?,'
                    b'"stream":<str>,"first_sequence":<int:first>,"event_cut_sequence":<int:cut>}')
RAW_V2 = grammar(b'{"seq":<int:seq>,(?:"subject":<str>|"subject_b64":<b64:subject_b64>),"stored_at":<time:stored_at>'
                 b'(?:,"headers_b64":(?!"")<b64>)?,"raw_b64":<b64>}')
EVENT_V2 = grammar(b'{"seq":<int:seq>,"subject":<str>,"stored_at":<time:stored_at>'
                   b'(?:,"headers":<headers:headers>)?,"id":<str:id>,"type":<str>,'
                   b'"tenant_id":<str:tenant_id>(?:,"v":<int>)?,"time":<str>'
                   b'(?:,"data_b64":(?!"")<b64:data_b64>|(?P<data>,"data":))?',
                   headers=list_of(rb"\[%s,%s\]" % (STR, STR)))
EVENT_END_V2 = grammar(rb'(?:,"actor":{"subject":<str>(?:,"roles":(?!\[\])<roles>)?})?}', roles=list_of(STR))
TRAILER_V2 = grammar(TRAILER_TAG + b',"sha256":<hex:sha256>,"merkle_root":<hex:root>,"records":<int:records>,'
                     b'"first_sequence":<int:first>,"last_sequence":<int:last>,"event_cut_sequence":<int:cut>,'
                     b'"gaps":(?P<gaps>null|<gaps>),"tenants":(?P<tenants>null|<tenants>)'
                     b'(?:,"key_id":"(?P<key_id>[0-9a-f]+)"(?P<covered>),"hmac_sha256":<hex:mac>)?}',
                     gaps=list_of(rb"\[%s,%s\]" % (INT, INT)),
                     tenants=list_of(rb'\{"tenant_id":%s,"records":%s,"merkle_root":%s\}' % (STR, INT, HEX)))


def matched(pattern, line):
    match = is_utf8(line) and pattern.fullmatch(line)
    if not match:
        raise Fault("it is not spelled as the writer spells it")
    return match


def is_utf8(content):
    try:
        return content.decode("utf-8") is not None
    except UnicodeDecodeError:
        return False


def check_store_time(raw):
    match = as_time(raw)
    padded = raw[1:20] + (match[7] or b"").ljust(9, b"0")
    if not b"1677-09-21T00:12:43145224192" <= padded <= b"2262-04-11T23:47:16854775807":
        raise Fault("a store time beyond 64 bits of nanoseconds")


def read_record_v2(line):
    """Sequence and tenant of a record; a raw one is in the group of tenant ""."""
    if raw := RAW_V2.fullmatch(line):
        matched(RAW_V2, line)
        check_store_time(raw["stored_at"])
        if raw["subject_b64"] and is_utf8(base64.b64decode(raw["subject_b64"][1:-1])):
            raise Fault("subject_b64 holds UTF-8, which is written as subject")
        return int(raw["seq"]), ""
    event = EVENT_V2.match(line)
    if not event or not is_utf8(line):
        raise Fault("it is not spelled as the writer spells it")
    end = data_end(line, event.end()) if event["data"] else event.end()
    if not EVENT_END_V2.fullmatch(line, end):
        raise Fault("after data, it is not spelled as the writer spells it")
    check_store_time(event["stored_at"])
    if event["data_b64"] and is_data(base64.b64decode(event["data_b64"][1:-1])):
        raise Fault("data_b64 holds what is written as data")
    check_headers(event["headers"], as_string(event["id"]))
    return int(event["seq"]), as_string(event["tenant_id"])


def data_end(text, at):
    """Where a payload written as `data` ends: JSON without CR or LF, and no white space around it."""
    end = value_end(text, at, MAX_OPEN[2] - 1)
    if text[at:at + 1] in (b" ", b"\t", b"\r", b"\n") or re.search(rb"[\r\n]", text[at:end]):
        raise Fault("data begins with white space, or has a line break in it")
    return end


def is_data(payload):
    try:
        return is_utf8(payload) and data_end(payload, 0) == len(payload)
    except Fault:
        return False


def check_headers(raw, id):
    usual = [["Nats-Msg-Id", id]]
    pairs = usual if raw is None else json.loads(raw)
    if raw is not None and pairs == usual:
        raise Fault("headers spells out what is left out")
    for name, value in pairs:
        if not name or ":" in name or re.search("[\r\n]", name + value):
            raise Fault("a header that cannot be stored so")


# --- Merkle trees (RFC 6962) ------------------------------------------------------------------------------------------


def sha256(content):
    return hashlib.sha256(content).digest()


class Tree:
    """Roots of the full subtrees so far, the largest first."""

    def __init__(self):
        self.size, self.full = 0, []

    def push(self, line):
        node, size = sha256(b"\x00" + line), self.size
        while size & 1:
            node, size = sha256(b"\x01" + self.full.pop() + node), size >> 1
        self.full.append(node)
        self.size += 1

    def root(self):
        node = self.full[-1] if self.full else sha256(b"")
        for left in reversed(self.full[:-1]):
            node = sha256(b"\x01" + left + node)
        return node.hex()


# --- The two ends of the file: steps 1 to 4 of the verdict ------------------------------------------------------------


def read_header(file):
    """Step 1. Gives the version, and the first sequence and the cut."""
    line = file.readline(MAX_LINE[2])
    if not line.startswith(HEADER_TAG):
        raise Refused("not_a_backup", "it does not begin with the header of a backup", 1, 0)
    if not line.endswith(b"\n") and not file.read(1):
        raise Refused("truncated", "it ends inside its first line", 1, 0)
    text, version = line.removesuffix(b"\n"), 0
    try:  # Of a line that is no whole object, the last version that can be read counts.
        for key, raw in members(text):
            if key == "version" and raw != b"null":
                version = int(raw[:18]) if raw.isdigit() else 0
    except Fault:
        pass
    if version < 1:
        raise Refused("not_a_backup", "its header has no version", 1, 0)
    if version > 2:
        raise Refused("newer_version", "this reader knows versions 1 and 2", 1, 0)
    try:
        return version, *header_of(text, version)
    except Fault as fault:
        raise Refused("damaged", f"the header is damaged: {fault}", 1, 0) from None


def header_of(text, version):
    if len(text) >= MAX_LINE[version]:
        raise Fault("it is over the limit")
    if version == 1:
        found = read_v1(text, HEADER_V1)
        if found["format"] != HEADER_FORMAT:
            raise Fault("its format is another one")
        return 1, found.get("event_cut_sequence", 0)
    match = matched(HEADER_V2, text)
    as_time(match["created_at"])
    if match["first"] == b"0":
        raise Fault("first_sequence is 0")
    return int(match["first"]), int(match["cut"])


def last_line_begin(file, size):
    end = size - 1  # Whatever the last byte is, it belongs to the last line.
    while end > 0:
        begin = max(0, end - (1 << 16))
        file.seek(begin)
        newline = file.read(end - begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0


def read_trailer(file, begin, size, version):
    """Step 2. `mac` is None when the file is not keyed; `covered` is what the MAC of version 2 covers."""
    over = size - begin > MAX_LINE[version]
    file.seek(begin)
    line = file.read(1 << 16 if over else size - begin)
    file.seek(size - 1)
    terminated, text = file.read(1) == b"\n", line.removesuffix(b"\n")
    text = text.removesuffix(b"\r") if version == 1 else text
    whole = terminated or (version == 1 and not over and is_object(text))
    if not whole or not (text.startswith(TRAILER_TAG) if over else is_trailer(text, version)):
        raise Refused("truncated", "the last line is no whole trailer", None, begin)
    try:
        if over:
            raise Fault("it is over the limit")
        return trailer_v1(text) if version == 1 else trailer_v2(text)
    except Fault as fault:
        raise Refused("damaged", f"the trailer is damaged: {fault}", None, begin) from None


def trailer_v1(text):
    found = read_v1(text, TRAILER_V1)
    if found.get("format") != TRAILER_FORMAT:
        raise Fault("its format is another one")
    return {"sha256": found.get("sha256", ""), "mac": found.get("hmac_sha256") or None,
            "records": found.get("records", 0), "cut": found.get("event_cut_sequence", 0)}


def trailer_v2(text):
    match = matched(TRAILER_V2, text)
    if match["key_id"] and len(match["key_id"]) != 16:
        raise Fault("key_id has not 16 digits")
    plain = {name: match[name] and match[name].decode().strip('"') for name in ("sha256", "root", "key_id", "mac")}
    numbers = {name: int(match[name]) for name in ("records", "first", "last", "cut")}
    return {**plain, **numbers, "covered": text[:match.start("covered")], "gaps": json.loads(match["gaps"]),
            "tenants": json.loads(match["tenants"]), "without_tenants": len(text) + 1 - len(match["tenants"])}


def check_key(trailer, version, begin, key_file, allow_unverified_mac, allow_unkeyed):
    """Steps 3 and 4. Gives the key that the MAC is checked with, if it is."""
    if trailer["mac"] is None:
        if key_file is not None and not allow_unkeyed:
            raise Refused("unkeyed", "it is not authenticated: somebody may have cut the MAC off", None, begin)
        return None
    if key_file is None:
        if not allow_unverified_mac:
            raise Refused("key_missing", "it is authenticated, and there is no key to check that with", None, begin)
        return None
    key = hmac.digest(key_file, b"trstctl/backup-integrity/v%d" % version, "sha256")
    if version == 2:
        ours = hmac.digest(key, b"key-id", "sha256").hex()[:16]
        if trailer["key_id"] != ours:
            raise Refused("wrong_key", f"it was authenticated with key {trailer['key_id']}, not {ours}", None, begin)
        if not hmac.compare_digest(hmac.digest(key, trailer["covered"], "sha256").hex(), trailer["mac"]):
            raise Refused("tampered", "the MAC of the trailer does not hold", None, begin)
    return key


# --- The records: steps 5 and 6 ---------------------------------------------------------------------------------------


def lines(file, end, version, digests):
    """Offset and text of each line before `end`, hashed on the way; None for a line over the limit."""
    offset = file.seek(0)
    while offset < end:
        line = file.readline(MAX_LINE[version] + 1)
        begin, over = offset, len(line) > MAX_LINE[version]
        while not line.endswith(b"\n"):  # Hashed in pieces; the last byte is kept, it may be the CR before the newline.
            more = file.readline(1 << 20)
            if not more:
                raise OSError("the file changes while it is read")
            for digest in digests:
                digest.update(line[:-1])
            offset, line = offset + len(line) - 1, line[-1:] + more
        offset += len(line)
        text = line[:-1].removesuffix(b"\r") if version == 1 else line[:-1]
        for digest in digests:
            digest.update(text + b"\n")
        yield begin, None if over else text


class Findings:
    """What the records say, and the first fault of each sort as (line, offset, message)."""

    def __init__(self, version, first, cut):
        self.version, self.first, self.cut = version, first, cut
        self.records, self.expected, self.gaps, self.gap_count = 0, first, [], 0
        self.tree, self.tenants = Tree(), {}
        self.malformed = self.inconsistent = None

    def add(self, line, offset, text):
        try:
            if text is None:
                raise Fault("the line is over the limit")
            if is_trailer(text, self.version):
                self.inconsistent = self.inconsistent or (line, offset, "it is a trailer, and not the last line")
            elif self.version == 1:
                record = read_v1(text, RECORD_V1)
                if not record.get("type") or not record.get("tenant_id"):
                    raise Fault("a record needs type and tenant_id")
                self.records += 1
            else:
                self.add_v2(line, offset, text)
        except Fault as fault:
            self.malformed = self.malformed or (line, offset, str(fault))

    def add_v2(self, line, offset, text):
        sequence, tenant = read_record_v2(text)
        self.records += 1
        self.tree.push(text)
        if self.tenants is not None:
            self.tenants.setdefault(tenant.encode(), Tree()).push(text)
            self.tenants = self.tenants if len(self.tenants) <= MAX_TENANTS else None
        if self.expected <= sequence <= self.cut:
            self.end_gap_before(sequence)
            self.expected = sequence + 1
        else:
            what = f"sequence {sequence} is not between {self.expected} and {self.cut}"
            self.inconsistent = self.inconsistent or (line, offset, what)

    def end_gap_before(self, sequence):
        if self.expected < sequence:
            self.gap_count += 1
            if self.gap_count <= MAX_GAPS:
                self.gaps.append([self.expected, sequence - 1])

    def expected_trailer(self, trailer):
        """What the trailer must say, and first_sequence of the header."""
        if self.version == 1:
            return {"records": self.records, "cut": self.cut}
        if self.records:
            self.end_gap_before(self.cut + 1)
        first = self.first if self.records else self.cut + 1
        tenants = None
        if self.tenants is not None:
            tenants = [{"tenant_id": id.decode(), "records": tree.size, "merkle_root": tree.root()}
                       for id, tree in sorted(self.tenants.items())]
            text = json.dumps(tenants, ensure_ascii=False, separators=(",", ":")).encode()
            if trailer["without_tenants"] + len(text) > MAX_LINE[2]:
                tenants = None
        return {"records": self.records, "first": first, "last": self.cut, "cut": self.cut, "root": self.tree.root(),
                "gaps": self.gaps if self.gap_count <= MAX_GAPS else None, "tenants": tenants}


def check(file, key_file=None, allow_unverified_mac=False, allow_unkeyed=False):
    """Checks a plain backup (a seekable binary file; `key_file`: the bytes of the key file). Says what it is, or raises
    Refused with the first verdict that applies."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    version, first, cut = read_header(file)
    begin = last_line_begin(file, size)
    if begin == 0:
        raise Refused("truncated", "it ends after its first line", 1, size)
    trailer = read_trailer(file, begin, size, version)
    key = check_key(trailer, version, begin, key_file, allow_unverified_mac, allow_unkeyed)
    checksum, mac = hashlib.sha256(), hmac.new(key or b"", digestmod="sha256")
    findings, last = Findings(version, first, cut), 1
    digests = [checksum, mac] if version == 1 and key else [checksum]
    for last, (offset, text) in enumerate(lines(file, begin, version, digests), start=2):
        if offset:
            findings.add(last - 1, offset, text)
    malformed, inconsistent = findings.malformed, findings.inconsistent
    if checksum.hexdigest() != trailer["sha256"]:
        line, offset, what = min(filter(None, (malformed, inconsistent)), default=(last, begin, "no line shows where"))
        raise Refused("damaged", f"the content does not have the checksum of the trailer: {what}", line, offset)
    if version == 1 and key and mac.hexdigest() != trailer["mac"]:
        raise Refused("tampered", "the checksum holds and the MAC does not", last, begin)
    for verdict, fault in (("malformed_record", malformed), ("inconsistent", inconsistent)):
        if fault:
            raise Refused(verdict, f"the checksum holds, and yet: {fault[2]}", *fault[:2])
    expected = findings.expected_trailer(trailer)
    differing = [name for name, value in expected.items() if trailer[name] != value]
    if differing or first != expected.get("first", first):
        what = ", ".join(differing or ["first_sequence of the header"])
        raise Refused("inconsistent", f"header, records and trailer do not agree: {what}", last, begin)
    return {"format_version": version, "records": findings.records, "sha256": trailer["sha256"],
            "merkle_root": trailer.get("root"), "keyed": trailer["mac"] is not None, "authenticated": key is not None}


# --- The command ------------------------------------------------------------------------------------------------------


def opened(path):
    try:
        file = open(path, "rb")
        begin = file.read(32)
        file.seek(0)
    except OSError as error:
        raise Refused("usage", f"{path} cannot be read: {error.strerror}") from None
    for magic, what in ((b"\x28\xb5\x2f\xfd", "zstd -d FILE"), (b"age-encryption.org/v1\n", "age -d -i IDENTITY FILE")):
        if begin.startswith(magic):
            raise Refused("usage", f"this reads plain files only. Unpack it first: {what}")
    return file


def read_key(path):
    if path is None:
        return None
    with opened(path) as file:
        content = file.read()
    if not content:
        raise Refused("usage", "the key file is empty")
    return content


def main():
    parser = argparse.ArgumentParser(description="Checks a backup of the event log.")
    parser.add_argument("--key-file", metavar="KEY", help="the audit signing key")
    parser.add_argument("--allow-unverified-mac", action="store_true", help="without key: accept on the checksum")
    parser.add_argument("--allow-unkeyed", action="store_true", help="with key: accept a file without authentication")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("file", metavar="FILE")
    arguments = parser.parse_args()
    code, path = 0, arguments.file
    try:
        with opened(path) as file:
            result = check(file, read_key(arguments.key_file), arguments.allow_unverified_mac, arguments.allow_unkeyed)
        proven = "authenticated" if result["authenticated"] else "checksum only: detects damage, not tampering"
        text = f"{path}: sound. Version {result['format_version']}, {result['records']} records, {proven}."
    except Refused as refused:
        code, hint = CLASSES[refused.verdict]
        place = {"line": refused.line, "offset": refused.offset}
        result = {"class": refused.verdict, "message": str(refused), **place, "hint": hint}
        where = "".join(f", {name} {at}" for name, at in place.items() if at is not None)
        text = f"{path}: {refused.verdict}{where}: {refused}.\n{hint}"
    print(json.dumps({"ok": code == 0, "exit_code": code, **result}) if arguments.json else text)
    return code


if __name__ == "__main__":
    sys.exit(main())
