//! `trstctl-dr completions`

use trstctl_formats::{Class, Failure};

use crate::args::Completions;
use crate::outcome::Outcome;

pub fn run(args: &Completions, json: bool) -> Result<Outcome, Failure> {
    if json {
        return Err(Failure::new(Class::Usage, "a completion script is no JSON", "Leave out --json."));
    }
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "trstctl-dr", &mut script);
    Ok(Outcome { text: String::from_utf8_lossy(&script).into_owned(), ..Outcome::default() })
}
