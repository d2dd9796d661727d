//! The published examples, their schemas and our types say the same (`attestations/`).

use serde_json::{Value, json};

use super::*;
use crate::model::{Digest, json};

macro_rules! attestations {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/attestations/", $name))
    };
}

pub(super) const BUILD: &str = attestations!("build/v1/example.json");
const ATTESTED: &str = attestations!("attested/v1/example.json");
const ATTESTED_SCHEMA: &str = attestations!("attested/v1/schema.json");
const IMPORT: &str = attestations!("import/v1/example.json");
const REBUILD: &str = attestations!("rebuild/v1/example.json");
const PROMOTION: &str = attestations!("promotion/v1/example.json");
const PROMOTION_SCHEMA: &str = attestations!("promotion/v1/schema.json");
const FAILURE_SCHEMA: &str = attestations!("failure/v1/schema.json");
const BUILD_SCHEMA: &str = attestations!("build/v1/schema.json");
const IMPORT_SCHEMA: &str = attestations!("import/v1/schema.json");
const REBUILD_SCHEMA: &str = attestations!("rebuild/v1/schema.json");

fn value(text: &str) -> Value {
    json::parse(text.as_bytes()).unwrap()
}

fn canonical(text: &str) -> String {
    String::from_utf8(json::canonical(&value(text))).unwrap()
}

fn valid(schema: &str, statement: &Value) -> Result<(), String> {
    let schema = jsonschema::draft202012::new(&value(schema)).unwrap();
    schema.validate(statement).map_err(|error| error.to_string())
}

#[test]
fn build_example_round_trips() {
    let statement = Statement::parse(BUILD.as_bytes()).unwrap();
    let Provenance { definition, run } = Provenance::read(&statement).unwrap();
    let written = provenance(&definition, &run, &statement.subject);
    assert_eq!(String::from_utf8(written.to_bytes()).unwrap(), canonical(BUILD));
}

#[test]
fn a_failure_is_about_the_logs_and_round_trips() {
    let build = Provenance::read(&Statement::parse(BUILD.as_bytes()).unwrap()).unwrap();
    let instruction = rebuilt::Instruction { line: 3, text: "RUN make".into() };
    let failure = |full: bool| FailedStep {
        reason: "the engine ended with exit code 7".into(),
        to: "registry.example.org/app:1".into(),
        instruction: full.then(|| instruction.clone()),
        exit_code: full.then_some(7),
        limit: full.then(|| PassedLimit { name: "memory".into(), allowed: 1, found: 2 }),
        refused: 1,
    };
    for full in [true, false] {
        let failed = Failed { build: build.clone(), failure: failure(full) };
        let statement = Statement::parse(&failed.statement().to_bytes()).unwrap();
        assert_eq!(Failed::read(&statement).unwrap(), failed);
        valid(FAILURE_SCHEMA, &json::parse(&statement.to_bytes()).unwrap()).unwrap();
        let log = build.run.byproduct("log").unwrap().sha256().unwrap();
        assert!(statement.names_subject(&log));
        assert!(Provenance::read(&statement).is_err(), "it is no provenance of an image");
        let other =
            Statement { subject: vec![Subject::new("log", &Digest::of(b"other"))], ..statement.clone() };
        assert!(matches!(Failed::read(&other), Err(FailedError::Subject("log"))));
        let mut without = statement;
        without.predicate.as_object_mut().unwrap().remove("failure");
        assert!(matches!(Failed::read(&without), Err(FailedError::Shape(_))));
        assert!(valid(FAILURE_SCHEMA, &json::parse(&without.to_bytes()).unwrap()).is_err());
    }
    assert!(matches!(
        Failed::read(&Statement::parse(BUILD.as_bytes()).unwrap()),
        Err(FailedError::PredicateType(_))
    ));
}

#[test]
fn import_example_round_trips() {
    let statement = Statement::parse(IMPORT.as_bytes()).unwrap();
    let imported = Imported::read(&statement).unwrap();
    let written = imported.statement(statement.subject[0].clone());
    assert_eq!(String::from_utf8(written.to_bytes()).unwrap(), canonical(IMPORT));
    let uri = imported.external.source.as_deref();
    assert_eq!(imported::rootfs(&imported.rootfs.sha256().unwrap(), "tar", "xz", uri), imported.rootfs);
    assert!(matches!(Origin::read(&statement), Ok(Origin::Imported(read)) if *read == imported));
    let refused = Provenance::read(&statement).unwrap_err().to_string();
    assert!(refused.contains("it was imported, not built"), "{refused}");
}

#[test]
fn attested_example_round_trips() {
    let statement = Statement::parse(ATTESTED.as_bytes()).unwrap();
    let said = Attested::read(&statement).unwrap();
    let written = said.statement(statement.subject[0].clone());
    assert_eq!(String::from_utf8(written.to_bytes()).unwrap(), canonical(ATTESTED));
    assert!(matches!(Origin::read(&statement), Ok(Origin::Attested(read)) if *read == said));
    let refused = Provenance::read(&statement).unwrap_err().to_string();
    assert!(refused.contains("attested after the fact"), "{refused}");
    let mut other = said.clone();
    other.dependencies.clear();
    assert_ne!(other.definition(), said.definition());
}

#[test]
fn rebuild_example_round_trips() {
    let statement = Statement::parse(REBUILD.as_bytes()).unwrap();
    let written = Rebuilt::read(&statement).unwrap().statement(statement.subject[0].clone());
    assert_eq!(String::from_utf8(written.to_bytes()).unwrap(), canonical(REBUILD));
}

#[test]
fn promotion_example_round_trips() {
    let statement = Statement::parse(PROMOTION.as_bytes()).unwrap();
    let promoted = Promoted::read(&statement).unwrap();
    assert!(promoted.is_of("registry.example.org/shop/checkout", "1.4"));
    let written = promoted.statement(statement.subject.clone());
    assert_eq!(String::from_utf8(written.to_bytes()).unwrap(), canonical(PROMOTION));
}

#[test]
fn examples_match_their_schemas() {
    assert_eq!(valid(BUILD_SCHEMA, &value(BUILD)), Ok(()));
    assert_eq!(valid(IMPORT_SCHEMA, &value(IMPORT)), Ok(()));
    assert_eq!(valid(ATTESTED_SCHEMA, &value(ATTESTED)), Ok(()));
    assert_eq!(valid(REBUILD_SCHEMA, &value(REBUILD)), Ok(()));
    assert_eq!(valid(PROMOTION_SCHEMA, &value(PROMOTION)), Ok(()));
}

/// The example with `new` at `pointer` (removed if null).
fn edited(example: &str, pointer: &str, new: Value) -> Value {
    let mut edited = value(example);
    let (parent, field) = pointer.rsplit_once('/').unwrap();
    let parent = edited.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    if new.is_null() {
        drop(parent.remove(field).unwrap());
    } else {
        drop(parent.insert(field.into(), new));
    }
    edited
}

/// Neither the schema nor our types take the example with `new` at `pointer`.
#[track_caller]
fn refused(pointer: &str, new: Value) {
    let (schema, example, pointer) = match pointer.split_once(':') {
        Some(("rebuild", field)) => (REBUILD_SCHEMA, REBUILD, format!("/predicate/{field}")),
        Some(("promotion", field)) => (PROMOTION_SCHEMA, PROMOTION, format!("/predicate/{field}")),
        Some(("attested", field)) => (ATTESTED_SCHEMA, ATTESTED, format!("/predicate/{field}")),
        Some((_, field)) => (IMPORT_SCHEMA, IMPORT, format!("/predicate/buildDefinition/{field}")),
        None => (BUILD_SCHEMA, BUILD, pointer.to_owned()),
    };
    let edited = edited(example, &pointer, new);
    assert!(valid(schema, &edited).is_err(), "{pointer}: schema");
    let statement = Statement::parse(edited.to_string().as_bytes());
    let read = statement.is_ok_and(|statement| match schema {
        PROMOTION_SCHEMA => Promoted::read(&statement).is_ok(),
        REBUILD_SCHEMA => Rebuilt::read(&statement).is_ok(),
        IMPORT_SCHEMA => Imported::read(&statement).is_ok(),
        ATTESTED_SCHEMA => Attested::read(&statement).is_ok(),
        _ => Provenance::read(&statement).is_ok(),
    });
    assert!(!read, "{pointer}: types");
}

#[test]
fn schema_and_types_refuse_the_same() {
    refused("/_type", "https://in-toto.io/Statement/v2".into());
    refused("/predicateType", "https://slsa.dev/provenance/v0.2".into());
    refused("/subject", json!([]));
    refused("/predicate/buildDefinition/buildType", "https://ci.example.org/other/v1".into());
    let external = |field: &str| format!("/predicate/buildDefinition/externalParameters/{field}");
    refused(&external("surprise"), 1.into());
    refused(&external("source/ref"), "main".into());
    refused(&external("buildArgs"), Value::Null);
    refused(&external("learn"), Value::Null);
    refused(&external("clock"), "commit-time".into());
    refused(&external("source"), json!(["uri", "rev", "", false]));
    refused(&external("repositories"), json!([["n", "apt", "u", []]]));
    refused(&external("recipe/digest"), "sha256:12".into());
    refused("/predicate/buildDefinition/internalParameters", Value::Null);
    refused("/predicate/buildDefinition/internalParameters/epoch", json!(1.5));
    refused("/predicate/buildDefinition/internalParameters/engine/sha256", "AB".into());
    refused("/predicate/runDetails/builder/id", "".into());
    refused("/predicate/runDetails/metadata/finishedOn", "yesterday".into());
    refused("import:buildType", "https://reprov.example/build/v1".into());
    refused("import:externalParameters/surprise", 1.into());
    refused("import:externalParameters/epoch", "2026".into());
    refused("import:internalParameters/platform", Value::Null);
    refused("import:internalParameters/dropped", json!(["device-node"]));
    refused("import:resolvedDependencies", json!([]));
    refused("import:resolvedDependencies", json!([{"uri": "x", "annotations": {"role": "rootfs"}}]));
    let attested = |field: &str| format!("attested:buildDefinition/{field}");
    refused(&attested("buildType"), "https://reprov.example/build/v1".into());
    refused(&attested("externalParameters/surprise"), 1.into());
    refused(&attested("externalParameters/source/branch"), "main".into());
    refused(&attested("externalParameters/parameters"), Value::Null);
    refused(&attested("internalParameters/subject"), "layer".into());
    refused(&attested("internalParameters/missing"), json!(["everything"]));
    refused(&attested("internalParameters/evidence"), json!([{"kind": "caller"}]));
    refused(&attested("resolvedDependencies"), json!([{"uri": "x"}]));
    refused("attested:runDetails/builder/id", "".into());
    refused("attested:runDetails/metadata/startedOn", "yesterday".into());
    refused("rebuild:verdict", "fine".into());
    refused("rebuild:provenance/digest", "12".into());
    refused("rebuild:engine", Value::Null);
    refused("rebuild:startedOn", "now".into());
    refused("rebuild:upstreamRequests", json!(-1));
    refused("promotion:action", "move".into());
    refused("promotion:to", "".into());
    refused("promotion:tag", Value::Null);
    refused("promotion:before", "12".into());
    refused("promotion:policy/digest", Value::Null);
    refused("promotion:images", json!([]));
    refused("promotion:promoter/id", "".into());
    refused("promotion:promotedOn", "now".into());
}

/// Schema and types both take the example with `new` at `pointer`.
#[track_caller]
fn accepted(pointer: &str, new: Value) {
    let edited = edited(BUILD, pointer, new);
    assert_eq!(valid(BUILD_SCHEMA, &edited), Ok(()), "{pointer}");
    Provenance::read(&Statement::parse(edited.to_string().as_bytes()).unwrap()).unwrap();
}

#[test]
fn other_unknown_or_missing_fields_pass() {
    accepted("/surprise", 1.into());
    accepted("/predicate/reprov_x", json!({"a": null}));
    accepted("/predicate/runDetails/reprov_x", json!([1]));
    accepted("/predicate/runDetails/byproducts", Value::Null);
    accepted("/predicate/runDetails/metadata/invocationId", Value::Null);
    accepted("/predicate/runDetails/builder/version", Value::Null);
    accepted("/predicate/buildDefinition/internalParameters/surprise", 1.into());
    accepted("/predicate/buildDefinition/externalParameters/target", Value::Null);
}

#[test]
fn null_means_unset() {
    let mut statement = Statement::parse(BUILD.as_bytes()).unwrap();
    statement.predicate["runDetails"]["byproducts"] = Value::Null;
    statement.predicate["buildDefinition"]["externalParameters"]["recipe"] = Value::Null;
    let read = Provenance::read(&statement).unwrap();
    assert_eq!((read.definition.external.recipe, read.run.byproducts.len()), (None, 0));
    statement.predicate["buildDefinition"]["externalParameters"]["buildArgs"] = Value::Null;
    assert!(matches!(Provenance::read(&statement), Err(ProvenanceError::Shape(_))));
}

#[test]
fn at_most_256_layers_are_written() {
    let statement = Statement::parse(REBUILD.as_bytes()).unwrap();
    let mut rebuilt = Rebuilt::read(&statement).unwrap();
    rebuilt.layers = vec![rebuilt.layers[0].clone(); 300];
    let read = Rebuilt::read(&rebuilt.statement(Subject::new("", &Digest::of(b"m")))).unwrap();
    assert_eq!(read.layers.len(), 256);
}
