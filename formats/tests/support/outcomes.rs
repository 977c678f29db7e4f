//! What came of every case of the damage matrix, counted, and the table of it that `docs/damage.md` holds.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Counts of one sort of damage.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// How many cases there are, tried or not.
    pub cases: usize,
    /// How often each verdict was given.
    pub verdicts: BTreeMap<String, usize>,
    /// How often a refusal pointed to each place.
    pub places: BTreeMap<&'static str, usize>,
}

/// One part of the document: a file in a container, damaged before or after it was put there.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// The rows by the sort of damage, in the order of the matrix.
    pub rows: Vec<(&'static str, Row)>,
}

impl Section {
    /// Without any row.
    pub fn new(title: String) -> Self {
        Self { title, rows: Vec::new() }
    }

    /// The row of a sort of damage.
    pub fn row(&mut self, kind: &'static str) -> &mut Row {
        let at = self.rows.iter().position(|(found, _)| *found == kind).unwrap_or_else(|| {
            self.rows.push((kind, Row::default()));
            self.rows.len() - 1
        });
        &mut self.rows[at].1
    }

    /// The part of the document.
    pub fn to_markdown(&self) -> String {
        let mut text =
            format!("### {}\n\n| damage | cases | verdict | place |\n|---|---|---|---|\n", self.title);
        for (kind, row) in &self.rows {
            let (verdicts, places) = (counts(&row.verdicts), counts(&row.places));
            let _ = writeln!(text, "| {kind} | {} | {verdicts} | {places} |", row.cases);
        }
        text
    }

    /// Whether a run that tried only some cases fits to the same section of a complete run.
    pub fn is_within(&self, document: &str) -> Result<(), String> {
        let heading = format!("### {}\n", self.title);
        let (_, rest) =
            document.split_once(&heading).ok_or(format!("there is no section {:?}", self.title))?;
        let section = rest.split("\n#").next().unwrap_or_default();
        for (kind, row) in &self.rows {
            let beginning = format!("| {kind} | {} | ", row.cases);
            let line = section.lines().find(|line| line.starts_with(&beginning));
            let line = line.ok_or(format!("{}: no row {beginning:?}", self.title))?;
            let names = row.verdicts.keys().map(String::as_str).chain(row.places.keys().copied());
            for name in names {
                if !line.contains(&format!("{name} ")) {
                    return Err(format!("{}, {kind}: {name} is new", self.title));
                }
            }
        }
        Ok(())
    }
}

/// The most frequent first.
fn counts<T: AsRef<str> + Ord>(counts: &BTreeMap<T, usize>) -> String {
    let mut counts: Vec<_> = counts.iter().map(|(name, count)| (count, name.as_ref())).collect();
    counts.sort_by(|a, b| b.0.cmp(a.0).then(a.1.cmp(b.1)));
    counts.iter().map(|(count, name)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
