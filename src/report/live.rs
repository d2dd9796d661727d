//! What today's repositories answered otherwise, as `rebuild --inputs live` says it.

use serde::Serialize;

use super::{rebuild::Facts, size};
use crate::{
    model::{Digest, Verdict, limits::COMPARED_LISTED_MAX, path::printable},
    transcript::{self, Compared, Package},
};

/// Packages, files and dates shown to people, of each; JSON has more.
const SHOWN_MAX: usize = 10;

/// Two recordings of one build, compared, and what replays say of it.
#[derive(Debug, Serialize)]
pub struct InputsCompared {
    /// How many there are of each, listed or not.
    pub counts: Counts,
    /// Asked for today alone.
    pub added: Vec<Fetched>,
    /// Asked for then alone.
    pub removed: Vec<Fetched>,
    /// Answered otherwise.
    pub changed: Vec<Changed>,
    /// Packages of other versions.
    pub packages: Vec<Moved>,
    /// Dates of changed indexes, as far as these could be had.
    pub index_dates: Vec<IndexDate>,
    /// Whose doing the drifts are; none if there are none, or nobody can tell.
    pub drifts: Option<Split>,
    /// Of a replay of the recorded inputs; none: there was no need for one, or it was not possible.
    pub replay_verdict: Option<Verdict>,
    /// How a replay of today's inputs stands to their first run; none likewise.
    pub third_verdict: Option<Verdict>,
    /// Why a replay that was needed says nothing.
    pub error: Option<String>,
}

/// How many.
#[derive(Debug, Clone, Copy, Serialize)]
#[expect(missing_docs, reason = "the lists say it")]
pub struct Counts {
    pub added: usize,
    pub removed: usize,
    pub changed: usize,
    /// Answers that are as recorded.
    pub same: usize,
    pub packages: usize,
}

/// An answer, and what for.
#[derive(Debug, Serialize)]
pub struct Fetched {
    /// HTTP method.
    pub method: String,
    /// Redacted URL.
    pub url: String,
    /// The answer.
    #[serde(flatten)]
    pub answer: Answer,
}

/// An answer.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Of the body.
    pub digest: Digest,
    /// Bytes of the body.
    pub size: u64,
}

/// Two answers to one question.
#[derive(Debug, Serialize)]
pub struct Changed {
    /// HTTP method.
    pub method: String,
    /// Redacted URL, today's.
    pub url: String,
    /// The recorded one, if it is another: a digest or a signature in it is.
    pub recorded_url: Option<String>,
    /// As recorded.
    pub from: Answer,
    /// Today's.
    pub to: Answer,
}

/// A package of other versions.
#[derive(Debug, Serialize)]
pub struct Moved {
    /// `deb`, `rpm`, `apk`, `wheel`, `npm`, `crate`, `go`, `gem` or `archive`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Versions that only the recording has.
    pub from: String,
    /// Versions that only today's has.
    pub to: String,
}

/// A date of an index.
#[derive(Debug, Serialize)]
pub struct IndexDate {
    /// Redacted URL.
    pub url: String,
    /// `Date` or `Valid-Until`.
    pub field: &'static str,
    /// As recorded.
    pub from: Option<String>,
    /// Today's.
    pub to: Option<String>,
}

/// How many drifts have which origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Split {
    /// They come from what the repositories answer.
    pub inputs: usize,
    /// They are the build's own.
    pub build: usize,
}

impl InputsCompared {
    /// What was compared, with nothing said of replays.
    #[must_use]
    pub fn new(compared: &Compared, index_dates: Vec<IndexDate>) -> Self {
        let Compared { added, removed, changed, packages, same, .. } = compared;
        let counts = Counts {
            added: added.len(),
            removed: removed.len(),
            changed: changed.len(),
            same: *same,
            packages: packages.len(),
        };
        let fetched = |list: &[transcript::Fetched]| {
            let one = |it: &transcript::Fetched| Fetched {
                method: it.method.clone(),
                url: it.url.clone(),
                answer: answer(it),
            };
            list.iter().take(COMPARED_LISTED_MAX).map(one).collect()
        };
        let changed = changed.iter().take(COMPARED_LISTED_MAX).map(|it| Changed {
            method: it.now.method.clone(),
            url: it.now.url.clone(),
            recorded_url: (it.was.url != it.now.url).then(|| it.was.url.clone()),
            from: answer(&it.was),
            to: answer(&it.now),
        });
        let packages = packages.iter().take(COMPARED_LISTED_MAX).cloned();
        let moved = |transcript::Moved { kind, name, from, to }| Moved { kind, name, from, to };
        Self {
            counts,
            added: fetched(added),
            removed: fetched(removed),
            changed: changed.collect(),
            packages: packages.map(moved).collect(),
            index_dates,
            drifts: None,
            replay_verdict: None,
            third_verdict: None,
            error: None,
        }
    }

    /// What happened, in a sentence: `3 packages moved; with the recorded inputs the image still reproduces`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let Counts { added, removed, changed, packages, .. } = self.counts;
        let moved = match (packages, added + removed + changed) {
            (0, 0) => "the repositories answer as recorded".to_owned(),
            (0, 1) => "1 answer is another".to_owned(),
            (0, answers) => format!("{answers} answers are others"),
            (1, _) => "1 package moved".to_owned(),
            (packages, _) => format!("{packages} packages moved"),
        };
        let replay = match self.replay_verdict {
            Some(Verdict::Reproduced) => "; with the recorded inputs the image still reproduces".to_owned(),
            Some(verdict) => format!("; with the recorded inputs the verdict is {verdict}"),
            None => String::new(),
        };
        moved + &replay
    }

    /// Whether `url` is a file of a package that moved, which is named already.
    fn is_moved(&self, url: &str) -> bool {
        let same = |package: Package| {
            self.packages.iter().any(|moved| moved.kind == package.kind && moved.name == package.name)
        };
        Package::of(url).is_some_and(same)
    }

    pub(super) fn facts(&self, facts: &mut Facts) {
        facts.push(("live", self.sentence()));
        let Counts { added, removed, changed, same, packages } = self.counts;
        if added + removed + changed > 0 {
            let said = format!("{changed} changed, {added} new, {removed} not asked for, {same} the same");
            facts.push(("answers", said));
        }
        let moved = self.packages.iter().map(|it| {
            let (name, from, to) = (printable(&it.name), printable(&it.from), printable(&it.to));
            format!("{name} {from} → {to} ({})", it.kind)
        });
        list(facts, "moved", moved, packages);
        let answered = self.changed.iter().map(|Changed { method, url, from, to, .. }| {
            let status = format!("status {} → {}, ", from.status, to.status);
            let status = if from.status == to.status { String::new() } else { status };
            let (was, now) = (size(from.size), size(to.size));
            format!("{method} {}: {status}{was} → {now}", printable(url))
        });
        list(facts, "changed", answered, changed);
        for (label, all, count) in [("new", &self.added, added), ("gone", &self.removed, removed)] {
            let plain: Vec<_> = all.iter().filter(|it| !self.is_moved(&it.url)).collect();
            let lines = plain.iter().map(|it| {
                let (status, size) = (it.answer.status, size(it.answer.size));
                format!("{} {} ({status}, {size})", it.method, printable(&it.url))
            });
            list(facts, label, lines, plain.len() + count - all.len());
        }
        let shown = |date: &Option<String>| {
            date.as_ref().map_or_else(|| "nothing".to_owned(), |date| printable(date))
        };
        let dates = self.index_dates.iter().map(|it| {
            format!("{} {}: {} → {}", printable(&it.url), it.field, shown(&it.from), shown(&it.to))
        });
        list(facts, "dated", dates, self.index_dates.len());
        if let Some(Split { inputs, build }) = self.drifts {
            let third = match self.third_verdict {
                Some(Verdict::Reproduced) => "; today's inputs give one image twice".to_owned(),
                Some(verdict) => format!("; today's inputs, replayed: {verdict}"),
                None => String::new(),
            };
            facts.push((
                "origin",
                format!("{inputs} drift(s) from inputs, {build} of the build's own{third}"),
            ));
        }
        facts.extend(self.error.iter().map(|why| ("origin", format!("nobody can tell: {}", printable(why)))));
    }
}

/// The first of `lines`; of `count` there are in all.
fn list(facts: &mut Facts, label: &'static str, lines: impl Iterator<Item = String>, count: usize) {
    facts.extend(lines.take(SHOWN_MAX).map(|line| (label, line)));
    if count > SHOWN_MAX {
        facts.push((label, format!("and {} more", count - SHOWN_MAX)));
    }
}

fn answer(fetched: &transcript::Fetched) -> Answer {
    Answer { status: fetched.status, digest: fetched.body, size: fetched.size }
}

#[cfg(test)]
impl InputsCompared {
    /// One with everything in it, or with as little as there can be.
    pub(super) fn sample(full: bool) -> Self {
        let fetched = |url: &str| transcript::Fetched {
            method: "GET".into(),
            url: url.into(),
            status: 200,
            body: Digest::of(url.as_bytes()),
            size: 1,
        };
        let moved =
            transcript::Moved { kind: "deb", name: "x".into(), from: "1".into(), to: "2\u{1b}".into() };
        let changed = |was: &str, now: &str| transcript::Changed { was: fetched(was), now: fetched(now) };
        let compared = Compared {
            added: vec![fetched("http://m.example/new"), fetched("http://m.example/x_2_all.deb")],
            removed: (0..12).map(|number| fetched(&format!("http://m.example/{number}"))).collect(),
            changed: vec![
                changed("http://m.example/a", "http://m.example/a"),
                changed("http://m.example/1", "http://m.example/2"),
            ],
            same: 3,
            packages: vec![moved],
            ..Compared::default()
        };
        let date = |to| IndexDate {
            url: "http://m.example/InRelease".into(),
            field: "Date",
            from: Some("x".into()),
            to,
        };
        if !full {
            return Self::new(&Compared::default(), Vec::new());
        }
        Self {
            drifts: Some(Split { inputs: 1, build: 2 }),
            replay_verdict: Some(Verdict::Explained),
            third_verdict: Some(Verdict::Reproduced),
            error: Some("why".into()),
            ..Self::new(&compared, vec![date(None), date(Some("y".into()))])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_moved_and_whether_the_image_still_reproduces() {
        assert_eq!(InputsCompared::sample(false).sentence(), "the repositories answer as recorded");
        let mut compared = InputsCompared::sample(true);
        compared.counts = Counts { added: 0, removed: 0, changed: 0, same: 9, packages: 3 };
        compared.replay_verdict = Some(Verdict::Reproduced);
        assert_eq!(
            compared.sentence(),
            "3 packages moved; with the recorded inputs the image still reproduces"
        );
    }

    #[test]
    fn everything_is_listed_up_to_a_bound() {
        let mut facts = Facts::new();
        InputsCompared::sample(true).facts(&mut facts);
        let lines: Vec<_> = facts.iter().map(|(label, text)| format!("{label}: {text}")).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        live: 1 package moved; with the recorded inputs the verdict is explained
        answers: 2 changed, 2 new, 12 not asked for, 3 the same
        moved: x 1 → 2\u{1b} (deb)
        changed: GET http://m.example/a: 1 B → 1 B
        changed: GET http://m.example/2: 1 B → 1 B
        new: GET http://m.example/new (200, 1 B)
        gone: GET http://m.example/0 (200, 1 B)
        gone: GET http://m.example/1 (200, 1 B)
        gone: GET http://m.example/2 (200, 1 B)
        gone: GET http://m.example/3 (200, 1 B)
        gone: GET http://m.example/4 (200, 1 B)
        gone: GET http://m.example/5 (200, 1 B)
        gone: GET http://m.example/6 (200, 1 B)
        gone: GET http://m.example/7 (200, 1 B)
        gone: GET http://m.example/8 (200, 1 B)
        gone: GET http://m.example/9 (200, 1 B)
        gone: and 2 more
        dated: http://m.example/InRelease Date: x → nothing
        dated: http://m.example/InRelease Date: x → y
        origin: 1 drift(s) from inputs, 2 of the build's own; today's inputs give one image twice
        origin: nobody can tell: why
        ");
    }
}
