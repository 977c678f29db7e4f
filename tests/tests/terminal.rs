//! What the program is on a terminal: progress with a rate and the time left, completions for the shell.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use trstctl_ledger::history::History;
use trstctl_tests::{Action, Fault, Pick, Proxy, Run, Site, Speech, binary, program};

/// Runs this command line on a terminal of its own; what it shows is standard output.
fn on_a_terminal(site: &Site, line: &str, url: &str) -> Run {
    let mut terminal = Command::new("script");
    terminal.args(["--quiet", "--return", "--command", line]).arg(site.path("typescript"));
    for (name, value) in site.command(&[]).get_envs().filter_map(|(name, value)| Some((name, value?))) {
        terminal.env(name, value);
    }
    terminal.env("TERM", "xterm").env("TRSTCTL_NATS_URL", url).env("DR", binary());
    Run::of(terminal.current_dir(site.path("")))
}

#[test]
fn progress_on_a_terminal_has_rate_and_time_left_and_elsewhere_is_plain_lines() {
    let site = Site::start();
    site.seed(History::new(81, 20_000));
    let proxy = Proxy::before(site.nats.port(), Speech::Nats);
    let url = proxy.url(&site.nats.url());
    // The bar stands still for a while in the middle, and is drawn again and again.
    proxy.arm(Fault::to_client(Pick::Sequence(15_000), Action::Delay(Duration::from_secs(2))));
    let run = on_a_terminal(&site, "stty rows 24 cols 80; \"$DR\" backup --output a.jsonl", &url).succeed();
    let bars: Vec<&str> = run.stdout.split(['\r', '\n']).filter(|line| line.contains(" left")).collect();
    assert!(
        bars.iter().any(|bar| bar.contains("back up") && bar.contains("events") && bar.contains("/s")),
        "{run:?}"
    );
    assert!(bars.iter().all(|bar| columns(bar) <= 80), "{bars:?}");
    proxy.heal();
    let plain = site.dr(&["backup", "--output", "b.jsonl"]).succeed();
    assert!(plain.stderr.lines().any(|line| line == "back up …"), "{}", plain.stderr);
    assert!(!plain.stderr.contains(['\r', '\u{1b}']), "{:?}", plain.stderr);
}

/// How wide a line is, without what moves the cursor.
fn columns(line: &str) -> usize {
    let mut parts = line.split('\u{1b}');
    let before = parts.next().map_or(0, |text| text.chars().count());
    let after = |part: &str| {
        part.split_once(|c: char| c.is_ascii_alphabetic()).map_or(0, |(_, text)| text.chars().count())
    };
    before + parts.map(after).sum::<usize>()
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("completions");
    let bash = Run::of(program().args(["completions", "bash"])).succeed().stdout;
    std::fs::write(&script, bash).unwrap();
    assert_eq!(completed(&script, "trstctl-dr", "res"), ["restore"]);
    assert_eq!(completed(&script, "trstctl-dr restore", "--reb"), ["--rebuild"]);
    assert_eq!(completed(&script, "trstctl-dr restore --method", ""), ["archive", "publish"]);
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let run = Run::of(program().args(["completions", shell])).succeed();
        assert!(
            ["restore", "rebuild", "accept-new-sequences"].iter().all(|word| run.stdout.contains(word)),
            "{shell}"
        );
    }
}

/// What bash would offer for `word` after `before`.
fn completed(script: &Path, before: &str, word: &str) -> Vec<String> {
    let ask = "source \"$1\"; COMP_WORDS=($2 \"$3\"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); \
               completer=$(complete -p trstctl-dr); completer=${completer#*-F }; \
               ${completer%% *} trstctl-dr \"$3\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let run =
        Run::of(Command::new("bash").args(["-c", ask, "ask"]).arg(script).args([before, word])).succeed();
    run.stdout.lines().map(ToOwned::to_owned).collect()
}
