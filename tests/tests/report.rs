//! The HTML report: written like every output, of success and of failure, and shown by a browser where one is installed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use trstctl_engines::NatsOptions;
use trstctl_ledger::history::History;
use trstctl_tests::{Run, Site, flip_byte, is_whole};

/// A site with a backup `a.jsonl`.
fn with_backup() -> Site {
    let site = Site::start();
    site.seed(History::new(81, 400));
    site.dr(&["backup", "--output", "a.jsonl"]).succeed();
    site
}

fn page(site: &Site, name: &str) -> String {
    fs::read_to_string(site.path(name)).unwrap()
}

#[test]
fn report_of_verify_holds_the_result_and_never_replaces_a_file_unasked() {
    let site = with_backup();
    let run = site.dr(&["verify", "--json", "--report", "r.html", "a.jsonl"]).succeed();
    let file = &run.json()["files"][0];
    let report = page(&site, "r.html");
    for key in ["sha256", "merkle_root"] {
        assert!(report.contains(file[key].as_str().unwrap()), "{key}");
    }
    assert!(report.contains("The backup is whole and authentic"));
    assert_eq!(run.json()["report"], "r.html");
    let mode = fs::metadata(site.path("r.html")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);

    site.dr(&["verify", "--report", "r.html", "a.jsonl"]).fail(2, "usage");
    assert_eq!(page(&site, "r.html"), report);
    site.dr(&["verify", "--report", "r.html", "--force", "a.jsonl"]).succeed();
    assert_eq!(site.partial_files(), Vec::<String>::new());
    site.dr(&["verify", "--report", "nowhere/r.html", "a.jsonl"]).fail(8, "output_failed");
}

#[test]
fn checksum_line_of_the_report_holds_under_public_tools() {
    let site = with_backup();
    site.dr(&["verify", "--report", "r.html", "a.jsonl"]).succeed();
    let report = page(&site, "r.html");
    let block = report.split("<pre><code>").find(|block| block.contains("sha256sum")).unwrap();
    let (line, expected) = block.split_once("</code>").unwrap().0.split_once('\n').unwrap();
    let output = Command::new("sh").arg("-c").arg(line).current_dir(site.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), expected);
}

#[test]
fn failure_is_reported_with_class_place_and_hint() {
    let site = with_backup();
    let len_bytes = fs::metadata(site.path("a.jsonl")).unwrap().len();
    flip_byte(&site.path("a.jsonl"), len_bytes / 2);
    let run = site.dr(&["verify", "--report", "r.html", "a.jsonl"]).fail(4, "damaged");
    let report = page(&site, "r.html");
    let hint = run.stderr.split("to do: ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    for words in ["<h1 id=\"verdict\">Damaged</h1>", "<code>damaged</code>", "<code>a.jsonl</code>", &hint] {
        assert!(report.contains(words), "{words}");
    }
    site.dr(&["restore", "--report", "s.html", "absent.jsonl"]).fail(2, "usage");
    assert!(page(&site, "s.html").contains("absent.jsonl"));
}

#[test]
fn hostile_file_name_does_nothing_in_the_report() {
    let site = with_backup();
    let name = "<img src=x onerror=alert(1)>\u{202e}.jsonl";
    fs::rename(site.path("a.jsonl"), site.path(name)).unwrap();
    site.dr(&["verify", "--report", "r.html", name]).succeed();
    let report = page(&site, "r.html");
    assert!(!report.contains("<img") && report.contains("&lt;img src=x onerror=alert(1)&gt;⟨U+202E⟩.jsonl"));
}

#[test]
fn reports_of_restore_and_demo_hold_their_phases_and_are_shown_by_a_browser() {
    let mut site = with_backup();
    site.lose_log(NatsOptions::default());
    let run = site.dr(&["restore", "--rebuild", "--json", "--report", "restore.html", "a.jsonl"]).json();
    let report = page(&site, "restore.html");
    assert!(report.contains("Restored, and proven"), "{run}");
    for version in [&run["nats_version"], &run["rebuild"]["postgres_version"]] {
        assert!(report.contains(version.as_str().unwrap()), "{version}");
    }
    for phase in run["phases"].as_array().unwrap() {
        assert!(report.contains(phase["name"].as_str().unwrap()), "{phase}");
    }
    site.dr(&["demo", "--events", "300", "--report", "demo.html"]).succeed();
    assert!(page(&site, "demo.html").contains("Recovered, and equal"));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/report-screenshot");
    site.dr(&["verify", "--report", "verify.html", "a.jsonl"]).succeed();
    let mut shown = Command::new(script);
    shown.args(["restore.html", "demo.html", "verify.html"]).current_dir(site.path(""));
    let shown = Run::of(&mut shown);
    // 3: no browser here, which the whole form does not accept.
    let is_skipped = shown.code == Some(3) && !is_whole();
    assert!(is_skipped || shown.code == Some(0), "{}{}", shown.stdout, shown.stderr);
    assert!(is_skipped || site.path("verify.pdf").exists());
}
