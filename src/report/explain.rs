//! `reprov.explain/v1`: what a code means, for those who meet it in an answer.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    drift::{Cause, Class},
    model::Verdict,
};

/// The answer of `explain`.
#[derive(Debug, Serialize)]
pub struct Explain {
    /// `reprov.explain/v1`.
    pub schema: &'static str,
    /// Verdicts first, then causes.
    pub entries: Vec<Entry>,
}

/// What kind of word a code is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// How a rebuilt image stands to its original.
    Verdict,
    /// Why something differs.
    Cause,
}

/// One code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// As answers have it.
    pub code: &'static str,
    /// What kind of word it is.
    pub kind: Kind,
    /// Of a cause: what it means for the verdict.
    pub class: Option<Class>,
    /// Of a verdict: the exit code of `rebuild`.
    pub exit: Option<u8>,
    /// What happened.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// How it looks.
    pub example: &'static str,
}

impl From<Cause> for Entry {
    fn from(cause: Cause) -> Self {
        Self {
            code: cause.code(),
            kind: Kind::Cause,
            class: Some(cause.class()),
            exit: None,
            meaning: cause.meaning(),
            remedy: cause.remedy(),
            example: cause.example(),
        }
    }
}

impl From<Verdict> for Entry {
    fn from(verdict: Verdict) -> Self {
        let exit = match verdict {
            Verdict::Reproduced => 0,
            verdict if verdict.undecided() => 3,
            _ => 1,
        };
        let (meaning, remedy, example) = page(verdict);
        Self {
            code: verdict.name(),
            kind: Kind::Verdict,
            class: None,
            exit: Some(exit),
            meaning,
            remedy,
            example,
        }
    }
}

/// Meaning, remedy and example of a verdict.
fn page(verdict: Verdict) -> (&'static str, &'static str, &'static str) {
    match verdict {
        Verdict::Reproduced => (
            "The rebuilt image has the same manifest digest. Every byte of config and layers is so the same.",
            "Nothing is to be done.",
            "reproduced  registry.example.org/app:1@sha256:fa5a…",
        ),
        Verdict::CompressionOnly => (
            "Every layer holds the same archive, compressed otherwise; the configs agree too. What runs is the same, but the digests are not.",
            "Pin the compressor and its version.",
            "3 layers, one diffID each on both sides, two digests",
        ),
        Verdict::BuilderNormalised => (
            "The images are the same once the marks of the builder are taken away: its labels, its mount points, how it writes modes and deletions. What the Dockerfile made is the same.",
            "Pin the builder's version.",
            "mode 0100755 → 0755 in every entry of a layer",
        ),
        Verdict::SameFilesystem => (
            "The layers differ, but merged they give the same files with the same owners and modes. Only how the files are spread over layers is another.",
            "Pin the builder; what runs is the same.",
            "3 layers → 2 layers, every file the same",
        ),
        Verdict::Explained => (
            "The images differ, and each difference has a cause with a name. Drift that is explained is still drift: it hides whatever else changes in the same file.",
            "Follow the remedy of each cause; `reprov explain CODE` has more on it.",
            "etc/build-date: clock-in-text (known)",
        ),
        Verdict::Unexplained => (
            "The images differ, and for at least one difference nothing is known that makes it. This is the verdict to look into: a changed program looks like this too.",
            "Look at the differences of cause `unexplained`, those marked as security first.",
            "usr/bin/app: content, unexplained",
        ),
        Verdict::BuilderChanged => (
            "The engine or the runtime here is not the recorded one, and the images differ. So nobody can tell whether build or builder made the difference.",
            "Rebuild with the recorded versions.",
            "engine buildah: recorded 1.28.2, here 1.43.2",
        ),
        Verdict::Unbuildable => (
            "The build failed although everything it recorded was at hand. The end of its log is shown.",
            "Read the log; a step that fails only sometimes, or after a date, is the usual reason.",
            "line 4: RUN make test: exit code 2",
        ),
        Verdict::InputsMissing => (
            "Something that the build fetched is gone or altered, or the rebuild asked for what nobody recorded and then failed. Without its inputs a build cannot be run again.",
            "Keep the inputs beside the image (`build --inputs-to same`), and copy an image with its referrers.",
            "http://mirror.example.org/pool/a.deb: its body is in no store and not beside the image",
        ),
        Verdict::Unverifiable => (
            "There is no provenance that can be believed: none at all, none signed by a trusted key, or one about another image. Nothing was rebuilt.",
            "Name the right key with --trust, or build with --key.",
            "attestation cac11bd56368: no signature by a trusted key",
        ),
    }
}

impl Explain {
    /// All there is on `code`, or on everything; none if nothing has that code.
    #[must_use]
    pub fn of(code: Option<&str>) -> Option<Self> {
        let verdicts = Verdict::ALL.into_iter().map(Entry::from);
        let all = verdicts.chain(Cause::ALL.iter().copied().map(Entry::from));
        let entries: Vec<_> = all.filter(|entry| code.is_none_or(|code| code == entry.code)).collect();
        (!entries.is_empty()).then_some(Self { schema: "reprov.explain/v1", entries })
    }

    /// The answer for people: a line for each of many, all of a few.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let list = self.entries.len() > 2;
        let mut last = None;
        for entry in &self.entries {
            if last.replace(entry.kind).is_some_and(|kind| kind != entry.kind || !list) {
                out.push('\n');
            }
            if list {
                let first = entry.meaning.split_inclusive(". ").next().unwrap_or_default().trim_end();
                let _ = writeln!(out, "{:<20} {first}", entry.code); // Writing to a String cannot fail.
            } else {
                entry.write(&mut out);
            }
        }
        out
    }
}

impl Entry {
    fn write(&self, out: &mut String) {
        let kind = match (self.class, self.exit) {
            (Some(class), _) => format!("a cause of class {}", class.name()),
            (None, exit) => format!("a verdict, exit code {}", exit.unwrap_or_default()),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}: {kind}", self.code);
        let _ = writeln!(out, "  {}", self.meaning);
        let _ = writeln!(out, "  remedy   {}", self.remedy);
        let _ = writeln!(out, "  example  {}", self.example);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_page_of_its_own() {
        let all = Explain::of(None).unwrap().entries;
        assert_eq!(all.len(), Verdict::ALL.len() + Cause::ALL.len());
        for entry in &all {
            let sentences = entry.meaning.matches(". ").count() + usize::from(entry.meaning.ends_with('.'));
            assert!(sentences >= 2, "{}: {}", entry.code, entry.meaning);
            assert!(entry.remedy.ends_with('.') && !entry.example.is_empty(), "{}", entry.code);
        }
        let meanings: BTreeSet<_> = all.iter().map(|entry| entry.meaning).collect();
        assert_eq!(meanings.len(), all.len());
    }

    #[test]
    fn a_word_of_two_kinds_has_both_and_an_unknown_one_none() {
        let kinds = |code| -> Vec<Kind> {
            Explain::of(Some(code)).into_iter().flat_map(|all| all.entries).map(|entry| entry.kind).collect()
        };
        assert_eq!(kinds("unexplained"), [Kind::Verdict, Kind::Cause]);
        assert_eq!(kinds("shadow-date"), [Kind::Cause]);
        assert_eq!(kinds("Shadow-date"), []);
    }

    #[test]
    fn one_page() {
        insta::assert_snapshot!(Explain::of(Some("clock-in-text")).unwrap().text(), @r"
        clock-in-text: a cause of class known
          A text differs only in dates and times, and each lies within its own build. Whatever wrote it asked the clock.
          remedy   Write SOURCE_DATE_EPOCH instead of the present time, or remove the file.
          example  etc/build-date: Tue Nov 24 22:11:19 UTC 2026 → Tue Nov 24 22:11:28 UTC 2026
        ");
    }
}
