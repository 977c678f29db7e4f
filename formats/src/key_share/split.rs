//! Splitting a secret, and putting it together again: Shamir's scheme over GF(256), a byte at a time.

use rand_core::CryptoRng;
use vsss_rs::Gf256;
use zeroize::Zeroizing;

use super::{Secret, SetId, Share, ShareFault};

/// No key is split among more custodians.
pub const MAX_SHARES: u8 = 16;

/// How many shares there are, and how many are needed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quorum {
    shares: u8,
    threshold: u8,
}

impl Quorum {
    /// At least two are needed, no more than there are, and there are at most [`MAX_SHARES`].
    ///
    /// # Errors
    /// [`ShareFault::Quorum`].
    pub fn new(shares: u8, threshold: u8) -> Result<Self, ShareFault> {
        if threshold < 2 || threshold > shares || shares > MAX_SHARES {
            return Err(ShareFault::Quorum { shares, threshold });
        }
        Ok(Self { shares, threshold })
    }

    /// How many there are.
    pub fn shares(self) -> u8 {
        self.shares
    }

    /// How many are needed.
    pub fn threshold(self) -> u8 {
        self.threshold
    }
}

/// Splits a secret. The randomness must be a generator's for keys; the set is named from it too.
pub fn split(secret: &Secret, quorum: Quorum, rng: &mut impl CryptoRng) -> Vec<Share> {
    let mut set = SetId([0; 4]);
    rng.fill_bytes(&mut set.0);
    let (threshold, count) = (quorum.threshold.into(), quorum.shares.into());
    let values = Gf256::split_bytes(threshold, count, secret.bytes(), rng).expect("a quorum can be split");
    let shares = values.into_iter().map(Zeroizing::new).map(|value| {
        let mut share = Share {
            kind: secret.kind(),
            tag: secret.tag(),
            set,
            threshold: quorum.threshold,
            index: value[0],
            value: Zeroizing::new([0; 32]),
        };
        share.value.copy_from_slice(&value[1..]);
        share
    });
    shares.collect()
}

/// The secret of these shares. All that are given are checked, also those beyond the threshold; one given twice counts once.
///
/// # Errors
/// Shares that do not belong together, too few, or such that do not give the key that they name.
pub fn combine(shares: &[Share]) -> Result<Secret, ShareFault> {
    let shares = distinct(shares)?;
    let first = shares.first().ok_or(ShareFault::None)?;
    let needed = usize::from(first.threshold);
    if shares.len() < needed {
        return Err(ShareFault::TooFew { given: shares.len(), needed });
    }
    let (enough, more) = shares.split_at(needed);
    let secret = interpolate(enough).ok_or(ShareFault::WrongSecret)?;
    for share in more {
        let with_it: Vec<&Share> = enough[1..].iter().copied().chain([*share]).collect();
        interpolate(&with_it).ok_or(ShareFault::WrongShare { index: share.index })?;
    }
    Ok(secret)
}

/// Each share once, all of one key and one set.
fn distinct(shares: &[Share]) -> Result<Vec<&Share>, ShareFault> {
    let mut distinct: Vec<&Share> = Vec::new();
    for share in shares {
        let first = *distinct.first().unwrap_or(&share);
        if (first.kind, first.tag) != (share.kind, share.tag) {
            return Err(ShareFault::OtherKey { index: share.index, first: first.tag, other: share.tag });
        }
        if (first.set, first.threshold) != (share.set, share.threshold) {
            return Err(ShareFault::OtherSet { index: share.index, first: first.set, other: share.set });
        }
        match distinct.iter().find(|known| known.index == share.index) {
            None => distinct.push(share),
            Some(known) if known.value == share.value => {}
            Some(_) => return Err(ShareFault::WrongShare { index: share.index }),
        }
    }
    Ok(distinct)
}

/// The secret of these shares, if it is the one that they name.
fn interpolate(shares: &[&Share]) -> Option<Secret> {
    let mut points = Zeroizing::new(Vec::with_capacity(shares.len()));
    for share in shares {
        let mut point = Vec::with_capacity(33);
        point.push(share.index);
        point.extend_from_slice(&share.value[..]);
        points.push(point);
    }
    let bytes = Zeroizing::new(Gf256::combine_bytes(&*points).ok()?);
    let secret = Secret::new(shares[0].kind, &bytes)?;
    (secret.tag() == shares[0].tag).then_some(secret)
}
