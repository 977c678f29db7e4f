//! Names, words and times of a history. Every text is valid inside a JSON string as it stands.

use super::random::Random;

pub const TENANTS: &[&str] = &[
    "Acme \\u003cR\\u0026D\\u003e",
    "Müller & Söhne GmbH",
    "株式会社テスト",
    "Ünïcødé 🦀 Labs",
    "Initech",
    "Société Générale d'Essais",
    "ООО Ромашка",
    "O\\\"Brien \\\\ Partners",
];

pub const OWNERS: &[&str] = &[
    "payments",
    "checkout",
    "платежи",
    "検索",
    "identity-platform",
    "fraud",
    "Équipe réseau",
    "data-lake",
    "edge",
    "mobile",
];

pub const OWNER_KINDS: &[&str] = &["user", "team", "workload", "service", "vendor"];
pub const IDENTITY_KINDS: &[&str] = &["workload", "service", "device", "user"];
pub const ENVIRONMENTS: &[&str] = &["prod", "staging", "test", "dev"];
pub const REASONS: &[&str] =
    &["rotation", "key compromise suspected", "décommissionné", "owner left", "policy"];
pub const ALGORITHMS: &[&str] = &["ECDSA-P256", "ECDSA-P384", "RSA-2048", "RSA-3072", "Ed25519"];
pub const SOURCES: &[&str] = &["issued", "discovered", "imported"];
pub const LOCATIONS: &[&str] =
    &["k8s://prod/ingress", "vm://web", "lb://edge", "s3://bundles", "aws-acm://eu-central-1"];

/// Who acts, with which roles. No roles at all happens, too.
pub const ACTORS: &[(&str, &[&str])] = &[
    ("alice", &["admin"]),
    ("bob", &["operator", "auditor"]),
    ("svc:renewer", &["automation"]),
    ("zoë@example.com", &["operator"]),
    ("oidc|<svc>&co", &[]),
];

/// Event types that no projection knows, from products around this one.
pub const FOREIGN_KINDS: &[&str] =
    &["plugin.heartbeat", "scan.finished", "ticket.linked", "policy.evaluated.v2"];

/// RFC 3339 in UTC.
pub fn time(ns: i64) -> String {
    trstctl_formats::StoreTime(ns).to_string()
}

/// As servers of several generations wrote it: mostly UTC, sometimes with an offset or trailing zeros.
pub fn event_time(ns: i64, random: &mut Random) -> String {
    match random.below(40) {
        0 => format!("{}.500Z", seconds(ns)),
        1 => format!("{}+02:00", seconds(ns)),
        2 => format!("{}Z", seconds(ns)),
        3 => format!("{}.123456789-05:30", seconds(ns)),
        _ => time(ns),
    }
}

fn seconds(ns: i64) -> String {
    let mut text = time(ns - ns % 1_000_000_000);
    text.truncate("2026-01-02T03:00:00".len());
    text
}
