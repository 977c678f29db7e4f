#!/usr/bin/env python3
"""A second projector: folds a backup of the event log to the rows of the read model, with nothing but Python 3.11.

Written from the specification of the events, docs/read-model.md and the columns in migrations/sql, and sharing no
code with trstctl-dr, so that a mistake of the one is not a mistake of the other. It trusts the backup, which `verify`
checks, and takes a plain file of version 2.

    project.py BACKUP                  prints the rows, one JSON object a line: {"table", "row"}
    project.py --compare ROWS BACKUP   compares them with ROWS, of the same form, each row as to_jsonb prints it

A comparison prints one JSON object with all counts, and with at most ten differences: table, key, column, both values.
It exits with 1 if there is any. Times are microseconds since 1970, in UTC.
"""

import argparse, base64, codecs, collections, datetime, decimal, json, re, sys

MAX_DIFFERENCES = 10
MAX_INDEXED = 2048  # bytes of a text that ends in an index
MAX_BRACKETS = 10_000  # open at once

# --- What there is: columns, payloads, versions -----------------------------------------------------------------------


def declared(text):
    """`name: kind, name?: kind` as a dictionary from the name to the kind, and whether it may be absent."""
    pairs = (part.split(": ") for part in text.split(", "))
    return {name.removesuffix("?"): (kind, name.endswith("?")) for name, kind in pairs}


OWNER = "id: uuid, kind: text, name: text, email: text"
ISSUER = "id: uuid, kind: text, name: text, chain: text[], public_key: text, internal: boolean"
PROFILE = "id: uuid, name: indexed, version: bigint, spec: jsonb, active: boolean, created_by: text"
IDENTITY = "id: uuid, kind: text, name: text, owner_id: uuid, issuer_id?: uuid, attributes: jsonb"
TRANSITION = "identity_id: uuid, from: text, to: text, reason?: text"
CERTIFICATE = ("id: uuid, ca_id?: uuid, owner_id?: uuid, subject: text, sans: text[], issuer: text, serial: indexed, "
               "fingerprint: indexed, key_algorithm: text, not_before?: timestamptz, not_after?: timestamptz, "
               "deployment_location: text, source: text, replaces_id?: uuid, certificate_der?: bytea")
AUTHORITY = ("id: uuid, parent_id?: uuid, common_name: text, kind: text, certificate_pem: text, signer_handle: text, "
             "serial: text, not_after: timestamptz, predecessor_id?: uuid")
CRL = ("ca_id: uuid, crl_number: bigint, crl_der: bytea, this_update: timestamptz, next_update: timestamptz, "
       "revoked_count: bigint")

TRANSITIONS = [f"identity.{name}" for name in ("issued", "deployed", "renewing", "renewed", "revoked", "retired")]
PAYLOADS = {
    "tenant.registered": "name: text", "tenant.offboarded": None,
    "owner.created": OWNER, "owner.updated": OWNER, "owner.deleted": "id: uuid",
    "issuer.created": ISSUER, "profile.created": PROFILE, "profile.updated": PROFILE,
    "identity.created": IDENTITY, **dict.fromkeys(TRANSITIONS, TRANSITION),
    "certificate.recorded": CERTIFICATE,
    "certificate.revoked": "fingerprint: indexed, ca_id?: uuid, serial: indexed, reason: text, reason_code?: bigint, "
                           "revoked_at: timestamptz",
    "certificate.superseded": "fingerprint: indexed, serial: indexed, superseded_by?: text, renewed_at: timestamptz",
    "ca.authority.created": AUTHORITY, "ca.authority.rotated": AUTHORITY,
    "ca.certificate.issued": "ca_id: uuid, serial: indexed, issued_at?: timestamptz",
    "ca.certificate.revoked": "ca_id: uuid, serial: indexed, reason_code?: bigint, revoked_at?: timestamptz",
    "ca.crl.published": CRL,
}
PAYLOADS = {kind: text and declared(text) for kind, text in PAYLOADS.items()}

VERSIONS = {**dict.fromkeys(TRANSITIONS, {1, 2}), "profile.created": {2}, "profile.updated": {2},
            "ca.crl.published": {2, 3}}
NOT_PROJECTED = {("profile.created", 1), ("profile.updated", 1), ("ca.crl.published", 1)}

TABLES = {  # The key besides the tenant, and the columns besides tenant_id.
    "tenants": ("", "name: text, created_at: timestamptz"),
    "owners": ("id", OWNER),
    "issuers": ("id", ISSUER),
    "certificate_profiles": ("id", PROFILE),
    "identities": ("id", IDENTITY + ", status: text"),
    "identity_transitions": ("identity_id sequence", "identity_id: uuid, sequence: bigint, from_state: text, "
                             "to_state: text, event_type: text, reason?: text, occurred_at: timestamptz"),
    "certificates": ("id", CERTIFICATE + ", status: text, revoked_at?: timestamptz, revocation_reason?: text, "
                     "renewed_at?: timestamptz, superseded_by?: text"),
    "ca_authorities": ("id", AUTHORITY),
    "ca_issued_certs": ("ca_id serial", "ca_id: uuid, serial: text, issued_at?: timestamptz, "
                        "revoked_at?: timestamptz, reason_code?: bigint"),
    "ca_crls": ("ca_id crl_number", CRL),
    "projection_faults": ("sequence", "sequence: bigint"),
}
TABLES = {table: (key.split(), declared(columns)) for table, (key, columns) in TABLES.items()}
UNSAID = {"projection_faults": {"event_id", "event_type", "reason"}}  # Columns whose wording is the program's own.


class Fault(Exception):
    """The event is quarantined."""


# --- JSON and values --------------------------------------------------------------------------------------------------


class Object(list):
    """An object as its pairs of key and value, in order."""


class Number(str):
    """A number as it is spelled."""


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


def one_replacement_a_byte(error):
    return "\ufffd", error.start + 1


def read_json(content):
    """The value of JSON bytes. What is no UTF-8 reads as U+FFFD, one for each byte."""
    try:
        return json.loads(content.decode("utf-8", "one_replacement_a_byte"), object_pairs_hook=Object, parse_int=Number,
                          parse_float=Number, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        raise Fault(f"no JSON: {error}") from None


def as_text(value, most=None):
    if type(value) is not str or re.search("[\x00\ud800-\udfff]", value):
        raise Fault("no text")
    if most and len(value.encode()) > most:
        raise Fault("a text too long for an index")
    return value


def as_uuid(value):
    digits = r"(?:[0-9a-fA-F]{4}-?){7}[0-9a-fA-F]{4}"
    if type(value) is not str or not re.fullmatch(rf"{digits}|\{{{digits}\}}", value):
        raise Fault("no uuid")
    plain = re.sub("[-{}]", "", value).lower()
    return "-".join((plain[:8], plain[8:12], plain[12:16], plain[16:20], plain[20:]))


def as_texts(value):
    if value is None:
        return []
    if type(value) is not list:
        raise Fault("no list of texts")
    return [as_text(item) for item in value]


TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]+))?"
                  r"(?:Z|([-+])([01][0-9]|2[0-3]):([0-5][0-9]))")


def as_time(value):
    """Microseconds since 1970; what is smaller is cut off."""
    match = TIME.fullmatch(value) if type(value) is str else None
    if not match:
        raise Fault("no time")
    year, month, day, hour, minute, second = map(int, match.group(1, 2, 3, 4, 5, 6))
    try:  # datetime has no year 0, which is a leap year like 400.
        moment = datetime.datetime(year or 400, month, day, hour, minute, second)
    except ValueError:
        raise Fault("no time of the calendar") from None
    days = moment.toordinal() - datetime.date(1970, 1, 1).toordinal() - (0 if year else 146_097)
    offset_minutes = int((match[8] or "+") + "1") * (int(match[9] or 0) * 60 + int(match[10] or 0))
    seconds = days * 86_400 + hour * 3_600 + (minute - offset_minutes) * 60 + second
    return seconds * 1_000_000 + int((match[7] or "")[:6].ljust(6, "0"))


def as_bigint(value):
    if type(value) is not Number or not re.fullmatch("-?[0-9]{1,19}", value) or not -2**63 <= int(value) < 2**63:
        raise Fault("no integer of 64 bits")
    return int(value)


def as_boolean(value):
    if type(value) is not bool:
        raise Fault("neither true nor false")
    return value


def as_bytes(value):
    """The bytes of padded base64; line breaks in it are skipped."""
    if type(value) is not str:
        raise Fault("no text")
    value = re.sub("[\r\n]", "", value)
    if not re.fullmatch("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", value):
        raise Fault("no padded base64")
    return base64.b64decode(value)


def as_bytea(value):
    """The same as `bytea` prints it."""
    return "\\x" + as_bytes(value).hex()


def as_jsonb(value, depth=MAX_BRACKETS):
    """The value as jsonb keeps it: the last of duplicate keys, and numbers with the digits that their spelling has."""
    if value is None and depth == MAX_BRACKETS:
        return {}
    if isinstance(value, list) and depth == 0:
        raise Fault("nested too deep")
    if type(value) is Object:
        return {as_text(key): as_jsonb(item, depth - 1) for key, item in value}
    if type(value) is list:
        return [as_jsonb(item, depth - 1) for item in value]
    if type(value) is Number:
        return "number", numeric(value)  # No list, so that it equals no list.
    return as_text(value) if type(value) is str else value


def numeric(spelled):
    """A number as `numeric` prints it: without exponent, with the zeros that it was written with."""
    try:
        number = decimal.Decimal(spelled)
    except ArithmeticError:
        raise Fault("a number out of all bounds") from None
    exponent = number.as_tuple().exponent
    if (number and number.adjusted() >= 131_072) or exponent < -16_383:
        raise Fault("a number that numeric does not hold")
    digits = f"{number.copy_abs():f}" if number else f"{decimal.Decimal((0, (0,), min(0, exponent))):f}"
    return f"-{digits}" if number < 0 else digits


READ = {"text": as_text, "indexed": lambda value: as_text(value, MAX_INDEXED), "uuid": as_uuid, "text[]": as_texts,
        "timestamptz": as_time, "bigint": as_bigint, "boolean": as_boolean, "bytea": as_bytea, "jsonb": as_jsonb}


def read_payload(payload):
    return read_json(payload) if type(payload) is bytes else payload


def read_values(keys, payload):
    """The values of a payload's keys; one that may be absent is None then."""
    payload = read_payload(payload)
    if type(payload) is not Object:
        raise Fault("the payload is no object")
    members, values = dict(payload), {}
    for key, (kind, optional) in keys.items():
        absent = key not in members or (optional and members[key] is None)
        if absent and not optional:
            raise Fault(f"the payload lacks {key}")
        values[key] = None if absent else READ[kind](members[key])
    return values


# --- Messages ---------------------------------------------------------------------------------------------------------

# The payload is bytes, or a JSON value where the record holds it as one.
Event = collections.namedtuple("Event", "type tenant_id version time payload")


def read_record(line):
    """Sequence and event of a record; instead of the event the Fault where the message is none."""
    record = dict(read_json(line))
    try:
        event = read_message(base64.b64decode(record["raw_b64"])) if "raw_b64" in record else read_event(record)
    except Fault as fault:
        event = fault
    return int(record["seq"]), event


def read_event(record):
    payload = record["data"] if "data" in record else base64.b64decode(record.get("data_b64", ""))
    version = int(record.get("v", 1)) or 1
    return Event(record["type"], record["tenant_id"], version, as_time(record["time"]), payload)


def fold_case(key):
    """Keys match whatever their case; the long s and the Kelvin sign are letters too."""
    return key.replace("\u017f", "s").replace("\u212a", "k").lower()


def read_message(content):
    """A stored message, by the lenient rules: any spacing and case, unknown keys ignored, `null` leaves unset."""
    message = read_json(content)
    if type(message) is not Object:
        raise Fault("not an event: no object")
    fields = {}
    for key, value in message:
        if value is not None:
            fields[fold_case(key)] = value
    for key in ("id", "type", "tenant_id", "time", "data"):
        if type(fields.get(key, "")) is not str:
            raise Fault(f"not an event: {key} is no string")
    if not fields.get("type") or not fields.get("tenant_id"):
        raise Fault("not an event: it lacks type or tenant_id")
    version = fields.get("v", Number(1))
    if type(version) is not Number or not re.fullmatch("-?[0-9]{1,18}", version):
        raise Fault("not an event: v is no integer")
    check_actor(fields.get("actor", Object()))
    payload = as_bytes(fields.get("data", ""))
    whole = [re.sub("[\ud800-\udfff]", "\ufffd", fields[key]) for key in ("type", "tenant_id")]
    return Event(*whole, int(version) or 1, as_time(fields.get("time", "0001-01-01T00:00:00Z")), payload)


def check_actor(actor):
    if type(actor) is not Object:
        raise Fault("not an event: actor is no object")
    for key, value in actor:
        roles = value if type(value) is list else [value]
        if fold_case(key) == "subject" and value is not None and type(value) is not str:
            raise Fault("not an event: the actor's subject is no string")
        if fold_case(key) == "roles" and value is not None and (
                type(value) is not list or any(role is not None and type(role) is not str for role in roles)):
            raise Fault("not an event: the actor's roles are no list")


# --- The fold ---------------------------------------------------------------------------------------------------------


class ReadModel:
    """The rows by tenant, table and key (without the tenant)."""

    def __init__(self):
        self.tenants = {}
        self.not_projected = collections.Counter()

    def rows(self, tenant):
        return self.tenants.setdefault(tenant, {table: {} for table in TABLES})

    def take(self, sequence, event):
        """Folds one message; one that cannot be applied becomes a fault, under its tenant if it says one."""
        tenant = None
        try:
            if isinstance(event, Fault):
                raise event
            if event.type in PAYLOADS:
                tenant = as_uuid(event.tenant_id)
            if event.type not in PAYLOADS or (event.type, event.version) in NOT_PROJECTED:
                self.not_projected[event.type] += 1
                return
            self.apply(tenant, sequence, event)
        except Fault:
            self.rows(tenant)["projection_faults"][sequence,] = {"sequence": sequence}

    def apply(self, tenant, sequence, event):
        if event.version not in VERSIONS.get(event.type, {1}):
            raise Fault("a version that is not known")
        if event.type == "tenant.offboarded":
            if event.payload != b"" and type(read_payload(event.payload)) not in (Object, type(None)):
                raise Fault("the payload is no object")
            self.tenants.pop(tenant, None)
            return
        payload = read_values(PAYLOADS[event.type], event.payload)
        noun, verb = event.type.rsplit(".", 1)
        change = getattr(Change(self.rows(tenant), sequence, event.type, event.time, payload), noun.replace(".", "_"))
        change(verb)

    def all_rows(self):
        for tenant, tables in self.tenants.items():
            for table, rows in tables.items():
                for row in rows.values():
                    yield table, {"tenant_id": tenant, **row}


class Change:
    """What one event does to its tenant's rows. A method for each kind of thing, told what happened to it."""

    def __init__(self, rows, sequence, type, time, payload):
        self.rows, self.sequence, self.type, self.time, self.payload = rows, sequence, type, time, payload

    def put(self, table, row):
        self.rows[table][tuple(row[column] for column in TABLES[table][0])] = row

    def replace(self, table, must_exist=False):
        """The payload is the row."""
        if must_exist and (self.payload["id"],) not in self.rows[table]:
            raise Fault(f"no such row of {table}")
        self.put(table, self.payload)

    def tenant(self, _registered):
        before = self.rows["tenants"].get((), {"created_at": self.time})
        self.put("tenants", {**before, "name": self.payload["name"]})

    def owner(self, verb):
        if verb == "deleted":
            self.rows["owners"].pop((self.payload["id"],), None)
        else:
            self.replace("owners", must_exist=verb == "updated")

    def issuer(self, _created):
        self.replace("issuers")

    def profile(self, verb):
        self.replace("certificate_profiles", must_exist=verb == "updated")
        for row in self.rows["certificate_profiles"].values():
            if self.payload["active"] and row is not self.payload and row["name"] == self.payload["name"]:
                row["active"] = False

    def identity(self, verb):
        if verb == "created":
            before = self.rows["identities"].get((self.payload["id"],), {"status": "requested"})
            self.put("identities", {**before, **self.payload})
            return
        id = self.payload["identity_id"]
        if (id,) not in self.rows["identities"]:
            raise Fault("no such identity")
        self.rows["identities"][id,]["status"] = self.payload["to"]
        self.put("identity_transitions", {
            "identity_id": id, "sequence": self.sequence, "from_state": self.payload["from"],
            "to_state": self.payload["to"], "event_type": self.type, "reason": self.payload["reason"],
            "occurred_at": self.time})

    def certificate(self, verb):
        getattr(self, f"certificate_{verb}")()

    def certificate_recorded(self):
        new = dict.fromkeys(("revoked_at", "revocation_reason", "renewed_at", "superseded_by")) | {"status": "active"}
        certificate = {**self.rows["certificates"].get((self.payload["id"],), new), **self.payload}
        self.put("certificates", certificate)
        replaced = self.rows["certificates"].get((self.payload["replaces_id"],))
        if replaced and replaced is not certificate and replaced["status"] == "active":
            replaced["status"] = "superseded"
        same = self.certificates_of_fingerprint() if self.payload["fingerprint"] else []
        revoked = [row for row in same if row["status"] == "revoked"]
        if revoked and certificate["status"] != "revoked":
            first = min(revoked, key=lambda row: (row["revoked_at"], row["id"]))
            certificate.update({name: first[name] for name in ("status", "revoked_at", "revocation_reason")})
        if self.payload["ca_id"] and self.payload["serial"]:
            self.serial_issued(self.time)

    def certificate_revoked(self):
        for row in self.certificates_of_fingerprint():
            if row["status"] != "revoked":
                row.update(status="revoked", revoked_at=self.payload["revoked_at"],
                           revocation_reason=self.payload["reason"])
        if self.payload["ca_id"] and self.payload["serial"]:
            self.serial_revoked(self.payload["revoked_at"])
        self.must_be_recorded()

    def certificate_superseded(self):
        self.must_be_recorded()
        for row in self.certificates_of_fingerprint():
            if row["status"] != "revoked":
                row.update(status="superseded", superseded_by=self.payload["superseded_by"],
                           renewed_at=self.payload["renewed_at"])

    def certificates_of_fingerprint(self):
        rows = self.rows["certificates"].values()
        return [row for row in rows if row["fingerprint"] == self.payload["fingerprint"]]

    def must_be_recorded(self):
        if not self.certificates_of_fingerprint():
            raise Fault("no such certificate")

    def ca_authority(self, _created_or_rotated):
        self.replace("ca_authorities")

    def ca_certificate(self, verb):
        if verb == "issued":
            self.serial_issued(self.or_time("issued_at"))
        else:
            self.serial_revoked(self.or_time("revoked_at"))

    def or_time(self, key):
        return self.time if self.payload[key] is None else self.payload[key]

    def serial(self):
        key = self.payload["ca_id"], self.payload["serial"]
        new = {"ca_id": key[0], "serial": key[1], "issued_at": None, "revoked_at": None, "reason_code": None}
        return self.rows["ca_issued_certs"].setdefault(key, new)

    def serial_issued(self, time):
        row = self.serial()
        if row["issued_at"] is None:
            row["issued_at"] = time

    def serial_revoked(self, time):
        row = self.serial()
        if row["revoked_at"] is None:
            row.update(revoked_at=time, reason_code=self.payload["reason_code"])

    def ca_crl(self, _published):
        self.replace("ca_crls")


def project(path):
    """The read model of a plain backup of version 2."""
    model = ReadModel()
    with open(path, "rb") as file:
        header = json.loads(file.readline())
        if (header.get("format"), header.get("version")) != ("trstctl-event-log-backup", 2):
            sys.exit(f"{path}: no plain backup of version 2")
        for line in file:
            if not line.startswith(b'{"seq":'):
                return model
            model.take(*read_record(line))
    sys.exit(f"{path}: it has no trailer")


# --- Comparison with the rows of a database ---------------------------------------------------------------------------


# Not by the functions that read events: then a mistake of theirs would cancel out.


def read_row(table, row):
    """A row as to_jsonb prints it, in the same form as ours; a column that we do not know stays as it is."""
    kinds = {name: kind for name, (kind, _) in TABLES[table][1].items()}
    return {name: read_column(kinds.get(name), value) for name, value in row if name not in UNSAID.get(table, ())}


def read_column(kind, value):
    if value is None:
        return None
    if kind == "timestamptz":
        return read_moment(value)
    return int(value) if kind == "bigint" else plain(value)


def read_moment(text):
    years = 0
    if text.endswith(" BC"):  # The calendar is the same every 400 years.
        text, years = f"{401 - int(text[:4]):04}{text[4:-3]}", 400
    since = datetime.datetime.fromisoformat(text) - datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return (since - datetime.timedelta(days=146_097 * years // 400)) // datetime.timedelta(microseconds=1)


def plain(value):
    if type(value) is Object:
        return {key: plain(item) for key, item in value}
    if type(value) is list:
        return [plain(item) for item in value]
    return ("number", str(value)) if type(value) is Number else value


def key_of(table, row):
    columns = ["tenant_id"] * (table != "projection_faults") + TABLES[table][0]
    return table, *(row[column] for column in columns)


def read_rows(path):
    with open(path, "rb") as file:
        for line in filter(bytes.strip, file):
            entry = dict(read_json(line))
            yield entry["table"], read_row(entry["table"], entry["row"])


def differences(ours, theirs):
    """Every place in which two sets of rows by key differ: table, key, column, both values."""
    for key in sorted(ours.keys() | theirs.keys(), key=repr):
        place = {"table": key[0], "key": list(key[1:])}
        if key not in ours or key not in theirs:
            yield {**place, "column": None, "projector": ours.get(key, "no row"), "database": theirs.get(key, "no row")}
            continue
        for column in sorted(ours[key].keys() | theirs[key].keys()):
            pair = [side[key].get(column, "no column") for side in (ours, theirs)]
            if pair[0] != pair[1]:
                yield {**place, "column": column, "projector": pair[0], "database": pair[1]}


def compare(model, path):
    ours = {key_of(table, row): row for table, row in model.all_rows()}
    theirs = {key_of(table, row): row for table, row in read_rows(path)}
    found = list(differences(ours, theirs))
    counts = dict.fromkeys(TABLES, 0) | collections.Counter(table for table, *_ in ours)
    print(json.dumps({"rows": counts, "not_projected": model.not_projected, "differences": len(found),
                      "first_differences": found[:MAX_DIFFERENCES]}))
    return 1 if found else 0


def main():
    parser = argparse.ArgumentParser(description="Folds a backup of the event log to the rows of the read model.")
    parser.add_argument("--compare", metavar="ROWS", help="compare with these rows instead of printing ours")
    parser.add_argument("backup", metavar="BACKUP")
    arguments = parser.parse_args()
    model = project(arguments.backup)
    if arguments.compare:
        return compare(model, arguments.compare)
    for table, row in model.all_rows():
        print(json.dumps({"table": table, "row": row}))
    return 0


if __name__ == "__main__":
    codecs.register_error("one_replacement_a_byte", one_replacement_a_byte)
    sys.setrecursionlimit(3 * MAX_BRACKETS)
    sys.exit(main())
