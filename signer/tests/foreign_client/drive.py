#!/usr/bin/env python3
"""Drives a signer with nothing of ours but signer.proto: gRPC by its C library, messages by protoc, certificates and CRLs by tbs.py;
OpenSSL verifies what is signed.

    drive.py DEFINITION SOCKET

DEFINITION is signer.proto. Ends with 0 and a line for each thing that was shown.
"""

import base64
import datetime
import importlib
import pathlib
import subprocess
import sys
import tempfile

import grpc
import tbs

KEY, TREE_KEY, BELOW, UNKNOWN = (f"{n:08x}-0000-4000-8000-00000000000f" for n in range(1, 5))
LOG = "a-deployment/TRSTCTL_EVENTS"


def messages(definition, folder):
    """The messages of the definition, as protoc makes them."""
    subprocess.run(
        ["protoc", f"--proto_path={definition.parent}", f"--python_out={folder}", definition.name], check=True
    )
    sys.path.insert(0, str(folder))
    return importlib.import_module(definition.stem + "_pb2")


class Stub:
    """The calls of every service of the definition, by name."""

    def __init__(self, channel, module):
        for service in module.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                # Whoever generates code from the definition gets the same.
                call = channel.unary_unary(
                    f"/{service.full_name}/{method.name}",
                    request_serializer=lambda message: message.SerializeToString(),
                    response_deserializer=getattr(module, method.output_type.name).FromString,
                )
                setattr(self, method.name, call)


def refused(call, request):
    """The code and the word with which a call is refused."""
    try:
        call(request, timeout=20)
    except grpc.RpcError as error:
        return error.code(), dict(error.trailing_metadata())["trstctl-refusal"]
    raise AssertionError(f"{request} was not refused")


def verify(folder, key, text, signature, *options):
    """Whether OpenSSL takes the signature; raises when it does not."""
    for name, content in (("key", key), ("text", text), ("signature", signature)):
        (folder / name).write_bytes(content)
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", "key"]
    command += ["-in", "text", "-sigfile", "signature", *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def main():
    definition, socket = pathlib.Path(sys.argv[1]).absolute(), sys.argv[2]
    with tempfile.TemporaryDirectory() as name, grpc.insecure_channel(f"unix:{socket}") as channel:
        drive(Stub(channel, module := messages(definition, pathlib.Path(name))), module, pathlib.Path(name))


def drive(signer, pb, folder):
    root_key = keys(signer, pb)
    probe(signer, pb, folder, root_key)
    below = signer.GenerateKey(ca_key(pb, BELOW), timeout=20)
    certificates(signer, pb, folder, root_key, below)
    crls(signer, pb, folder, root_key, below)
    tree_heads(signer, pb, folder)


def keys(signer, pb):
    assert signer.Health(pb.HealthRequest(), timeout=20).keys == 0
    print("Health: no key yet")

    request = ca_key(pb, KEY)
    made = signer.GenerateKey(request, timeout=20)
    assert made.key_id == KEY and made.generation == 1
    assert refused(signer.GenerateKey, request) == (grpc.StatusCode.ALREADY_EXISTS, "key_exists")
    print("GenerateKey: made once")

    assert signer.PublicKey(pb.PublicKeyRequest(key_id=KEY), timeout=20) == made
    unknown = pb.PublicKeyRequest(key_id=UNKNOWN)
    assert refused(signer.PublicKey, unknown) == (grpc.StatusCode.NOT_FOUND, "unknown_key")
    assert list(signer.ListKeys(pb.ListKeysRequest(), timeout=20).keys) == [made]
    print("PublicKey, ListKeys: the same key")
    return made


def ca_key(pb, key_id):
    return pb.GenerateKeyRequest(
        key_id=key_id, algorithm=pb.ALGORITHM_P256, purposes=[pb.PURPOSE_CERTIFICATES, pb.PURPOSE_CRLS]
    )


def probe(signer, pb, folder, key):
    nonce = bytes(range(32))
    answer = signer.Probe(pb.ProbeRequest(key_id=KEY, nonce=nonce), timeout=20)
    text = b"\x20" * 64 + b"trstctl/signer/probe/v1\0" + nonce
    verify(folder, key.public_key, text, answer.signature, "-rawin", "-digest", "sha256")
    print("Probe: OpenSSL verifies it")


def certificates(signer, pb, folder, root_key, below):
    """Signs Root, Below and two leaves, and leaves them in the folder."""

    def sign(name, key, kind, body, issuer=None, usages=()):
        request = pb.SignCertificateRequest(key_id=key.key_id, tbs=body, kind=kind, usages=usages, epoch=1)
        request.issuer_certificate = (folder / issuer).read_bytes() if issuer else b""
        whole = signer.SignCertificate(request, timeout=20).certificate
        assert body in whole, name
        (folder / name).write_bytes(whole)
        return request

    root, intermediate = root_key.public_key, below.public_key
    body = tbs.certificate(1, "Root", "Root", until(9), root, tbs.of_ca(root, 1))
    sign("root", root_key, pb.CERTIFICATE_KIND_ROOT, body)
    extensions = [*tbs.of_ca(intermediate, 0), tbs.authority(root)]
    body = tbs.certificate(2, "Root", "Below", until(5), intermediate, extensions)
    sign("below", root_key, pb.CERTIFICATE_KIND_INTERMEDIATE, body, "root")
    leaf = openssl(folder, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    leaf = openssl(folder, "pkey", "-pubout", "-outform", "DER", input=leaf)
    for serial, host in ((3, "www.example.org"), (1 << 158, "old.example.org")):
        extensions = [*tbs.of_server(leaf, host), tbs.authority(intermediate)]
        body = tbs.certificate(serial, "Below", host, until(1), leaf, extensions)
        usages = [pb.LEAF_USAGE_SERVER_AUTH]
        request = sign(host, below, pb.CERTIFICATE_KIND_LEAF, body, "below", usages)
    request.tbs = tbs.certificate(3, "Below", "other.example.org", until(1), leaf, extensions)
    assert refused(signer.SignCertificate, request) == (grpc.StatusCode.FAILED_PRECONDITION, "serial_used")
    print("SignCertificate: a root, a CA below it, two leaves; a serial is used once")


def until(years):
    """A validity from now on."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return now, now + datetime.timedelta(days=365 * years)


def crls(signer, pb, folder, root_key, below):
    def sign(name, key, number, revoked):
        body = tbs.crl(name.capitalize(), key.public_key, until(1), number, revoked)
        issuer = (folder / name).read_bytes()
        request = pb.SignCrlRequest(key_id=key.key_id, tbs=body, issuer_certificate=issuer, epoch=1)
        whole = signer.SignCrl(request, timeout=20).crl
        assert body in whole, name
        (folder / f"{name}.crl").write_bytes(whole)

    sign("root", root_key, 1, [])
    sign("below", below, 300, [1 << 158])
    assert is_good(folder, "www.example.org") == (True, "")
    is_fine, said = is_good(folder, "old.example.org")
    assert not is_fine and "certificate revoked" in said, said
    print("SignCrl: OpenSSL verifies the chain with the CRLs of both, and knows who is revoked")


def is_good(folder, leaf):
    """Whether OpenSSL takes a leaf, with the CRLs of its whole chain, and what it says against it."""
    for name in ("root", "below", leaf):
        openssl(folder, "x509", "-inform", "DER", "-in", name, "-out", f"{name}.pem")
    for name in ("root", "below"):
        openssl(folder, "crl", "-inform", "DER", "-in", f"{name}.crl", "-out", f"{name}.crl.pem")
    both = b"".join((folder / f"{name}.crl.pem").read_bytes() for name in ("root", "below"))
    (folder / "crls.pem").write_bytes(both)
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-crl_check_all", "-CRLfile", "crls.pem"]
    command += ["-CAfile", "root.pem", "-untrusted", "below.pem", f"{leaf}.pem"]
    verified = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return verified.returncode == 0, verified.stderr


def openssl(folder, *arguments, input=None):
    """What a command of OpenSSL answers."""
    return subprocess.run(
        ["openssl", *arguments], cwd=folder, input=input, check=True, stdout=subprocess.PIPE
    ).stdout


def tree_heads(signer, pb, folder):
    request = pb.GenerateKeyRequest(
        key_id=TREE_KEY, algorithm=pb.ALGORITHM_ED25519, purposes=[pb.PURPOSE_TREE_HEADS]
    )
    key = signer.GenerateKey(request, timeout=20)
    head = pb.SignTreeHeadRequest(key_id=TREE_KEY, log=LOG, tree_size=7, root=b"\xab" * 32, epoch=1)
    signed = signer.SignTreeHead(head, timeout=20)
    root = base64.b64encode(head.root).decode()
    assert signed.text.decode() == f"{LOG}\n7\n{root}\n", signed.text
    verify(folder, key.public_key, signed.text, signed.signature, "-rawin")
    smaller = pb.SignTreeHeadRequest(key_id=TREE_KEY, log=LOG, tree_size=6, root=b"\xab" * 32, epoch=1)
    assert refused(signer.SignTreeHead, smaller) == (grpc.StatusCode.FAILED_PRECONDITION, "smaller_tree_head")
    print("SignTreeHead: OpenSSL verifies it, and a smaller one is refused")


if __name__ == "__main__":
    main()
