//! `trstctl-dr keys crl`: the signer signs the next CRL of a CA, complete, and it is written when it is what was asked for.

use std::path::Path;

use jiff::Timestamp;
use serde_json::json;
use trstctl_formats::{Class, Failure};
use trstctl_recovery::authority::{self, CaCertificate, CrlOptions, Signer, sign_crl};

use super::super::Context;
use super::{signed_output, socket, write_signed};
use crate::args::Crl;
use crate::outcome::Outcome;
use crate::text;

/// `trstctl-dr keys crl`
pub fn run(context: &Context, args: Crl) -> Result<Outcome, Failure> {
    let socket = socket(context, &args.signing.signer)?;
    let form = Form::of(&args.output)?;
    let issuer = CaCertificate::read(&args.issuer)?;
    let previous = args.previous.as_deref().map(|path| authority::Crl::read(path, &issuer)).transpose()?;
    let output = signed_output(&args.output, &args.signing)?;
    let options = CrlOptions {
        previous,
        revoke: args.revoke,
        number: args.number,
        lifetime_days: args.days,
        epoch: args.signing.epoch,
    };
    let crl = context.run(async {
        let mut signer = Signer::connect(&socket).await?;
        sign_crl(&mut signer, args.ca, &issuer, &options, Timestamp::now()).await
    })?;
    let bytes = match form {
        Form::Der => crl.der().to_vec(),
        Form::Pem => crl.pem().into_bytes(),
    };
    write_signed(output, &args.output, &bytes)?;
    Ok(signed(&args.output, &issuer, &options, &crl))
}

/// How a CRL is written.
enum Form {
    Der,
    Pem,
}

impl Form {
    /// What the ending of the file says.
    fn of(path: &Path) -> Result<Self, Failure> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("crl" | "der") => Ok(Self::Der),
            Some("pem") => Ok(Self::Pem),
            _ => {
                let name = path.display().to_string();
                let message = format!("the ending of {name} does not say how to write the CRL");
                let hint = "Name a file that ends in .crl or .der for DER, in .pem for PEM.";
                Err(Failure::new(Class::Usage, message, hint).in_file(name))
            }
        }
    }
}

fn signed(path: &Path, issuer: &CaCertificate, options: &CrlOptions, crl: &authority::Crl) -> Outcome {
    let (begins, next) = crl.validity();
    let next = next.map(|next| next.to_string());
    let (revoked, new) = (crl.revoked() as u64, options.revoke.len() as u64);
    let mut words = format!("SIGNED the CRL {}\n", crl.number());
    words.push_str(&text::wrap("  issuer      ", &text::printable(&issuer.subject())));
    words.push_str(&text::field(
        "revoked",
        format!("{}, {} of them now", text::plural(revoked, "certificate"), text::count(new)),
    ));
    words.push_str(&text::field("begins", begins));
    words.push_str(&text::field("next due", next.as_deref().unwrap_or_default()));
    words.push_str(&text::field("SHA-256", crl.sha256()));
    words.push_str(&text::wrap("  written     ", &path.display().to_string()));
    let result = json!({
        "issuer": issuer.subject(),
        "number": crl.number(),
        "previous_number": options.previous.as_ref().map(authority::Crl::number),
        "revoked": revoked,
        "revoked_now": new,
        "this_update": begins.to_string(),
        "next_update": next,
        "sha256": crl.sha256().to_string(),
        "output": path.display().to_string(),
    });
    Outcome::new(words, result)
}
