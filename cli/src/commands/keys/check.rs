//! `trstctl-dr keys check`: the match matrix as a table. This process opens no private key; a child of the signer's does.

use std::sync::Arc;

use serde_json::json;
use trstctl_formats::{Class, Failure};
use trstctl_recovery::match_matrix::{AtHand, Line, Matrix, Verdict, examine};
use trstctl_recovery::progress::{Phase, Phases};

use super::signer_program;
use crate::args::Check;
use crate::commands::Context;
use crate::outcome::Outcome;
use crate::text;

/// `trstctl-dr keys check`
pub fn run(context: &Context, args: Check) -> Result<Outcome, Failure> {
    let at_hand = AtHand {
        signer: args.signer.unwrap_or_else(signer_program),
        keystore: args.keystore,
        kek: args.kek,
        ca_certificates: args.ca_certificate,
        crls: args.crl,
        leaves: args.leaf,
        backups: args.backup,
        audit_key: args.key_file,
        identities: args.identity,
        set: args.set,
    };
    let mut phases = Phases::new(Arc::clone(&context.progress));
    let matrix = examine(&at_hand, &mut phases)?;
    Ok(outcome(&matrix, phases.into_report()))
}

fn outcome(matrix: &Matrix, phases: Vec<Phase>) -> Outcome {
    let count = |verdict| matrix.lines.iter().filter(|line| line.verdict == verdict).count();
    let (failed, not_checked) = (count(Verdict::Failed), count(Verdict::NotChecked));
    let mut words: String = matrix.lines.iter().map(line).collect();
    words.push_str(&format!("{} ok, {failed} failed, {not_checked} not checked\n", count(Verdict::Ok)));
    let report = matrix.report.as_ref();
    let result = json!({
        "lines": matrix.lines,
        "ok_lines": count(Verdict::Ok),
        "failed": failed,
        "not_checked": not_checked,
        "kek_id": report.map(|report| &report.kek_id),
        "deployment_id": report.and_then(|report| report.deployment_id.as_ref()),
        "probe": report,
        "phases": phases,
    });
    Outcome::new(words, result).with_error(failure(&matrix.lines))
}

fn failure(lines: &[Line]) -> Option<Failure> {
    let failed: Vec<&str> =
        lines.iter().filter(|line| line.verdict == Verdict::Failed).map(|line| line.check).collect();
    let mut named = failed.clone();
    named.dedup();
    (!failed.is_empty()).then(|| {
        let message = format!("{} failed: {}", text::plural(failed.len() as u64, "line"), named.join(", "));
        Failure::new(
            Class::Findings,
            message,
            "Each line above that says FAILED ends with what to do. Restore nothing before.",
        )
    })
}

/// Columns of verdict and check.
const VERDICT_WIDTH: usize = 11;
const CHECK_WIDTH: usize = 14;

/// A check in lines of at most 80 columns: verdict, check, what it is about and what was found, and below it what to do.
fn line(line: &Line) -> String {
    let verdict = match line.verdict {
        Verdict::Ok => "ok",
        Verdict::Failed => "FAILED",
        Verdict::NotChecked => "not checked",
    };
    let found = match line.subject.as_str() {
        "" => line.found.clone(),
        subject => format!("{subject}: {}", line.found),
    };
    let mut words = text::column(&format!("{verdict:<VERDICT_WIDTH$} {:<CHECK_WIDTH$} ", line.check), &found);
    if !line.to_do.is_empty() {
        let lead = format!("{:>width$}", "to do: ", width = VERDICT_WIDTH + CHECK_WIDTH + 2);
        words.push_str(&text::column(&lead, &line.to_do));
    }
    words
}
