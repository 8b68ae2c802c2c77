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
}

pub(super) const ACCEPTED: &str = "accepted";
pub(super) const REJECTED: &str = "rejected";

impl Reply {
    pub(super) fn registered(ice_configuration: Option<IceConfig>) -> Self {
        Self::RegisterResponse { response: ACCEPTED, message: None, ice_configuration }
    }

    pub(super) fn not_registered(why: impl Into<String>) -> Self {
        Self::RegisterResponse { response: REJECTED, message: Some(why.into()), ice_configuration: None }
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
