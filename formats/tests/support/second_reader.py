"""Runs docs/format/read_backup.py over many files in one process, for the tests that compare it with the verifier.

Standard input: for each case a line `<bytes> <bytes of the key file, or -1> <flags>` and then these bytes; flag 1 is
--allow-unverified-mac, 2 is --allow-unkeyed. Standard output: for each case a line `class exit-code line offset`.
"""

import importlib.util, io, sys

spec = importlib.util.spec_from_file_location("read_backup", sys.argv[1])
reader = importlib.util.module_from_spec(spec)
sys.dont_write_bytecode = True
spec.loader.exec_module(reader)


def verdict(content, key, flags):
    try:
        reader.check(io.BytesIO(content), key, bool(flags & 1), bool(flags & 2))
        return "accept", 0, None, None
    except reader.Refused as refused:
        return refused.verdict, reader.CLASSES[refused.verdict][0], refused.line, refused.offset


while order := sys.stdin.buffer.readline():
    length, key_length, flags = map(int, order.split())
    content = sys.stdin.buffer.read(length)
    key = sys.stdin.buffer.read(key_length) if key_length >= 0 else None
    print(*("-" if part is None else part for part in verdict(content, key, flags)), flush=True)
