//! The match matrix: before any restore, whether the keys, certificates, CRLs and backups at hand belong together.
//!
//! A file a thing that is looked at; a check a line. None stops another: what cannot be looked at says what would make it
//! checkable. Sealed keys are opened by a signer's child alone (`probe`); what this process holds of them is public.
//!
//! Invariant: nothing is written, anywhere.

mod authorities;
mod certificates;
mod crls;
mod leaves;
mod line;
mod probe;
mod sealed_keys;

use std::path::PathBuf;

use trstctl_formats::Failure;
use trstctl_signer_protocol::probe::Report;

use self::authorities::Authorities;
pub use self::line::{Line, Verdict};
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
pub fn examine(at_hand: &AtHand) -> Matrix {
    let mut lines = Vec::new();
    let ca_certificates = read(&at_hand.ca_certificates, "CA certificate", Certificate::read, &mut lines);
    let crls = read(&at_hand.crls, "CRL", Crl::read, &mut lines);
    let leaves = read(&at_hand.leaves, "leaf", Certificate::read, &mut lines);
    let report = leaves::serials(&leaves)
        .and_then(|serials| probe::run(&at_hand.signer, &at_hand.keystore, &at_hand.kek, &serials));
    let report = match report {
        Ok(report) => report,
        Err(failure) => {
            lines.insert(0, Line::of_failure("KEK", at_hand.kek.display().to_string(), &failure));
            let why = "the signer gave no report on the key store";
            let others = ["sealed key", "CA certificate", "CRL", "leaf"];
            lines.extend(others.map(|check| Line::not_checked(check, "", why, "Mend the line KEK first.")));
            return Matrix { lines, report: None };
        }
    };
    let unreadable = std::mem::take(&mut lines);
    let authorities = Authorities::new(&report, &ca_certificates);
    lines.extend(sealed_keys::examine(&report, &at_hand.keystore));
    lines.extend(certificates::examine(&authorities));
    lines.extend(crls::examine(&crls, &authorities));
    lines.extend(leaves::examine(&leaves, &authorities));
    lines.extend(unreadable);
    Matrix { lines, report: Some(report) }
}

/// What the files hold; one that cannot be read is a line.
fn read<T>(
    paths: &[PathBuf],
    check: &'static str,
    read: fn(&std::path::Path) -> Result<Vec<T>, Failure>,
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
