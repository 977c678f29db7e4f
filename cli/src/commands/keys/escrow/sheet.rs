//! What a custodian gets: the share as a text file, and as an HTML page to print, which asks for nothing outside.

use std::fmt::Write as _;

use trstctl_formats::key_share::{Secret, Share};
use zeroize::Zeroizing;

use super::code::Code;

/// A sheet is never moved while it grows: what is moved leaves a copy behind. A code of 37 by 37 modules needs less than 30 KiB.
const SHEET_BYTES: usize = 64 << 10;

/// The text file.
pub fn text(secret: &Secret, share: &Share, shares: usize) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(1024));
    let _ = write!(text, "# {}\n{}\n", facts(secret, share, shares).join("\n# "), *share.grouped_text());
    text
}

/// The page.
pub fn html(secret: &Secret, share: &Share, shares: usize) -> Zeroizing<String> {
    let mut page = Zeroizing::new(String::with_capacity(SHEET_BYTES));
    page.push_str(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n<title>Share of a key</title>\n\
         <style>body{font:12pt serif;margin:2cm}code{font:16pt monospace;display:block;margin:1cm 0}svg{width:7cm}</style></head><body>\n",
    );
    let _ = writeln!(page, "<h1>Share {} of {shares}</h1>", share.index());
    for fact in facts(secret, share, shares) {
        let _ = writeln!(page, "<p>{fact}</p>");
    }
    let _ = writeln!(page, "<code>{}</code>", *share.grouped_text());
    push_code(&mut page, &Code::of(share));
    page.push_str("\n<p>Custodian: ____________________ &nbsp; Date: ______________</p>\n</body></html>\n");
    page
}

/// Nothing of these is secret, and none of them holds a character that HTML knows.
pub fn facts(secret: &Secret, share: &Share, shares: usize) -> [String; 4] {
    [
        format!("Share {} of {shares} of the {} {}", share.index(), secret.kind(), secret.name()),
        format!(
            "Set {}. Any {} shares of this set give the key back, fewer say nothing about it.",
            share.set(),
            share.threshold()
        ),
        String::from(
            "Keep it sealed, alone, and away from the other shares. Photograph it with no telephone.",
        ),
        String::from("To recover: trstctl-dr keys recover, or docs/format/key-share.md."),
    ]
}

/// The code, as one path of squares.
fn push_code(page: &mut String, code: &Code) {
    let side = code.side();
    let _ = write!(
        page,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" shape-rendering=\"crispEdges\"><path d=\""
    );
    for at in (0..side * side).filter(|at| code.is_dark(at % side, at / side)) {
        let _ = write!(page, "M{} {}h1v1h-1z", at % side, at / side);
    }
    page.push_str("\"/></svg>");
}
