//! TLS with a real PostgreSQL: what each `sslmode` demands is what it demands of psql, which is asked in the same breath.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use trstctl_engines::{Postgres, PostgresOptions};
use trstctl_formats::{Class, Failure};
use trstctl_migrations::Error;
use trstctl_migrations::connect::Target;

/// A name that no certificate here has.
const ELSEWHERE: &str = "host=elsewhere.example hostaddr=127.0.0.1";
const HERE: &str = "host=127.0.0.1";

/// A certificate or key: of an authority, and what it signed, or one of those that sign themselves.
fn fixture(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let own = root.join("tests/tls").join(name);
    if own.exists() { own } else { root.join("../ledger/tests/tls").join(name) }
}

/// A server that shows this certificate.
fn server(name: &str) -> Postgres {
    let server = Postgres::start(PostgresOptions::default()).unwrap();
    for (setting, file) in [("ssl_cert_file", format!("{name}.pem")), ("ssl_key_file", format!("{name}.key"))]
    {
        let path = given(&server, &file);
        set(&server, setting, &path.display().to_string());
    }
    set(&server, "ssl", "on");
    reload(&server, "SHOW ssl", "on");
    server
}

/// The file in the server's folder, as its own.
fn given(server: &Postgres, file: &str) -> PathBuf {
    let path = server.data_dir().join(file);
    fs::copy(fixture(file), &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let owner = fs::metadata(server.data_dir()).unwrap();
    chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    path
}

fn set(server: &Postgres, setting: &str, value: &str) {
    server.execute("postgres", &format!("ALTER SYSTEM SET {setting} = '{value}'")).unwrap();
}

/// Has the settings read again, and waits until they hold.
#[expect(clippy::disallowed_methods, reason = "the pause between two looks, within the deadline")]
fn reload(server: &Postgres, question: &str, answer: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    server.execute("postgres", "SELECT pg_reload_conf()").unwrap();
    while server.execute("postgres", question).unwrap() != answer {
        assert!(Instant::now() < deadline, "{question} never said {answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Somebody who connects: a home, and what the environment says.
struct User<'a> {
    server: &'a Postgres,
    home: TempDir,
}

impl<'a> User<'a> {
    fn of(server: &'a Postgres) -> Self {
        Self { server, home: tempfile::tempdir().unwrap() }
    }

    /// Puts a file into `~/.postgresql`.
    fn with(self, name: &str, fixture_name: &str) -> Self {
        let folder = self.home.path().join(".postgresql");
        fs::create_dir_all(&folder).unwrap();
        fs::copy(fixture(fixture_name), folder.join(name)).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        self
    }

    fn dsn(&self, host: &str, settings: &str) -> String {
        let dsn = self.server.tcp_dsn("postgres").unwrap();
        format!("{} {settings}", dsn.replace("host=127.0.0.1", host))
    }

    /// Whether the session is encrypted.
    fn connect(&self, host: &str, settings: &str) -> Result<bool, Error> {
        let home = self.home.path().display().to_string();
        let env = |name: &str| (name == "HOME").then(|| home.clone());
        let mut client = Target::from_dsn_and_env(&self.dsn(host, settings), &env)?.open()?;
        let row = client.query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).unwrap();
        Ok(row.get(0))
    }

    /// The same with psql; `None` when it refuses.
    fn psql(&self, host: &str, settings: &str) -> Option<bool> {
        let mut psql = Command::new(self.server.program("psql"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            psql.env_remove(name);
        }
        let output = psql
            .env("HOME", self.home.path())
            .args(["-X", "-A", "-t", "-d", &self.dsn(host, settings)])
            .args(["-c", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"])
            .output()
            .unwrap();
        output.status.success().then(|| output.stdout.starts_with(b"t"))
    }

    /// Connects both ways, which must agree.
    fn agreed(&self, host: &str, settings: &str) -> Result<bool, Failure> {
        let ours = self.connect(host, settings).map_err(Failure::from);
        assert_eq!(ours.as_ref().ok(), self.psql(host, settings).as_ref(), "{host} {settings}: {ours:?}");
        ours
    }

    /// The message and the hint of a refusal.
    fn refused(&self, host: &str, settings: &str) -> String {
        let failure = self.agreed(host, settings).unwrap_err();
        assert!(matches!(failure.class, Class::Refused | Class::Usage), "{failure:?}");
        format!("{} | {}", failure.message, failure.hint)
    }
}

fn root(name: &str) -> String {
    format!("sslrootcert={}", fixture(name).display())
}

#[test]
fn each_sslmode_demands_what_it_demands_of_psql() {
    let server = server("server");
    let user = User::of(&server);
    let mut encrypted = 0;
    for mode in ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] {
        for roots in [String::new(), root("ca.pem"), root("itself.pem")] {
            for host in [HERE, ELSEWHERE] {
                let settings = format!("sslmode={mode} {roots}");
                // psql prefers clear text to an authority that does not fit, or, with `allow`, to anything.
                if matches!(mode, "allow" | "prefer") {
                    assert!(user.connect(host, &settings).unwrap());
                    continue;
                }
                let outcome = user.agreed(host, &settings);
                encrypted += u32::from(outcome.is_ok_and(|encrypted| encrypted));
            }
        }
    }
    // require: 2 unchecked and 2 by the right authority; verify-ca: 2; verify-full: here alone.
    assert_eq!(encrypted, 4 + 2 + 1);
}

#[test]
fn a_refusal_says_why_and_what_to_do() {
    let server = server("server");
    let user = User::of(&server);
    let stranger = user.refused(HERE, &format!("sslmode=verify-full {}", root("itself.pem")));
    assert!(
        stranger.contains("its certificate is not accepted") && stranger.contains("UnknownIssuer"),
        "{stranger}"
    );
    assert!(stranger.contains("PGSSLROOTCERT"), "{stranger}");
    let elsewhere = user.refused(ELSEWHERE, &format!("sslmode=verify-full {}", root("ca.pem")));
    assert!(elsewhere.contains("elsewhere.example") && elsewhere.contains("subjectAltName"), "{elsewhere}");
    for (settings, part) in [
        ("sslmode=verify-ca", "sslmode=verify-ca needs sslrootcert"),
        ("sslmode=''", "sslmode= is none of"),
        ("sslmode=verify-full sslrootcert=/nonexistent.pem", "/nonexistent.pem cannot be read"),
    ] {
        let refusal = user.refused(HERE, settings);
        assert!(refusal.contains(part) && refusal.contains("Check sslmode, sslrootcert"), "{refusal}");
    }
    let empty = user.home.path().join("empty.pem");
    fs::File::create(&empty).unwrap();
    let empty = user.refused(HERE, &format!("sslmode=verify-ca sslrootcert={}", empty.display()));
    assert!(empty.contains("holds no certificate"), "{empty}");
}

#[test]
fn a_server_without_tls_is_refused_where_tls_is_demanded() {
    let user = User::of(Postgres::shared());
    assert!(!user.agreed(HERE, "sslmode=prefer").unwrap());
    for mode in ["require", "verify-full"] {
        let settings = format!("sslmode={mode} {}", root("ca.pem"));
        let refusal = user.refused(HERE, &settings);
        assert!(refusal.contains("does not support TLS") && refusal.contains("Turn ssl on"), "{refusal}");
    }
}

#[test]
fn a_certificate_that_signs_itself_is_trusted_where_it_is_named_and_while_it_is_valid() {
    let server_itself = server("itself");
    let user = User::of(&server_itself);
    let named = root("itself.pem");
    assert!(user.agreed(HERE, &format!("sslmode=verify-full {named}")).unwrap());
    assert!(user.agreed(ELSEWHERE, &format!("sslmode=verify-ca {named}")).unwrap());
    let elsewhere = user.refused(ELSEWHERE, &format!("sslmode=verify-full {named}"));
    assert!(elsewhere.contains("elsewhere.example"), "{elsewhere}");
    user.refused(HERE, &format!("sslmode=verify-ca {}", root("outdated.pem")));
    user.refused(HERE, &format!("sslmode=verify-ca {}", root("ca.pem")));

    let outdated = server("outdated");
    let refusal = User::of(&outdated).refused(HERE, &format!("sslmode=verify-ca {}", root("outdated.pem")));
    assert!(refusal.contains("holds no certificate that is valid now"), "{refusal}");
}

#[test]
fn an_authority_that_is_not_valid_any_more_signs_for_nobody() {
    let server = server("survivor");
    let user = User::of(&server);
    let authority = user.home.path().join("authorities.pem");
    fs::copy(fixture("outdated-authority.pem"), &authority).unwrap();
    let named = format!("sslmode=verify-full sslrootcert={}", authority.display());
    let refusal = user.refused(HERE, &named);
    assert!(refusal.contains("holds no certificate that is valid now"), "{refusal}");
    let both =
        [fixture("ca.pem"), fixture("outdated-authority.pem")].map(|path| fs::read(path).unwrap()).concat();
    fs::File::create(&authority).unwrap().write_all(&both).unwrap();
    let refusal = user.refused(HERE, &named);
    assert!(refusal.contains("UnknownIssuer"), "{refusal}");
    assert!(user.agreed(HERE, "sslmode=require").unwrap());
}

#[test]
fn a_revocation_list_is_not_passed_over() {
    let server = server("server");
    let user = User::of(&server).with("root.crt", "ca.pem").with("root.crl", "ca.pem");
    let why = |settings: &str| user.connect(HERE, settings).unwrap_err().to_string();
    assert!(why("sslmode=verify-full").contains("root.crl would have to be looked at"));
    assert!(user.connect(HERE, "sslmode=prefer").unwrap());
    let env = |name: &str| (name == "PGSSLCRL").then(|| String::from("/etc/revoked.crl"));
    let dsn = user.dsn(HERE, &format!("sslmode=verify-ca {}", root("ca.pem")));
    let named = Target::from_dsn_and_env(&dsn, &env).unwrap_err().to_string();
    assert!(named.contains("/etc/revoked.crl would have to be looked at"), "{named}");
}

#[test]
fn the_files_of_the_home_are_those_of_psql() {
    let server = server("server");
    assert!(User::of(&server).with("root.crt", "ca.pem").agreed(HERE, "sslmode=verify-full").unwrap());
    // With an authority at hand, `require` checks too.
    assert!(User::of(&server).with("root.crt", "ca.pem").agreed(ELSEWHERE, "sslmode=require").unwrap());
    User::of(&server).with("root.crt", "itself.pem").refused(HERE, "sslmode=require");
    let named = format!("sslmode=require {}", root("ca.pem"));
    assert!(User::of(&server).with("root.crt", "itself.pem").agreed(HERE, &named).unwrap());
}

#[test]
fn a_client_certificate_is_shown_where_the_server_wants_one() {
    let server = server("server");
    let authority = given(&server, "ca.pem");
    set(&server, "ssl_ca_file", &authority.display().to_string());
    let hba = server.data_dir().join("cluster/pg_hba.conf");
    fs::write(&hba, "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n")
        .unwrap();
    let demanded = "SELECT count(*) FROM pg_hba_file_rules WHERE 'clientcert=verify-ca' = ANY(options)";
    reload(&server, demanded, "1");
    reload(&server, "SHOW ssl_ca_file", &authority.display().to_string());
    let user = || User::of(&server);
    let mode = "sslmode=require";
    assert!(user().agreed(HERE, mode).is_err());
    assert!(
        user()
            .with("postgresql.crt", "client.pem")
            .with("postgresql.key", "client.key")
            .agreed(HERE, mode)
            .unwrap()
    );

    // Named, and the key as it may lie about.
    let user = user().with("key", "client.key");
    let key = user.home.path().join(".postgresql/key");
    let named = format!("{mode} sslcert={} sslkey={}", fixture("client.pem").display(), key.display());
    assert!(user.agreed(HERE, &named).unwrap());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = user.refused(HERE, &named);
    assert!(exposed.contains("may be read by others"), "{exposed}");
    let alone = user.refused(HERE, &format!("{mode} sslcert={}", fixture("client.pem").display()));
    assert!(alone.contains("has no sslkey beside it"), "{alone}");
}

#[test]
fn the_system_s_authorities_are_trusted_with_the_name_alone() {
    let server = server("server");
    let user = User::of(&server);
    for mode in ["", "sslmode=verify-full"] {
        let stranger =
            user.connect(HERE, &format!("{mode} sslrootcert=system")).map_err(Failure::from).unwrap_err();
        let is_known = ["UnknownIssuer", "this system has no authorities"]
            .iter()
            .any(|why| stranger.message.contains(why));
        assert!(is_known, "{stranger:?}");
    }
    for mode in ["prefer", "require", "verify-ca"] {
        let weak = user.connect(HERE, &format!("sslmode={mode} sslrootcert=system")).unwrap_err();
        assert!(weak.to_string().contains("needs sslmode=verify-full"), "{weak}");
    }
}

#[test]
fn a_login_can_be_bound_to_the_server_s_certificate() {
    let server = server("server");
    let user = User::of(&server);
    assert!(user.agreed(HERE, "sslmode=require channel_binding=require").unwrap());
    assert!(user.agreed(HERE, "sslmode=disable channel_binding=require").is_err());
    let env = |name: &str| (name == "PGCHANNELBINDING").then(|| String::from("require"));
    let target = Target::from_dsn_and_env(&user.dsn(HERE, "sslmode=disable"), &env).unwrap();
    assert!(target.open().is_err());
}
