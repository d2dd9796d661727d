//! `reprov.history/v1`: the life of an image, and of its tag.

use std::fmt::Write as _;

use serde::Serialize;

use super::columns::{columns, cut};
use crate::{
    entry::{Entry, Kind, Row},
    model::{Digest, path::printable, rfc3339},
};

/// The answer of `history`.
#[derive(Debug, Serialize)]
pub struct History {
    /// `reprov.history/v1`.
    pub schema: &'static str,
    /// As it was asked for.
    pub image: String,
    /// What the tag names by the newest entry that says so; none if no tag was asked for, or nothing is known.
    pub names: Option<Digest>,
    /// What the tag named, the oldest first.
    pub named: Vec<Named>,
    /// What was done, the oldest first.
    pub entries: Vec<Line>,
}

/// A time from which on a tag named an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Since when it is known, RFC 3339.
    pub since: String,
    /// The image.
    pub digest: Digest,
    /// The row that says so.
    pub number: u64,
}

/// One entry: its row, its time for people, and itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its number.
    pub number: u64,
    /// When it was finished, RFC 3339.
    pub at: String,
    /// All of it.
    #[serde(flatten)]
    pub entry: Entry,
}

impl History {
    /// The life of `image` by `rows` (by number); `tag` if it was asked for by one.
    #[must_use]
    pub fn new(image: String, tag: Option<&str>, rows: Vec<Row>) -> Self {
        let mut named: Vec<Named> = Vec::new();
        for row in &rows {
            let Some(digest) = tag.and_then(|tag| names(&row.entry, tag)) else { continue };
            if named.last().is_none_or(|last| last.digest != digest) {
                named.push(Named { since: rfc3339(row.entry.at_s), digest, number: row.number });
            }
        }
        let line = |row: Row| Line { number: row.number, at: rfc3339(row.entry.at_s), entry: row.entry };
        let names = named.last().map(|last| last.digest);
        Self {
            schema: "reprov.history/v1",
            image,
            names,
            named,
            entries: rows.into_iter().map(line).collect(),
        }
    }

    /// The answer for people: a line an entry, and one where the tag began to name another image.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        if self.entries.is_empty() {
            let _ = writeln!(out, "{}: nothing is known", printable(&self.image));
            return out;
        }
        let _ = writeln!(out, "{}", printable(&self.image));
        let outcomes = self.entries.iter().map(|line| columns(&printable(&line.entry.outcome)));
        let width = outcomes.max().unwrap_or_default().clamp(7, 18);
        let kinds = self.entries.iter().map(|line| line.entry.kind.name().len());
        let what = kinds.max().unwrap_or_default().max(8);
        let _ = writeln!(
            out,
            "  {:<20}  {:<what$}  {:<width$}  {:<12}  {:<12}  by",
            "when", "what", "outcome", "image", "evidence"
        );
        for line in &self.entries {
            if let Some(named) = self.named.iter().find(|named| named.number == line.number) {
                let _ = writeln!(out, "  {:<20}  the tag names {}", named.since, named.digest);
            }
            let entry = &line.entry;
            let short =
                |digest: Option<Digest>| digest.map_or_else(|| "-".to_owned(), |digest| digest.short());
            let outcome = cut(&printable(&entry.outcome), width);
            let _ = writeln!(
                out,
                "  {:<20}  {:<what$}  {outcome:<width$}  {:<12}  {:<12}  {}",
                line.at,
                entry.kind.name(),
                short(entry.digest),
                short(entry.evidence),
                printable(&entry.by)
            );
            for more in more(entry) {
                let _ = writeln!(out, "  {:<20}  {}", "", cut(&printable(&more), 200));
            }
        }
        out
    }
}

/// What `tag` names by this entry.
fn names(entry: &Entry, tag: &str) -> Option<Digest> {
    let of_it = entry.tag.as_deref() == Some(tag) && entry.outcome != "refused";
    entry.digest.filter(|_| of_it)
}

/// What else there is to say, a line each.
fn more(entry: &Entry) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(from), Kind::Promoted | Kind::Undone) = (&entry.from, entry.kind) {
        let before = entry.before.map(|digest| format!(", before {}", digest.short())).unwrap_or_default();
        lines.push(format!("from {from}{before}"));
    }
    if !entry.codes.is_empty() {
        let codes = entry.codes.iter();
        let codes =
            codes.map(|(code, count)| if *count == 1 { code.clone() } else { format!("{code} ×{count}") });
        lines.push(codes.collect::<Vec<_>>().join(", "));
    }
    lines.extend(
        entry
            .waived
            .iter()
            .map(|waived| format!("waived: {} by {} until {}", waived.code, waived.owner, waived.until)),
    );
    lines.extend(entry.error.clone());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u64, kind: Kind, outcome: &str, tag: Option<&str>, image: &str) -> Row {
        let json = format!(
            r#"{{"at_s":{},"kind":"{}","repository":"example.org/app","outcome":"{outcome}","by":"https://ci.example.org/r","tool":"reprov 1"}}"#,
            1_800_000_000 + number * 60,
            kind.name()
        );
        let mut entry: Entry = serde_json::from_str(&json).unwrap();
        entry.digest = Some(Digest::of(image.as_bytes()));
        entry.tag = tag.map(str::to_owned);
        Row { number, previous: Digest::of(b""), digest: Digest::of(b""), entry }
    }

    #[test]
    fn what_the_tag_named_is_told_where_it_changed() {
        let rows = vec![
            row(1, Kind::Built, "built", Some("1"), "a"),
            row(2, Kind::Rebuilt, "reproduced", None, "a"),
            row(3, Kind::Verified, "passed", Some("1"), "a"),
            row(5, Kind::Promoted, "refused", Some("1"), "b"),
            row(8, Kind::Promoted, "promoted", Some("1"), "b"),
            row(9, Kind::Undone, "promoted", Some("1"), "a"),
        ];
        let history = History::new("example.org/app:1".to_owned(), Some("1"), rows);
        let named: Vec<_> = history.named.iter().map(|named| named.number).collect();
        assert_eq!(named, [1, 8, 9]);
        assert_eq!(history.names, Some(Digest::of(b"a")));
        let text = history.text();
        insta::assert_snapshot!(text, @r"
        example.org/app:1
          when                  what      outcome     image         evidence      by
          2027-01-15T08:01:00Z  the tag names sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb
          2027-01-15T08:01:00Z  built     built       ca978112ca1b  -             https://ci.example.org/r
          2027-01-15T08:02:00Z  rebuilt   reproduced  ca978112ca1b  -             https://ci.example.org/r
          2027-01-15T08:03:00Z  verified  passed      ca978112ca1b  -             https://ci.example.org/r
          2027-01-15T08:05:00Z  promoted  refused     3e23e8160039  -             https://ci.example.org/r
          2027-01-15T08:08:00Z  the tag names sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d
          2027-01-15T08:08:00Z  promoted  promoted    3e23e8160039  -             https://ci.example.org/r
          2027-01-15T08:09:00Z  the tag names sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb
          2027-01-15T08:09:00Z  undone    promoted    ca978112ca1b  -             https://ci.example.org/r
        ");
    }

    #[test]
    fn a_long_word_moves_no_column() {
        let rows = vec![
            row(1, Kind::RebuiltLive, "explained", None, "a"),
            row(2, Kind::Rebuilt, "reproduced", None, "a"),
        ];
        let text = History::new("example.org/app".to_owned(), None, rows).text();
        insta::assert_snapshot!(text, @r"
        example.org/app
          when                  what          outcome     image         evidence      by
          2027-01-15T08:01:00Z  rebuilt-live  explained   ca978112ca1b  -             https://ci.example.org/r
          2027-01-15T08:02:00Z  rebuilt       reproduced  ca978112ca1b  -             https://ci.example.org/r
        ");
    }

    #[test]
    fn a_strange_outcome_cannot_draw_on_the_terminal() {
        let rows = vec![row(1, Kind::Built, "built", None, "a")];
        let mut history = History::new("example.org/app".to_owned(), None, rows);
        history.entries[0].entry.outcome = "\u{1b}[2J".to_owned();
        history.entries[0].entry.error = Some("\u{1b}]0;x".to_owned());
        assert!(!history.text().contains('\u{1b}'));
    }
}
