//! What a proxy does to which part of a stream.

use std::time::Duration;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From the program to the server.
    ToServer,
    /// From the server to the program.
    ToClient,
}

/// What a fault is done to. Numbers count from 1, over all connections together, from the moment of arming.
#[derive(Clone, Debug)]
pub enum Pick {
    /// The byte of this number.
    Byte(u64),
    /// The message of this number whose subject begins so.
    Message(&'static str, u64),
    /// Every delivery of this sequence of the log.
    Sequence(u64),
    /// The answer of this number to a question whose subject has this in it.
    AnswerTo(&'static str, u64),
    /// Every answer to such a question.
    EveryAnswerTo(&'static str),
}

/// What is done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Both sides see the connection end, in the middle of what was picked.
    Cut,
    /// The same, and every connection made afterwards ends at once.
    CutForGood,
    /// It goes on after so long.
    Delay(Duration),
    /// Nothing more passes on this connection, which stays open.
    Stall,
    /// Nothing more passes on any connection, also new ones, until [`super::Proxy::thaw`].
    Freeze,
    /// It does not arrive.
    Drop,
    /// It does not arrive, and its consumer counts as if it had never had it: so does a replica that lags.
    Hide,
    /// It arrives twice.
    Double,
    /// It arrives after the message that follows it.
    Swap,
    /// One of its bits arrives flipped.
    Flip,
    /// It arrives with this payload instead.
    Say(&'static str),
}

/// A fault, done once, or as often as it fits where the pick is of every such message.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Of which direction.
    pub way: Way,
    /// To what.
    pub pick: Pick,
    /// What.
    pub action: Action,
}

impl Fault {
    /// Does this to what comes from the server.
    pub fn to_client(pick: Pick, action: Action) -> Self {
        Self { way: Way::ToClient, pick, action }
    }

    /// Does this to what goes to the server.
    pub fn to_server(pick: Pick, action: Action) -> Self {
        Self { way: Way::ToServer, pick, action }
    }
}
