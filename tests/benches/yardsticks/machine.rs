//! Which machine, and which versions of what the rows are measured against.

use std::fs;
use std::process::Command;

use trstctl_engines::{Binary, installed_nats_servers, installed_postgres};

/// A fact of the machine: name and value.
pub type Fact = (String, String);

/// What figures depend on.
pub fn facts() -> Vec<Fact> {
    let fact = |name: &str, value: String| (name.to_owned(), value);
    vec![
        fact("processor", processor()),
        fact("memory", format!("{:.0} GiB", kib("/proc/meminfo", "MemTotal:") / f64::from(1 << 20))),
        fact("kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        fact("nats-server", engine(installed_nats_servers().first())),
        fact("PostgreSQL", engine(installed_postgres().as_ref())),
        fact("openssl", said("openssl", &["version"])),
        fact("rustc", said("rustc", &["--version"])),
    ]
}

/// A number of such a file in `/proc`; 0 when it is not there.
pub fn kib(path: &str, field: &str) -> f64 {
    let text = read(path);
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or("0");
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0.0)
}

fn processor() -> String {
    let text = read("/proc/cpuinfo");
    let value = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map_or("", |(_, value)| value.trim())
    };
    let flags: Vec<&str> = value("flags").split(' ').collect();
    let of_interest = ["sha_ni", "avx2", "avx512f"];
    let flags: Vec<&str> = of_interest.into_iter().filter(|flag| flags.contains(flag)).collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{}, {cores} cores, {}", value("model name"), flags.join(" "))
}

fn engine(binary: Option<&Binary>) -> String {
    binary.map_or_else(|| String::from("none"), |binary| binary.version.to_string())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let text = text.unwrap_or_else(|_| String::from("none"));
    text.split(" (Library").next().unwrap_or_default().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
