//! What happened when: the only place of times and steps.

use serde::{Deserialize, Serialize};

use super::lines::line;

/// One line of `events.v1+jsonl` (WIRE.md §3); what is not known is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// RFC 3339, given by the caller.
    pub time: String,
    /// `fetched`, `frozen`, `replayed`, `refused`, `failed`, `undeclared`, `missing` or `malformed`.
    pub kind: String,
    /// The build step that was running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Its line in the Dockerfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// HTTP method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Redacted URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// HTTP status the client got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it was refused or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Size of the recorded body in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// `events` in their order, one canonical line each.
#[must_use]
pub fn events_jsonl(events: &[Event]) -> Vec<u8> {
    events.iter().flat_map(line).collect()
}
