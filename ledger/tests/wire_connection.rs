//! The connection against real servers: logins, TLS, refusals, deadlines, and several servers to choose from.

mod jwt;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use trstctl_engines::{NatsAuth, NatsOptions, NatsServer, installed_nats_servers};
use trstctl_formats::{Class, Failure};
use trstctl_ledger::log::LogError;
use trstctl_ledger::wire::{ConnectOptions, Connection};

const SOON: Duration = Duration::from_secs(30);

fn server(auth: NatsAuth) -> NatsServer {
    NatsServer::start(NatsOptions { auth, ..NatsOptions::default() }).unwrap()
}

fn configured(text: &str) -> NatsServer {
    server(NatsAuth::Config(text.to_owned()))
}

async fn connect(options: ConnectOptions) -> Result<Connection, LogError> {
    let connection = Connection::connect(&options).await?;
    connection.round_trip(SOON).await?;
    Ok(connection)
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tls").join(name)
}

/// A file with a secret, which goes away with the value.
fn secret(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn refusal(error: LogError) -> Failure {
    let failure = Failure::from(error);
    assert_eq!(failure.class, Class::Refused, "{failure:?}");
    failure
}

#[tokio::test]
async fn a_password_may_come_from_the_url_or_a_file() {
    let server = configured(r#"authorization { user: alice, password: "s3cret:/@" }"#);
    let port = server.port();
    connect(ConnectOptions::new(format!("nats://alice:s3cret%3A%2F%40@127.0.0.1:{port}"))).await.unwrap();
    let password = secret("s3cret:/@\n");
    let options = ConnectOptions {
        user: Some("alice".into()),
        password_file: Some(password.path().to_owned()),
        ..ConnectOptions::new(server.url())
    };
    connect(options).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_never_shown() {
    let server = configured("authorization { user: alice, password: right }");
    let url = format!("nats://alice:wr0ngpass@127.0.0.1:{}", server.port());
    let failure = refusal(connect(ConnectOptions::new(url)).await.map(|_| ()).unwrap_err());
    assert!(failure.message.contains("Authorization Violation"), "{}", failure.message);
    assert!(!format!("{failure:?}").contains("wr0ngpass"));
}

#[tokio::test]
async fn a_token_may_come_from_the_url_or_a_file() {
    let server = configured("authorization { token: t0ken }");
    connect(ConnectOptions::new(format!("nats://t0ken@127.0.0.1:{}", server.port()))).await.unwrap();
    let token = secret("t0ken\n");
    let options =
        ConnectOptions { token_file: Some(token.path().to_owned()), ..ConnectOptions::new(server.url()) };
    connect(options).await.unwrap();
}

#[tokio::test]
async fn an_nkey_signs_the_servers_nonce() {
    let key = nkeys::KeyPair::new_user();
    let server = configured(&format!("authorization {{ users: [ {{ nkey: {} }} ] }}", key.public_key()));
    let seed = secret(&format!("{}\n", key.seed().unwrap()));
    let options =
        ConnectOptions { nkey_file: Some(seed.path().to_owned()), ..ConnectOptions::new(server.url()) };
    connect(options).await.unwrap();
    let other = secret(&nkeys::KeyPair::new_user().seed().unwrap());
    let options =
        ConnectOptions { nkey_file: Some(other.path().to_owned()), ..ConnectOptions::new(server.url()) };
    refusal(connect(options).await.map(|_| ()).unwrap_err());
}

#[tokio::test]
async fn a_creds_file_logs_in_with_its_jwt_and_seed() {
    let issued = jwt::Issued::new();
    let server = configured(&issued.server_config());
    let creds = secret(&issued.creds_file());
    let options =
        ConnectOptions { creds_file: Some(creds.path().to_owned()), ..ConnectOptions::new(server.url()) };
    connect(options).await.unwrap();
    refusal(connect(ConnectOptions::new(server.url())).await.map(|_| ()).unwrap_err());
}

#[tokio::test]
async fn a_missing_file_is_a_mistake_of_configuration_that_names_it() {
    let server = server(NatsAuth::Open);
    let options =
        ConnectOptions { creds_file: Some("/nowhere/a.creds".into()), ..ConnectOptions::new(server.url()) };
    let failure = Failure::from(connect(options).await.map(|_| ()).unwrap_err());
    assert_eq!(failure.class, Class::Usage);
    assert!(failure.message.contains("/nowhere/a.creds"), "{}", failure.message);
}

fn tls_config(more: &str) -> String {
    let file = |name| fixture(name).display().to_string();
    format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?} {more} }}",
        file("server.pem"),
        file("server.key"),
        file("ca.pem")
    )
}

#[tokio::test]
async fn tls_begins_where_the_url_or_the_server_demands_it() {
    let server = configured(&tls_config(""));
    for scheme in ["tls", "nats"] {
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("{scheme}://{host}:{}", server.port());
            connect(ConnectOptions { ca_file: Some(fixture("ca.pem")), ..ConnectOptions::new(url) })
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn an_unknown_authority_is_not_trusted() {
    let server = configured(&tls_config(""));
    let error = connect(ConnectOptions::new(format!("tls://localhost:{}", server.port())))
        .await
        .map(|_| ())
        .unwrap_err();
    let failure = refusal(error);
    assert!(failure.message.contains("UnknownIssuer"), "{failure:?}");
    assert!(failure.hint.contains("TRSTCTL_NATS_CA_FILE"), "{failure:?}");
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_the_server_wants_one() {
    let server = configured(&tls_config(", verify: true"));
    let options = ConnectOptions {
        ca_file: Some(fixture("ca.pem")),
        ..ConnectOptions::new(format!("tls://localhost:{}", server.port()))
    };
    assert!(connect(options.clone()).await.is_err());
    let options = ConnectOptions {
        cert_file: Some(fixture("client.pem")),
        key_file: Some(fixture("client.key")),
        ..options
    };
    connect(options).await.unwrap();
}

#[tokio::test]
async fn nobody_in_between_can_talk_us_out_of_tls() {
    let server = server(NatsAuth::Generated);
    for options in [
        ConnectOptions::new(server.url().replace("nats://", "tls://")),
        ConnectOptions { ca_file: Some(fixture("ca.pem")), ..ConnectOptions::new(server.url()) },
    ] {
        let failure = refusal(connect(options).await.map(|_| ()).unwrap_err());
        assert!(failure.message.contains("offers none"), "{}", failure.message);
    }
}

#[tokio::test]
async fn servers_are_tried_in_order() {
    let server = server(NatsAuth::Open);
    let url = format!("nats://127.0.0.1:1,{}", server.url());
    let connection = connect(ConnectOptions::new(url)).await.unwrap();
    assert_eq!(connection.url(), server.url());
    let error =
        connect(ConnectOptions::new("nats://127.0.0.1:1,nats://127.0.0.1:2")).await.map(|_| ()).unwrap_err();
    assert_eq!(Failure::from(error).class, Class::Unreachable);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = ConnectOptions {
        connect_timeout: Some(Duration::from_millis(200)),
        ..ConnectOptions::new(format!("nats://{}", silent.local_addr().unwrap()))
    };
    let failure = Failure::from(connect(options).await.map(|_| ()).unwrap_err());
    assert_eq!(failure.class, Class::Unreachable);
    assert!(failure.message.contains("no connection within 0.2 s"), "{failure}");
}

#[tokio::test]
async fn a_missing_permission_is_named_at_once() {
    let server = configured(
        r#"authorization { users: [ { user: a, password: b, permissions: { publish: "ok.>", subscribe: "_INBOX.>" } } ] }"#,
    );
    let url = format!("nats://a:b@127.0.0.1:{}", server.port());
    let connection = connect(ConnectOptions::new(url)).await.unwrap();
    let begun = Instant::now();
    let failure =
        refusal(connection.request("$JS.API.STREAM.INFO.X", b"", Duration::from_secs(60)).await.unwrap_err());
    assert!(
        failure.message.contains("Permissions Violation") && failure.message.contains("STREAM.INFO.X"),
        "{failure}"
    );
    let mut subscription = connection.subscribe("events.>").unwrap();
    refusal(subscription.next().await.unwrap_err());
    // What is published without a question ends those subscriptions that would have its answer, and no other.
    let mut answers = ["mute.a", "mute.b"].map(|published| {
        let inbox = connection.new_inbox();
        let answers = connection.subscribe(&format!("{inbox}.*")).unwrap();
        answers.answers_to(move |subject| subject == published);
        (inbox, answers)
    });
    let reply = format!("{}.1", answers[0].0);
    connection.publish("mute.a", &reply, b"", b"").await.unwrap();
    let told = tokio::time::timeout(SOON, answers[0].1.next()).await.expect("it is told at once");
    let failure = refusal(told.unwrap_err());
    assert!(failure.message.contains("mute.a"), "{failure}");
    let waiting = tokio::time::timeout(Duration::from_millis(100), answers[1].1.next()).await;
    assert!(waiting.is_err(), "this subscription has nothing to do with what was refused");
    assert!(begun.elapsed() < SOON);
    // The connection itself is not harmed.
    connection.round_trip(SOON).await.unwrap();
}

#[tokio::test]
async fn a_question_to_nobody_is_answered_at_once() {
    for binary in installed_nats_servers() {
        let options = NatsOptions { binary: Some(binary.path), ..NatsOptions::default() };
        let server = NatsServer::start(options).unwrap();
        let connection = connect(ConnectOptions::new(server.url())).await.unwrap();
        let error = connection.request("nobody.there", b"", Duration::from_secs(60)).await.unwrap_err();
        assert!(matches!(error, LogError::NoResponders { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_question_without_answer_ends_with_its_deadline() {
    let server = server(NatsAuth::Open);
    let connection = connect(ConnectOptions::new(server.url())).await.unwrap();
    let _listener = connection.subscribe("mute").unwrap();
    let error = connection.request("mute", b"", Duration::from_millis(100)).await.unwrap_err();
    assert!(error.to_string().contains("no answer to mute within 0.1 s"), "{error}");
}

#[tokio::test]
async fn a_message_beyond_max_payload_or_with_a_broken_subject_is_refused_before_it_is_sent() {
    let server = server(NatsAuth::Open);
    let connection = connect(ConnectOptions::new(server.url())).await.unwrap();
    let large = vec![0; connection.server().max_payload + 1];
    let failure = refusal(connection.publish("a", "", b"", &large).await.unwrap_err());
    assert!(failure.message.contains("max_payload"), "{}", failure.message);
    for subject in ["", "a b", "a\r\nPUB b 0\r\n"] {
        assert!(connection.publish(subject, "", b"", b"").await.is_err());
    }
    connection.round_trip(SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_share_a_connection_without_mixing_answers() {
    let server = server(NatsAuth::Open);
    let connection = connect(ConnectOptions::new(server.url())).await.unwrap();
    let mut questions = connection.subscribe("echo").unwrap();
    let answering = connection.clone();
    let echo = tokio::spawn(async move {
        while let Ok(batch) = questions.next_batch().await {
            for question in batch {
                let reply = std::str::from_utf8(question.reply()).unwrap();
                answering.publish(reply, "", b"", question.payload()).await.unwrap();
            }
        }
    });
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let connection = connection.clone();
            tokio::spawn(async move {
                for number in 0..500 {
                    let question = format!("{task}.{number}");
                    let answer = connection.request("echo", question.as_bytes(), SOON).await.unwrap();
                    assert_eq!(answer.payload(), question.as_bytes());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    echo.abort();
}

#[tokio::test]
async fn a_lost_connection_fails_everybody_who_waits() {
    let mut server = server(NatsAuth::Open);
    let connection = connect(ConnectOptions::new(server.url())).await.unwrap();
    let mut subscription = connection.subscribe("quiet").unwrap();
    let _mute = connection.subscribe("mute").unwrap();
    let asking = connection.clone();
    let question = tokio::spawn(async move { asking.request("mute", b"", Duration::from_secs(60)).await });
    connection.round_trip(SOON).await.unwrap();
    server.kill_9();
    assert!(matches!(subscription.next().await, Err(LogError::Unreachable { .. })));
    assert!(matches!(question.await.unwrap(), Err(LogError::Unreachable { .. })));
    assert!(!connection.is_open());
    assert!(connection.publish("a", "", b"", b"").await.is_err());
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_connection_after_what_was_published() {
    let server = server(NatsAuth::Open);
    let listening = connect(ConnectOptions::new(server.url())).await.unwrap();
    let mut subscription = listening.subscribe("last.words").unwrap();
    listening.round_trip(SOON).await.unwrap();
    let connection = connect(ConnectOptions::new(server.url())).await.unwrap();
    connection.publish("last.words", "", b"", b"bye").await.unwrap();
    drop(connection);
    assert_eq!(tokio::time::timeout(SOON, subscription.next()).await.unwrap().unwrap().payload(), b"bye");
}
