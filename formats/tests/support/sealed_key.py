"""Verdicts on sealed key files under the KEK of the vectors, from docs/format/sealed-key.md and nothing of ours.

The cipher is left out: `committed` is a file of which only the tag is open.
"""
import hashlib, hmac, sys

def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()

extracted = mac(b"trstctl/sealed-key/v1", bytes(range(32)))
kek_id = mac(extracted, b"kek-id\x01")[:16]
for path in sys.argv[1:]:
    file = open(path, "rb").read()
    info = b"file" + file[:124]
    key = mac(extracted, info + b"\x01")
    is_whole = len(file) >= 204 and hashlib.sha256(file[:-32]).digest() == file[-32:] and \
        file[:10] == b"trstkey\n\x01\0" and len(file) == 204 + int.from_bytes(file[120:124], "little") <= 204 + 65536
    print("damaged" if not is_whole else "wrong_kek" if file[80:96] != kek_id else
          "forged" if file[124:156] != mac(extracted, key + info + b"\x02") else "committed")
