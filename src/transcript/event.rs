//! What happened when, in order: the only place of times and steps.

use serde::{Deserialize, Serialize};

use super::lines::line;
use crate::model::{json, limits::EVENT_TEXT_SIZE_BYTES_MAX};

/// One line of `events.v1+jsonl` (WIRE.md §3); what is not known is left out. Later releases add fields and kinds, so a
/// reader passes over those it does not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// RFC 3339, given by the caller.
    pub time: String,
    /// Of the build: `began`, `cage`, `limit` (one in force), `step`, `step-began`, `output`, `step-ended`, `cut-off`,
    /// `exceeded` (a limit), `cut` (what comes after is not kept), `ended`. Of the gateway: `fetched`, `frozen`,
    /// `replayed`, `refused`, `failed`, `undeclared`, `missing`, `malformed`.
    pub kind: String,
    /// The instruction that was running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Its line in the Dockerfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// `output`: engine and steps write both of their streams into one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// A line of output without its end; what is no UTF-8 is replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Bytes of the line that `text` does not have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<u64>,
    /// HTTP method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Redacted URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// HTTP status the client got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it was refused or failed, in a code or a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Size of the recorded body in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Names the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// What the build is of, or the image it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `host` or `image`: whose programs the cage runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Namespaces entered, as in `/proc/PID/ns`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// The first id outside that the cage's root is, by kind: `uid`, `gid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<[u32; 2]>,
    /// `cage`: what `rebuild --vary` changed on purpose.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub varied: Vec<String>,
    /// A limit's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed: Option<u64>,
    /// What there was when it was passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<u64>,
    /// What went around the proxy and found no way: `ipv4` or `ipv6` (no route), `udp` (loopback, nobody there).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// How often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// How the build ended: `built`, `failed`, or `unknown` (cancelled, or something of the machine's broke).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Exit code of the engine: that of the step that failed, else its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit: Option<u8>,
}

impl Event {
    /// An event of a kind.
    #[must_use]
    pub fn new(time: String, kind: &str) -> Self {
        Self { time, kind: kind.to_owned(), ..Self::default() }
    }

    /// A line of output; of a long one the first [`EVENT_TEXT_SIZE_BYTES_MAX`] bytes, and how many more there are.
    #[must_use]
    pub fn output(time: String, said: &[u8]) -> Self {
        let said = said.strip_suffix(b"\n").unwrap_or(said);
        let said = said.strip_suffix(b"\r").unwrap_or(said);
        let kept = &said[..said.len().min(EVENT_TEXT_SIZE_BYTES_MAX)];
        Self {
            stream: Some("output".to_owned()),
            text: Some(String::from_utf8_lossy(kept).into_owned()),
            cut: Some((said.len() - kept.len()) as u64).filter(|left| *left > 0),
            ..Self::new(time, "output")
        }
    }

    /// Its canonical line, end included.
    #[must_use]
    pub fn to_line(&self) -> Vec<u8> {
        line(self)
    }

    /// Reads a line.
    ///
    /// # Errors
    /// If it is no event: not JSON, or without time or kind.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        json::parse_as(line)
    }
}
