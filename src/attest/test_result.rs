//! The in-toto predicate of test results (attestation spec, `predicates/test-result.md`, v0.1).

use serde_json::{Value, json};

use super::{Statement, Subject};
use crate::model::{ResourceDescriptor, rfc3339};

/// What tests of an image came to. The result follows from what failed.
#[derive(Debug, Clone, PartialEq)]
pub struct TestResult {
    /// The files that say what is tested, each by digest.
    pub configuration: Vec<ResourceDescriptor>,
    /// Names of those that passed.
    pub passed_tests: Vec<String>,
    /// Names of those that failed.
    pub failed_tests: Vec<String>,
    /// Who tested, a URI; a field of our own.
    pub tester: String,
    /// When it began, seconds since 1970; a field of our own.
    pub started_on_s: i64,
    /// When it ended, seconds since 1970; a field of our own, which `max-age` of a policy needs.
    pub finished_on_s: i64,
}

impl TestResult {
    /// Its predicate type.
    pub const PREDICATE: &str = "https://in-toto.io/attestation/test-result/v0.1";

    /// `PASSED` or `FAILED`.
    #[must_use]
    pub fn result(&self) -> &'static str {
        if self.failed_tests.is_empty() { "PASSED" } else { "FAILED" }
    }

    /// The statement about `subject`.
    #[must_use]
    pub fn statement(&self, subject: Subject) -> Statement {
        let descriptor = |descriptor: &ResourceDescriptor| {
            let mut value = json!({ "name": descriptor.name, "digest": descriptor.digest });
            if !descriptor.uri.is_empty() {
                value["uri"] = Value::from(descriptor.uri.as_str());
            }
            value
        };
        Statement {
            subject: vec![subject],
            predicate_type: Self::PREDICATE.to_owned(),
            predicate: json!({
                "result": self.result(),
                "configuration": self.configuration.iter().map(descriptor).collect::<Vec<_>>(),
                "passedTests": self.passed_tests,
                "warnedTests": [],
                "failedTests": self.failed_tests,
                "tester": {"id": self.tester, "version": {"reprov": env!("CARGO_PKG_VERSION")}},
                "startedOn": rfc3339(self.started_on_s),
                "finishedOn": rfc3339(self.finished_on_s),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    #[test]
    fn one_failure_is_a_failure() {
        let mut result = TestResult {
            configuration: vec![ResourceDescriptor { name: "reprov.toml".into(), ..Default::default() }],
            passed_tests: vec!["a".into()],
            failed_tests: Vec::new(),
            tester: "https://tester.example.org".into(),
            started_on_s: 0,
            finished_on_s: 1,
        };
        let said = |result: &TestResult| result.statement(Subject::new("x", &Digest::of(b"x"))).predicate;
        assert_eq!(said(&result)["result"], "PASSED");
        result.failed_tests.push("b".into());
        let predicate = said(&result);
        assert_eq!((&predicate["result"], &predicate["failedTests"]), (&json!("FAILED"), &json!(["b"])));
        assert_eq!(predicate["finishedOn"], "1970-01-01T00:00:01Z");
        assert!(predicate["configuration"][0].get("uri").is_none());
    }
}
