//! Statements and predicates that somebody else wrote, to be signed as they are (FORMATS.md §2).
//!
//! Bytes are checked, never printed again: what is signed is what was handed in, so no number and no order of keys
//! changes on the way.

use serde_json::Value;

use super::{
    statement::{Statement, StatementError, Subject},
    strict::{self, JsonError, shown, to_value},
};
use crate::model::{
    Digest, json,
    limits::STATEMENT_SIZE_BYTES_MAX,
    names::{SLSA_PROVENANCE, SLSA_PROVENANCE_V02, STATEMENT_V1},
};

/// Names that cosign has for predicate types (cosign, `attest --type`), and what they stand for.
const ALIASES: [(&str, &str); 11] = [
    ("slsaprovenance", SLSA_PROVENANCE_V02),
    ("slsaprovenance02", SLSA_PROVENANCE_V02),
    ("slsaprovenance1", SLSA_PROVENANCE),
    ("link", "https://in-toto.io/Link/v1"),
    ("spdx", "https://spdx.dev/Document"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
    ("openvex", "https://openvex.dev/ns"),
    ("custom", "https://cosign.sigstore.dev/attestation/v1"),
    ("vsa", "https://slsa.dev/verification_summary/v1"),
];
/// What a statement has at its top; readers such as cosign take no other.
const FIELDS: [&str; 4] = ["_type", "subject", "predicateType", "predicate"];

/// Why bytes are not signed.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// Not JSON, too much of it, or JSON that could be read two ways.
    #[error("it cannot be read")]
    Json(#[from] JsonError),
    /// Not a statement, though it says so.
    #[error("it is no in-toto statement")]
    Statement(#[from] StatementError),
    /// Nothing says what it is.
    #[error("it is no in-toto statement: it has no `_type`; a bare predicate needs --type URI")]
    NoType,
    /// A signed statement.
    #[error(
        "it is signed already (an envelope or a bundle); attach that with the tool that made it, or hand its \
             payload in, or read it as evidence with --from-provenance"
    )]
    Signed,
    /// A statement, and a type beside it.
    #[error("it is a whole statement of type `{0}`; leave --type out")]
    Whole(String),
    /// A predicate that says nothing.
    #[error("it is no predicate: it is not a JSON object, or an empty one")]
    Predicate,
    /// What readers refuse.
    #[error("it has a field `{0}` beside those of a statement; cosign refuses such a statement")]
    Field(String),
    /// No such type.
    #[error("`{name}` is no predicate type: neither a URI nor one of {}", aliases())]
    Type {
        /// As written.
        name: String,
    },
}

fn aliases() -> String {
    ALIASES.map(|(name, _)| name).join(", ")
}

/// What somebody else wrote.
#[derive(Debug, Clone, PartialEq)]
pub enum Foreign {
    /// A whole statement.
    Statement {
        /// Its bytes.
        payload: Vec<u8>,
        /// What they say.
        statement: Statement,
    },
    /// A predicate; whoever signs it says what it is about.
    Predicate {
        /// Its bytes.
        predicate: Vec<u8>,
        /// Its type.
        predicate_type: String,
    },
}

/// The predicate type that a URI or one of cosign's names stands for.
///
/// # Errors
/// [`ForeignError::Type`].
pub fn predicate_type(text: &str) -> Result<String, ForeignError> {
    if let Some((_, uri)) = ALIASES.iter().find(|(name, _)| *name == text) {
        return Ok((*uri).to_owned());
    }
    let scheme = text.split_once(':').map(|(scheme, rest)| (scheme, !rest.is_empty()));
    let word = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    };
    let printable = text.chars().all(|c| c.is_ascii_graphic());
    match scheme {
        Some((scheme, true)) if word(scheme) && printable => Ok(text.to_owned()),
        _ => Err(ForeignError::Type { name: shown(text) }),
    }
}

impl Foreign {
    /// Reads a statement (v1 or v0.1), or with `of_type` a bare predicate, strictly.
    ///
    /// # Errors
    /// [`ForeignError`].
    pub fn read(bytes: &[u8], of_type: Option<&str>) -> Result<Self, ForeignError> {
        let of_type = of_type.map(predicate_type).transpose()?;
        let bytes = bytes.trim_ascii();
        let value = strict::read(bytes, STATEMENT_SIZE_BYTES_MAX)?;
        let fields = value.as_object();
        let has = |name: &str| fields.is_some_and(|fields| fields.contains_key(name));
        match (has("_type"), of_type) {
            (true, Some(_)) => {
                let own = value.get("predicateType").and_then(Value::as_str).unwrap_or_default();
                Err(ForeignError::Whole(shown(own)))
            }
            (true, None) => {
                let unknown = fields.into_iter().flatten().find(|(name, _)| !FIELDS.contains(&name.as_str()));
                if let Some((name, _)) = unknown {
                    return Err(ForeignError::Field(shown(name)));
                }
                Ok(Self::Statement { payload: bytes.to_vec(), statement: Statement::from_value(value)? })
            }
            (false, _) if has("payloadType") || has("dsseEnvelope") => Err(ForeignError::Signed),
            (false, None) => Err(ForeignError::NoType),
            (false, Some(predicate_type)) => match fields {
                Some(fields) if !fields.is_empty() => {
                    Ok(Self::Predicate { predicate: bytes.to_vec(), predicate_type })
                }
                _ => Err(ForeignError::Predicate),
            },
        }
    }

    /// Its predicate type.
    #[must_use]
    pub fn predicate_type(&self) -> &str {
        match self {
            Self::Statement { statement, .. } => &statement.predicate_type,
            Self::Predicate { predicate_type, .. } => predicate_type,
        }
    }

    /// The images that it names; none of a bare predicate.
    #[must_use]
    pub fn subjects(&self) -> Vec<Digest> {
        match self {
            Self::Predicate { .. } => Vec::new(),
            Self::Statement { statement, .. } => statement
                .subject
                .iter()
                .filter_map(|subject| subject.digest.get("sha256").and_then(|hex| Digest::from_hex(hex)))
                .collect(),
        }
    }

    /// The bytes to be signed about `subject`; nothing of a statement about something else.
    #[must_use]
    pub fn payload(&self, subject: &Subject, digest: &Digest) -> Option<Vec<u8>> {
        match self {
            Self::Statement { payload, statement } => {
                statement.names_subject(digest).then(|| payload.clone())
            }
            Self::Predicate { predicate, predicate_type } => {
                let text = |value: &Value| json::canonical(value);
                let subject =
                    to_value(&[serde_json::json!({"digest": subject.digest, "name": subject.name})]);
                let parts: [&[u8]; 9] = [
                    br#"{"_type":"#,
                    &text(&STATEMENT_V1.into()),
                    br#","predicate":"#,
                    predicate,
                    br#","predicateType":"#,
                    &text(&predicate_type.as_str().into()),
                    br#","subject":"#,
                    &text(&subject),
                    b"}",
                ];
                Some(parts.concat())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(subject: &Digest, more: &str) -> String {
        format!(
            r#"{{"_type":"https://in-toto.io/Statement/v0.1", "subject":[{{"name":"a","digest":{{"sha256":"{}"}}}}],"predicateType":"https://example.org/p/v1","predicate":{{"n":1.10,"big":12345678901234567890123}}{more}}}"#,
            subject.hex()
        )
    }

    #[test]
    fn a_statement_is_signed_byte_for_byte() {
        let digest = Digest::of(b"image");
        let text = statement(&digest, "");
        let foreign = Foreign::read(format!("\n{text}\n").as_bytes(), None).unwrap();
        assert_eq!(foreign.predicate_type(), "https://example.org/p/v1");
        assert_eq!(foreign.subjects(), [digest]);
        let subject = Subject::new("elsewhere", &digest);
        assert_eq!(foreign.payload(&subject, &digest).unwrap(), text.as_bytes());
        assert_eq!(foreign.payload(&subject, &Digest::of(b"other")), None);
    }

    #[test]
    fn a_predicate_gets_a_frame_and_stays_as_it_is() {
        let digest = Digest::of(b"image");
        let foreign = Foreign::read(b" {\"b\":1.10,\"a\":2}\n", Some("slsaprovenance1")).unwrap();
        let payload = foreign.payload(&Subject::new("r.example/a\"b", &digest), &digest).unwrap();
        let text = String::from_utf8(payload.clone()).unwrap();
        assert!(
            text.contains(r#""predicate":{"b":1.10,"a":2},"predicateType":"https://slsa.dev/provenance/v1""#),
            "{text}"
        );
        let read = Statement::parse(&payload).unwrap();
        assert!(read.names_subject(&digest) && read.subject[0].name == "r.example/a\"b");
    }

    #[track_caller]
    fn refused(text: &str, of_type: Option<&str>, expected: &str) {
        let error = Foreign::read(text.as_bytes(), of_type).unwrap_err();
        let mut chain = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            chain = format!("{chain}: {cause}");
            source = cause.source();
        }
        assert!(chain.contains(expected), "{chain}");
    }

    #[test]
    fn what_is_no_statement_says_why() {
        let digest = Digest::of(b"image");
        refused("", None, "EOF");
        refused("{}", None, "needs --type");
        refused("[]", None, "needs --type");
        refused("{}", Some("custom"), "no predicate");
        refused("[1]", Some("custom"), "no predicate");
        refused("{\"a\":1}", Some("not a type"), "neither a URI");
        refused("{\"a\":1}", Some("slsa"), "neither a URI nor one of slsaprovenance");
        refused(&statement(&digest, ""), Some("custom"), "leave --type out");
        refused(&statement(&digest, r#","extra":1"#), None, "a field `extra`");
        refused(&statement(&digest, r#","predicate":{}"#), None, "stands twice");
        refused(r#"{"payloadType":"x","payload":"","signatures":[]}"#, None, "signed already");
        refused(&statement(&digest, "").replace("v0.1", "v2"), None, "`_type` is");
        refused(&statement(&digest, "").replace(&digest.hex(), "AB"), None, "lower-case hex");
        refused(&"[".repeat(100_000), None, "recursion limit");
        refused(&"{\"a\":".repeat(100_000), Some("custom"), "recursion limit");
    }
}
