//! Drifts as a tree: layer, cause, path; and what differs, side by side.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{
    LayerId, LayerPair,
    pair::{Pair, counted, place_of, weight},
    text::{said_accepted, said_of},
};
use crate::{
    diff::ChangeKind,
    drift::{Cause, Class, Confidence, Drift, Excerpt, Line, Row, Run, Window},
    model::path::printable,
};

/// Drifts of one cause in one layer that are shown.
const DRIFTS_MAX: usize = 200;
/// What follows from one drift, as far as it is listed.
const HENCE_MAX: usize = 50;
/// Unfolded from the start, if there are no more in all.
const OPEN_MAX: usize = 8;
/// The longest value of a field, in characters.
const VALUE_CHARS_MAX: usize = 300;

/// A layer that drifts.
pub(super) struct Layer {
    pub(super) id: String,
    pub(super) place: String,
    pub(super) note: String,
    /// Both diffIDs, shortened.
    pub(super) ids: String,
    pub(super) marks: String,
    pub(super) causes: Vec<Caused>,
}

/// Drifts of one cause.
pub(super) struct Caused {
    pub(super) code: &'static str,
    pub(super) class: &'static str,
    pub(super) meaning: &'static str,
    pub(super) remedy: &'static str,
    pub(super) count: usize,
    pub(super) open: bool,
    pub(super) marks: String,
    pub(super) drifts: Vec<Drifting>,
    pub(super) more: usize,
    /// What is seen of it while it is folded.
    pub(super) peek: String,
}

/// A path that differs.
pub(super) struct Drifting {
    pub(super) id: String,
    pub(super) path: String,
    pub(super) change: &'static str,
    pub(super) security: Option<&'static str>,
    pub(super) accepted: Option<String>,
    pub(super) likely: bool,
    pub(super) remedy: Option<&'static str>,
    pub(super) consequence_of: Option<String>,
    pub(super) evidence: String,
    pub(super) fields: Vec<[String; 3]>,
    pub(super) texts: Vec<Vec<Lines>>,
    pub(super) more: bool,
    pub(super) facts: Vec<String>,
    pub(super) dumps: Vec<Vec<[Option<Dump>; 2]>>,
    pub(super) hence: Vec<(String, &'static str)>,
    pub(super) hence_more: usize,
    pub(super) open: bool,
    pub(super) marks: String,
}

/// Two lines side by side.
pub(super) struct Lines {
    pub(super) a: Option<Cut>,
    pub(super) b: Option<Cut>,
}

/// A line, and which part of it differs from the other.
pub(super) struct Cut {
    pub(super) number: usize,
    pub(super) before: String,
    pub(super) differs: String,
    pub(super) after: String,
    pub(super) kind: &'static str,
}

/// A line of a hex dump.
pub(super) struct Dump {
    pub(super) offset: String,
    pub(super) bytes: Vec<(String, bool)>,
    pub(super) text: String,
}

/// Classes to filter by.
pub(super) fn marks<'a>(drifts: impl Iterator<Item = &'a Drift>) -> String {
    let (mut causes, mut security) = (BTreeSet::new(), false);
    for drift in drifts {
        causes.insert(drift.cause.code());
        security |= drift.security;
    }
    let mut marks: String = causes.iter().map(|cause| format!(" c-{cause}")).collect();
    if security {
        marks.push_str(" sec");
    }
    marks
}

/// The layers that drift, lowest first; in each what matters most first.
pub(super) fn layers(id: &str, pair: &Pair<'_>) -> Vec<Layer> {
    let mut by_layer: BTreeMap<usize, Vec<&Drift>> = BTreeMap::new();
    for drift in pair.drifts {
        by_layer.entry(drift.layer).or_default().push(drift);
    }
    let few = pair.drifts.len() <= OPEN_MAX;
    let hence = pair.hence();
    let layer = |(index, drifts): (usize, Vec<&Drift>)| Layer {
        id: format!("{id}-layer-{index}"),
        place: place_of(index, pair.made_by(index)),
        note: counted(drifts.len(), "drift", "drifts"),
        ids: pair.layers.get(index).map(ids).unwrap_or_default(),
        marks: marks(drifts.iter().copied()),
        causes: causes(&format!("{id}-layer-{index}"), &drifts, &hence, few),
    };
    by_layer.into_iter().map(layer).collect()
}

fn causes(id: &str, drifts: &[&Drift], hence: &BTreeMap<&str, Vec<&Drift>>, few: bool) -> Vec<Caused> {
    let mut by_cause: BTreeMap<Cause, Vec<&Drift>> = BTreeMap::new();
    for drift in drifts {
        by_cause.entry(drift.cause).or_default().push(drift);
    }
    let mut groups: Vec<_> = by_cause.into_iter().collect();
    let security = |drifts: &[&Drift]| drifts.iter().any(|drift| drift.security);
    let echo = |drifts: &[&Drift]| drifts.iter().all(|drift| drift.consequence_of.is_some());
    groups.sort_by_key(|(cause, drifts)| {
        (!security(drifts), echo(drifts), weight(cause.class()), cause.code())
    });
    let group = |(cause, mut drifts): (Cause, Vec<&Drift>)| {
        drifts.sort_by_key(|drift| !drift.security); // Stable.
        let id = format!("{id}-{}", cause.code());
        let open = few || (cause.class() == Class::Unexplained && drifts.len() <= OPEN_MAX);
        let view =
            |(index, drift): (usize, &&Drift)| drifting(format!("{id}-{index}"), drift, cause, hence, open);
        Caused {
            code: cause.code(),
            class: cause.class().name(),
            meaning: cause.meaning(),
            remedy: cause.remedy(),
            count: drifts.len(),
            open: open || security(&drifts),
            marks: marks(drifts.iter().copied()),
            more: drifts.len().saturating_sub(DRIFTS_MAX),
            peek: peek(&drifts),
            drifts: drifts.iter().take(DRIFTS_MAX).enumerate().map(view).collect(),
        }
    };
    groups.into_iter().map(group).collect()
}

fn ids(layer: &LayerPair) -> String {
    let id = |id: Option<LayerId>| id.map_or("none".to_owned(), |id| id.diff_id.0.short());
    format!("layer {}, {} → {}", layer.index, id(layer.original), id(layer.rebuilt))
}

/// The first path, and how many more there are.
fn peek(drifts: &[&Drift]) -> String {
    let first = drifts.first().map(|drift| shown_path(&drift.path)).unwrap_or_default();
    match drifts.len() {
        0 | 1 => first,
        count => format!("{first} and {} more", count - 1),
    }
}

fn shown_path(path: &str) -> String {
    if path.is_empty() { "the layer as a whole".to_owned() } else { printable(path) }
}

fn drifting(
    id: String,
    drift: &Drift,
    cause: Cause,
    hence: &BTreeMap<&str, Vec<&Drift>>,
    open: bool,
) -> Drifting {
    let value = |value: &Option<String>| {
        value
            .as_deref()
            .map_or("none".to_owned(), |text| printable(text).chars().take(VALUE_CHARS_MAX).collect())
    };
    let follow = hence.get(drift.path.as_str()).into_iter().flatten();
    let follow: Vec<_> = follow.filter(|other| other.layer >= drift.layer).collect();
    let (texts, more) = texts(drift.excerpt.as_ref());
    let (facts, dumps) = dumps(drift.excerpt.as_ref());
    Drifting {
        id,
        path: shown_path(&drift.path),
        change: match drift.change {
            ChangeKind::Content => "content",
            ChangeKind::Metadata => "metadata",
            ChangeKind::OnlyInA => "only in the first",
            ChangeKind::OnlyInB => "only in the second",
            ChangeKind::Type => "type",
        },
        security: drift.security_kind.map(crate::drift::Security::words),
        accepted: drift.accepted.as_ref().map(said_accepted),
        likely: drift.confidence == Confidence::Likely,
        remedy: Some(drift.remedy).filter(|remedy| *remedy != cause.remedy()),
        consequence_of: drift.consequence_of.as_deref().map(printable),
        evidence: if said_by_rows(drift) { String::new() } else { printable(&drift.evidence) },
        fields: drift
            .fields
            .iter()
            .map(|field| [printable(&field.name), value(&field.a), value(&field.b)])
            .collect(),
        texts,
        more,
        facts,
        dumps,
        hence: follow
            .iter()
            .take(HENCE_MAX)
            .map(|other| (printable(&other.path), other.cause.code()))
            .collect(),
        hence_more: follow.len().saturating_sub(HENCE_MAX),
        open: open || drift.security,
        marks: marks(std::iter::once(drift)),
    }
}

/// Whether the first lines that differ say what the evidence says.
fn said_by_rows(drift: &Drift) -> bool {
    let Some(Excerpt::Text { hunks, .. }) = &drift.excerpt else { return false };
    let row = hunks.iter().flat_map(|hunk| &hunk.rows).find(|row| !row.equal);
    let lines = row.and_then(|row| Some((row.a.as_ref()?, row.b.as_ref()?)));
    lines.is_some_and(|(a, b)| drift.evidence == format!("{} → {}", a.text, b.text))
}

fn texts(excerpt: Option<&Excerpt>) -> (Vec<Vec<Lines>>, bool) {
    let Some(Excerpt::Text { hunks, more }) = excerpt else { return (Vec::new(), false) };
    (hunks.iter().map(|hunk| hunk.rows.iter().map(lines).collect()).collect(), *more)
}

/// Both lines, cut where they begin and where they cease to differ.
fn lines(row: &Row) -> Lines {
    let text = |line: &Option<Line>| -> Vec<char> {
        line.iter().flat_map(|line| printable(&line.text).chars().collect::<Vec<_>>()).collect()
    };
    let (a, b) = (text(&row.a), text(&row.b));
    let both = row.a.is_some() && row.b.is_some();
    let start = if both { a.iter().zip(&b).take_while(|(a, b)| a == b).count() } else { 0 };
    let end = a[start..].iter().rev().zip(b[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let end = if both { end } else { 0 };
    let cut = |line: &Option<Line>, text: &[char], kind| {
        let part = |range: std::ops::Range<usize>| text[range].iter().collect();
        line.as_ref().map(|line| Cut {
            number: line.number,
            before: part(0..start),
            differs: part(start..text.len() - end),
            after: part(text.len() - end..text.len()),
            kind: if row.equal { "" } else { kind },
        })
    };
    Lines { a: cut(&row.a, &a, "del"), b: cut(&row.b, &b, "ins") }
}

type Dumps = Vec<Vec<[Option<Dump>; 2]>>;

fn dumps(excerpt: Option<&Excerpt>) -> (Vec<String>, Dumps) {
    let Some(Excerpt::Bytes { a, b, windows }) = excerpt else { return (Vec::new(), Vec::new()) };
    let facts = [a, b].map(|facts| facts.as_ref().map_or("none".to_owned(), said_of));
    (facts.into(), windows.iter().map(dump).collect())
}

/// Bytes of a line of a dump: two lines stand side by side.
const DUMP_BYTES: usize = 8;

fn dump(Window { a, b }: &Window) -> Vec<[Option<Dump>; 2]> {
    let bytes = |run: &Run| -> Vec<u8> {
        let digits: Vec<_> = run.hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks_exact(2).filter_map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
    };
    let (all_a, all_b) = (bytes(a), bytes(b));
    let line = |run: &Run, own: &[u8], other: &[u8], at: usize| {
        let own_line: Vec<_> = own.iter().copied().enumerate().skip(at).take(DUMP_BYTES).collect();
        (!own_line.is_empty()).then(|| Dump {
            offset: format!("{:08x}", run.offset + at),
            bytes: own_line
                .iter()
                .map(|(at, byte)| (format!("{byte:02x}"), other.get(*at) != Some(byte)))
                .collect(),
            text: own_line
                .iter()
                .map(|(_, byte)| if matches!(byte, 0x20..0x7f) { char::from(*byte) } else { '.' })
                .collect(),
        })
    };
    let starts = (0..all_a.len().max(all_b.len())).step_by(DUMP_BYTES);
    starts.map(|at| [line(a, &all_a, &all_b, at), line(b, &all_b, &all_a, at)]).collect()
}
