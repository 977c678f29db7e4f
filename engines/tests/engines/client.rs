//! Just enough of the NATS protocol for these tests.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

pub struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects to `nats://user:password@host:port`.
    pub fn connect(url: &str) -> Client {
        let mut client = Client::greet(url);
        assert_eq!(client.line(), "PONG");
        client
    }

    /// Whether the login is accepted, and if not, what the server says.
    pub fn try_connect(url: &str) -> Result<(), String> {
        match Client::greet(url).line() {
            line if line == "PONG" => Ok(()),
            line => Err(line),
        }
    }

    fn greet(url: &str) -> Client {
        let (login, address) = url.strip_prefix("nats://").unwrap().split_once('@').expect("a login");
        let (user, password) = login.split_once(':').unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut client = Client(BufReader::new(stream));
        client.line();
        client.send(&format!(
            "CONNECT {}\r\nSUB inbox 1\r\nPING\r\n",
            json!({"verbose": false, "user": user, "pass": password, "headers": true, "no_responders": true})
        ));
        client
    }

    pub fn create_stream(&mut self, name: &str, replicas: u32) {
        let config = json!({"name": name, "subjects": [name], "storage": "file", "num_replicas": replicas});
        let answer = self.request(&format!("$JS.API.STREAM.CREATE.{name}"), config.to_string().as_bytes());
        assert_eq!(answer.get("error"), None, "{answer}");
    }

    pub fn publish(&mut self, subject: &str, payload: &[u8]) {
        let answer = self.request(subject, payload);
        assert!(answer["seq"].is_u64(), "{answer}");
    }

    /// Publishes until it is acknowledged, once: nobody listens for a stream that is new in its cluster, and one that lost its leader
    /// is silent, for a while.
    pub fn publish_patiently(url: &str, subject: &str, payload: &str) {
        let headers = format!("NATS/1.0\r\nNats-Msg-Id: {payload}\r\n\r\n");
        let lengths = format!("{} {}", headers.len(), headers.len() + payload.len());
        crate::wait_until("an acknowledgement", || {
            let mut client = Client::connect(url);
            client.0.get_ref().set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            client.send(&format!("HPUB {subject} inbox {lengths}\r\n{headers}{payload}\r\n"));
            client.answer().is_ok_and(|answer| answer["seq"].is_u64())
        });
    }

    pub fn last_sequence(&mut self, stream: &str) -> u64 {
        let answer = self.request(&format!("$JS.API.STREAM.INFO.{stream}"), b"");
        answer["state"]["last_seq"].as_u64().unwrap_or_else(|| panic!("{answer}"))
    }

    fn request(&mut self, subject: &str, payload: &[u8]) -> Value {
        self.try_request(subject, payload).unwrap()
    }

    fn try_request(&mut self, subject: &str, payload: &[u8]) -> io::Result<Value> {
        self.send(&format!("PUB {subject} inbox {}\r\n", payload.len()));
        self.0.get_mut().write_all(payload).unwrap();
        self.send("\r\n");
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Value> {
        loop {
            let line = self.try_line()?;
            if line.starts_with("MSG") {
                let length = line.rsplit(' ').next().unwrap().parse().unwrap();
                let mut payload = vec![0; length];
                self.0.read_exact(&mut payload)?;
                self.try_line()?;
                return Ok(serde_json::from_slice(&payload)?);
            }
            if line.starts_with("HMSG") || line.starts_with("-ERR") {
                return Err(io::Error::other(line));
            }
        }
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        self.try_line().unwrap()
    }

    fn try_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}
