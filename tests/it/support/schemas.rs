//! The schemas of `--format json`. Shared with the unit tests of `report`.

use serde_json::{Value, json};

macro_rules! schemas {
    ($($name:literal)+) => {
        [$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/", $name, ".json")))),+]
    };
}

const SCHEMAS: &[(&str, &str)] = &schemas!["attest" "audit" "build" "import" "rebuild" "diff" "trace" "failed" "doctor" "key" "store" "error" "explain" "verify" "policy" "evidence" "copy" "history" "ledger" "report" "changes" "notify" "test" "promote"];

/// What is wrong with an answer, which says itself which schema it follows. Stricter than the schema, which lets
/// later releases add fields: here every field must be described.
pub(crate) fn violations(answer: &Value) -> Vec<String> {
    let named = answer["schema"].as_str().unwrap_or_default();
    let Some((_, text)) = SCHEMAS.iter().find(|(name, _)| format!("reprov.{name}/v1") == named) else {
        return vec![format!("no schema `{named}`")];
    };
    let mut schema: Value = serde_json::from_str(text).unwrap();
    close(&mut schema);
    let schema = jsonschema::draft202012::new(&schema).unwrap();
    schema.iter_errors(answer).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// What is wrong with a report of findings, by the schema that OASIS publishes with SARIF 2.1.0 (`fixtures/sarif`). Its
/// pattern of languages is no regular expression by its own draft; reports here have none, and it is left out.
pub(crate) fn sarif_violations(report: &Value) -> Vec<String> {
    const NO_PATTERN: &str = r#""pattern": "^[a-zA-Z]{2}|^[a-zA-Z]{2}-[a-zA-Z]{2}]?$""#;
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/sarif/sarif-schema-2.1.0.json"));
    let text = text.replace(NO_PATTERN, r#""minLength": 2"#);
    let schema = jsonschema::draft7::options().should_validate_formats(true);
    let schema = schema.build(&serde_json::from_str(&text).unwrap()).unwrap();
    schema.iter_errors(report).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Forbids what no schema names.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.contains_key("properties") && !object.contains_key("additionalProperties") {
                object.insert("additionalProperties".to_owned(), json!(false));
            }
            object.values_mut().for_each(close);
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}
