"""Shares of a key, a line each on standard input, to the key in hex (docs/format/key-share.md). Knows no checksum and no name."""
import sys
LETTERS = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"
def times(a, b):
    product = 0
    while b:
        product, a, b = product ^ a * (b & 1), a << 1 ^ (a >> 7) * 0x11B, b >> 1
    return product
def share(line):
    bits = "".join(f"{LETTERS.index(letter):05b}" for letter in line.replace(" ", "").upper()[3:-6])
    return bytes(int(bits[at : at + 8], 2) for at in range(0, 376, 8))
shares = list({share(line)[14]: share(line) for line in sys.stdin.read().split("\n") if line[:1] in tuple("Tt")}.values())
shares, key = shares[: shares[0][13]], bytes(32)
for one in shares:
    weight = 1
    for other in shares:
        quotients = [q for q in range(256) if other is not one and times(q, other[14] ^ one[14]) == other[14]]
        weight = times(weight, (quotients or [1])[0])
    key = bytes(byte ^ times(weight, part) for byte, part in zip(key, one[15:]))
print(key.hex())
