//! What callers rely on from a `nats-server` of ours, on every version that is installed.

use trstctl_engines::{
    Data, EngineError, Monitoring, NatsAuth, NatsCluster, NatsOptions, NatsServer, SyncInterval, Version,
    installed_nats_servers,
};

use crate::client::Client;

fn on_each_version(check: impl Fn(NatsOptions)) {
    let binaries = installed_nats_servers();
    assert!(!binaries.is_empty(), "no nats-server is installed");
    for binary in binaries {
        check(NatsOptions { binary: Some(binary.path), ..NatsOptions::default() });
    }
}

#[test]
fn a_stored_message_survives_kill_9_and_restart() {
    on_each_version(|options| {
        let mut server = NatsServer::start(options).unwrap();
        let url = server.url();
        Client::connect(&url).create_stream("S", 1);
        Client::connect(&url).publish("S", b"kept");
        server.kill_9();
        assert_eq!(server.pid(), None);
        server.restart().unwrap();
        assert_eq!(server.url(), url);
        assert_eq!(Client::connect(&url).last_sequence("S"), 1);
    });
}

#[test]
fn two_servers_side_by_side_never_meet() {
    on_each_version(|options| {
        let one = NatsServer::start(options.clone()).unwrap();
        let other = NatsServer::start(options).unwrap();
        Client::connect(&one.url()).create_stream("S", 1);
        Client::connect(&other.url()).create_stream("S", 1);
        Client::connect(&one.url()).publish("S", b"one");
        assert_eq!(Client::connect(&one.url()).last_sequence("S"), 1);
        assert_eq!(Client::connect(&other.url()).last_sequence("S"), 0);
    });
}

#[test]
fn a_data_directory_keeps_its_messages_and_lets_one_server_in() {
    let folder = tempfile::tempdir().unwrap();
    on_each_version(|options| {
        let data = Data::Dir(
            folder.path().join(options.binary.as_ref().unwrap().to_string_lossy().replace('/', "_")),
        );
        let options = NatsOptions { data, ..options };
        let server = NatsServer::start(options.clone()).unwrap();
        Client::connect(&server.url()).create_stream("S", 1);
        Client::connect(&server.url()).publish("S", b"kept");
        let second = NatsServer::start(options.clone()).unwrap_err();
        assert!(matches!(second, EngineError::Held { .. }), "{second}");
        server.stop();
        let server = NatsServer::start(options).unwrap();
        assert_eq!(Client::connect(&server.url()).last_sequence("S"), 1);
    });
}

#[test]
fn a_cluster_of_three_serves_three_replicas_also_after_losing_and_regaining_a_member() {
    on_each_version(|options| {
        let mut cluster = NatsCluster::start_with(3, options).unwrap();
        let url = cluster.servers()[0].url();
        Client::connect(&url).create_stream("S", 3);
        Client::publish_patiently(&url, "S", "one");
        cluster.server_mut(1).kill_9();
        Client::publish_patiently(&url, "S", "two");
        cluster.server_mut(1).restart().unwrap();
        cluster.wait_ready().unwrap();
        for server in cluster.servers() {
            assert_eq!(Client::connect(&server.url()).last_sequence("S"), 2);
        }
    });
}

#[test]
fn nobody_connects_without_the_generated_password() {
    on_each_version(|options| {
        let server = NatsServer::start(options).unwrap();
        let address = format!("127.0.0.1:{}", server.port());
        assert_eq!(Client::try_connect(&server.url()), Ok(()));
        let wrong = Client::try_connect(&format!("nats://trstctl:wrong@{address}"));
        assert!(wrong.is_err_and(|said| said.contains("Authorization Violation")));
        assert!(!format!("{server:?}").contains(server.url().split(['/', ':', '@']).nth(4).unwrap()));
    });
}

#[test]
fn a_login_of_the_callers_own_is_served_as_configured() {
    on_each_version(|options| {
        let auth = NatsAuth::Config("authorization { user: u, password: p }".to_owned());
        let server = NatsServer::start(NatsOptions { auth, ..options }).unwrap();
        assert_eq!(server.url(), format!("nats://127.0.0.1:{}", server.port()));
        assert_eq!(Client::try_connect(&format!("nats://u:p@127.0.0.1:{}", server.port())), Ok(()));
    });
}

#[test]
fn a_sync_interval_is_set_where_the_server_can() {
    on_each_version(|options| {
        let sync_interval = Some(SyncInterval::Always);
        let server = NatsServer::start(NatsOptions { sync_interval, ..options }).unwrap();
        let can = server.version() >= Version::new(2, 10, 0);
        assert_eq!(server.sync_interval(), sync_interval.filter(|_| can));
    });
}

#[test]
fn monitoring_and_a_larger_message_are_there_on_request() {
    on_each_version(|options| {
        let (max_payload, monitoring) = (Some(2_000_000), Monitoring::Loopback);
        let server = NatsServer::start(NatsOptions { max_payload, monitoring, ..options }).unwrap();
        std::net::TcpStream::connect(("127.0.0.1", server.monitoring_port().unwrap())).unwrap();
        let mut client = Client::connect(&server.url());
        client.create_stream("S", 1);
        client.publish("S", &vec![b'x'; 2_000_000]);
    });
}

#[test]
fn a_server_that_refuses_to_start_is_reported_with_the_end_of_its_log() {
    on_each_version(|options| {
        let error =
            NatsServer::start(NatsOptions { extra: "no_such_field: 1".to_owned(), ..options }).unwrap_err();
        assert!(
            matches!(&error, EngineError::Ended { tail, .. } if tail.contains("no_such_field")),
            "{error}"
        );
    });
}
