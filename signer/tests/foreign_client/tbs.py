"""Certificates and CRLs that are to be signed, written in DER by RFC 5280: all of it is here, so that nothing of ours is in them."""

import hashlib

ECDSA_SHA256 = "1.2.840.10045.4.3.2"
SERVER_AUTH = "1.3.6.1.5.5.7.3.1"


def tlv(tag, *parts):
    """A value with its tag and its length."""
    content = b"".join(parts)
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    size = (length.bit_length() + 7) // 8
    return bytes([tag, 0x80 | size]) + length.to_bytes(size, "big") + content


def sequence(*parts):
    return tlv(0x30, *parts)


def integer(number):
    return tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def octets(content):
    return tlv(0x04, content)


def oid(text):
    first, second, *rest = map(int, text.split("."))
    content = bytearray([first * 40 + second])
    for number in rest:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | number & 0x7F)
        content += bytes(reversed(groups))
    return tlv(0x06, bytes(content))


def name(common):
    """A name of one part, the common name."""
    return sequence(tlv(0x31, sequence(oid("2.5.4.3"), tlv(0x0C, common.encode()))))


def time(moment):
    """A moment in UTC, before 2050."""
    return tlv(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())


def extension(id, value, critical=False):
    return sequence(oid(id), tlv(0x01, b"\xff") if critical else b"", octets(value))


def bits(*set_bits):
    """A list of named bits without trailing zeros, all in its first byte."""
    return tlv(0x03, bytes([7 - max(set_bits), sum(0x80 >> bit for bit in set_bits)]))


def key_identifier(p256_key):
    """Of a public key in SubjectPublicKeyInfo: SHA-1 of its point."""
    return hashlib.sha1(p256_key[-65:]).digest()


def authority(issuer_key):
    return extension("2.5.29.35", sequence(tlv(0x80, key_identifier(issuer_key))))


def certificate(serial, issuer, subject, validity, public_key, extensions):
    """A TBSCertificate of version 3."""
    return sequence(
        tlv(0xA0, integer(2)),
        integer(serial),
        sequence(oid(ECDSA_SHA256)),
        name(issuer),
        sequence(*map(time, validity)),
        name(subject),
        public_key,
        tlv(0xA3, sequence(*extensions)),
    )


def of_ca(public_key, path_length):
    """The extensions of a CA: basic constraints, key usage for certificates and CRLs, its key's identifier."""
    return [
        extension("2.5.29.19", sequence(tlv(0x01, b"\xff"), integer(path_length)), critical=True),
        extension("2.5.29.15", bits(5, 6), critical=True),
        extension("2.5.29.14", octets(key_identifier(public_key))),
    ]


def of_server(public_key, host):
    """The extensions of a server."""
    return [
        extension("2.5.29.15", bits(0), critical=True),
        extension("2.5.29.37", sequence(oid(SERVER_AUTH))),
        extension("2.5.29.17", sequence(tlv(0x82, host.encode()))),
        extension("2.5.29.14", octets(key_identifier(public_key))),
    ]


def crl(issuer, issuer_key, validity, number, revoked):
    """A TBSCertList of version 2; every serial is revoked at its beginning."""
    begins, ends = map(time, validity)
    entries = [sequence(integer(serial), begins) for serial in revoked]
    return sequence(
        integer(1),
        sequence(oid(ECDSA_SHA256)),
        name(issuer),
        begins,
        ends,
        sequence(*entries) if entries else b"",
        tlv(0xA0, sequence(authority(issuer_key), extension("2.5.29.20", integer(number)))),
    )
