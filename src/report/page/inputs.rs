//! What the repositories answered otherwise, side by side.

use super::super::{
    live::{Answer, Fetched, InputsCompared},
    size,
};
use crate::model::path::printable;

/// Labels of facts that the tables say better.
pub(super) const FACTS: [&str; 5] = ["moved", "changed", "new", "gone", "dated"];
/// Rows of a table that is open at first.
const OPEN_MAX: usize = 20;

/// All of it, by kind.
pub(super) struct Inputs {
    pub(super) sentence: String,
    pub(super) groups: Vec<Group>,
}

/// What is alike.
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) count: usize,
    pub(super) open: bool,
    pub(super) rows: Vec<Row>,
    /// How many there are beside `rows`.
    pub(super) more: usize,
}

/// One thing, as recorded and as it is today.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) from: String,
    pub(super) to: String,
}

impl Inputs {
    pub(super) fn of(compared: &InputsCompared) -> Self {
        let packages = compared.packages.iter().map(|it| Row {
            name: printable(&it.name),
            kind: it.kind.to_owned(),
            from: printable(&it.from),
            to: printable(&it.to),
        });
        let dates = compared.index_dates.iter().map(|it| Row {
            name: printable(&it.url),
            kind: it.field.to_owned(),
            from: it.from.as_deref().map(printable).unwrap_or_default(),
            to: it.to.as_deref().map(printable).unwrap_or_default(),
        });
        let changed = compared.changed.iter().map(|it| Row {
            name: printable(&it.url),
            kind: it.method.clone(),
            from: said(&it.from),
            to: said(&it.to),
        });
        let plain = |it: &Fetched| Row {
            name: printable(&it.url),
            kind: it.method.clone(),
            from: String::new(),
            to: String::new(),
        };
        let added = compared.added.iter().map(|it| Row { to: said(&it.answer), ..plain(it) });
        let removed = compared.removed.iter().map(|it| Row { from: said(&it.answer), ..plain(it) });
        let counts = &compared.counts;
        let groups = [
            group("Packages of other versions", counts.packages, packages),
            group("Dates of indexes", compared.index_dates.len(), dates),
            group("Answered otherwise", counts.changed, changed),
            group("Asked for today alone", counts.added, added),
            group("Asked for then alone", counts.removed, removed),
        ];
        let groups = groups.into_iter().filter(|group| group.count > 0).collect();
        Self { sentence: compared.sentence(), groups }
    }
}

fn group(title: &'static str, count: usize, rows: impl Iterator<Item = Row>) -> Group {
    let rows: Vec<Row> = rows.collect();
    Group { title, count, open: count <= OPEN_MAX, more: count - rows.len(), rows }
}

fn said(answer: &Answer) -> String {
    format!("{} · {} · {}", answer.status, size(answer.size), answer.digest.short())
}
