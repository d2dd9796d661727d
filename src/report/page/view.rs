//! What the template shows, in the words it shows it in.

use std::collections::BTreeMap;

use askama::Template;

use super::{
    super::{
        config::{said, value},
        explain::{Entry, Explain, Kind},
        pair::{Pair, Summary, counted, kinds, weight},
    },
    inputs::{self, Inputs},
    tree::{self, Layer},
};
use crate::{
    drift::{Cause, Drift},
    model::path::printable,
};

/// The whole page.
#[derive(Template)]
#[template(path = "page.html")]
pub(super) struct Page {
    title: String,
    version: &'static str,
    /// What can be filtered by.
    causes: Vec<Chip>,
    drifts: usize,
    security: usize,
    pairs: Vec<Compared>,
}

/// A cause, and how often it is met.
struct Chip {
    code: &'static str,
    class: &'static str,
    count: usize,
}

/// Two images.
struct Compared {
    id: String,
    said: &'static str,
    meaning: &'static str,
    names: Vec<(&'static str, String)>,
    error: Option<String>,
    tiles: Vec<Tile>,
    begins: Option<String>,
    kinds: String,
    alarms: Vec<Alarm>,
    bars: Vec<Bar>,
    layers: Vec<Layer>,
    config: Vec<Place>,
    inputs: Option<Inputs>,
    facts: Vec<(&'static str, String)>,
    tail: Vec<String>,
    sides: [&'static str; 2],
}

/// A number and what it counts.
struct Tile {
    count: String,
    what: &'static str,
    kind: &'static str,
}

/// A drift that concerns security, to go to.
struct Alarm {
    to: String,
    path: String,
    kind: &'static str,
}

/// A layer, or several that are equal.
struct Bar {
    layer: String,
    line: Option<u32>,
    text: String,
    segments: Vec<Segment>,
    note: String,
    to: Option<String>,
    marks: String,
}

/// A part of a bar.
struct Segment {
    class: &'static str,
    width: String,
}

/// A place of config or manifest.
struct Place {
    name: String,
    a: String,
    b: String,
    code: &'static str,
    class: &'static str,
}

impl Page {
    pub(super) fn of(pairs: &[Pair<'_>]) -> Self {
        let mut causes: BTreeMap<Cause, usize> = BTreeMap::new();
        for drift in pairs.iter().flat_map(|pair| pair.drifts) {
            *causes.entry(drift.cause).or_default() += 1;
        }
        for drift in pairs.iter().flat_map(|pair| pair.config) {
            *causes.entry(drift.cause).or_default() += 1;
        }
        let mut causes: Vec<_> = causes.into_iter().collect();
        causes.sort_by_key(|(cause, _)| (weight(cause.class()), cause.code()));
        let chip =
            |(cause, count): (Cause, usize)| Chip { code: cause.code(), class: cause.class().name(), count };
        let all = || pairs.iter().flat_map(|pair| pair.drifts);
        let titles: Vec<_> = pairs.iter().map(|pair| format!("{}  {}", pair.said(), pair.headline)).collect();
        Self {
            title: titles.join(", ").chars().take(200).collect(),
            version: env!("CARGO_PKG_VERSION"),
            causes: causes.into_iter().map(chip).collect(),
            drifts: all().count() + pairs.iter().map(|pair| pair.config.len()).sum::<usize>(),
            security: all().filter(|drift| drift.security).count(),
            pairs: pairs.iter().enumerate().map(|(index, pair)| Compared::of(index, pair)).collect(),
        }
    }
}

impl Compared {
    fn of(index: usize, pair: &Pair<'_>) -> Self {
        let (id, summary) = (format!("image-{index}"), pair.summary());
        let layers = tree::layers(&id, pair);
        let place = |drift: &crate::drift::ConfigDrift| Place {
            name: said(drift),
            a: value(drift.a.as_ref()),
            b: value(drift.b.as_ref()),
            code: drift.cause.code(),
            class: drift.class.name(),
        };
        let mut facts = pair.facts.clone();
        facts.extend(pair.ends.iter().cloned());
        let tabled = |label: &'static str| pair.inputs.is_some() && inputs::FACTS.contains(&label);
        facts.retain(|fact| !pair.names.contains(fact) && !tabled(fact.0));
        Self {
            said: pair.said(),
            meaning: meaning(pair),
            names: pair.names.clone(),
            error: pair.error.map(printable),
            tiles: tiles(pair, &summary),
            begins: summary.first.as_ref().map(|(_, place)| place.clone()),
            kinds: kinds(&summary.security),
            alarms: alarms(&layers),
            bars: bars(&id, pair),
            layers,
            config: pair.config.iter().map(place).collect(),
            inputs: pair.inputs.map(Inputs::of),
            facts,
            tail: pair.tail.iter().flat_map(|tail| tail.lines()).map(printable).collect(),
            sides: pair.sides,
            id,
        }
    }
}

fn meaning(pair: &Pair<'_>) -> &'static str {
    let entry = pair.verdict.and_then(|verdict| Explain::of(Some(verdict.name())));
    let entry =
        entry.and_then(|explain| explain.entries.into_iter().find(|entry| entry.kind == Kind::Verdict));
    entry.map_or("There was nothing that could be compared.", |Entry { meaning, .. }| meaning)
}

fn tiles(pair: &Pair<'_>, summary: &Summary<'_>) -> Vec<Tile> {
    let tile = |count: usize, [one, many]: [&'static str; 2], kind| {
        let what = if count == 1 { one } else { many };
        (count > 0).then(|| Tile { count: count.to_string(), what, kind })
    };
    let security = summary.security.values().sum();
    let layers = Tile {
        count: format!("{}/{}", summary.equal, pair.layers.len()),
        what: "layers equal",
        kind: if summary.equal == pair.layers.len() { "good" } else { "" },
    };
    let unexplained = |drift: &&&Drift| drift.class == crate::drift::Class::Unexplained;
    let rest = [
        tile(security, ["of security"; 2], "bad"),
        tile(summary.own.iter().filter(unexplained).count(), ["unexplained"; 2], "bad"),
        tile(summary.own.len(), ["drift", "drifts"], ""),
        tile(summary.causes.len(), ["cause", "causes"], ""),
        tile(summary.consequences, ["consequence", "consequences"], ""),
        tile(pair.config.len(), ["place of config", "places of config"], ""),
        tile(summary.accepted, ["accepted"; 2], ""),
    ];
    std::iter::once(layers).chain(rest.into_iter().flatten()).collect()
}

fn alarms(layers: &[Layer]) -> Vec<Alarm> {
    let drifts = layers.iter().flat_map(|layer| &layer.causes).flat_map(|cause| &cause.drifts);
    let alarm = |drift: &tree::Drifting| {
        Some(Alarm { to: drift.id.clone(), path: drift.path.clone(), kind: drift.security? })
    };
    drifts.filter_map(alarm).collect()
}

/// A bar for each layer, as wide as it has drifts; equal ones of the base are one.
fn bars(id: &str, pair: &Pair<'_>) -> Vec<Bar> {
    let mut counts: BTreeMap<usize, BTreeMap<(u8, &'static str), usize>> = BTreeMap::new();
    for drift in pair.drifts {
        let class = match &drift.consequence_of {
            Some(_) => (9, "consequence"),
            None if drift.security => (0, "unexplained"),
            None => (weight(drift.class), drift.class.name()),
        };
        *counts.entry(drift.layer).or_default().entry(class).or_default() += 1;
    }
    let most = counts.values().map(|classes| classes.values().sum()).max().unwrap_or(1_usize).max(1);
    let mut bars = Vec::new();
    let quiet = |layer: &super::super::LayerPair| layer.equal && pair.made_by(layer.index).is_none();
    for run in pair.layers.chunk_by(|one, other| quiet(one) && quiet(other)) {
        let (first, last) = (run[0].index, run[run.len() - 1].index);
        let classes = counts.remove(&first).unwrap_or_default();
        let count: usize = classes.values().sum();
        let made_by = pair.made_by(first);
        let note = match count {
            0 if run[0].equal => "equal".to_owned(),
            0 => "differs".to_owned(),
            count => counted(count, "drift", "drifts"),
        };
        let segment = |((_, class), count): (&(u8, &'static str), &usize)| Segment {
            class,
            width: format!("{}.{}%", count * 1000 / most / 10, count * 1000 / most % 10),
        };
        let plain = if run[0].equal { "base image" } else { "nothing tells what made it" };
        bars.push(Bar {
            layer: if first == last { first.to_string() } else { format!("{first}–{last}") },
            line: made_by.and_then(|instruction| instruction.line),
            text: made_by.map_or_else(|| plain.to_owned(), |instruction| printable(&instruction.text)),
            segments: classes.iter().map(segment).collect(),
            note,
            to: (count > 0).then(|| format!("{id}-layer-{first}")),
            marks: tree::marks(pair.drifts.iter().filter(|drift| drift.layer == first)),
        });
    }
    bars
}
