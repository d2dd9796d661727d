//! The trend over nights: a bar a night, stacked by what came of it, as SVG.

use std::collections::BTreeMap;

use super::super::Night;
use crate::model::{Verdict, path::printable};

const WIDTH: u64 = 560;
const HEIGHT: u64 = 170;
/// Where the bars stand; below are the dates.
const BASE: u64 = 148;
/// The widest bar, with the space beside it.
const STEP_MAX: u64 = 40;

/// One chart.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) width: u64,
    pub(super) height: u64,
    pub(super) base: u64,
    pub(super) most: u64,
    pub(super) bars: Vec<Bar>,
    pub(super) labels: Vec<Label>,
    pub(super) keys: Vec<Key>,
}

/// A night.
pub(super) struct Bar {
    pub(super) x: String,
    pub(super) width: String,
    pub(super) says: String,
    pub(super) parts: Vec<Part>,
}

/// An outcome of a night.
pub(super) struct Part {
    pub(super) y: String,
    pub(super) height: String,
    pub(super) class: &'static str,
}

/// A date below the bars.
pub(super) struct Label {
    pub(super) x: u64,
    pub(super) side: &'static str,
    pub(super) text: String,
}

/// What a colour means.
pub(super) struct Key {
    pub(super) class: &'static str,
    pub(super) name: &'static str,
    pub(super) last: u64,
}

/// Colours from the ground up, and what they stand for.
const OF_REBUILDS: [(&str, &str); 5] = [
    ("c-good", "reproduced"),
    ("c-known", "the same but for form"),
    ("c-warn", "explained"),
    ("c-bad", "unexplained, unverifiable"),
    ("c-doubt", "could not tell"),
];
const OF_POLICIES: [(&str, &str); 3] =
    [("c-good", "passed"), ("c-bad", "failed"), ("c-doubt", "could not tell")];

fn class_of_verdict(outcome: &str) -> &'static str {
    let verdict = Verdict::ALL.into_iter().find(|verdict| verdict.name() == outcome);
    match verdict {
        Some(Verdict::Reproduced) => "c-good",
        Some(Verdict::CompressionOnly | Verdict::BuilderNormalised | Verdict::SameFilesystem) => "c-known",
        Some(Verdict::Explained | Verdict::BuilderChanged) => "c-warn",
        Some(Verdict::Unexplained | Verdict::Unverifiable) => "c-bad",
        Some(Verdict::Unbuildable | Verdict::InputsMissing) | None => "c-doubt",
    }
}

fn class_of_judgement(outcome: &str) -> &'static str {
    match outcome {
        "passed" => "c-good",
        "failed" => "c-bad",
        _ => "c-doubt",
    }
}

/// Those that have something to show.
pub(super) fn charts(trend: &[Night]) -> Vec<Chart> {
    let rebuilt = chart("Rebuilds", trend, |night| &night.rebuilt, class_of_verdict, &OF_REBUILDS);
    let live = chart("Live rebuilds", trend, |night| &night.live, class_of_verdict, &OF_REBUILDS);
    let verified = chart("Policy", trend, |night| &night.verified, class_of_judgement, &OF_POLICIES);
    [rebuilt, live, verified].into_iter().flatten().collect()
}

#[expect(clippy::cast_precision_loss, reason = "places on a screen")]
fn chart(
    title: &'static str,
    trend: &[Night],
    of: impl Fn(&Night) -> &BTreeMap<String, u64>,
    class: impl Fn(&str) -> &'static str,
    keys: &[(&'static str, &'static str)],
) -> Option<Chart> {
    let most = trend.iter().map(|night| of(night).values().sum::<u64>()).max().filter(|most| *most > 0)?;
    let step = (WIDTH / trend.len() as u64).min(STEP_MAX);
    let sum = |night: &Night, key: &str| -> u64 {
        of(night).iter().filter(|(outcome, _)| class(outcome) == key).map(|(_, images)| images).sum()
    };
    let bar = |(index, night): (usize, &Night)| {
        let mut top = BASE as f64;
        let parts = keys.iter().filter_map(|(key, _)| {
            let images = sum(night, key);
            let height = images as f64 / most as f64 * (BASE - 6) as f64;
            top -= height;
            (images > 0).then(|| Part { y: format!("{top:.1}"), height: format!("{height:.1}"), class: key })
        });
        let parts = parts.collect();
        let said: Vec<_> =
            of(night).iter().map(|(outcome, images)| format!("{images} {}", printable(outcome))).collect();
        let said = if said.is_empty() { "nothing".to_owned() } else { said.join(", ") };
        let gap = if step > 6 { 3.0 } else { 1.0 };
        Bar {
            x: format!("{:.1}", (index as u64 * step) as f64 + gap / 2.0),
            width: format!("{:.1}", step as f64 - gap),
            says: format!("{}: {said}", night.night),
            parts,
        }
    };
    let last = trend.last()?;
    let mut labels = vec![Label { x: 0, side: "start", text: trend.first()?.night.clone() }];
    let end = step * trend.len() as u64;
    if end > 170 {
        labels.push(Label { x: end, side: "end", text: last.night.clone() });
    }
    Some(Chart {
        title,
        width: WIDTH,
        height: HEIGHT,
        base: BASE,
        most,
        bars: trend.iter().enumerate().map(bar).collect(),
        labels,
        keys: keys
            .iter()
            .filter(|(key, _)| trend.iter().any(|night| sum(night, key) > 0))
            .map(|(class, name)| Key { class, name, last: sum(last, class) })
            .collect(),
    })
}
