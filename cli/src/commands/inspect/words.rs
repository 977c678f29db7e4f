//! What `inspect` tells a person: facts, two tables, and bars over time, in 80 columns.

use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;

use jiff::Timestamp;
use trstctl_formats::StoreTime;
use trstctl_formats::backup::{FormatVersion, Verified};
use trstctl_recovery::inspect::{Bin, Count, Histogram, Named, Selection, Survey, Tally};

use crate::text;

/// Columns of a name in a table: a uuid's.
const NAME: usize = 36;
/// Columns of the longest bar.
const BAR: usize = 38;

const HOUR_MS: u64 = 60 * 60 * 1000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// All that is told.
pub fn of(
    path: &Path,
    verified: &Verified<File>,
    selection: &Selection,
    survey: &Survey,
    shown: usize,
) -> String {
    let summary = verified.summary();
    let mut words =
        format!("{}\n{}", quoted(&path.display().to_string()), super::super::verify::facts(summary));
    words.push_str(&text::field("created", summary.header.created_at));
    words.push_str(&text::field("cut", text::count(summary.header.event_cut_sequence)));
    if summary.header.version == FormatVersion::V2 {
        words.push_str(&text::field("stream", quoted(&summary.header.stream)));
        let deployment = summary.header.deployment_id.as_deref().map_or("not stated".into(), quoted);
        words.push_str(&text::field("deployment", deployment));
        words.push_str(&gaps(verified));
    }
    if !selection.is_all() {
        words.push_str(&text::field("selected", format!("{} (below)", text::count(survey.all.records))));
    }
    words.push_str(&foreign(survey));
    let times = Times::over(survey.all.times);
    words.push_str(&table("tenant", &survey.tenants, shown, &times));
    words.push_str(&table("type", &survey.types, shown, &times));
    words.push_str(&bars(&survey.histogram, Bars::here()));
    words
}

/// The first ranges of deleted messages.
fn gaps(verified: &Verified<File>) -> String {
    const SHOWN: usize = 8;
    let ranges =
        verified.summary().content.as_ref().map(|content| content.gaps.as_slice()).unwrap_or_default();
    if ranges.is_empty() {
        return String::new();
    }
    let range = |(first, last): &(u64, u64)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    let mut list: Vec<String> = ranges.iter().take(SHOWN).map(range).collect();
    if let Some(more) = ranges.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        list.push(format!("and {more} more"));
    }
    text::wrap("  gaps        ", &list.join(" "))
}

fn foreign(survey: &Survey) -> String {
    let messages = survey.foreign.messages.records;
    if messages == 0 {
        return text::field("foreign", "none: every message is an event");
    }
    let events = survey.foreign.events;
    let more = if events == 0 {
        String::new()
    } else {
        format!(", of which {} in another spelling", text::plural(events, "event"))
    };
    text::field("foreign", format!("{}{more}", text::plural(messages, "message")))
}

/// How the times of a table are written: by day, or by minute where all lie within two days.
struct Times {
    format: &'static str,
}

impl Times {
    fn over(range: Option<(StoreTime, StoreTime)>) -> Self {
        let span_ms = range.map_or(0, |(first, last)| last.0.abs_diff(first.0) / 1_000_000);
        Self { format: if span_ms <= 2 * DAY_MS { "%m-%d %H:%M" } else { "%Y-%m-%d" } }
    }

    fn of(&self, time: StoreTime) -> String {
        written(time, self.format)
    }
}

/// Every store time is an instant that can be written.
fn written(time: StoreTime, format: &str) -> String {
    Timestamp::from_nanosecond(time.0.into())
        .map_or_else(|_| time.to_string(), |instant| instant.strftime(format).to_string())
}

fn table(what: &str, tally: &Tally, shown: usize, times: &Times) -> String {
    let ranked = tally.ranked();
    if ranked.is_empty() {
        return String::new();
    }
    let title = format!("by {what} ({})", text::count(tally.names()));
    let mut words = format!("\n  {title:<NAME$} {:>12}  {:<11}  {:<11}\n", "events", "first", "last");
    for Named { name, count } in ranked.iter().take(shown) {
        let name = if name.is_empty() { "(foreign messages)".to_owned() } else { cut(&quoted(name)) };
        words.push_str(&row(&name, count, times));
    }
    if let Some(more) = ranked.len().checked_sub(shown).filter(|more| *more > 0) {
        words.push_str(&format!("  … and {} more: --all lists them\n", text::count(more as u64)));
    }
    if tally.other.records > 0 {
        let name = format!("(other {what}s, too many to list)");
        words.push_str(&row(&name, &tally.other, times));
    }
    words
}

fn row(name: &str, count: &Count, times: &Times) -> String {
    let (first, last) =
        count.times.map_or_else(Default::default, |(first, last)| (times.of(first), times.of(last)));
    let line = format!("  {name:<NAME$} {:>12}  {first:<11}  {last}", text::count(count.records));
    format!("{}\n", line.trim_end())
}

/// A name of the file, so that it cannot write to the reader's terminal.
fn quoted(name: &str) -> String {
    name.chars()
        .flat_map(|c| {
            if c.is_control() || is_invisible(c) {
                c.escape_debug().to_string().chars().collect::<Vec<_>>()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// Characters that change how others are shown.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn cut(name: &str) -> String {
    if name.chars().count() <= NAME {
        return name.to_owned();
    }
    name.chars().take(NAME - 1).chain(['…']).collect()
}

/// What bars are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bars {
    /// Blocks and eighths of them, where a terminal shows them.
    Unicode,
    /// `#`, for files, pipes and other terminals.
    Ascii,
}

impl Bars {
    fn here() -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
        let utf8 = locale.is_some_and(|locale| locale.to_uppercase().replace('-', "").contains("UTF8"));
        if utf8 && std::io::stdout().is_terminal() { Bars::Unicode } else { Bars::Ascii }
    }

    /// A bar of so many columns; any record is worth a mark.
    fn bar(self, records: u64, most: u64) -> String {
        let columns = records as f64 / most.max(1) as f64 * BAR as f64;
        if records == 0 {
            return String::new();
        }
        match self {
            Bars::Ascii => "#".repeat((columns.round() as usize).max(1)),
            Bars::Unicode => {
                let eighths = ((columns * 8.0).round() as usize).max(1);
                let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
                format!("{}{rest}", "█".repeat(eighths / 8))
            }
        }
    }
}

fn bars(histogram: &Histogram, bars: Bars) -> String {
    let most = histogram.bins().map(|bin| bin.records).max().unwrap_or(0);
    if most == 0 {
        return String::new();
    }
    let format = match histogram.width_ms() {
        ..1000 => "%Y-%m-%d %H:%M:%S.%3f",
        1000..60_000 => "%Y-%m-%d %H:%M:%S",
        60_000..DAY_MS => "%Y-%m-%d %H:%M",
        _ => "%Y-%m-%d",
    };
    let mut words = format!("\n  over time, UTC (a line: {})\n", width(histogram.width_ms()));
    for Bin { from, records } in histogram.bins() {
        let bar = bars.bar(records, most);
        let line = format!("  {}  {:>11}  {bar}", written(from, format), text::count(records));
        words.push_str(line.trim_end());
        words.push('\n');
    }
    words
}

/// A width in the largest unit that divides it.
fn width(ms: u64) -> String {
    let units = [(DAY_MS, "day"), (HOUR_MS, "hour"), (60_000, "minute"), (1000, "second")];
    let unit = units.into_iter().find(|(unit, _)| ms.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{ms} ms"), |(unit, noun)| text::plural(ms / unit, noun))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_record_is_worth_a_mark_and_no_bar_is_too_long() {
        for (bars, one, all) in [(Bars::Ascii, "#", "#".repeat(BAR)), (Bars::Unicode, "▏", "█".repeat(BAR))]
        {
            assert_eq!(bars.bar(0, 9), "");
            assert_eq!(bars.bar(1, 1_000_000), one);
            assert_eq!(bars.bar(7, 7), all);
        }
        assert_eq!(Bars::Unicode.bar(1, 2), "█".repeat(BAR / 2));
    }

    #[test]
    fn names_of_the_file_cannot_write_to_the_terminal_nor_widen_a_table() {
        assert_eq!(quoted("a\u{1b}[2J\u{202e}é"), "a\\u{1b}[2J\\u{202e}é");
        assert_eq!(cut(&"x".repeat(100)).chars().count(), NAME);
    }

    #[test]
    fn a_width_is_told_in_its_largest_unit() {
        assert_eq!(width(DAY_MS * 7), "7 days");
        assert_eq!(width(90_000), "90 seconds");
        assert_eq!(width(10), "10 ms");
    }
}
