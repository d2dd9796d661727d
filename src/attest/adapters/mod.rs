//! What other builders write about their builds, read as [`Claims`]: BuildKit, Tekton Chains, GitHub, OBS, koji, and
//! labels of an image (docs/attest.md).
//!
//! Nobody's signature is looked at here: whoever attests vouches for what he hands in.

mod buildkit;
mod claims;
mod github;
mod koji;
mod obs;
mod osbs;
mod slsa;
mod tekton;
#[cfg(test)]
mod tests;
mod uri;

use serde_json::{Map, Value};

use self::slsa::{Slsa, Version};
pub use self::{
    claims::Claims,
    osbs::labels,
    uri::{is_commit, public},
};
use super::{
    envelope::{Envelope, EnvelopeError},
    statement::{Statement, StatementError},
    strict::{self, JsonError, shown},
};
use crate::model::{
    Digest,
    limits::{
        ATTESTED_DEPENDENCIES_MAX, ATTESTED_PARAMETER_SIZE_BYTES_MAX, ATTESTED_PARAMETERS_MAX,
        BUNDLE_SIZE_BYTES_MAX, EVIDENCE_DOCUMENTS_MAX,
    },
};

/// Why bytes are no evidence that can be read.
#[derive(Debug, thiserror::Error)]
pub enum AdapterError {
    /// Not JSON, too much of it, or JSON that could be read two ways.
    #[error("evidence cannot be read")]
    Json(#[from] JsonError),
    /// A statement that is none.
    #[error("evidence holds a bad statement")]
    Statement(#[from] StatementError),
    /// An envelope that is none.
    #[error("evidence holds a bad envelope")]
    Envelope(#[from] EnvelopeError),
    /// JSON of another kind.
    #[error(
        "no provenance that is known: neither a statement, an envelope, a bundle, a SLSA predicate, buildx's \
             metadata file nor koji's metadata (it has {0})"
    )]
    Unknown(String),
    /// Statements about something else than how an image was built.
    #[error("it holds no SLSA provenance, but {0}")]
    Predicate(String),
    /// A field that is not there or is no such thing.
    #[error("{0}: {1}")]
    Shape(&'static str, &'static str),
    /// More than is ever read.
    #[error("evidence has more than {0} {1}")]
    TooMuch(usize, &'static str),
}

/// Reads every provenance in `bytes`: a statement, bare or in an envelope or bundle (one a line, if there are several);
/// a bare SLSA predicate; what `docker buildx build --metadata-file` and `docker buildx imagetools inspect` write;
/// koji's metadata.
///
/// # Errors
/// [`AdapterError`]; if there is none, it says what there is.
pub fn read(bytes: &[u8]) -> Result<Vec<Claims>, AdapterError> {
    let documents = match strict::read(bytes, BUNDLE_SIZE_BYTES_MAX) {
        Ok(document) => vec![document],
        Err(error) => lines(bytes).ok_or(error)?,
    };
    let (mut found, mut others) = (Vec::new(), Vec::new());
    for document in documents {
        open(document, &mut found, &mut others, 0)?;
    }
    if found.is_empty() {
        let nothing = AdapterError::Unknown("nothing".to_owned());
        return Err(if others.is_empty() { nothing } else { AdapterError::Predicate(others.join(", ")) });
    }
    found.iter().try_for_each(bounded)?;
    Ok(found)
}

/// Several documents, one a line, as `gh attestation download` writes them.
fn lines(bytes: &[u8]) -> Option<Vec<Value>> {
    let lines: Vec<_> =
        bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).collect();
    if lines.len() < 2 || lines.len() > EVIDENCE_DOCUMENTS_MAX {
        return None;
    }
    lines.into_iter().map(|line| strict::read(line, BUNDLE_SIZE_BYTES_MAX).ok()).collect()
}

/// Frames within frames that are opened: an API's list, a bundle, its envelope, the statement.
const FRAMES_MAX: usize = 4;

fn open(
    document: Value,
    found: &mut Vec<Claims>,
    others: &mut Vec<String>,
    depth: usize,
) -> Result<(), AdapterError> {
    if found.len() + others.len() >= EVIDENCE_DOCUMENTS_MAX {
        return Err(AdapterError::TooMuch(EVIDENCE_DOCUMENTS_MAX, "documents"));
    }
    let Value::Object(mut map) = document else {
        return Err(AdapterError::Unknown("no object at its top".into()));
    };
    if depth >= FRAMES_MAX {
        return Err(AdapterError::Unknown(keys(&map)));
    }
    if map.contains_key("_type") {
        return statement(&Statement::from_value(Value::Object(map))?, found, others);
    }
    if map.contains_key("payloadType") {
        let envelope = Envelope::from_value(Value::Object(map))?;
        return statement(&envelope.statement()?, found, others);
    }
    let framed = ["dsseEnvelope", "bundle", "SLSA"].iter().find_map(|frame| map.remove(*frame));
    if let Some(framed) = framed {
        return open(framed, found, others, depth + 1);
    }
    if let Some(Value::Array(list)) = map.remove("attestations") {
        return list.into_iter().try_for_each(|one| open(one, found, others, depth + 1));
    }
    let document = Value::Object(map);
    if koji::is(&document) {
        found.push(koji::read(&document)?);
        return Ok(());
    }
    if let Some(version) = Version::of_shape(&document) {
        found.push(provenance(version, &document, &[]));
        return Ok(());
    }
    // buildx: `buildx.build.provenance[/PLATFORM]` in a metadata file, `PLATFORM: {SLSA}` of an inspected index.
    let is_frame = |(key, value): &(&String, &Value)| {
        key.starts_with("buildx.build.provenance") || value.get("SLSA").is_some_and(Value::is_object)
    };
    let map = document.as_object().cloned().unwrap_or_default();
    let framed: Vec<Value> = map.iter().filter(is_frame).map(|(_, value)| value.clone()).collect();
    if framed.is_empty() {
        return Err(AdapterError::Unknown(keys(&map)));
    }
    framed.into_iter().try_for_each(|value| open(value, found, others, depth + 1))
}

fn statement(
    statement: &Statement,
    found: &mut Vec<Claims>,
    others: &mut Vec<String>,
) -> Result<(), AdapterError> {
    let Some(version) = Version::of_type(&statement.predicate_type) else {
        others.push(shown(&statement.predicate_type));
        return Ok(());
    };
    let subjects: Vec<_> = statement
        .subject
        .iter()
        .filter_map(|subject| subject.digest.get("sha256").and_then(|hex| Digest::from_hex(hex)))
        .collect();
    if subjects.is_empty() {
        return Err(AdapterError::Shape("statement", "no subject has a sha256 digest"));
    }
    found.push(provenance(version, &statement.predicate, &subjects));
    Ok(())
}

fn provenance(version: Version, predicate: &Value, subjects: &[Digest]) -> Claims {
    let slsa = Slsa::new(version, strict::without_nulls(predicate).into_owned());
    let build_type = slsa.build_type.as_str();
    if buildkit::is(build_type) {
        buildkit::read(&slsa, subjects)
    } else if tekton::is(build_type) {
        tekton::read(&slsa, subjects)
    } else if github::is(build_type) {
        github::read(&slsa, subjects)
    } else if obs::is(build_type) {
        obs::read(&slsa, subjects)
    } else {
        slsa.unknown(subjects)
    }
}

/// The first keys of an object, for a message.
fn keys(map: &Map<String, Value>) -> String {
    let keys: Vec<_> = map.keys().take(5).map(|key| format!("`{}`", shown(key))).collect();
    if keys.is_empty() { "no keys".to_owned() } else { keys.join(", ") }
}

fn bounded(claims: &Claims) -> Result<(), AdapterError> {
    let (parameters, longest) = (ATTESTED_PARAMETERS_MAX, ATTESTED_PARAMETER_SIZE_BYTES_MAX);
    if claims.parameters.len() + claims.build_args.len() > parameters {
        return Err(AdapterError::TooMuch(parameters, "parameters"));
    }
    if claims.parameters.values().chain(claims.build_args.values()).any(|text| text.len() > longest) {
        return Err(AdapterError::TooMuch(longest, "bytes in one parameter"));
    }
    if claims.dependencies.len() + claims.byproducts.len() > ATTESTED_DEPENDENCIES_MAX {
        return Err(AdapterError::TooMuch(ATTESTED_DEPENDENCIES_MAX, "dependencies"));
    }
    Ok(())
}
