//! The journal as a file: chained, cut, torn, replaced, shared.

use tempfile::TempDir;

use super::super::head;
use super::*;
use crate::algorithm::{Algorithm, Purposes};
use crate::key_id::KeyId;

fn key_generated(number: u8) -> Act {
    Act::KeyGenerated {
        key_id: KeyId::new([number; 16]),
        algorithm: Algorithm::P256,
        purposes: Purposes::of(3).unwrap(),
        public_key_sha256: hex::encode([number; 32]),
    }
}

fn append(journal: &mut Journal, act: Act) {
    journal.lock().unwrap().append(Timestamp::UNIX_EPOCH, act).unwrap();
}

/// A journal of three entries, and its folder.
fn sample() -> (TempDir, Journal) {
    let folder = TempDir::new().unwrap();
    let mut journal = Journal::create(folder.path()).unwrap();
    append(&mut journal, Act::StoreCreated { deployment_id: hex::encode([5; 16]) });
    append(&mut journal, key_generated(1));
    append(&mut journal, key_generated(2));
    (folder, journal)
}

#[test]
fn what_was_appended_is_read_again() {
    let (folder, journal) = sample();
    let again = Journal::open(folder.path(), Access::Write).unwrap();
    assert_eq!((again.entries(), again.head()), (3, journal.head()));
    assert_eq!(again.facts(), journal.facts());
}

#[test]
fn every_flipped_bit_and_every_truncation_is_refused() {
    let (folder, _) = sample();
    for name in [NAME, head::NAME] {
        let path = folder.path().join(name);
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            std::fs::write(&path, damaged).unwrap();
            assert!(Journal::open(folder.path(), Access::Write).is_err(), "{name}, bit {at}");
        }
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            assert!(Journal::open(folder.path(), Access::Write).is_err(), "{name}, {len} bytes");
        }
        std::fs::write(&path, &whole).unwrap();
    }
    assert!(Journal::open(folder.path(), Access::Write).is_ok());
}

#[test]
fn lines_dropped_doubled_or_swapped_are_refused() {
    let (folder, _) = sample();
    let path = folder.path().join(NAME);
    let whole = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let [a, b, c] = lines[..] else { panic!("three entries") };
    for other in
        [[b, c].concat(), [a, c].concat(), [a, b].concat(), [a, b, b, c].concat(), [a, c, b].concat()]
    {
        std::fs::write(&path, other).unwrap();
        assert!(Journal::open(folder.path(), Access::Write).is_err());
    }
}

#[test]
fn what_a_crash_left_behind_the_head_is_taken_or_gives_way() {
    let (folder, mut journal) = sample();
    let path = folder.path().join(NAME);
    let before = (std::fs::read(&path).unwrap(), std::fs::read(folder.path().join(head::NAME)).unwrap());
    append(&mut journal, key_generated(3));
    let after = std::fs::read(&path).unwrap();
    std::fs::write(folder.path().join(head::NAME), before.1).unwrap();
    // Killed between entry and head, and at each byte of the entry.
    for len in before.0.len()..=after.len() {
        std::fs::write(&path, &after[..len]).unwrap();
        let mut journal = Journal::open(folder.path(), Access::Write).unwrap();
        assert_eq!(journal.entries(), if len == after.len() { 4 } else { 3 });
        let act = key_generated(4);
        let mut locked = journal.lock().unwrap();
        assert_eq!(locked.is_durable(), len < after.len(), "the head does not name a fourth entry");
        locked.append(Timestamp::UNIX_EPOCH, act).unwrap();
        assert!(locked.is_durable());
        drop(locked);
        assert_eq!(Journal::open(folder.path(), Access::Write).unwrap().head(), journal.head());
        std::fs::write(folder.path().join(head::NAME), sample_head(&before.0)).unwrap();
    }
}

#[test]
fn entries_that_a_crash_left_behind_the_head_become_durable_without_another() {
    let (folder, mut journal) = sample();
    let head = folder.path().join(head::NAME);
    let before = std::fs::read(&head).unwrap();
    append(&mut journal, key_generated(3));
    let after = std::fs::read(&head).unwrap();
    std::fs::write(&head, before).unwrap();
    let mut journal = Journal::open(folder.path(), Access::Write).unwrap();
    let mut locked = journal.lock().unwrap();
    assert!(!locked.is_durable());
    locked.make_durable().unwrap();
    assert!(locked.is_durable());
    drop(locked);
    assert_eq!((journal.entries(), std::fs::read(&head).unwrap()), (4, after));
}

/// The head of these lines.
fn sample_head(lines: &[u8]) -> Vec<u8> {
    let entries = lines.split_inclusive(|byte| *byte == b'\n');
    let digest = entries.clone().next_back().map(|line| Entry::digest_of(&line[..line.len() - 1])).unwrap();
    format!("{:020} {digest}\n", entries.count()).into_bytes()
}

#[test]
fn a_last_entry_that_a_power_loss_left_with_holes_gives_way() {
    let (folder, mut journal) = sample();
    let files = [NAME, head::NAME].map(|name| folder.path().join(name));
    let before = files.each_ref().map(|path| std::fs::read(path).unwrap());
    append(&mut journal, key_generated(3));
    let mut torn = std::fs::read(&files[0]).unwrap();
    torn[before[0].len() + 10..][..20].fill(0);
    std::fs::write(&files[0], torn).unwrap();
    // The head already speaks of it: then it was answered for.
    assert!(Journal::open(folder.path(), Access::Write).is_err());
    std::fs::write(&files[1], &before[1]).unwrap();
    let mut journal = Journal::open(folder.path(), Access::Write).unwrap();
    assert_eq!(journal.entries(), 3);
    append(&mut journal, key_generated(4));
    assert_eq!(Journal::open(folder.path(), Access::Read).unwrap().entries(), 4);
}

#[test]
fn of_acts_that_were_staged_together_a_power_loss_leaves_a_beginning() {
    let (folder, mut journal) = sample();
    let files = [NAME, head::NAME].map(|name| folder.path().join(name));
    let before = files.each_ref().map(|path| std::fs::read(path).unwrap());
    let mut locked = journal.lock().unwrap();
    for number in 3..6 {
        locked.stage(Timestamp::UNIX_EPOCH, key_generated(number)).unwrap();
    }
    locked.commit().unwrap();
    drop(locked);
    assert_eq!(Journal::open(folder.path(), Access::Read).unwrap().facts(), journal.facts());
    let after = std::fs::read(&files[0]).unwrap();
    let line = (after.len() - before[0].len()) / 3;
    for whole in 0..3 {
        let mut torn = after.clone();
        torn[before[0].len() + whole * line + 10..][..20].fill(0);
        std::fs::write(&files[0], &torn).unwrap();
        std::fs::write(&files[1], sample_head(&after)).unwrap();
        assert!(Journal::open(folder.path(), Access::Read).is_err(), "what the head names was answered for");
        std::fs::write(&files[1], &before[1]).unwrap();
        let mut journal = Journal::open(folder.path(), Access::Write).unwrap();
        assert_eq!(journal.entries(), 3 + whole as u64);
        append(&mut journal, key_generated(9));
        assert_eq!(Journal::open(folder.path(), Access::Read).unwrap().entries(), 4 + whole as u64);
    }
}

#[test]
fn what_was_staged_and_not_written_is_forgotten() {
    let (folder, mut journal) = sample();
    journal.lock().unwrap().stage(Timestamp::UNIX_EPOCH, key_generated(3)).unwrap();
    assert_eq!(journal.lock().unwrap().facts().keys.len(), 2);
    // A file that cannot be written.
    let mut reader = Journal::open(folder.path(), Access::Read).unwrap();
    let failed = reader.lock().unwrap().append(Timestamp::UNIX_EPOCH, key_generated(3));
    assert!(matches!(failed, Err(JournalFault::Unusable { .. })));
    append(&mut journal, key_generated(3));
    let locked = reader.lock().unwrap();
    assert_eq!((locked.facts().keys.len(), locked.is_durable()), (3, true));
}

#[test]
fn a_journal_that_is_read_again_must_still_go_as_far_as_it_did() {
    let (folder, mut journal) = sample();
    let files = [NAME, head::NAME].map(|name| folder.path().join(name));
    let older = files.each_ref().map(|path| std::fs::read(path).unwrap());
    append(&mut journal, key_generated(3));
    journal.lock().unwrap().stage(Timestamp::UNIX_EPOCH, key_generated(4)).unwrap();
    for (path, bytes) in files.iter().zip(older) {
        std::fs::write(path, bytes).unwrap();
    }
    assert!(matches!(journal.lock().err(), Some(JournalFault::Shortened { .. })));
}

#[test]
fn a_journal_that_others_put_in_its_place_is_not_gone_on_with() {
    let (folder, mut journal) = sample();
    for name in [NAME, head::NAME] {
        let path = folder.path().join(name);
        std::fs::copy(&path, folder.path().join("copy")).unwrap();
        std::fs::rename(folder.path().join("copy"), &path).unwrap();
        assert!(matches!(journal.lock().err(), Some(JournalFault::Replaced { .. })), "{name}");
        journal = Journal::open(folder.path(), Access::Write).unwrap();
    }
    std::fs::remove_file(folder.path().join(NAME)).unwrap();
    assert!(matches!(journal.lock().err(), Some(JournalFault::Replaced { .. })));
}

#[test]
fn each_of_two_signers_sees_the_entries_of_the_other() {
    let (folder, mut first) = sample();
    let mut second = Journal::open(folder.path(), Access::Write).unwrap();
    append(&mut first, key_generated(3));
    append(&mut second, key_generated(4));
    append(&mut first, key_generated(5));
    assert_eq!(first.facts().keys.len(), 5);
    let mut locked = second.lock().unwrap();
    let twice = locked.append(Timestamp::UNIX_EPOCH, key_generated(5));
    assert!(matches!(twice, Err(JournalFault::Broken { number: 7, .. })));
}

#[test]
fn a_journal_that_is_replaced_by_an_older_one_under_a_running_signer_is_refused() {
    let (folder, mut journal) = sample();
    let files = [NAME, head::NAME].map(|name| folder.path().join(name));
    let older = files.each_ref().map(|path| std::fs::read(path).unwrap());
    append(&mut journal, key_generated(3));
    for (path, bytes) in files.iter().zip(older) {
        std::fs::write(path, bytes).unwrap();
    }
    assert!(matches!(journal.lock().err(), Some(JournalFault::Shortened { .. })));
}

fn certificate_signed(serial: u8) -> Act {
    Act::CertificateSigned {
        key_id: KeyId::new([1; 16]),
        serial: hex::encode([serial]).parse().unwrap(),
        not_after: Timestamp::UNIX_EPOCH,
        tbs_sha256: hex::encode([serial; 32]),
        epoch: 1,
    }
}

fn crl_signed(number: u64, revoked: &[u8]) -> Act {
    Act::CrlSigned {
        key_id: KeyId::new([1; 16]),
        number,
        this_update: Timestamp::UNIX_EPOCH,
        next_update: Timestamp::UNIX_EPOCH,
        revoked: revoked.iter().map(|serial| hex::encode([*serial]).parse().unwrap()).collect(),
        tbs_sha256: hex::encode([7; 32]),
        epoch: 1,
    }
}

/// Whether none of these serials can be given to another certificate, and no CRL can have this number.
fn keeps(journal: &Journal, serials: &[u8], number: u64) -> bool {
    let authority = &journal.facts().authorities[&KeyId::new([1; 16])];
    let is_used =
        |serial: &u8| authority.may_certify(hex::encode([*serial]).parse().unwrap(), &[0; 32]).is_err();
    serials.iter().all(is_used) && authority.may_follow(number, &[0; 32]).is_err()
}

/// What a power loss may leave of what was not flushed: any beginning of it, and zeros where blocks were not written.
fn remains(flushed: &[u8], written: &[u8]) -> Vec<Vec<u8>> {
    let mut remains = Vec::new();
    for at in flushed.len()..=written.len() {
        remains.push(written[..at].to_vec());
        let (mut end, mut begin) = (written.to_vec(), written.to_vec());
        end[at..].fill(0);
        begin[flushed.len()..at].fill(0);
        remains.extend([end, begin]);
    }
    remains
}

#[test]
fn whatever_a_power_loss_leaves_no_answered_serial_and_no_crl_number_can_be_used_again() {
    let (folder, mut journal) = sample();
    append(&mut journal, certificate_signed(0x10));
    append(&mut journal, crl_signed(4, &[0x11]));
    let files = [NAME, head::NAME].map(|name| folder.path().join(name));
    let [flushed, old_head] = files.each_ref().map(|path| std::fs::read(path).unwrap());
    let mut locked = journal.lock().unwrap();
    for act in [certificate_signed(0x20), crl_signed(5, &[0x21])] {
        locked.stage(Timestamp::UNIX_EPOCH, act).unwrap();
    }
    locked.commit().unwrap();
    drop(locked);
    let [written, new_head] = files.each_ref().map(|path| std::fs::read(path).unwrap());
    for left in remains(&flushed, &written) {
        for (head, answered, number) in
            [(&old_head, &[0x10, 0x11][..], 4), (&new_head, &[0x10, 0x11, 0x20, 0x21], 5)]
        {
            std::fs::write(&files[0], &left).unwrap();
            std::fs::write(&files[1], head).unwrap();
            let Ok(mut journal) = Journal::open(folder.path(), Access::Write) else {
                assert!(head == &new_head && left != written, "refused although nothing answered is missing");
                continue;
            };
            assert!(keeps(&journal, answered, number));
            assert!(head == &old_head || left == written, "something answered is missing");
            // It goes on, and what it answers then is kept as well.
            append(&mut journal, certificate_signed(0x30));
            let again = Journal::open(folder.path(), Access::Read).unwrap();
            assert!(keeps(&again, &[answered, &[0x30]].concat(), number));
        }
    }
}

#[test]
fn a_second_power_loss_while_what_the_first_left_gives_way_loses_nothing_answered() {
    let (folder, mut journal) = sample();
    append(&mut journal, certificate_signed(0x10));
    append(&mut journal, crl_signed(4, &[0x11]));
    let files = [NAME, head::NAME].map(|name| folder.path().join(name));
    let [flushed, old_head] = files.each_ref().map(|path| std::fs::read(path).unwrap());
    append(&mut journal, certificate_signed(0x20));
    let mut torn = std::fs::read(&files[0]).unwrap();
    torn[flushed.len()..][..8].fill(0);
    std::fs::write(&files[0], &torn).unwrap();
    std::fs::write(&files[1], &old_head).unwrap();
    append(&mut Journal::open(folder.path(), Access::Write).unwrap(), certificate_signed(0x30));
    let next = std::fs::read(&files[0]).unwrap();
    // The new entry reached the disk in part, over the old one; its length may have, or not.
    for at in flushed.len()..=next.len().min(torn.len()) {
        for tail in [&torn[at..], &[]] {
            std::fs::write(&files[0], [&next[..at], tail].concat()).unwrap();
            std::fs::write(&files[1], &old_head).unwrap();
            let mut journal = Journal::open(folder.path(), Access::Write).unwrap();
            assert!(keeps(&journal, &[0x10, 0x11], 4), "byte {at}");
            append(&mut journal, certificate_signed(0x40));
            assert!(keeps(&Journal::open(folder.path(), Access::Read).unwrap(), &[0x10, 0x11, 0x40], 4));
        }
    }
}

#[test]
fn those_that_only_read_may_look_at_once_and_hold_writers_off() {
    let (folder, mut writer) = sample();
    let [mut one, mut other] = [(); 2].map(|()| Journal::open(folder.path(), Access::Read).unwrap());
    let (first, second) = (one.lock().unwrap(), other.lock().unwrap());
    let file = File::open(folder.path().join(NAME)).unwrap();
    assert_eq!(flock(&file, FlockOperation::NonBlockingLockExclusive), Err(rustix::io::Errno::WOULDBLOCK));
    drop((first, second));
    let _held = writer.lock().unwrap();
    assert_eq!(flock(&file, FlockOperation::NonBlockingLockShared), Err(rustix::io::Errno::WOULDBLOCK));
}
