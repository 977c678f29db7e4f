//! The signer's child that opens the sealed keys: no private key is ever opened in this process.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use trstctl_formats::{Class, Failure};
use trstctl_signer_protocol::probe::{Report, VERSION};

/// No report is longer, in bytes: some 5,000 keys of the longest kind.
const MAX_REPORT_BYTES: u64 = 32 << 20;

/// So much of what the child says besides is kept, in bytes.
const MAX_SAID_BYTES: u64 = 16 << 10;

/// Exit code of a report by which not every key is open.
const NOT_ALL_OPEN: i32 = 3;

/// Runs `trstctl-signer --probe` over a key store, and asks it about these serials.
///
/// # Errors
/// [`Class::Usage`] when the program does not start or gives no report, with what it says; [`Class::Internal`] for a report that this
/// program cannot read.
pub fn run(program: &Path, keystore: &Path, kek: &Path, serials: &[String]) -> Result<Report, Failure> {
    let mut command = Command::new(program);
    command.arg("--probe").arg("--keystore").arg(keystore).arg("--kek").arg(kek);
    for serial in serials {
        command.args(["--serial", serial]);
    }
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.map_err(|error| does_not_start(program, &error))?;
    let (status, report, said) = heard(child).map_err(|error| does_not_start(program, &error))?;
    match status.code() {
        Some(0 | NOT_ALL_OPEN) => read(&report),
        _ => Err(no_report(status, &said)),
    }
}

/// Both streams to their ends, the second one on a thread, so that neither fills up.
fn heard(mut child: Child) -> io::Result<(ExitStatus, Vec<u8>, String)> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let said = std::thread::spawn(move || beginning(stderr, MAX_SAID_BYTES));
    let report = beginning(stdout, MAX_REPORT_BYTES + 1);
    let status = child.wait()?;
    let said = said.join().unwrap_or_default();
    Ok((status, report, String::from_utf8_lossy(&said).into_owned()))
}

/// What is beyond the limit is read and dropped. What cannot be read is missing, which the report then shows.
fn beginning(source: Option<impl Read>, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut source) = source {
        let _ = source.by_ref().take(limit).read_to_end(&mut bytes);
        let _ = io::copy(&mut source, &mut io::sink());
    }
    bytes
}

fn read(report: &[u8]) -> Result<Report, Failure> {
    let other = |what: String| {
        Failure::new(Class::Internal, what, "Use trstctl-dr and trstctl-signer of the same release.")
    };
    if report.len() as u64 > MAX_REPORT_BYTES {
        return Err(other(format!("the signer's report has more than {MAX_REPORT_BYTES} bytes")));
    }
    let version: Version = serde_json::from_slice(report)
        .map_err(|error| other(format!("the signer's report cannot be read: {error}")))?;
    if version.version != VERSION {
        return Err(other(format!(
            "the signer's report has version {}, and this program reads {VERSION}",
            version.version
        )));
    }
    serde_json::from_slice(report)
        .map_err(|error| other(format!("the signer's report cannot be read: {error}")))
}

#[derive(serde::Deserialize)]
struct Version {
    version: u32,
}

fn does_not_start(program: &Path, error: &io::Error) -> Failure {
    Failure::new(
        Class::Usage,
        format!("the signer {} does not start: {error}", program.display()),
        "Name the program trstctl-signer with --signer PATH, or put it beside trstctl-dr.",
    )
}

fn no_report(status: ExitStatus, said: &str) -> Failure {
    let said = said.trim().trim_start_matches("trstctl-signer: ");
    let message = match said {
        "" => format!("the signer gave no report, and ended with {status}"),
        said => said.to_owned(),
    };
    Failure::new(
        Class::Usage,
        message,
        "Name the folder of sealed keys and the KEK as the signer needs them.",
    )
}
