//! The table in the terminal, at most 100 columns wide, a row as soon as it is measured.

use crate::machine::Fact;
use crate::row::Row;
use crate::setting::Setting;

/// Machine, sizes, and the heads of the columns.
pub fn beginning(machine: &[Fact], setting: &Setting) -> String {
    let facts: String = machine.iter().map(|(name, value)| format!("{name:12} {value}\n")).collect();
    let sizes = format!("{:12} {}\n\n", "sizes", sizes(setting));
    facts + &sizes + &line(["what", "yardstick", "ours", "ratio", "reach", ""]) + &"-".repeat(100) + "\n"
}

/// How much was measured, in words.
pub fn sizes(setting: &Setting) -> String {
    let gb: Vec<String> = setting.sizes_gb.iter().map(f64::to_string).collect();
    format!(
        "{} events; {} GB; memory at {} GB; median of {} rounds",
        setting.events,
        setting.gb,
        gb.join(", "),
        setting.rounds
    )
}

/// The row, and below it the yardstick's name.
pub fn row(row: &Row) -> String {
    let verdict = match row.is_reached() {
        Some(true) => "ok",
        Some(false) => "SHORT",
        None => "",
    };
    let yardstick = row.yardstick.as_ref().map(|yardstick| yardstick.figures.to_string());
    let figures = line([
        &row.what,
        yardstick.as_deref().unwrap_or("-"),
        &row.ours.to_string(),
        &row.ratio().map_or_else(|| String::from("-"), |ratio| format!("{ratio:.2}x")),
        &row.bar(),
        verdict,
    ]);
    match &row.yardstick {
        Some(yardstick) => format!("{figures}  against {}\n", yardstick.name),
        None => figures,
    }
}

fn line([what, yardstick, ours, ratio, reach, verdict]: [&str; 6]) -> String {
    let line = format!("{what:38.38} {yardstick:>17} {ours:>17} {ratio:>6} {reach:>11} {verdict}");
    line.trim_end().to_owned() + "\n"
}
