//! `transcript.v1+jsonl`: a head line, then one line a key.

use serde::{Deserialize, Serialize};

use super::{Exchange, Transcript, TranscriptError};
use crate::model::json;

const SCHEMA: &str = "reprov.transcript/v1";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    schema: String,
    tainted: Vec<String>,
}

impl Transcript {
    /// Its bytes: equal transcripts give equal bytes.
    #[must_use]
    pub fn to_jsonl(&self) -> Vec<u8> {
        let mut out = line(&Head { schema: SCHEMA.to_owned(), tainted: self.tainted.clone() });
        for exchange in self.exchanges() {
            out.extend(line(exchange));
        }
        out
    }

    /// Reads exactly what [`Transcript::to_jsonl`] writes.
    ///
    /// # Errors
    /// For another schema, a field that is unknown, missing or out of range, a line twice or out of order, or any
    /// form that is not the canonical one.
    pub fn parse(bytes: &[u8]) -> Result<Self, TranscriptError> {
        let mut lines = bytes.split_inclusive(|byte| *byte == b'\n').zip(1..);
        let (first, _) = lines.next().unwrap_or_default();
        let value = json::parse(first).map_err(|source| TranscriptError::Json { line: 1, source })?;
        let schema = value.get("schema").and_then(|schema| schema.as_str()).unwrap_or_default();
        if schema != SCHEMA {
            return Err(TranscriptError::Schema(schema.chars().take(100).collect()));
        }
        let head: Head =
            serde_json::from_value(value).map_err(|source| TranscriptError::Json { line: 1, source })?;
        let mut transcript = Self::default();
        transcript.taint(head.tainted.iter().cloned());
        if transcript.tainted != head.tainted || line(&head) != first {
            return Err(TranscriptError::Canonical(1));
        }
        for (text, number) in lines {
            transcript.read(text, number)?;
        }
        Ok(transcript)
    }

    fn read(&mut self, text: &[u8], number: usize) -> Result<(), TranscriptError> {
        let exchange: Exchange =
            json::parse_as(text).map_err(|source| TranscriptError::Json { line: number, source })?;
        if line(&exchange) != text {
            return Err(TranscriptError::Canonical(number));
        }
        let key = exchange.key();
        self.insert(exchange)?;
        match self.exchanges.last_key_value() {
            Some((last, _)) if *last == key => Ok(()),
            _ => Err(TranscriptError::Canonical(number)),
        }
    }
}

/// `value` as one canonical line.
pub(super) fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = json::to_canonical(value).expect("its keys are strings");
    line.push(b'\n');
    line
}
