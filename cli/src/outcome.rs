//! What a command answers, and the only place that prints it.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value, json};
use trstctl_formats::{Class, Failure};

use crate::report::ReportFile;

/// The answer of a command: words for a person, keys for a program, and what went wrong.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Text for standard output, without the error.
    pub text: String,
    /// The last line of standard output, behind that of a report: what must be done next.
    pub next: &'static str,
    /// The result's own keys in the JSON object.
    pub result: Map<String, Value>,
    /// Why the exit code is not 0. The result stands beside it where there is one.
    pub error: Option<Failure>,
}

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// One JSON object on standard output, words on standard error.
    pub json: bool,
}

impl Outcome {
    /// A success with this text and these keys (a JSON object).
    pub fn new(text: impl Into<String>, result: Value) -> Self {
        let Value::Object(result) = result else { unreachable!("results are objects") };
        Self { text: text.into(), result, ..Self::default() }
    }

    /// A failure without a result.
    pub fn failed(error: Failure) -> Self {
        Self { error: Some(error), ..Self::default() }
    }

    /// The same, with something wrong beside the result.
    #[must_use]
    pub fn with_error(mut self, error: Option<Failure>) -> Self {
        self.error = error;
        self
    }

    /// Writes the report of this outcome. When that fails, it is the error of a command that had none.
    pub fn reported(mut self, report: ReportFile, command: &str, elapsed: Duration) -> Self {
        match report.publish(&self.to_json(command, elapsed)) {
            Ok(path) => {
                let path = path.display().to_string();
                self.text.push_str(&crate::text::wrap("  report: ", &path));
                self.result.insert("report".into(), path.into());
            }
            Err(failure) if self.error.is_none() => self.error = Some(failure),
            Err(failure) => tell(&words(&failure)),
        }
        self
    }

    fn exit_code(&self) -> u8 {
        self.error.as_ref().map_or(0, |error| error.class.exit_code())
    }

    /// Prints and gives the exit code.
    pub fn print(self, command: &str, shape: Shape, elapsed: Duration) -> ExitCode {
        let code = self.exit_code();
        if let Some(error) = &self.error {
            tell(&words(error));
        }
        let output = if shape.json {
            format!("{:#}\n", self.to_json(command, elapsed))
        } else {
            self.text + self.next
        };
        match print(&output) {
            Err(error) if code == 0 => {
                let failure = unprintable(&error);
                tell(&words(&failure));
                ExitCode::from(failure.class.exit_code())
            }
            _ => ExitCode::from(code),
        }
    }

    /// The object of `--json`.
    fn to_json(&self, command: &str, elapsed: Duration) -> Value {
        let code = self.exit_code();
        let mut object = json!({
            "command": command,
            "ok": code == 0,
            "exit_code": code,
            "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            "error": self.error.as_ref().map(failure_json),
        });
        if let Value::Object(object) = &mut object {
            object.extend(self.result.clone());
        }
        object
    }
}

fn print(output: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(output.as_bytes()).and_then(|()| stdout.flush()) {
        // A reader that closed the pipe has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Words on standard error; when nobody reads it, there is nobody to tell.
pub fn tell(words: &str) {
    let _ = io::stderr().lock().write_all(words.as_bytes());
}

/// The command did its work, and its answer is lost.
fn unprintable(error: &io::Error) -> Failure {
    Failure::new(
        Class::OutputFailed,
        format!("the command has succeeded, but its result cannot be written to standard output: {error}"),
        "Check where standard output goes, and its free space.",
    )
}

/// A failure as `error` of the JSON object; keys that do not apply are absent.
pub fn failure_json(failure: &Failure) -> Value {
    let mut object = json!({
        "class": failure.class.name(),
        "message": failure.message,
        "hint": failure.hint,
    });
    let place = &failure.place;
    let places = [
        ("file", place.file.as_ref().map(|file| json!(file))),
        ("line", place.line.map(|line| json!(line))),
        ("offset", place.offset.map(|offset| json!(offset))),
        ("sequence", place.sequence.map(|sequence| json!(sequence))),
    ];
    for (key, value) in places {
        if let Some(value) = value {
            object[key] = value;
        }
    }
    object
}

/// A failure in words: class and message, where, what to do.
pub fn words(failure: &Failure) -> String {
    let mut words = format!("{}: {}\n", failure.class.name(), failure.message);
    let place = &failure.place;
    let place: Vec<String> = [
        place.file.clone(),
        place.line.map(|line| format!("line {line}")),
        place.offset.map(|offset| format!("byte {offset}")),
        place.sequence.map(|sequence| format!("sequence {sequence}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !place.is_empty() {
        words.push_str(&format!("  at: {}\n", place.join(", ")));
    }
    if !failure.hint.is_empty() {
        words.push_str(&crate::text::wrap("  to do: ", &failure.hint));
    }
    words
}
