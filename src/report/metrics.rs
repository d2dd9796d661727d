//! Metrics of an audit, as `OpenMetrics` text for node-exporter's textfile collector.

use std::{collections::BTreeMap, fmt::Write as _};

use super::audit::{Audit, Ended};
use crate::model::time::parse_rfc3339;

/// What is written of one group.
#[derive(Default)]
struct Of {
    /// Steps by their newest outcome, by step.
    outcomes: BTreeMap<(&'static str, String), u64>,
    /// Images that could not be looked at.
    missed: BTreeMap<&'static str, u64>,
    overdue: u64,
    images: u64,
    /// When an image of it was last found well.
    good_s: Option<i64>,
}

/// What there is of each group.
fn grouped(audit: &Audit) -> BTreeMap<&str, Of> {
    let mut groups: BTreeMap<&str, Of> = BTreeMap::new();
    for image in &audit.images {
        let of = groups.entry(&image.group).or_default();
        of.images += 1;
        if let Some(missed) = image.missed {
            *of.missed.entry(missed).or_default() += 1;
        }
        for step in &image.steps {
            let outcome = step.outcome.clone().unwrap_or_else(|| "never-judged".to_owned());
            *of.outcomes.entry((step.step, outcome)).or_default() += 1;
            of.overdue += u64::from(step.overdue());
            if step.weight() == super::audit::Weight::Yes {
                of.good_s = of.good_s.max(step.judged_on.as_deref().and_then(parse_rfc3339));
            }
        }
    }
    groups
}

/// The metrics of `audit`, which ended at `now_s`. The same answer gives the same bytes.
#[must_use]
pub fn metrics(audit: &Audit, now_s: i64) -> String {
    let groups = grouped(audit);
    let mut out = Text::default();
    out.family("reprov_audit_images", "gauge", "", "Images of the inventory.");
    for (group, of) in &groups {
        out.sample("reprov_audit_images", &[("group", group)], of.images);
    }
    out.family("reprov_audit_outcomes", "gauge", "", "Newest outcomes, by group and step.");
    for (group, of) in &groups {
        for ((step, outcome), count) in &of.outcomes {
            let labels = [("group", *group), ("step", *step), ("outcome", outcome.as_str())];
            out.sample("reprov_audit_outcomes", &labels, count);
        }
    }
    out.family("reprov_audit_missed_images", "gauge", "", "Images that were gone or unreachable.");
    for (group, of) in &groups {
        for (why, count) in &of.missed {
            out.sample("reprov_audit_missed_images", &[("group", *group), ("why", *why)], count);
        }
    }
    out.family("reprov_audit_overdue", "gauge", "", "Steps that are due and were not done.");
    for (group, of) in &groups {
        out.sample("reprov_audit_overdue", &[("group", group)], of.overdue);
    }
    out.family(
        "reprov_audit_last_success_timestamp_seconds",
        "gauge",
        "seconds",
        "When an image was last found well.",
    );
    for (group, of) in &groups {
        if let Some(good_s) = of.good_s {
            out.sample("reprov_audit_last_success_timestamp_seconds", &[("group", group)], good_s);
        }
    }
    let whole = [
        (
            "reprov_audit_notices",
            "",
            "Things to be said about the inventory.",
            audit.notices.len().to_string(),
        ),
        (
            "reprov_audit_complete",
            "",
            "1: all that was due was tried.",
            u8::from(audit.ended == Ended::Complete).to_string(),
        ),
        (
            "reprov_audit_duration_seconds",
            "seconds",
            "How long the audit took.",
            format!("{:.3}", audit.seconds),
        ),
        ("reprov_audit_ended_timestamp_seconds", "seconds", "When the audit ended.", now_s.to_string()),
    ];
    for (name, unit, help, value) in whole {
        out.family(name, "gauge", unit, help);
        out.sample(name, &[], value);
    }
    out.0.push_str("# EOF\n");
    out.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}"); // Writing to a String cannot fail.
        if !unit.is_empty() {
            let _ = writeln!(self.0, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.0, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}

/// A label's value: backslash, quote and line feed have an escape.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        model::Digest,
        report::audit::{Image, State, Step},
    };

    fn step(step: &'static str, outcome: Option<&str>, state: State) -> Step {
        Step {
            step,
            due: "overdue",
            why: String::new(),
            due_on: None,
            state,
            outcome: outcome.map(str::to_owned),
            judged_on: outcome.map(|_| "2026-11-30T02:00:00Z".to_owned()),
            accepted: false,
            codes: BTreeMap::new(),
            attestation: None,
            report: None,
            error: None,
            internal: false,
            tries: 1,
            seconds: None,
        }
    }

    fn audit() -> Audit {
        let image = |group: &str, missed, steps| Image {
            image: "registry.example.org/a:1".to_owned(),
            also: Vec::new(),
            group: group.to_owned(),
            owner: None,
            missed,
            error: None,
            steps,
        };
        Audit {
            schema: "reprov.audit/v1",
            inventory: "inventory.toml".to_owned(),
            inventory_digest: Digest::of(b""),
            listed: false,
            ended: Ended::OutOfTime,
            began_on: "2026-11-30T01:00:00Z".to_owned(),
            seconds: 12.5,
            images: vec![
                image(
                    "web",
                    None,
                    vec![
                        step("verify", Some("passed"), State::Done),
                        step("replay", Some("explained"), State::NotDue),
                    ],
                ),
                image(
                    "web",
                    None,
                    vec![step("verify", Some("passed"), State::NotDue), step("replay", None, State::NoTime)],
                ),
                image("a \"b\"\\c", Some("gone"), Vec::new()),
            ],
            notices: Vec::new(),
            summary: BTreeMap::new(),
            overdue: 1,
        }
    }

    /// One sample: name, labels, value.
    type Sample = (String, Vec<(String, String)>, f64);

    /// Reads what node-exporter reads (`OpenMetrics` 1.0, "ABNF"), strictly.
    fn parse(text: &str) -> Vec<Sample> {
        let mut samples = Vec::new();
        let (mut families, mut current) = (BTreeSet::new(), String::new());
        let body = text.strip_suffix("# EOF\n").expect("it ends with `# EOF`");
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                current = rest.split(' ').next().unwrap().to_owned();
                assert!(families.insert(current.clone()), "{current} stands twice");
                continue;
            }
            if let Some(rest) = line.strip_prefix("# UNIT ") {
                let (name, unit) = rest.split_once(' ').unwrap();
                assert!(name == current && name.ends_with(&format!("_{unit}")), "{line}");
                continue;
            }
            if let Some(rest) = line.strip_prefix("# HELP ") {
                assert!(rest.starts_with(&format!("{current} ")), "{line}");
                continue;
            }
            let end = line.find(['{', ' ']).unwrap();
            let (name, mut rest) = line.split_at(end);
            assert_eq!(name, current);
            let mut labels = Vec::new();
            if let Some(inner) = rest.strip_prefix('{') {
                rest = inner;
                while !rest.starts_with('}') {
                    let (label, after) = rest.split_once("=\"").unwrap();
                    let (mut value, mut letters) = (String::new(), after.char_indices());
                    let close = loop {
                        match letters.next().unwrap() {
                            (at, '"') => break at,
                            (_, '\\') => value.push(match letters.next().unwrap().1 {
                                'n' => '\n',
                                escaped @ ('\\' | '"') => escaped,
                                other => panic!("\\{other}"),
                            }),
                            (_, letter) => value.push(letter),
                        }
                    };
                    labels.push((label.trim_start_matches(',').to_owned(), value));
                    rest = &after[close + 1..];
                }
                rest = &rest[1..];
            }
            samples.push((name.to_owned(), labels, rest.trim_start().parse().unwrap()));
        }
        samples
    }

    #[test]
    fn what_is_written_can_be_read() {
        let text = metrics(&audit(), 1_796_000_000);
        assert_eq!(text, metrics(&audit(), 1_796_000_000));
        let samples = parse(&text);
        let find = |name: &str, labels: &[(&str, &str)]| {
            let labels: Vec<_> = labels.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            let found = samples.iter().find(|(own, of, _)| own == name && *of == labels);
            found.unwrap_or_else(|| panic!("{name} {labels:?}: {text}")).2
        };
        let check = |name: &str, labels: &[(&str, &str)], value: f64| {
            assert!((find(name, labels) - value).abs() < 1e-9, "{name} {labels:?}");
        };
        check("reprov_audit_images", &[("group", "web")], 2.0);
        check("reprov_audit_images", &[("group", "a \"b\"\\c")], 1.0);
        check("reprov_audit_missed_images", &[("group", "a \"b\"\\c"), ("why", "gone")], 1.0);
        check("reprov_audit_outcomes", &[("group", "web"), ("step", "verify"), ("outcome", "passed")], 2.0);
        check(
            "reprov_audit_outcomes",
            &[("group", "web"), ("step", "replay"), ("outcome", "never-judged")],
            1.0,
        );
        check("reprov_audit_overdue", &[("group", "web")], 1.0);
        check("reprov_audit_last_success_timestamp_seconds", &[("group", "web")], 1_796_004_000.0);
        check("reprov_audit_complete", &[], 0.0);
        check("reprov_audit_duration_seconds", &[], 12.5);
        check("reprov_audit_ended_timestamp_seconds", &[], 1_796_000_000.0);
    }
}
