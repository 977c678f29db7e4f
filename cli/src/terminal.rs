//! Progress on standard error: a bar on a terminal, plain lines elsewhere, nothing when quiet.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use trstctl_recovery::progress::{Phase, Progress, Unit};

use crate::text;

/// How often a running phase says something where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Set once the operator wants to stop.
pub static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Where progress goes.
enum Style {
    Quiet,
    Lines,
    Bar,
}

/// Shows the phases of a flow.
pub struct Terminal {
    style: Style,
    current: Mutex<Option<Current>>,
}

struct Current {
    phase: &'static str,
    total: Option<u64>,
    unit: Unit,
    started: Instant,
    told: Instant,
    bar: Option<ProgressBar>,
}

impl Terminal {
    /// Progress for this run.
    pub fn new(quiet: bool) -> Self {
        let style = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Style::Quiet,
            (false, true) => Style::Bar,
            (false, false) => Style::Lines,
        };
        Self { style, current: Mutex::new(None) }
    }

    fn clear(&self) {
        self.with_current(|current| {
            if let Some(bar) = current.take().and_then(|current| current.bar) {
                bar.finish_and_clear();
            }
        });
    }

    fn with_current(&self, act: impl FnOnce(&mut Option<Current>)) {
        // A panic elsewhere does not make progress wrong.
        act(&mut self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

impl Progress for Terminal {
    fn begin(&self, phase: &'static str, total: Option<u64>, unit: Unit) {
        let bar = matches!(self.style, Style::Bar).then(|| bar(phase, total, unit));
        if matches!(self.style, Style::Lines) {
            say(&format!("{phase} …"));
        }
        let now = Instant::now();
        self.with_current(|current| {
            *current = Some(Current { phase, total, unit, started: now, told: now, bar })
        });
    }

    fn done(&self, count: u64) {
        self.with_current(|current| {
            let Some(current) = current else { return };
            if let Some(bar) = &current.bar {
                bar.set_position(count);
            } else if matches!(self.style, Style::Lines) && current.told.elapsed() >= LINE_EVERY {
                current.told = Instant::now();
                say(&current.line(count));
            }
        });
    }

    fn step(&self, what: &'static str) {
        self.with_current(|current| {
            if let Some(bar) = current.as_ref().and_then(|current| current.bar.as_ref()) {
                bar.set_message(what);
            }
        });
    }

    /// Nothing is printed: the phase stands in the result, with its time and rate.
    fn end(&self, _: &Phase) {
        self.clear();
    }

    fn interrupted(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Current {
    fn line(&self, done: u64) -> String {
        let elapsed = self.started.elapsed();
        let rate = rate(done, elapsed);
        let mut line = format!("{:<20}{}", self.phase, amount(done, self.unit));
        if let Some(total) = self.total.filter(|total| *total > 0) {
            line.push_str(&format!(" of {}", amount(total, self.unit)));
        }
        line.push_str(&format!(", {}/s", amount(rate, self.unit)));
        if let Some(left) = self.total.and_then(|total| total.saturating_sub(done).checked_div(rate)) {
            line.push_str(&format!(", {} left", text::duration(Duration::from_secs(left))));
        }
        line
    }
}

/// A line on standard error; a reader that is gone must not stop the work.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// A line for a finished phase: what, how long, how much, how fast.
pub fn finished(phase: &Phase) -> String {
    let elapsed = Duration::from_millis(phase.elapsed_ms);
    let mut line = format!("{:<18}{:>12}", phase.name, text::duration(elapsed));
    if phase.unit != Unit::Steps {
        let rate = amount(rate(phase.count, elapsed), phase.unit);
        line.push_str(&format!("  {:>20}  {rate:>20}/s", amount(phase.count, phase.unit)));
    }
    line
}

fn rate(count: u64, elapsed: Duration) -> u64 {
    (count as f64 / elapsed.as_secs_f64().max(0.001)) as u64
}

fn amount(count: u64, unit: Unit) -> String {
    match unit {
        Unit::Events => format!("{} events", text::count(count)),
        Unit::Bytes => text::bytes(count),
        Unit::Steps => text::count(count),
    }
}

fn bar(phase: &'static str, total: Option<u64>, unit: Unit) -> ProgressBar {
    let figures = match unit {
        Unit::Events => "{human_pos}/{human_len} events  {rate}",
        Unit::Bytes => "{decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}",
        Unit::Steps => "",
    };
    let template = match total {
        // The bar takes what the line has left: a line that is wider than the terminal cannot be drawn over.
        Some(_) => format!("{{msg:20}} [{{wide_bar}}] {figures}  {{eta}} left"),
        None => format!(
            "{{msg:20}} {{spinner}} {}",
            figures.replace("/{human_len}", "").replace("/{decimal_total_bytes}", "")
        ),
    };
    let bar = ProgressBar::new(total.unwrap_or(0));
    if let Ok(style) = ProgressStyle::with_template(&template) {
        let style = style.with_key("rate", |state: &ProgressState, line: &mut dyn fmt::Write| {
            // What cannot be drawn is not missed.
            let _ = write!(line, "{}/s", text::count(state.per_sec() as u64));
        });
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(phase);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
