//! `trstctl-dr manifest audit`

use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};
use trstctl_formats::{Class, Failure};
use trstctl_migrations::audit::{Catalog, Finding, SqlFile, audit, embedded_files, load_dir};
use trstctl_migrations::connect::Target;
use trstctl_migrations::{Manifest, RecoveryClass};

use trstctl_recovery::in_session;
use trstctl_recovery::progress::ms;

use super::Context;
use crate::args::{Audit, Format};
use crate::outcome::Outcome;
use crate::text;

const NAME: &str = "manifest.toml";

pub fn run(context: &Context, args: &Audit) -> Result<Outcome, Failure> {
    if context.json && args.format != Format::Text {
        return Err(Failure::new(
            Class::Usage,
            "--json and --format exclude each other",
            "Leave one of them out.",
        ));
    }
    let files = files(args)?;
    let manifest = manifest(args)?;
    let catalog = args.database.as_deref().map(|dsn| catalog(context, dsn)).transpose()?;
    let findings = audit(&files, &manifest, catalog.as_ref());
    let report =
        Report { started: context.started, args, files: &files, manifest: &manifest, findings: &findings };
    Ok(Outcome { text: report.text(), ..Outcome::new("", report.json()) }.with_error(report.failure()))
}

fn files(args: &Audit) -> Result<Vec<SqlFile>, Failure> {
    Ok(args.migrations.as_deref().map_or_else(|| Ok(embedded_files()), load_dir)?)
}

/// The manifest named, else the one beside the migrations, else the one built in.
fn manifest(args: &Audit) -> Result<Manifest, Failure> {
    let beside = args.migrations.as_ref().map(|folder| folder.join(NAME)).filter(|path| path.is_file());
    let Some(path) = args.manifest.clone().or(beside) else { return Ok(Manifest::embedded()) };
    let name = path.display().to_string();
    let refuse = |reason: String| {
        Failure::new(Class::Usage, format!("the manifest {name} cannot be used: {reason}"), "Correct it.")
            .in_file(&name)
    };
    let text = std::fs::read_to_string(&path).map_err(|error| refuse(error.to_string()))?;
    Manifest::parse(&text).map_err(|error| refuse(error.to_string()))
}

fn catalog(context: &Context, dsn: &str) -> Result<Catalog, Failure> {
    refuse_password(dsn)?;
    let target = Target::from_dsn(dsn)?;
    context.run(in_session(&target, |client| Ok(Catalog::read(client)?)))
}

/// Everybody on this machine sees the arguments of a process.
fn refuse_password(dsn: &str) -> Result<(), Failure> {
    let in_url = dsn
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'))
        .is_some_and(|(user, _)| user.contains(':'));
    if in_url || dsn.to_ascii_lowercase().contains("password") {
        return Err(Failure::new(
            Class::Usage,
            "the DSN on the command line holds a password, which everybody on this machine can see",
            "Leave it out and set PGPASSWORD or PGPASSFILE. Change the password: it may have been seen.",
        ));
    }
    Ok(())
}

struct Report<'a> {
    started: Instant,
    args: &'a Audit,
    files: &'a [SqlFile],
    manifest: &'a Manifest,
    findings: &'a [Finding],
}

impl Report<'_> {
    fn failure(&self) -> Option<Failure> {
        let found = self.findings.len() as u64;
        let words = format!("the audit has {}", text::plural(found, "finding"));
        (found > 0).then(|| {
            Failure::new(
                Class::Findings,
                words,
                "Declare each table's class in manifest.toml, and mend the rest as the findings say.",
            )
        })
    }

    fn text(&self) -> String {
        match self.args.format {
            Format::Text => self.words(),
            Format::Json => format!("{:#}\n", self.envelope()),
            Format::Junit => self.junit(),
            Format::Github => self.github(),
        }
    }

    fn words(&self) -> String {
        let mut words = String::new();
        for finding in self.findings {
            words.push_str(&text::wrap("- ", &finding.to_string()));
            words.push_str(&text::wrap("  to do: ", &finding.hint()));
        }
        let classes = [RecoveryClass::LogRebuild, RecoveryClass::PostgresBackup, RecoveryClass::Ephemeral];
        for class in classes {
            let tables = self.manifest.of_class(class).count() as u64;
            words.push_str(&format!("{:<32}{}\n", class.report_name(), text::plural(tables, "table")));
        }
        let against = if self.args.database.is_some() { " and the live catalog" } else { "" };
        let verdict = if self.findings.is_empty() { "OK" } else { "FAILED" };
        words.push_str(&format!(
            "{verdict}: {} compared with {}{against}\n",
            NAME,
            text::plural(self.files.len() as u64, "SQL file")
        ));
        words
    }

    fn json(&self) -> Value {
        let finding = |finding: &Finding| json!({"code": finding.code(), "subject": finding.subject(), "file": finding.file(), "message": finding.to_string(), "hint": finding.hint()});
        let table = |entry: &trstctl_migrations::TableEntry| json!({"table": entry.table, "class": entry.class.report_name(), "why": entry.why});
        json!({
            "findings": self.findings.iter().map(finding).collect::<Vec<_>>(),
            "tables": self.manifest.tables.iter().map(table).collect::<Vec<_>>(),
            "files": self.files.len(),
            "database": self.args.database.is_some(),
        })
    }

    /// The object that `--json` prints, for `--format json`.
    fn envelope(&self) -> Value {
        let error = self.failure();
        let mut object = json!({
            "command": "manifest audit",
            "ok": error.is_none(),
            "exit_code": error.as_ref().map_or(0, |error| error.class.exit_code()),
            "elapsed_ms": ms(self.started.elapsed()),
            "error": error.as_ref().map(crate::outcome::failure_json),
        });
        if let (Value::Object(object), Value::Object(result)) = (&mut object, self.json()) {
            object.extend(result);
        }
        object
    }

    /// JUnit: a case for each table and each finding, so that a clean run is not an empty suite.
    fn junit(&self) -> String {
        let passed =
            self.manifest.tables.iter().map(|entry| {
                format!("  <testcase classname=\"manifest\" name=\"{}\"/>\n", xml(&entry.table))
            });
        let failed = self.findings.iter().map(|finding| {
            let (code, subject) = (finding.code(), xml(&finding.subject()));
            let (message, hint) = (xml(&finding.to_string()), xml(&finding.hint()));
            format!("  <testcase classname=\"{code}\" name=\"{subject}\"><failure message=\"{message}\">{hint}</failure></testcase>\n")
        });
        let cases: String = passed.chain(failed).collect();
        let (tests, failures) = (self.manifest.tables.len() + self.findings.len(), self.findings.len());
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"trstctl-dr manifest audit\" tests=\"{tests}\" failures=\"{failures}\">\n{cases}</testsuite>\n"
        )
    }

    fn github(&self) -> String {
        let annotation = |finding: &Finding| {
            let file = finding.file().and_then(|name| self.path_of(name));
            let place = file
                .map(|path| format!("file={},", property(&path.display().to_string())))
                .unwrap_or_default();
            format!(
                "::error {place}title={}::{}\n",
                property(finding.code()),
                data(&format!("{finding} {}", finding.hint()))
            )
        };
        self.findings.iter().map(annotation).collect()
    }

    /// Where the file of this name lies below the folder of the migrations.
    fn path_of(&self, name: &str) -> Option<PathBuf> {
        let folder = self.args.migrations.as_deref()?;
        let candidates = [folder.join(name), folder.join("sql").join(name)];
        candidates.into_iter().find(|path| Path::is_file(path))
    }
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\n', "&#10;")
}

/// Escapes of GitHub's workflow commands.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
