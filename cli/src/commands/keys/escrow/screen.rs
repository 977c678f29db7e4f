//! Shares on a terminal, one after the other, for custodians who stand before it: each is seen once, and wiped off before the next.

use std::io::{self, BufRead, IsTerminal, Write};

use trstctl_formats::key_share::{Secret, Share};
use trstctl_formats::{Class, Failure};
use zeroize::Zeroizing;

use super::code::Code;
use super::sheet;

/// The whole screen and what was scrolled off it are cleared.
const CLEAR: &str = "\x1b[H\x1b[2J\x1b[3J";
/// Black on white, whatever the terminal's own colours are; and back to those.
const PAPER: &str = "\x1b[30;107m";
const NORMAL: &str = "\x1b[0m";
/// Groups of five characters in a line.
const GROUPS: usize = 6;
/// A share's page is never moved while it grows: what is moved leaves a copy behind.
const PAGE_BYTES: usize = 16 << 10;

/// Refuses where shares would go into a file or a pipe, or nobody could answer.
pub fn is_there() -> Result<(), Failure> {
    if io::stdout().is_terminal() && io::stdin().is_terminal() {
        return Ok(());
    }
    let message = "shares are printed to a terminal, and standard output or input is none";
    let hint = "Run it at a terminal, not over a pipe, or write the shares to a folder with --output.";
    Err(Failure::new(Class::Usage, message, hint))
}

/// Shows each share until somebody presses Enter.
pub fn show(secret: &Secret, shares: &[Share]) -> Result<(), Failure> {
    let (mut answers, mut screen) = (io::stdin().lock(), io::stdout().lock());
    for share in shares {
        let index = share.index();
        let ask = format!(
            "Share {index} of {}: press Enter when only its custodian sees the screen. ",
            shares.len()
        );
        let shown = asked(&ask, &mut screen, &mut answers)
            .and_then(|()| asked(&page(secret, share, shares.len()), &mut screen, &mut answers));
        let wiped = screen.write_all(CLEAR.as_bytes()).and_then(|()| screen.flush());
        shown.and(wiped).map_err(|error| unseen(index, &error))?;
    }
    Ok(())
}

fn asked(text: &str, screen: &mut impl Write, answers: &mut impl BufRead) -> io::Result<()> {
    screen.write_all(text.as_bytes())?;
    screen.flush()?;
    match answers.skip_until(b'\n')? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn page(secret: &Secret, share: &Share, shares: usize) -> Zeroizing<String> {
    let mut page = Zeroizing::new(String::with_capacity(PAGE_BYTES));
    for fact in sheet::facts(secret, share, shares) {
        page.push_str(&fact);
        page.push('\n');
    }
    page.push('\n');
    for (index, group) in share.grouped_text().split(' ').enumerate() {
        page.push_str(group);
        page.push(if index % GROUPS == GROUPS - 1 { '\n' } else { ' ' });
    }
    page.push_str("\n\n");
    push_code(&mut page, &Code::of(share));
    page.push_str("\nPress Enter when it is written down or scanned: it is not shown again. ");
    page
}

/// Two rows of modules a line.
fn push_code(page: &mut String, code: &Code) {
    for y in (0..code.side()).step_by(2) {
        page.push_str(PAPER);
        for x in 0..code.side() {
            page.push(match (code.is_dark(x, y), code.is_dark(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        page.push_str(NORMAL);
        page.push('\n');
    }
}

fn unseen(index: u8, error: &io::Error) -> Failure {
    let message = format!("share {index} was not seen to the end: {error}");
    Failure::new(Class::Usage, message, "Split the key again: shares of two splittings do not go together.")
}
