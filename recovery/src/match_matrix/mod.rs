//! The match matrix: before any restore, whether the keys, certificates, CRLs and backups at hand belong together.
//!
//! A file a thing that is looked at; a check a line. None stops another: what cannot be looked at says what would make it
//! checkable. Sealed keys are opened by a signer's child alone (`probe`); what this process holds of them is public.
//!
//! Invariant: nothing is written, anywhere.

mod authorities;
mod backups;
mod certificates;
mod crls;
mod leaves;
mod line;
mod probe;
mod sealed_keys;
mod secrets;

use std::path::{Path, PathBuf};

use trstctl_formats::Failure;
use trstctl_signer_protocol::probe::Report;

use self::authorities::Authorities;
pub use self::line::{Line, Verdict};
use crate::progress::Phases;
use crate::x509::{Certificate, Crl};

/// What is at hand.
#[derive(Debug, Default)]
pub struct AtHand {
    /// The program `trstctl-signer`.
    pub signer: PathBuf,
    /// Folder of sealed keys and journal, or a copy.
    pub keystore: PathBuf,
    /// The KEK.
    pub kek: PathBuf,
    /// Files with certificates of CAs.
    pub ca_certificates: Vec<PathBuf>,
    /// Files with CRLs: the newest of each CA.
    pub crls: Vec<PathBuf>,
    /// Files with certificates that the CAs issued.
    pub leaves: Vec<PathBuf>,
    /// Backups of the event log.
    pub backups: Vec<PathBuf>,
    /// The audit signing key, which authenticates backups.
    pub audit_key: Option<PathBuf>,
    /// Private keys that open encrypted backups.
    pub identities: Vec<PathBuf>,
    /// Files and folders of a backup set, which must hold none of the keys above.
    pub set: Vec<PathBuf>,
}

/// What was found.
#[derive(Debug)]
pub struct Matrix {
    /// The lines, in the order of the table.
    pub lines: Vec<Line>,
    /// What the signer's child reported, if it did.
    pub report: Option<Report>,
}

/// Holds everything against everything.
///
/// # Errors
/// [`Class::Interrupted`](trstctl_formats::Class::Interrupted) alone: whatever else goes wrong is a line.
pub fn examine(at_hand: &AtHand, phases: &mut Phases) -> Result<Matrix, Failure> {
    let (mut lines, report) = keys(at_hand);
    lines.extend(backups::examine(at_hand, phases)?);
    lines.extend(secrets::examine(at_hand, phases)?);
    Ok(Matrix { lines, report })
}

/// Sealed keys and what they signed.
fn keys(at_hand: &AtHand) -> (Vec<Line>, Option<Report>) {
    let mut unreadable = Vec::new();
    let ca_certificates =
        read(&at_hand.ca_certificates, "CA certificate", Certificate::read, &mut unreadable);
    let crls = read(&at_hand.crls, "CRL", Crl::read, &mut unreadable);
    let leaves = read(&at_hand.leaves, "leaf", Certificate::read, &mut unreadable);
    let report = leaves::serials(&leaves)
        .and_then(|serials| probe::run(&at_hand.signer, &at_hand.keystore, &at_hand.kek, &serials));
    let mut lines = match &report {
        Ok(report) => {
            let authorities = Authorities::new(report, &ca_certificates);
            let mut lines = sealed_keys::examine(report, &at_hand.keystore);
            lines.extend(certificates::examine(&authorities));
            lines.extend(crls::examine(&crls, &authorities));
            lines.extend(leaves::examine(&leaves, &authorities));
            lines
        }
        Err(failure) => without_report(&at_hand.kek, failure),
    };
    lines.extend(unreadable);
    (lines, report.ok())
}

fn without_report(kek: &Path, failure: &Failure) -> Vec<Line> {
    let mut lines = vec![Line::of_failure("KEK", kek.display().to_string(), failure)];
    let why = "the signer gave no report on the key store";
    let others = ["journal", "sealed key", "CA certificate", "CRL", "leaf"];
    lines.extend(others.map(|check| Line::not_checked(check, "", why, "Mend the line KEK first.")));
    lines
}

/// What the files hold; one that cannot be read is a line.
fn read<T>(
    paths: &[PathBuf],
    check: &'static str,
    read: fn(&Path) -> Result<Vec<T>, Failure>,
    lines: &mut Vec<Line>,
) -> Vec<T> {
    let mut found = Vec::new();
    for path in paths {
        match read(path) {
            Ok(items) => found.extend(items),
            Err(failure) => lines.push(Line::of_failure(check, path.display().to_string(), &failure)),
        }
    }
    found
}
