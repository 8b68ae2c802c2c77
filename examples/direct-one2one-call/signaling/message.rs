//! The messages of the signaling protocol: JSON objects that `id` tells apart.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stunner_auth::IceConfig;

/// What a page says.
#[derive(Debug, Deserialize)]
#[serde(tag = "id", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Request {
    Register {
        name: String,
        /// Whether it knows the messages that the tutorial's page does not.
        #[serde(default)]
        extended: bool,
    },
    /// `from` is there too, and not believed: the sender is who it registered as.
    Call {
        to: String,
        sdp_offer: String,
    },
    IncomingCallResponse {
        from: String,
        call_response: String,
        #[serde(default)]
        sdp_answer: Option<String>,
        #[serde(default)]
        message: Option<String>,
    },
    OnIceCandidate {
        candidate: Value,
    },
    Stop,
    /// After a lost connection: it is who was given this token.
    Resume {
        token: String,
    },
    /// An offer within a call, after a change of networks.
    Restart {
        sdp_offer: String,
    },
    RestartResponse {
        sdp_answer: String,
    },
    /// Asks whether anybody is there.
    Ping,
    /// It will not come back.
    Leave,
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "id", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Reply {
    RegisterResponse {
        response: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        ice_configuration: Option<IceConfig>,
        /// Only to a page that said it is extended; so are all messages below `Error`, but for `IceConfiguration`.
        #[serde(skip_serializing_if = "Option::is_none")]
        resume: Option<String>,
    },
    IncomingCall {
        from: String,
        sdp_offer: String,
    },
    CallResponse {
        response: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sdp_answer: Option<String>,
    },
    IceCandidate {
        candidate: Value,
    },
    StopCommunication {
        message: String,
    },
    Error {
        message: String,
    },
    /// Fresh credentials, before the old ones end. The tutorial's page passes over it.
    IceConfiguration {
        ice_configuration: IceConfig,
    },
    ResumeResponse {
        response: &'static str,
        #[serde(flatten, skip_serializing_if = "Option::is_none")]
        resumed: Option<Resumed>,
    },
    Restart {
        sdp_offer: String,
    },
    RestartResponse {
        sdp_answer: String,
    },
    Users(Roster),
    Pong,
}

/// What a page is told that has come back.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resumed {
    /// The next token; this one is used up.
    pub(super) resume: String,
    /// Whom it is in a call with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ice_configuration: Option<IceConfig>,
}

/// Who is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(super) struct Roster {
    pub(super) users: Vec<User>,
    /// How many there are besides.
    pub(super) more: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct User {
    pub(super) name: String,
    /// Whether a call of this user would fail.
    pub(super) busy: bool,
}

pub(super) const ACCEPTED: &str = "accepted";
pub(super) const REJECTED: &str = "rejected";

impl Reply {
    pub(super) fn registered(ice_configuration: Option<IceConfig>, resume: Option<String>) -> Self {
        Self::RegisterResponse { response: ACCEPTED, message: None, ice_configuration, resume }
    }

    pub(super) fn not_registered(why: impl Into<String>) -> Self {
        Self::RegisterResponse {
            response: REJECTED,
            message: Some(why.into()),
            ice_configuration: None,
            resume: None,
        }
    }

    pub(super) fn resumed(resumed: Option<Resumed>) -> Self {
        Self::ResumeResponse { response: if resumed.is_some() { ACCEPTED } else { REJECTED }, resumed }
    }

    pub(super) fn call_rejected(why: impl Into<String>) -> Self {
        Self::CallResponse { response: REJECTED, message: Some(why.into()), sdp_answer: None }
    }

    pub(super) fn call_accepted(sdp_answer: String) -> Self {
        Self::CallResponse { response: ACCEPTED, message: None, sdp_answer: Some(sdp_answer) }
    }

    pub(super) fn stop(why: impl Into<String>) -> Self {
        Self::StopCommunication { message: why.into() }
    }

    pub(super) fn error(why: impl Into<String>) -> Self {
        Self::Error { message: why.into() }
    }
}
