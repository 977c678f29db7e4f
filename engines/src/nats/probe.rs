//! A minimal NATS client for the readiness check: greeting, login, one request at a time.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use serde_json::{Value, json};

use super::address::{Address, Login, USER};
use crate::chance;

/// Each read and write of a check; the check as a whole is repeated until its own deadline.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A connection to a server that has the expected name.
pub struct Probe {
    connection: BufReader<TcpStream>,
    /// Its own: a late answer to an earlier probe is nobody's.
    inbox: String,
}

impl Probe {
    /// Connects, checks that it is the server with that name, and logs in.
    pub fn connect(to: &Address) -> Result<Probe, String> {
        let address = SocketAddr::from(([127, 0, 0, 1], to.port));
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(|error| error.to_string())?;
        let timeouts =
            stream.set_read_timeout(Some(TIMEOUT)).and_then(|()| stream.set_write_timeout(Some(TIMEOUT)));
        timeouts.map_err(|error| error.to_string())?;
        let inbox = format!("_INBOX.trstctl-engines.{}", chance::name());
        let mut probe = Probe { connection: BufReader::new(stream), inbox };
        probe.check_greeting(&to.name)?;
        probe.log_in(&to.login)?;
        Ok(probe)
    }

    fn check_greeting(&mut self, name: &str) -> Result<(), String> {
        let line = self.line()?;
        let json = line.strip_prefix("INFO ").ok_or("what listens on the port is no NATS server")?;
        let info: Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
        if info["server_name"] != name {
            return Err("another NATS server listens on the port".to_owned());
        }
        Ok(())
    }

    fn log_in(&mut self, login: &Login) -> Result<(), String> {
        let connect = match login {
            Login::Unknown => return Ok(()),
            Login::Open => json!({"verbose": false, "name": "trstctl-engines"}),
            Login::Password(password) => {
                json!({"verbose": false, "name": "trstctl-engines", "user": USER, "pass": password})
            }
        };
        let inbox = self.inbox.clone();
        self.send(&format!("CONNECT {connect}\r\nSUB {inbox} 1\r\nPING\r\n"))?;
        match self.line()?.as_str() {
            "PONG" => Ok(()),
            other => Err(format!("the server answered {other:?} to our login")),
        }
    }

    /// One JetStream request; its error is an error.
    pub fn request(&mut self, subject: &str, payload: &str) -> Result<Value, String> {
        let inbox = self.inbox.clone();
        self.send(&format!("PUB {subject} {inbox} {}\r\n{payload}\r\n", payload.len()))?;
        let answer: Value = serde_json::from_slice(&self.message()?).map_err(|error| error.to_string())?;
        match answer.get("error") {
            Some(error) => Err(format!("JetStream says {error}")),
            None => Ok(answer),
        }
    }

    fn message(&mut self) -> Result<Vec<u8>, String> {
        loop {
            let line = self.line()?;
            if line == "PING" {
                self.send("PONG\r\n")?;
            } else if line.starts_with("HMSG") {
                return Err("nobody answers for JetStream".to_owned());
            } else if line.starts_with("MSG") {
                let length = line.rsplit(' ').next().and_then(|word| word.parse::<usize>().ok());
                let mut payload = vec![0; length.ok_or("a message has no length")?];
                self.connection.read_exact(&mut payload).map_err(|error| error.to_string())?;
                return Ok(payload);
            } else if line.starts_with("-ERR") {
                return Err(line);
            }
        }
    }

    fn send(&mut self, text: &str) -> Result<(), String> {
        self.connection.get_mut().write_all(text.as_bytes()).map_err(|error| error.to_string())
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = String::new();
        let length = self.connection.read_line(&mut line).map_err(|error| error.to_string())?;
        if length == 0 {
            return Err("the server closed the connection".to_owned());
        }
        Ok(line.trim_end().to_owned())
    }
}
