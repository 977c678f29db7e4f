//! The power goes at any instant while keys are made or sealed again: whatever the disk then holds, what was answered is there.
//!
//! `strace` tells what the process did to its key store, and when it answered. A disk of the tests, which promises no more than POSIX does,
//! tells after each act everything that may be left; and so does one whose signer was killed before, with nothing lost yet, and started again.

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use support::disk::{Contents, Disk};
use support::strace::{self, Event};
use support::{Site, generate, id, public_key, refusal, said};
use trstctl_formats::sealed_key::{Kek, SealedKey};
use trstctl_signer_protocol::Client;
use trstctl_signer_protocol::v1::{Algorithm, HealthRequest, Key};

const KEYS: u32 = 2;

/// Whether the tests can see what a process does.
fn can_trace() -> bool {
    let is_there = strace::is_there();
    if !is_there {
        println!("skipped: there is no strace here, or it may not look at a process");
    }
    is_there
}

/// Everything that may be left after a power loss, and how many of the keys had been answered at the latest moment when it may be.
type Moments = BTreeMap<Contents, usize>;

/// Which of these keys a process has told.
fn tells(event: &Event, keys: &[Key]) -> usize {
    let Event::Said(bytes) = event else { return 0 };
    let is_told = |key: &&Key| bytes.windows(key.public_key.len()).any(|part| part == key.public_key);
    // One is told after the other.
    keys.iter().rposition(|key| is_told(&key)).map_or(0, |last| last + 1)
}

/// Goes through what happened, on a disk and with so many keys answered before; adds what may be left.
fn moments(mut disk: Disk, mut answered: usize, events: &[Event], keys: &[Key], all: &mut Moments) {
    for event in events {
        answered = answered.max(tells(event, keys));
        if let Event::Changed(change) = event {
            disk.take(change);
        }
        for left in disk.after_power_loss() {
            let before = all.entry(left).or_default();
            *before = answered.max(*before);
        }
    }
}

/// What a signer does that is started over the key store under strace, asked something, and killed.
async fn events_of<T>(site: &Site, name: &str, ask: impl AsyncFnOnce(Client) -> T) -> (Vec<Event>, T) {
    let log = site.folder.path().join("trace");
    let _ = std::fs::remove_file(&log);
    let signer = site.start_with(name, |command| *command = strace::under(command, &log)).await;
    let mut client = signer.client().await;
    let (pid, told) = (signer.child.id(), ask(client.clone()).await);
    // One connection says one thing after the other: strace has seen the whole of what was answered before.
    client.health(HealthRequest {}).await.unwrap();
    signer.kill();
    (strace::events(&log, pid, &site.keystore()), told)
}

/// A signer starts over what is left, has each key that was answered, and calls none another or sealed under another KEK; the others are there whole,
/// or can be asked for again.
async fn assert_nothing_is_lost(site: &Site, left: &Contents, answered: usize, keys: &[Key]) {
    site.put_contents(left);
    let signer = site.start("check").await;
    let mut client = signer.client().await;
    let health = client.health(HealthRequest {}).await.unwrap().into_inner();
    let finding = health.degraded.iter().find(|finding| finding.contains("-0000-4000-8000-"));
    assert_eq!(finding, None, "{answered} answered, {:?}", left.keys());
    for (number, key) in keys.iter().enumerate() {
        match public_key(&mut client, &key.key_id).await {
            Ok(found) => assert_eq!(found, *key),
            Err(refused) => {
                assert_eq!(refusal(&refused), "unknown_key", "{refused}");
                assert!(number >= answered, "an answered key is lost, {:?}", left.keys());
                generate(&mut client, &key.key_id, Algorithm::P256).await.unwrap();
            }
        }
    }
    signer.kill();
    std::fs::remove_dir_all(site.socket("check").parent().unwrap()).unwrap();
    assert!(!site.contents().keys().any(|name| name.ends_with(".pending")));
}

async fn make_keys(mut client: Client) -> Vec<Key> {
    let mut keys = Vec::new();
    for number in 1..=KEYS {
        keys.push(generate(&mut client, &id(number), Algorithm::P256).await.unwrap());
    }
    keys
}

#[tokio::test]
async fn whatever_a_power_loss_leaves_of_a_store_each_key_that_was_answered_is_there() {
    if !can_trace() {
        return;
    }
    let site = Site::new();
    let (events, keys) = events_of(&site, "make", make_keys).await;
    let mut all = Moments::new();
    moments(Disk::default(), 0, &events, &keys, &mut all);
    assert!((0..=keys.len()).all(|number| all.values().any(|answered| *answered == number)), "{all:?}");
    println!("{} states of the disk", all.len());
    for (left, answered) in &all {
        assert_nothing_is_lost(&site, left, *answered, &keys).await;
    }
}

/// What a kill leaves is all there, and not all durable: what the next signer answers for must be.
#[tokio::test]
async fn a_power_loss_behind_a_kill_takes_no_key_that_the_next_signer_has_answered() {
    if !can_trace() {
        return;
    }
    let site = Site::new();
    let (events, keys) = events_of(&site, "make", make_keys).await;
    let (mut disk, mut answered, mut all) = (Disk::default(), 0, Moments::new());
    let ask = async |mut client: Client| {
        for key in &keys {
            drop(public_key(&mut client, &key.key_id).await);
        }
    };
    for (number, event) in events.iter().enumerate() {
        answered = answered.max(tells(event, &keys));
        let Event::Changed(change) = event else { continue };
        disk.take(change);
        site.put_contents(&disk.seen());
        let (again, ()) = events_of(&site, &format!("k{number}"), &ask).await;
        moments(disk.clone(), answered, &again, &keys, &mut all);
    }
    println!("{} states of the disk", all.len());
    for (left, answered) in &all {
        assert_nothing_is_lost(&site, left, *answered, &keys).await;
    }
}

const OLD: [u8; 32] = [7; 32];
const NEW: [u8; 32] = [8; 32];

fn rewrap(site: &Site) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trstctl-signer"));
    command.arg("rewrap").arg("--keystore").arg(site.keystore()).arg("--kek").arg(site.kek());
    command.arg("--new-kek").arg(new_kek(site));
    command
}

fn new_kek(site: &Site) -> PathBuf {
    site.folder.path().join("new-kek")
}

/// Keys under the old KEK, and both KEKs.
async fn site_with_keys() -> (Site, Vec<Key>) {
    let site = Site::new();
    site.put_kek(&NEW, 0o400);
    std::fs::rename(site.kek(), new_kek(&site)).unwrap();
    site.put_kek(&OLD, 0o400);
    let signer = site.start("make").await;
    let keys = make_keys(signer.client().await).await;
    signer.kill();
    (site, keys)
}

/// What a rewrap does that runs to its end.
fn events_of_rewrap(site: &Site) -> Vec<Event> {
    let log = site.folder.path().join("trace");
    let _ = std::fs::remove_file(&log);
    let child = strace::under(&rewrap(site), &log).stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let run = child.wait_with_output().unwrap();
    assert!(run.status.success(), "{}", said(&run));
    strace::events(&log, pid, &site.keystore())
}

/// Each key is there under one of the KEKs, its own key; and under the new one when the rewrap has said so.
fn assert_opens(left: &Contents, is_through: bool, keys: &[Key]) {
    let keks = if is_through { &[NEW][..] } else { &[OLD, NEW] };
    for key in keys {
        let sealed = SealedKey::read(&left[&format!("{}.key", key.key_id)]).unwrap();
        let mut out = vec![0; sealed.plaintext_len()];
        let opens = keks.iter().any(|kek| sealed.open(&Kek::new(*kek), &mut out).is_ok());
        assert!(opens, "key {} does not open, said to be through: {is_through}", key.key_id);
        assert_eq!(sealed.header().key_id, uuid::Uuid::parse_str(&key.key_id).unwrap().into_bytes());
    }
}

/// Everything that may be left while this happens, and whether the rewrap had said that it is through.
fn moments_of_rewrap(mut disk: Disk, events: &[Event], all: &mut BTreeMap<Contents, bool>) {
    let mut is_through = false;
    for event in events {
        match event {
            Event::Changed(change) => disk.take(change),
            Event::Said(bytes) => {
                is_through |= String::from_utf8_lossy(bytes).contains("are sealed under the KEK")
            }
        }
        for left in disk.after_power_loss() {
            *all.entry(left).or_default() |= is_through;
        }
    }
    assert!(is_through);
}

#[tokio::test]
async fn whatever_a_power_loss_leaves_of_a_rewrap_each_key_opens_and_the_same_command_finishes() {
    if !can_trace() {
        return;
    }
    let (site, keys) = site_with_keys().await;
    let before = Disk::of(&site.contents());
    let mut all = BTreeMap::new();
    moments_of_rewrap(before, &events_of_rewrap(&site), &mut all);
    println!("{} states of the disk", all.len());
    for (left, is_through) in &all {
        assert_opens(left, *is_through, &keys);
        site.put_contents(left);
        let again = rewrap(&site).output().unwrap();
        assert!(again.status.success(), "{}", said(&again));
        assert_opens(&site.contents(), true, &keys);
        assert!(site.journal_verify().status.success());
    }
    site.put_kek(&NEW, 0o400);
    let signer = site.start("last").await;
    for key in keys {
        let found = public_key(&mut signer.client().await, &key.key_id).await.unwrap();
        assert_eq!(found, Key { generation: 2, ..key });
    }
}

#[tokio::test]
async fn a_power_loss_behind_a_killed_rewrap_takes_no_key_back_once_the_next_has_said_that_it_is_through() {
    if !can_trace() {
        return;
    }
    let (site, keys) = site_with_keys().await;
    let mut disk = Disk::of(&site.contents());
    let mut all = BTreeMap::new();
    for event in events_of_rewrap(&site) {
        let Event::Changed(change) = event else { continue };
        disk.take(&change);
        site.put_contents(&disk.seen());
        moments_of_rewrap(disk.clone(), &events_of_rewrap(&site), &mut all);
    }
    println!("{} states of the disk", all.len());
    all.iter().for_each(|(left, is_through)| assert_opens(left, *is_through, &keys));
}
