//! `trstctl-dr keys certificate`: the signer signs a CA's certificate, and it is written when it is what was asked for.

use jiff::Timestamp;
use serde_json::json;
use trstctl_formats::Failure;
use trstctl_recovery::authority::{CaCertificate, CaOptions, Signer, Subject, sign_intermediate, sign_root};

use super::super::Context;
use super::{signed_output, socket, write_signed};
use crate::args::Certificate;
use crate::outcome::Outcome;
use crate::text;

/// `trstctl-dr keys certificate`
pub fn run(context: &Context, args: &Certificate) -> Result<Outcome, Failure> {
    let socket = socket(context, &args.signing.signer)?;
    let subject: Subject = args.subject.parse()?;
    let issuer = args.issuer.as_deref().map(CaCertificate::read).transpose()?;
    let output = signed_output(&args.output, &args.signing)?;
    let (days, path_len, epoch) = (args.days, args.path_len, args.signing.epoch);
    let options = CaOptions { subject, lifetime_days: days, path_len, epoch };
    let certificate = context.run(async {
        let mut signer = Signer::connect(&socket).await?;
        match issuer.as_ref().zip(args.key) {
            None => sign_root(&mut signer, args.ca, &options, Timestamp::now()).await,
            Some((issuer, key)) => {
                sign_intermediate(&mut signer, args.ca, issuer, key, &options, Timestamp::now()).await
            }
        }
    })?;
    write_signed(output, &args.output, certificate.pem().as_bytes())?;
    Ok(signed(args, &certificate))
}

fn signed(args: &Certificate, certificate: &CaCertificate) -> Outcome {
    let kind = if args.root { "root" } else { "intermediate" };
    let (begins, ends) = certificate.validity();
    let mut words = format!("SIGNED the {kind}\n");
    words.push_str(&text::wrap("  subject     ", &text::printable(&certificate.subject())));
    words.push_str(&text::field("serial", certificate.serial()));
    words.push_str(&text::field("valid", format!("{begins} to {ends}")));
    words.push_str(&text::field("SHA-256", certificate.sha256()));
    words.push_str(&text::wrap("  written     ", &args.output.display().to_string()));
    let result = json!({
        "kind": kind,
        "subject": certificate.subject(),
        "serial": certificate.serial().to_string(),
        "not_before": begins.to_string(),
        "not_after": ends.to_string(),
        "sha256": certificate.sha256().to_string(),
        "output": args.output.display().to_string(),
    });
    Outcome::new(words, result)
}
