#!/usr/bin/env python3
"""Drives a signer with nothing of ours but signer.proto: gRPC by its C library, messages by protoc, signatures by OpenSSL.

    drive.py DEFINITION SOCKET

DEFINITION is signer.proto. Ends with 0 and a line for each thing that was shown.
"""

import base64
import importlib
import pathlib
import subprocess
import sys
import tempfile

import grpc

KEY, TREE_KEY, UNKNOWN = (f"{n:08x}-0000-4000-8000-00000000000f" for n in (1, 2, 3))
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
    assert signer.Health(pb.HealthRequest(), timeout=20).keys == 0
    print("Health: no key yet")

    request = pb.GenerateKeyRequest(
        key_id=KEY, algorithm=pb.ALGORITHM_P256, purposes=[pb.PURPOSE_CERTIFICATES, pb.PURPOSE_CRLS]
    )
    made = signer.GenerateKey(request, timeout=20)
    assert made.key_id == KEY and made.generation == 1
    assert refused(signer.GenerateKey, request) == (grpc.StatusCode.ALREADY_EXISTS, "key_exists")
    print("GenerateKey: made once")

    assert signer.PublicKey(pb.PublicKeyRequest(key_id=KEY), timeout=20) == made
    unknown = pb.PublicKeyRequest(key_id=UNKNOWN)
    assert refused(signer.PublicKey, unknown) == (grpc.StatusCode.NOT_FOUND, "unknown_key")
    assert list(signer.ListKeys(pb.ListKeysRequest(), timeout=20).keys) == [made]
    print("PublicKey, ListKeys: the same key")

    nonce = bytes(range(32))
    probe = signer.Probe(pb.ProbeRequest(key_id=KEY, nonce=nonce), timeout=20)
    text = b"\x20" * 64 + b"trstctl/signer/probe/v1\0" + nonce
    verify(folder, made.public_key, text, probe.signature, "-rawin", "-digest", "sha256")
    print("Probe: OpenSSL verifies it")

    tree_key = signer.GenerateKey(
        pb.GenerateKeyRequest(key_id=TREE_KEY, algorithm=pb.ALGORITHM_ED25519, purposes=[pb.PURPOSE_TREE_HEADS]),
        timeout=20,
    )
    head = pb.SignTreeHeadRequest(key_id=TREE_KEY, log=LOG, tree_size=7, root=b"\xab" * 32, epoch=1)
    signed = signer.SignTreeHead(head, timeout=20)
    root = base64.b64encode(head.root).decode()
    assert signed.text.decode() == f"{LOG}\n7\n{root}\n", signed.text
    verify(folder, tree_key.public_key, signed.text, signed.signature, "-rawin")
    smaller = pb.SignTreeHeadRequest(key_id=TREE_KEY, log=LOG, tree_size=6, root=b"\xab" * 32, epoch=1)
    assert refused(signer.SignTreeHead, smaller) == (grpc.StatusCode.FAILED_PRECONDITION, "smaller_tree_head")
    print("SignTreeHead: OpenSSL verifies it, and a smaller one is refused")


if __name__ == "__main__":
    main()
