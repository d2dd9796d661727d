//! The text about two images, in 80 columns: the answer first, then what differs.

use std::collections::BTreeMap;

use super::{
    columns::{field, line, middle_cut},
    config::{said, value},
    pair::{Pair, Summary, cause_and_class, counted, kinds, place, place_of},
};
use crate::{
    drift::{Accepted, Cause, Drift, Excerpt, Facts, FromStage, Hunk, Line, Row, Run, Security, Window},
    model::path::printable,
};

/// For people who did not ask for all: how many groups of drifts are listed, and how many of one group.
const GROUPS_MAX: usize = 20;
const ALIKE_MAX: usize = 3;
/// The longest path, and whatever else an image brings, in columns.
const OF_IMAGE_COLUMNS_MAX: usize = 240;
/// Lines of a failed build's log.
const TAIL_LINES: usize = 15;

impl Pair<'_> {
    /// The text about it; `verbose`: every drift, consequences too, with what differs.
    pub(super) fn write(&self, out: &mut String, verbose: bool) {
        line(out, 0, 2, &format!("{}  {}", self.said(), self.headline));
        self.write_findings(out, verbose);
    }

    /// All but the first line.
    pub(super) fn write_findings(&self, out: &mut String, verbose: bool) {
        let summary = self.summary();
        if let Some(error) = self.error {
            line(out, 2, 0, &printable(error));
        }
        self.write_summary(out, &summary);
        for (label, text) in &self.facts {
            field(out, 2, label, text);
        }
        for drift in self.config {
            let shown = |side: &Option<_>| middle_cut(&value(side.as_ref()), OF_IMAGE_COLUMNS_MAX);
            let (a, b, cause) = (shown(&drift.a), shown(&drift.b), drift.cause.code());
            line(
                out,
                2,
                4,
                &format!("{}: {a} → {b} ({cause})", middle_cut(&said(drift), OF_IMAGE_COLUMNS_MAX)),
            );
        }
        self.write_drifts(out, &summary, verbose);
        if let Some(tail) = self.tail {
            let lines: Vec<_> = tail.lines().collect();
            for said in lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)) {
                line(out, 2, 2, &format!("| {}", printable(said)));
            }
        }
        for (label, text) in &self.ends {
            field(out, 2, label, text);
        }
    }

    fn write_summary(&self, out: &mut String, summary: &Summary<'_>) {
        if let Some((layer, place)) = &summary.first {
            let layer = format!("layer {layer}");
            let layer = if place.starts_with(&layer) { String::new() } else { format!(" ({layer})") };
            field(out, 2, "begins", &format!("{place}{layer}"));
        }
        if !summary.own.is_empty() {
            let causes = summary.causes.iter().map(|(cause, count)| format!("{count} {}", cause.code()));
            let causes = causes.collect::<Vec<_>>().join(", ");
            let follow = match summary.consequences {
                0 => String::new(),
                count => format!("; {}", counted(count, "consequence", "consequences")),
            };
            field(out, 2, "drifts", &format!("{}: {causes}{follow}", summary.own.len()));
        }
        if !summary.security.is_empty() {
            let count = summary.security.values().sum::<usize>();
            field(out, 2, "SECURITY", &format!("{count}: {}", kinds(&summary.security)));
        }
        if !self.config.is_empty() {
            field(out, 2, "config", &format!("{} differ", counted(self.config.len(), "place", "places")));
        }
        if summary.accepted > 0 {
            let (accepted, all) = (summary.accepted, summary.own.len());
            line(out, 2, 2, &format!("{accepted} of {all} drift(s) accepted; the verdict stays"));
        }
    }

    /// By place, then by what is the same of several: cause, what is said of them, remedy.
    fn write_drifts(&self, out: &mut String, summary: &Summary<'_>, verbose: bool) {
        let hence = if verbose { self.hence() } else { BTreeMap::new() };
        let (groups, alike) = if verbose { (usize::MAX, usize::MAX) } else { (GROUPS_MAX, ALIKE_MAX) };
        let (mut last, mut shown) = (None, 0);
        for group in summary.own.chunk_by(|one, other| alike_to(one) == alike_to(other)).take(groups) {
            let drift = group[0];
            let place = place(drift);
            if last.as_ref() == Some(&place) {
                out.push('\n');
            } else {
                line(out, 2, 4, &place);
            }
            last = Some(place);
            field(out, 4, "cause", &cause_and_class(drift.cause));
            for drift in group.iter().take(alike) {
                write_drift(out, drift);
                if verbose {
                    drift.excerpt.iter().for_each(|excerpt| self.write_excerpt(out, excerpt));
                }
                let hence = hence.get(drift.path.as_str()).into_iter().flatten();
                for other in hence.filter(|other| other.layer >= drift.layer) {
                    field(out, 4, "hence", &format!("{} ({})", path(&other.path), other.cause.code()));
                }
            }
            if group.len() > alike {
                line(out, 4, 2, &format!("and {} more like these", group.len() - alike));
            }
            match &drift.accepted {
                Some(accepted) => field(out, 4, "accepted", &said_accepted(accepted)),
                None => field(out, 4, "remedy", drift.remedy),
            }
            shown += group.len();
        }
        for log in self.logs.iter().filter(|_| verbose) {
            line(out, 2, 4, &format!("log of {}", place_of(0, Some(&log.instruction))));
            self.write_excerpt(out, &log.excerpt);
        }
        if let Some(rest) = summary.own.get(shown..).filter(|rest| !rest.is_empty()) {
            let security = rest.iter().filter(|drift| drift.security).count();
            let security =
                if security > 0 { format!(", {security} of them of security") } else { String::new() };
            line(out, 2, 2, &format!("and {} more{security}; -v and --report list all", rest.len()));
        }
        if summary.consequences > 0 {
            let follow = counted(summary.consequences, "consequence", "consequences");
            line(out, 2, 2, &format!("and {follow} of these"));
        }
    }

    fn write_excerpt(&self, out: &mut String, excerpt: &Excerpt) {
        match excerpt {
            Excerpt::Text { hunks, more } => {
                for hunk in hunks {
                    write_hunk(out, hunk);
                }
                if *more {
                    line(out, 4, 2, "… and more");
                }
            }
            Excerpt::Bytes { a, b, windows } => {
                for (side, facts) in self.sides.iter().zip([a, b]) {
                    if let Some(facts) = facts {
                        field(out, 4, side, &said_of(facts));
                    }
                }
                for Window { a, b } in windows {
                    write_run(out, '-', a);
                    write_run(out, '+', b);
                }
            }
        }
    }
}

/// `ELF, 14512 bytes, 6.1 bits of entropy a byte`
pub(super) fn said_of(facts: &Facts) -> String {
    let entropy = facts.entropy.map(|bits| format!(", {bits:.1} bits of entropy a byte")).unwrap_or_default();
    format!("{}, {} bytes{entropy}", facts.kind, facts.size)
}

fn path(path: &str) -> String {
    if path.is_empty() {
        "the layer as a whole".to_owned()
    } else {
        middle_cut(&printable(path), OF_IMAGE_COLUMNS_MAX)
    }
}

/// What drifts have in common that are listed together.
fn alike_to(drift: &Drift) -> (usize, Cause, Option<Security>, &str, Option<&Accepted>) {
    (drift.layer, drift.cause, drift.security_kind, drift.remedy, drift.accepted.as_ref())
}

fn write_drift(out: &mut String, drift: &Drift) {
    let only = match drift.change {
        crate::diff::ChangeKind::OnlyInA => " (only in the first image)",
        crate::diff::ChangeKind::OnlyInB => " (only in the second image)",
        _ => "",
    };
    field(out, 4, "file", &format!("{}{only}", path(&drift.path)));
    let fields: Vec<_> = drift.fields.iter().map(|field| printable(&field.name)).collect();
    if !fields.is_empty() {
        field(out, 4, "differs", &middle_cut(&fields.join(", "), OF_IMAGE_COLUMNS_MAX));
    }
    if let Some(from) = &drift.from {
        field(out, 4, "begins", &middle_cut(&in_stage(from), OF_IMAGE_COLUMNS_MAX));
    }
    if let Some(kind) = drift.security_kind {
        field(out, 4, "security", kind.words());
    }
    if let Some(origin) = drift.origin {
        field(out, 4, "origin", origin.name());
    }
    if !drift.evidence.is_empty() {
        field(out, 4, "evidence", &middle_cut(&printable(&drift.evidence), 2 * OF_IMAGE_COLUMNS_MAX));
    }
}

/// An instruction of another stage.
pub(super) fn in_stage(FromStage { stage, name, instruction }: &FromStage) -> String {
    let name = name.as_ref().map_or_else(|| stage.to_string(), |name| format!("`{}`", printable(name)));
    let line = instruction.line.map(|line| format!(", line {line}")).unwrap_or_default();
    format!("in stage {name}{line}: {}", printable(&instruction.text))
}

/// One of the lines of a row.
type Side = fn(&Row) -> &Option<Line>;

fn write_hunk(out: &mut String, hunk: &Hunk) {
    let first =
        |side: Side| hunk.rows.iter().find_map(|row| side(row).as_ref()).map_or(0, |line| line.number);
    let (a, b): (Side, Side) = (|row| &row.a, |row| &row.b);
    line(out, 4, 2, &format!("@@ line {} → line {}", first(a), first(b)));
    // Lines of one side together, as patches have them.
    for part in hunk.rows.chunk_by(|one, other| one.equal == other.equal) {
        let sides = if part[0].equal { vec![(' ', a)] } else { vec![('-', a), ('+', b)] };
        for (mark, side) in sides {
            for said in part.iter().filter_map(|row| side(row).as_ref()) {
                let text = middle_cut(&printable(&said.text), OF_IMAGE_COLUMNS_MAX);
                line(out, 4, 2, format!("{mark} {text}").trim_end());
            }
        }
    }
}

/// Sixteen bytes a line.
fn write_run(out: &mut String, mark: char, run: &Run) {
    for (index, digits) in run.hex.as_bytes().chunks(32).enumerate() {
        let hex: Vec<_> = digits.chunks(16).map(String::from_utf8_lossy).collect();
        line(out, 4, 2, &format!("{mark} {:08x}  {}", run.offset + 16 * index, hex.join(" ")));
    }
}

/// Why it is put up with, until when, and who says so.
pub(super) fn said_accepted(accepted: &Accepted) -> String {
    let until = accepted.until.as_ref().map(|until| format!(", until {}", printable(until)));
    let owner = accepted.owner.as_ref().map(|owner| format!(" ({})", printable(owner)));
    [Some(printable(&accepted.because)), until, owner].into_iter().flatten().collect()
}
