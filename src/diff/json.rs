//! Config and manifest, compared as raw JSON.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::align::align;
use crate::{
    model::{Digest, limits::LAYERS_MAX},
    oci::Image,
};

/// Length of a pointer up to which values are gone into, and how many places are told.
const POINTER_SIZE_BYTES_MAX: usize = 4096;
const CHANGES_MAX: usize = 10_000;

/// Which document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Of {
    /// The image config.
    Config,
    /// The image manifest.
    Manifest,
}

/// One place of config or manifest that differs; `None` where there is none.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigChange {
    /// Which document.
    pub of: Of,
    /// Where (RFC 6901).
    pub pointer: String,
    /// In the first image.
    pub a: Option<Value>,
    /// In the second.
    pub b: Option<Value>,
}

/// Everything that differs, but for what the layers' own comparison says: digests, sizes and diffIDs of
/// layers, digest and size of the config, and media types that differ in compression alone.
pub(super) fn compare(a: &Image, b: &Image) -> Vec<ConfigChange> {
    let mut found = Vec::new();
    walk(Of::Config, "", Some(a.config.raw()), Some(b.config.raw()), &mut found);
    walk(Of::Manifest, "", Some(a.manifest.raw()), Some(b.manifest.raw()), &mut found);
    let same_blob = |at: &str| {
        let blob =
            |image: &Image| image.manifest.layers().get(at.parse::<usize>().ok()?).map(|layer| layer.digest);
        blob(a).is_some() && blob(a) == blob(b)
    };
    found.retain(|change| !said_by_layers(change, same_blob));
    found
}

fn walk(of: Of, pointer: &str, a: Option<&Value>, b: Option<&Value>, found: &mut Vec<ConfigChange>) {
    let empty = Value::Object(Map::new());
    // Names with values each: where one has none of them, each is missing there.
    let named = matches!(pointer, "/annotations" | "/config/Labels");
    let there = |value: Option<&Value>| value.is_some_and(Value::is_object);
    let missing = |value: Option<&Value>| value.is_none_or(Value::is_null);
    let (a, b) = match (a, b) {
        (a, b) if named && missing(a) && there(b) => (Some(&empty), b),
        (a, b) if named && missing(b) && there(a) => (a, Some(&empty)),
        both => both,
    };
    match (a, b) {
        _ if a == b => {}
        // Beyond so many, that there are more is one difference, of the document as a whole.
        _ if found.len() > CHANGES_MAX => {}
        _ if found.len() == CHANGES_MAX => {
            let more = Value::from(format!("more than {CHANGES_MAX} places differ"));
            found.push(ConfigChange { of, pointer: String::new(), a: Some(more), b: None });
        }
        _ if pointer.len() > POINTER_SIZE_BYTES_MAX => {
            found.push(ConfigChange { of, pointer: pointer.to_owned(), a: a.cloned(), b: b.cloned() });
        }
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            for key in one.keys().chain(other.keys()).collect::<BTreeSet<_>>() {
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                walk(of, &pointer, one.get(key), other.get(key), found);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other)))
            if pointer == "/history" && one.len() != other.len() =>
        {
            history(of, [one, other], found);
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            for index in 0..one.len().max(other.len()) {
                walk(of, &format!("{pointer}/{index}"), one.get(index), other.get(index), found);
            }
        }
        _ => found.push(ConfigChange { of, pointer: pointer.to_owned(), a: a.cloned(), b: b.cloned() }),
    }
}

/// Entries of other numbers, by what they say made them; where they are is said by the first image's numbers, else the second's.
fn history(of: Of, [one, other]: [&[Value]; 2], found: &mut Vec<ConfigChange>) {
    let said = |step: &Value| {
        let text = step.get("created_by").and_then(Value::as_str).unwrap_or_default();
        Digest::of(text.as_bytes())
    };
    let [a, b] = [one, other].map(|steps| steps.iter().take(LAYERS_MAX).map(said).collect::<Vec<_>>());
    for [a, b] in align(&a, &b) {
        let pointer = format!("/history/{}", a.or(b).unwrap_or_default());
        walk(of, &pointer, a.and_then(|at| one.get(at)), b.and_then(|at| other.get(at)), found);
    }
    if one.len().max(other.len()) > LAYERS_MAX {
        let count = |steps: &[Value]| Some(Value::from(steps.len()));
        found.push(ConfigChange { of, pointer: "/history".to_owned(), a: count(one), b: count(other) });
    }
}

fn said_by_layers(change: &ConfigChange, same_blob: impl Fn(&str) -> bool) -> bool {
    let parts: Vec<&str> = change.pointer.split('/').skip(1).collect();
    match (change.of, &parts[..]) {
        (Of::Config, ["rootfs", "diff_ids", _])
        | (Of::Manifest, ["layers", _] | ["config", "digest" | "size"] | ["layers", _, "digest" | "size"]) => {
            true
        }
        (Of::Manifest, ["layers", at, "mediaType"]) if !same_blob(at) => {
            let archive = |value: &Option<Value>| {
                let name = value.as_ref().and_then(Value::as_str)?;
                name.rfind(".tar").map(|at| name[..at].to_owned())
            };
            archive(&change.a).is_some() && archive(&change.a) == archive(&change.b)
        }
        _ => false,
    }
}
