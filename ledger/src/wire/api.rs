//! Requests to the JetStream API: JSON in, JSON out, the server's error codes as a type.

use std::time::Duration;

use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Connection;
use crate::log::LogError;

/// Error codes of the JetStream API that this program tells apart.
pub mod code {
    /// No disk, no memory, or a server that reported itself unfit.
    pub const INSUFFICIENT_RESOURCES: u32 = 10023;
    /// Streams do not work on this server at the moment.
    pub const TEMPORARILY_UNAVAILABLE: u32 = 10008;
    /// There is no such consumer.
    pub const CONSUMER_NOT_FOUND: u32 = 10014;
    /// The request holds a key that the server does not know.
    pub const INVALID_JSON: u32 = 10025;
    /// There is no such message.
    pub const NO_MESSAGE_FOUND: u32 = 10037;
    /// This account may not use JetStream.
    pub const NOT_ENABLED_FOR_ACCOUNT: u32 = 10039;
    /// More storage than there is.
    pub const STORAGE_EXCEEDED: u32 = 10047;
    /// The message belongs in another stream.
    pub const STREAM_MISMATCH: u32 = 10060;
    /// There is no such stream.
    pub const STREAM_NOT_FOUND: u32 = 10059;
    /// The stream could not be restored.
    pub const RESTORE_FAILED: u32 = 10062;
    /// Another stream has these subjects.
    pub const SUBJECTS_OVERLAP: u32 = 10065;
    /// The expected last sequence did not hold; the words end with the actual one.
    pub const WRONG_LAST_SEQUENCE: u32 = 10071;
    /// More replicas than servers.
    pub const REPLICAS_NOT_SUPPORTED: u32 = 10074;
    /// JetStream is off.
    pub const NOT_ENABLED: u32 = 10076;
    /// The stream could not store the message.
    pub const STORE_FAILED: u32 = 10077;
    /// All servers that keep the stream are away.
    pub const STREAM_OFFLINE: u32 = 10118;
    /// The stream's name is taken.
    pub const NAME_IN_USE: u32 = 10130;
    /// As [`WRONG_LAST_SEQUENCE`], in words without the sequence.
    pub const WRONG_LAST_SEQUENCE_CONSTANT: u32 = 10164;
}

/// What the server answered instead of doing it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ApiRefusal {
    /// As in HTTP: 400, 404, 503.
    #[serde(default)]
    pub code: u16,
    /// What it is about, see [`code`]; 0 when the server does not say.
    #[serde(default)]
    pub err_code: u32,
    /// The server's words.
    #[serde(default)]
    pub description: String,
}

/// Why an API request failed.
#[derive(Clone, Debug)]
pub enum ApiError {
    /// The server answered with a refusal.
    Refused {
        /// The request, without prefix: `STREAM.INFO.X`.
        endpoint: String,
        /// Its answer.
        refusal: ApiRefusal,
    },
    /// There was no usable answer.
    Failed(LogError),
}

impl ApiError {
    /// The cluster, or the stream in it, has no leader now.
    pub fn is_leaderless(&self) -> bool {
        matches!(self.err_code(), code::TEMPORARILY_UNAVAILABLE | code::STREAM_OFFLINE)
    }

    /// The server's code, 0 when it gave no answer.
    pub fn err_code(&self) -> u32 {
        match self {
            Self::Refused { refusal, .. } => refusal.err_code,
            Self::Failed(_) => 0,
        }
    }
}

impl From<ApiError> for LogError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Failed(error) => error,
            ApiError::Refused { endpoint, refusal } => LogError::Refused {
                hint: hint(refusal.err_code).to_owned(),
                reason: format!("{} ({})", refusal.description, refusal.err_code),
                what: endpoint,
            },
        }
    }
}

/// What helps against a full disk or account. A server measures its disk when it starts.
pub(crate) const MORE_STORAGE: &str = "Give the NATS server more disk and start it again, or raise the JetStream limits of the \
    server or the account; then run the same command again.";

fn hint(err_code: u32) -> &'static str {
    match err_code {
        code::NOT_ENABLED | code::NOT_ENABLED_FOR_ACCOUNT => {
            "Enable JetStream on the server and for this account, or check the JetStream domain."
        }
        code::INSUFFICIENT_RESOURCES | code::STORAGE_EXCEEDED | code::STORE_FAILED => MORE_STORAGE,
        code::TEMPORARILY_UNAVAILABLE | code::STREAM_OFFLINE => {
            "Wait until the JetStream cluster has a leader, then run the same command again."
        }
        code::REPLICAS_NOT_SUPPORTED => "Start more NATS servers, or lower TRSTCTL_NATS_REPLICAS.",
        code::SUBJECTS_OVERLAP => {
            "Another stream takes the subjects events.>: find it with `nats stream ls`."
        }
        _ => "See the NATS server's log.",
    }
}

/// Answers carry either the value or this.
#[derive(Deserialize)]
struct Outcome {
    error: Option<ApiRefusal>,
}

impl Connection {
    /// Asks `$JS.API.<endpoint>` (under the prefix or domain of this connection), once, and reads the answer.
    ///
    /// # Errors
    /// [`ApiError::Refused`] with the server's code; [`ApiError::Failed`] when there is no JetStream
    /// ([`LogError::NoResponders`]), no permission, no answer in time, or one that is not of the expected form.
    pub async fn api<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        body: &impl Serialize,
        deadline: Duration,
    ) -> Result<T, ApiError> {
        let body = serde_json::to_vec(body).map_err(|error| odd(endpoint, &error))?;
        let answer = self.api_bytes(endpoint, &body, deadline).await.map_err(ApiError::Failed)?;
        read_answer(endpoint, &answer)
    }

    /// The same for a request without a body.
    ///
    /// # Errors
    /// As [`Connection::api`].
    pub async fn api_get<T: DeserializeOwned>(
        &self,
        endpoint: &str,
        deadline: Duration,
    ) -> Result<T, ApiError> {
        let answer = self.api_bytes(endpoint, b"", deadline).await.map_err(ApiError::Failed)?;
        read_answer(endpoint, &answer)
    }

    async fn api_bytes(
        &self,
        endpoint: &str,
        body: &[u8],
        deadline: Duration,
    ) -> Result<bytes::Bytes, LogError> {
        let subject = self.api_subject(endpoint);
        Ok(self.request(&subject, body, deadline).await?.payload_bytes())
    }
}

/// Reads the answer to an API request: for those whose answer comes by another way than [`Connection::api`].
///
/// # Errors
/// As [`Connection::api`].
pub fn read_answer<T: DeserializeOwned>(endpoint: &str, answer: &[u8]) -> Result<T, ApiError> {
    let outcome: Outcome = serde_json::from_slice(answer).map_err(|error| odd(endpoint, &error))?;
    match outcome.error {
        Some(refusal) => Err(ApiError::Refused { endpoint: endpoint.to_owned(), refusal }),
        None => serde_json::from_slice(answer).map_err(|error| odd(endpoint, &error)),
    }
}

fn odd(endpoint: &str, error: &serde_json::Error) -> ApiError {
    ApiError::Failed(LogError::Refused {
        what: endpoint.to_owned(),
        reason: format!("the answer is not of the expected form: {error}"),
        hint: "Check that the NATS server's version is supported (2.9 and newer).".to_owned(),
    })
}
