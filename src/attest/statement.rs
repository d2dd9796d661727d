//! in-toto statements (in-toto attestation spec v1, "statement"; FORMATS.md §2).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    adapters::is_commit,
    strict::{self, JsonError, shown},
};
use crate::model::{
    Digest, json,
    limits::{STATEMENT_SIZE_BYTES_MAX, STATEMENT_SUBJECTS_MAX},
    names::{STATEMENT_V01, STATEMENT_V1},
};

/// What a statement is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What the signer called it; may be empty, never matched.
    pub name: String,
    /// Algorithm to hex digest.
    pub digest: BTreeMap<String, String>,
    /// What else the signer said of it; never matched.
    pub annotations: Map<String, Value>,
}

impl Subject {
    /// The subject `name` with the manifest digest `digest`.
    #[must_use]
    pub fn new(name: impl Into<String>, digest: &Digest) -> Self {
        let digest = BTreeMap::from([("sha256".to_owned(), digest.hex())]);
        Self { name: name.into(), digest, annotations: Map::new() }
    }

    /// The git commit that it is and nothing else: 40 or 64 lower-case hex digits, no digest of a file beside them, and
    /// no `sha1` that differs. What names a file too is no commit: it could be passed off as either.
    #[must_use]
    pub fn commit(&self) -> Option<&str> {
        let sha1 = |commit: &&String| self.digest.get("sha1").is_none_or(|sha1| sha1 == *commit);
        let file = self.digest.keys().any(|algorithm| hex_len(algorithm).is_some());
        let commit = self.digest.get("gitCommit").filter(|hex| is_commit(hex)).filter(sha1);
        commit.filter(|_| !file).map(String::as_str)
    }

    /// The branches and tags that named the commit when a summary was made (SLSA 1.2, source track: `sourceRefs`; its
    /// reference tool writes `source_refs`).
    pub fn source_refs(&self) -> impl Iterator<Item = &str> {
        let named = self.annotations.get("sourceRefs").or_else(|| self.annotations.get("source_refs"));
        named.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    }
}

/// A claim (`predicate`) of some kind (`predicate_type`) about some images (`subject`).
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// What it is about: 1 to [`STATEMENT_SUBJECTS_MAX`].
    pub subject: Vec<Subject>,
    /// URI of the predicate's shape.
    pub predicate_type: String,
    /// What is said; an object.
    pub predicate: Value,
}

/// Why bytes are not a statement we believe to have understood.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    /// Not JSON, too much of it, or JSON that could be read two ways.
    #[error("statement cannot be read")]
    Json(#[from] JsonError),
    /// Another `_type`, or none.
    #[error("`_type` is `{0}`, not an in-toto statement's")]
    Type(String),
    /// A field that is not there or is no such thing.
    #[error("statement has no {0}")]
    Field(&'static str),
    /// None, or too many.
    #[error("statement has {0} subjects; 1 to {STATEMENT_SUBJECTS_MAX} are allowed")]
    Subjects(usize),
    /// A subject without a usable digest.
    #[error("subject {index}: {why}")]
    Subject {
        /// Which one, from 0.
        index: usize,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No subject has a digest by an algorithm we can check.
    #[error("no subject has a sha256 or sha512 digest, or is a git commit")]
    NoDigest,
}

impl Statement {
    /// Its bytes: canonical JSON (RFC 8785), `_type` v1.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let subject: Vec<Value> = self.subject.iter().map(subject_value).collect();
        json::canonical(&json!({
            "_type": STATEMENT_V1,
            "subject": subject,
            "predicateType": self.predicate_type,
            "predicate": self.predicate,
        }))
    }

    /// Reads a statement, v1 or v0.1, strictly (FORMATS.md §2): no key twice, digests in lower-case hex, a
    /// predicate that is an object. Unknown fields are ignored.
    ///
    /// # Errors
    /// Whatever breaks one of these, or a bound of [`crate::model::limits`].
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementError> {
        Self::from_value(strict::read(bytes, STATEMENT_SIZE_BYTES_MAX)?)
    }

    /// Reads a statement that was read as JSON, strictly, before.
    pub(super) fn from_value(value: Value) -> Result<Self, StatementError> {
        let Value::Object(mut map) = value else {
            return Err(StatementError::Field("object at its top"));
        };
        let kind = strict::text(&mut map, "_type").unwrap_or_default();
        if kind != STATEMENT_V1 && kind != STATEMENT_V01 {
            return Err(StatementError::Type(shown(&kind)));
        }
        let predicate_type = strict::text(&mut map, "predicateType").filter(|text| !text.is_empty());
        let predicate = strict::object(&mut map, "predicate");
        Ok(Self {
            subject: subjects(
                strict::array(&mut map, "subject").ok_or(StatementError::Field("`subject` list"))?,
            )?,
            predicate_type: predicate_type.ok_or(StatementError::Field("`predicateType`"))?,
            predicate: Value::Object(predicate.ok_or(StatementError::Field("`predicate` object"))?),
        })
    }

    /// Whether one of its subjects is `digest`.
    #[must_use]
    pub fn names_subject(&self, digest: &Digest) -> bool {
        let hex = digest.hex();
        self.subject.iter().any(|subject| subject.digest.get("sha256") == Some(&hex))
    }

    /// The commits that it is about, if it is about commits alone.
    #[must_use]
    pub fn commits(&self) -> Option<Vec<&str>> {
        self.subject.iter().map(Subject::commit).collect()
    }

    /// Whether one of its subjects has the digests `known` (algorithm to hex): at least one of them, and none that differs.
    #[must_use]
    pub fn names_digests(&self, known: &BTreeMap<String, String>) -> bool {
        let fits = |subject: &Subject| {
            let mut both = known
                .iter()
                .filter_map(|(algorithm, hex)| Some((subject.digest.get(algorithm)?, hex)))
                .peekable();
            both.peek().is_some() && both.all(|(said, hex)| said == hex)
        };
        self.subject.iter().any(fits)
    }
}

fn subject_value(subject: &Subject) -> Value {
    let mut map = Map::new();
    if !subject.name.is_empty() {
        map.insert("name".into(), subject.name.clone().into());
    }
    map.insert("digest".into(), strict::to_value(&subject.digest));
    if !subject.annotations.is_empty() {
        map.insert("annotations".into(), subject.annotations.clone().into());
    }
    Value::Object(map)
}

fn subjects(items: Vec<Value>) -> Result<Vec<Subject>, StatementError> {
    if items.is_empty() || items.len() > STATEMENT_SUBJECTS_MAX {
        return Err(StatementError::Subjects(items.len()));
    }
    let read = |(index, item)| subject(item).map_err(|why| StatementError::Subject { index, why });
    let subjects = items.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    let checkable = |subject: &Subject| {
        subject.digest.keys().any(|algorithm| hex_len(algorithm).is_some()) || subject.commit().is_some()
    };
    if subjects.iter().any(checkable) { Ok(subjects) } else { Err(StatementError::NoDigest) }
}

fn subject(item: Value) -> Result<Subject, &'static str> {
    let Value::Object(mut map) = item else { return Err("not an object") };
    let name = match map.remove("name") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(name)) => name,
        Some(_) => return Err("`name` is not a string"),
    };
    let digest =
        strict::object(&mut map, "digest").filter(|digest| !digest.is_empty()).ok_or("no `digest`")?;
    let digest = digest.into_iter().map(digest_entry).collect::<Result<_, _>>()?;
    let annotations = strict::object(&mut map, "annotations").unwrap_or_default();
    Ok(Subject { name, digest, annotations })
}

fn digest_entry((algorithm, hex): (String, Value)) -> Result<(String, String), &'static str> {
    let Value::String(hex) = hex else { return Err("a digest is not a string") };
    let lower = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match hex_len(&algorithm) {
        Some(len) if hex.len() != len || !lower => {
            Err("a digest is not lower-case hex of its algorithm's length")
        }
        _ => Ok((algorithm, hex)),
    }
}

/// Hex digits of a digest by an algorithm we accept.
fn hex_len(algorithm: &str) -> Option<usize> {
    match algorithm {
        "sha256" => Some(64),
        "sha512" => Some(128),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: &str = "4015b57a143aec5156fd1444a017a32137a3fd0f";

    fn read(subject: &Value) -> Result<Statement, StatementError> {
        let statement =
            json!({"_type": STATEMENT_V1, "subject": subject, "predicateType": "x", "predicate": {}});
        Statement::parse(statement.to_string().as_bytes())
    }

    fn commits(subject: &Value) -> Option<Vec<String>> {
        read(subject).unwrap().commits().map(|all| all.into_iter().map(str::to_owned).collect())
    }

    #[test]
    fn a_commit_is_a_commit_and_nothing_else() {
        let sha256 = "7".repeat(64);
        let own = |id: &str| Some(vec![id.to_owned()]);
        assert_eq!(commits(&json!([{"digest": {"gitCommit": SHA1}}])), own(SHA1));
        assert_eq!(commits(&json!([{"digest": {"gitCommit": sha256}}])), own(&sha256));
        assert_eq!(
            commits(&json!([{"digest": {"gitCommit": SHA1, "gitTree": "x", "sha1": SHA1}}])),
            own(SHA1)
        );
        assert_eq!(commits(&json!([{"digest": {"gitCommit": SHA1, "sha256": sha256}}])), None);
        let image = json!({"digest": {"sha256": sha256}});
        assert_eq!(commits(&json!([image, {"digest": {"gitCommit": SHA1}}])), None);
        for no_commit in
            [&SHA1[1..], &SHA1.to_uppercase(), &format!("{SHA1}0"), "", "main", &format!("{SHA1} ")]
        {
            let refused = read(&json!([{"digest": {"gitCommit": no_commit}}])).unwrap_err();
            assert!(matches!(refused, StatementError::NoDigest), "{no_commit}: {refused}");
        }
        let other = json!([{"digest": {"gitCommit": SHA1, "sha1": "7".repeat(40)}}]);
        assert!(matches!(read(&other), Err(StatementError::NoDigest)));
    }

    #[test]
    fn annotations_stay_and_may_name_refs() {
        let subject =
            |annotations: &Value| json!([{"digest": {"gitCommit": SHA1}, "annotations": annotations}]);
        let refs = |annotations: &Value| {
            let statement = read(&subject(annotations)).unwrap();
            assert_eq!(Statement::parse(&statement.to_bytes()).unwrap(), statement);
            statement.subject[0].source_refs().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(
            refs(&json!({"sourceRefs": ["refs/heads/main", 1, "refs/tags/v1"]})),
            ["refs/heads/main", "refs/tags/v1"]
        );
        assert_eq!(refs(&json!({"source_refs": ["a"]})), ["a"]);
        assert_eq!(refs(&json!({"sourceRefs": ["a"], "source_refs": ["b"]})), ["a"]);
        for none in [
            json!({}),
            json!(null),
            json!("refs/heads/main"),
            json!({"sourceRefs": "a"}),
            json!({"sourceRefs": {"a": 1}}),
        ] {
            assert_eq!(refs(&none), [""; 0], "{none}");
        }
    }
}
