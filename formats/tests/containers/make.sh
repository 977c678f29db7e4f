#!/bin/sh
# Makes the container vectors of this folder with the tools that users have: age 1.1.1, zstd 1.5.4, ssh-keygen, script.
# Encryption is random, so a second run gives other bytes: run it only to add a vector, and keep the existing files.
set -eu
cd "$(dirname "$0")"
keep() { if [ -e "$1" ]; then cat > /dev/null; else cat > "$1"; fi; } # never over an existing vector
head_of() { head -c "$1" "$2"; }
flip() { # file, offset from the start: one bit of that byte
    python3 -c 'import sys; b = bytearray(open(sys.argv[1], "rb").read()); b[int(sys.argv[2])] ^= 4; sys.stdout.buffer.write(b)' "$1" "$2"
}

# Keys, for these tests only.
[ -e keys/identity.key ] || age-keygen -o keys/identity.key 2>/dev/null
[ -e keys/other.key ] || age-keygen -o keys/other.key 2>/dev/null
[ -e keys/ssh_ed25519.key ] || ssh-keygen -q -t ed25519 -N '' -C test-only -f keys/ssh_ed25519.key
[ -e keys/ssh_rsa.key ] || ssh-keygen -q -t rsa -b 2048 -N '' -C test-only -f keys/ssh_rsa.key
[ -e keys/ssh_protected.key ] || ssh-keygen -q -t ed25519 -N passphrase -C test-only -f keys/ssh_protected.key
[ -e keys/ssh_ecdsa.key ] || ssh-keygen -q -t ecdsa -N '' -C test-only -f keys/ssh_ecdsa.key
recipient=$(age-keygen -y keys/identity.key)
other=$(age-keygen -y keys/other.key)
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
cp plain.jsonl "$tmp/plain"

# zstd
zstd -q -3 -c "$tmp/plain" | keep accept-zstd-level-3.jsonl.zst
zstd -q -19 -c "$tmp/plain" | keep accept-zstd-level-19.jsonl.zst
zstd -q -c < "$tmp/plain" | keep accept-zstd-from-a-pipe.jsonl.zst
zstd -q -19 -c < "$tmp/plain" | keep accept-zstd-window-8-mib.jsonl.zst
good=accept-zstd-from-a-pipe.jsonl.zst
size=$(stat -c %s $good)
zstd -q --long=27 -c < "$tmp/plain" | keep not_a_backup-zstd-window-128-mib.jsonl.zst
zstd -q --long=24 -c < "$tmp/plain" | keep not_a_backup-zstd-window-16-mib.jsonl.zst
zstd -q --no-check -c "$tmp/plain" | keep not_a_backup-zstd-without-checksum.jsonl.zst
i=0; while [ $i -lt 200 ]; do i=$((i + 1)); sed "s/example/$i/g" "$tmp/plain" > "$tmp/sample$i"; done
zstd -q --train "$tmp"/sample* --maxdict=4096 -o "$tmp/dictionary" 2>/dev/null
zstd -q -D "$tmp/dictionary" -c "$tmp/plain" | keep not_a_backup-zstd-with-a-dictionary.jsonl.zst
printf '\120\052\115\030\003\000\000\000abc' > "$tmp/skippable"
cat "$tmp/skippable" $good | keep not_a_backup-zstd-skippable-frame-first.jsonl.zst
cat $good "$tmp/skippable" | keep inconsistent-zstd-skippable-frame-last.jsonl.zst
cat $good $good | keep inconsistent-zstd-two-frames.jsonl.zst
{ cat $good; echo; } | keep inconsistent-zstd-newline-after.jsonl.zst
head_of 5 $good | keep truncated-zstd-in-header.jsonl.zst
head_of $((size / 2)) $good | keep truncated-zstd-in-block.jsonl.zst
head_of $((size - 4)) $good | keep truncated-zstd-before-checksum.jsonl.zst
head_of $((size - 1)) $good | keep truncated-zstd-last-byte.jsonl.zst
flip $good $((size - 1)) | keep damaged-zstd-checksum-bit.jsonl.zst
flip $good $((size / 2)) | keep damaged-zstd-block-bit.jsonl.zst
flip $good 4 | keep not_a_backup-zstd-checksum-flag-bit.jsonl.zst

# age
age -r "$recipient" "$tmp/plain" | keep accept-age-x25519.jsonl.age
age -R keys/ssh_ed25519.key.pub "$tmp/plain" | keep accept-age-ssh-ed25519.jsonl.age
age -R keys/ssh_rsa.key.pub "$tmp/plain" | keep accept-age-ssh-rsa.jsonl.age
age -r "$other" -R keys/ssh_rsa.key.pub -r "$recipient" "$tmp/plain" | keep accept-age-three-recipients.jsonl.age
zstd -q -c "$tmp/plain" | age -r "$recipient" | keep accept-age-around-zstd.jsonl.zst.age
good=accept-age-x25519.jsonl.age
size=$(stat -c %s $good)
body=$((size - 16 - $(stat -c %s "$tmp/plain")))
age -r "$other" "$tmp/plain" | keep wrong_key-age-other-recipient.jsonl.age
age -a -r "$recipient" "$tmp/plain" | keep not_a_backup-age-armor.jsonl.age
age -r "$recipient" $good | keep not_a_backup-age-in-age.jsonl.age
gzip -c "$tmp/plain" | age -r "$recipient" | keep not_a_backup-age-around-gzip.jsonl.gz.age
age -r "$recipient" < /dev/null | keep not_a_backup-age-around-nothing.jsonl.age
{ zstd -q -c "$tmp/plain"; echo; } | age -r "$recipient" | keep inconsistent-age-around-zstd-and-more.jsonl.zst.age
zstd -q -c "$tmp/plain" | head -c 100 | age -r "$recipient" | keep truncated-age-around-cut-zstd.jsonl.zst.age
[ -e not_a_backup-age-passphrase.jsonl.age ] || printf 'passphrase\npassphrase\n' |
    script -qec "sleep 1; age -p -o '$tmp/protected' '$tmp/plain'" /dev/null > /dev/null
[ ! -e "$tmp/protected" ] || keep not_a_backup-age-passphrase.jsonl.age < "$tmp/protected"
head_of 60 $good | keep truncated-age-in-header.jsonl.age
head_of $((body - 10)) $good | keep truncated-age-in-nonce.jsonl.age
head_of $body $good | keep truncated-age-before-first-chunk.jsonl.age
head_of $((size - 1)) $good | keep damaged-age-last-byte-missing.jsonl.age
flip $good $((body + 100)) | keep damaged-age-payload-bit.jsonl.age
flip $good $((body - 1)) | keep damaged-age-nonce-bit.jsonl.age
flip $good $((body - 20)) | keep damaged-age-header-mac-bit.jsonl.age
{ cat $good; echo; } | keep damaged-age-newline-after.jsonl.age

# Neither
: | keep not_a_backup-empty.jsonl
gzip -c "$tmp/plain" | keep not_a_backup-gzip.jsonl.gz
xz -c "$tmp/plain" | keep not_a_backup-xz.jsonl.xz
{ printf '\357\273\277'; cat "$tmp/plain"; } | keep not_a_backup-byte-order-mark.jsonl
echo hello | keep not_a_backup-text.txt
printf '\050\265\057' | keep not_a_backup-three-bytes-of-zstd.zst
printf 'age-encryption.org/v2\n' | keep not_a_backup-age-version-2.age
