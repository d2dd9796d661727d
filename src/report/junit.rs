//! The report as `JUnit`'s XML: an image is a suite, each layer a test, config and manifest one more.

use super::{
    config::{said, value},
    pair::{Pair, cause_and_class, counted, place_of},
};
use crate::{
    drift::{ConfigDrift, Drift},
    model::{Verdict, path::printable},
};

/// What came of one test.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) outcome: Outcome,
}

pub(super) enum Outcome {
    Passed,
    /// All that differs is accepted.
    Skipped(String),
    Failed {
        /// In one word.
        kind: &'static str,
        message: String,
        text: String,
    },
    /// Nobody can tell.
    Error(String),
}

/// All of it.
pub(super) fn render(pairs: &[Pair<'_>]) -> String {
    let suites: Vec<_> = pairs.iter().map(|pair| (pair.named(), cases(pair))).collect();
    written(&suites)
}

/// Suites by name, with their cases.
pub(super) fn written(suites: &[(String, Vec<Case>)]) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"reprov\">\n");
    for (name, cases) in suites {
        let count = |of: fn(&Outcome) -> bool| cases.iter().filter(|case| of(&case.outcome)).count();
        out.push_str(&format!(
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n",
            escaped(name),
            cases.len(),
            count(|outcome| matches!(outcome, Outcome::Failed { .. })),
            count(|outcome| matches!(outcome, Outcome::Error(_))),
            count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        ));
        for case in cases {
            write(&mut out, name, case);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn write(out: &mut String, suite: &str, case: &Case) {
    out.push_str(&format!("    <testcase classname=\"{}\" name=\"{}\"", escaped(suite), escaped(&case.name)));
    match &case.outcome {
        Outcome::Passed => return out.push_str("/>\n"),
        Outcome::Skipped(message) => {
            out.push_str(&format!(">\n      <skipped message=\"{}\"/>\n", escaped(message)));
        }
        Outcome::Failed { kind, message, text } => {
            let (message, text) = (escaped(message), escaped(text));
            out.push_str(&format!(
                ">\n      <failure type=\"{kind}\" message=\"{message}\">{text}</failure>\n"
            ));
        }
        Outcome::Error(message) => {
            out.push_str(&format!(">\n      <error message=\"{}\"/>\n", escaped(message)));
        }
    }
    out.push_str("    </testcase>\n");
}

fn cases(pair: &Pair<'_>) -> Vec<Case> {
    let mut cases = Vec::new();
    if pair.error.is_some() || pair.verdict.is_none_or(Verdict::undecided) {
        let why = pair.error.map(printable).unwrap_or_default();
        cases.push(Case {
            name: "verdict".to_owned(),
            outcome: Outcome::Error(format!("{}: {why}", pair.said())),
        });
    }
    for layer in pair.layers {
        let drifts: Vec<_> = pair.drifts.iter().filter(|drift| drift.layer == layer.index).collect();
        let name = place_of(layer.index, pair.made_by(layer.index));
        // Layers have names of their own, though two instructions read alike.
        let name = if name.starts_with("layer ") { name } else { format!("layer {}, {name}", layer.index) };
        let outcome = if layer.equal && drifts.is_empty() { Outcome::Passed } else { of_layer(&drifts) };
        cases.push(Case { name, outcome });
    }
    cases.push(Case { name: "config and manifest".to_owned(), outcome: of_config(pair.config) });
    cases
}

fn of_layer(drifts: &[&Drift]) -> Outcome {
    let own: Vec<_> = drifts.iter().filter(|drift| drift.consequence_of.is_none()).collect();
    let message = match drifts {
        [] => "the layers differ".to_owned(),
        _ => counted(own.len(), "drift", "drifts"),
    };
    if !own.is_empty() && own.iter().all(|drift| drift.accepted.is_some()) {
        return Outcome::Skipped(format!("{message}, accepted"));
    }
    let security = own.iter().filter(|drift| drift.security).count();
    let security = if security > 0 { format!(", {security} of security") } else { String::new() };
    let said = |drift: &&&Drift| {
        let kind =
            drift.security_kind.map(|kind| format!(" [security: {}]", kind.words())).unwrap_or_default();
        let accepted = if drift.accepted.is_some() { " [accepted]" } else { "" };
        let (path, evidence) = (printable(&drift.path), printable(&drift.evidence));
        format!("{path}: {}{kind}{accepted}: {evidence}\n", cause_and_class(drift.cause))
    };
    let text = own.iter().map(said).collect();
    Outcome::Failed { kind: "drift", message: format!("{message}{security}"), text }
}

fn of_config(config: &[ConfigDrift]) -> Outcome {
    if config.is_empty() {
        return Outcome::Passed;
    }
    let line = |drift: &ConfigDrift| {
        format!(
            "{}: {} → {} ({})\n",
            said(drift),
            value(drift.a.as_ref()),
            value(drift.b.as_ref()),
            drift.cause.code()
        )
    };
    let message = format!("{} differ", counted(config.len(), "place", "places"));
    Outcome::Failed { kind: "drift", message, text: config.iter().map(line).collect() }
}

/// Text in an attribute or an element; what XML 1.0 cannot hold (§2.2) becomes U+FFFD.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push('\n'),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
