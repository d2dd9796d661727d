//! `reprov.test/v1`.

use std::fmt::Write as _;

use serde::Serialize;

use super::{columns::line, junit::escaped};
use crate::{
    model::{Digest, path::printable},
    recipe::exam,
};

/// The answer of `test`.
#[derive(Debug, Serialize)]
pub struct Test {
    /// `reprov.test/v1`.
    pub schema: &'static str,
    /// The image, by digest where that is known.
    pub image: String,
    /// Its manifest.
    pub manifest: Option<Digest>,
    /// What came of its tests.
    #[serde(flatten)]
    pub results: Results,
    /// Why nobody can tell, or why the result is not attached.
    pub error: Option<String>,
    /// From start to end.
    pub seconds: f64,
}

/// What came of tests.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Results {
    /// `passed` or `failed`; none if nobody can tell.
    pub result: Option<&'static str>,
    /// The files that say what is tested.
    pub configuration: Vec<Configuration>,
    /// In their order.
    pub tests: Vec<Case>,
    /// The referrer of the signed result.
    pub attestation: Option<Digest>,
}

/// A file of tests.
#[derive(Debug, Clone, Serialize)]
pub struct Configuration {
    /// What it is called.
    pub name: String,
    /// Where it is, if that is known.
    pub uri: Option<String>,
    /// Of its bytes.
    pub digest: Option<Digest>,
}

/// One test.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// Whether all is as it must be.
    pub passed: bool,
    /// What is not.
    pub misses: Vec<Miss>,
    /// How long it took.
    pub seconds: f64,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, Serialize)]
pub struct Miss {
    /// Of what.
    pub of: String,
    /// What must be so.
    pub expected: String,
    /// What is.
    pub seen: String,
}

impl From<&exam::Miss> for Miss {
    fn from(miss: &exam::Miss) -> Self {
        Self { of: miss.of.clone(), expected: miss.expected.clone(), seen: miss.seen.clone() }
    }
}

impl Results {
    /// The results for people.
    pub(super) fn write(&self, out: &mut String) {
        for test in &self.tests {
            let mark = if test.passed { "ok" } else { "FAILED" };
            line(out, 0, 8, &format!("{mark:<8}{} ({:.1} s)", printable(&test.name), test.seconds));
            for Miss { of, expected, seen } in &test.misses {
                let (of, expected) = (printable(of), printable(expected));
                line(out, 8, 2, &format!("{of}: expected {expected}"));
                for (index, text) in seen.lines().enumerate() {
                    let word = if index == 0 { "saw " } else { "    " };
                    line(out, 10, 4, &format!("{word}{}", printable(text)));
                }
            }
        }
        let passed = self.tests.iter().filter(|test| test.passed).count();
        let _ = writeln!(out, "{passed} of {} tests passed", self.tests.len()); // Writing to a String cannot fail.
    }
}

impl Test {
    /// The answer where nobody can tell.
    #[must_use]
    pub fn failed(image: String, error: String) -> Self {
        Self {
            schema: "reprov.test/v1",
            image,
            manifest: None,
            results: Results::default(),
            error: Some(error),
            seconds: 0.0,
        }
    }

    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        if self.results.result.is_none() {
            return out;
        }
        let _ = writeln!(out, "image   {}", printable(&self.image));
        self.results.write(&mut out);
        if let Some(attestation) = &self.results.attestation {
            let _ = writeln!(out, "attested {attestation} (signed)");
        }
        out
    }

    /// The answer in `JUnit`'s XML: the image is the suite.
    #[must_use]
    pub fn junit(&self) -> String {
        let Results { tests, .. } = &self.results;
        let (failures, errors) =
            (tests.iter().filter(|test| !test.passed).count(), usize::from(self.error.is_some()));
        let (suite, count) = (escaped(&self.image), tests.len() + errors);
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"reprov\">\n  <testsuite name=\"{suite}\" \
             tests=\"{count}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\" time=\"{:.3}\">\n",
            self.seconds
        );
        for Case { name, misses, seconds, .. } in tests {
            let name = escaped(&printable(name));
            out.push_str(&format!(
                "    <testcase classname=\"{suite}\" name=\"{name}\" time=\"{seconds:.3}\""
            ));
            if misses.is_empty() {
                out.push_str("/>\n");
                continue;
            }
            let said = |miss: &Miss| format!("{}: expected {}, saw {}", miss.of, miss.expected, miss.seen);
            let all: Vec<_> = misses.iter().map(said).collect();
            let first = escaped(&printable(&all[0]));
            let all = escaped(&all.join("\n"));
            out.push_str(&format!(
                ">\n      <failure type=\"test\" message=\"{first}\">{all}</failure>\n    </testcase>\n"
            ));
        }
        if let Some(error) = &self.error {
            let error = escaped(&printable(error));
            out.push_str(&format!(
                "    <testcase classname=\"{suite}\" name=\"reprov test\">\n      <error message=\"{error}\"/>\n    \
                 </testcase>\n"
            ));
        }
        out.push_str("  </testsuite>\n</testsuites>\n");
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Test {
        let miss = |of: &str, expected: &str, seen: &str| Miss {
            of: of.into(),
            expected: expected.into(),
            seen: seen.into(),
        };
        let case = |name: &str, misses: Vec<Miss>| Case {
            name: name.into(),
            passed: misses.is_empty(),
            misses,
            seconds: 0.25,
        };
        Test {
            schema: "reprov.test/v1",
            image: "registry.example.org/app@sha256:00".into(),
            manifest: Some(Digest::of(b"m")),
            results: Results {
                result: Some("failed"),
                configuration: vec![Configuration {
                    name: "reprov.toml".into(),
                    uri: None,
                    digest: Some(Digest::of(b"c")),
                }],
                tests: vec![
                    case("starts", Vec::new()),
                    case(
                        "says <so>",
                        vec![
                            miss("exit code", "0", "1; stderr: no\nmore\u{1b}"),
                            miss("/etc/x", "it is there", "nothing is"),
                        ],
                    ),
                ],
                attestation: Some(Digest::of(b"a")),
            },
            error: None,
            seconds: 1.5,
        }
    }

    #[test]
    fn people_see_what_was_expected_and_what_was_seen() {
        insta::assert_snapshot!(answer().text(), @r"
        image   registry.example.org/app@sha256:00
        ok      starts (0.2 s)
        FAILED  says <so> (0.2 s)
                exit code: expected 0
                  saw 1; stderr: no
                      more\u{1b}
                /etc/x: expected it is there
                  saw nothing is
        1 of 2 tests passed
        attested sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb (signed)
        ");
    }

    #[test]
    fn junit_has_a_case_a_test() {
        insta::assert_snapshot!(answer().junit(), @r###"
        <?xml version="1.0" encoding="UTF-8"?>
        <testsuites name="reprov">
          <testsuite name="registry.example.org/app@sha256:00" tests="2" failures="1" errors="0" skipped="0" time="1.500">
            <testcase classname="registry.example.org/app@sha256:00" name="starts" time="0.250"/>
            <testcase classname="registry.example.org/app@sha256:00" name="says &lt;so&gt;" time="0.250">
              <failure type="test" message="exit code: expected 0, saw 1; stderr: no\u{a}more\u{1b}">exit code: expected 0, saw 1; stderr: no
        more�
        /etc/x: expected it is there, saw nothing is</failure>
            </testcase>
          </testsuite>
        </testsuites>
        "###);
        let lost = Test::failed("x".into(), "no & engine".into()).junit();
        assert!(lost.contains("errors=\"1\"") && lost.contains("no &amp; engine"), "{lost}");
    }

    #[test]
    fn json_is_what_the_schema_says() {
        for answer in [answer(), Test::failed("x".into(), "y".into())] {
            let value = serde_json::to_value(answer).unwrap();
            assert_eq!(crate::report::tests::schemas::violations(&value), [""; 0]);
        }
    }
}
