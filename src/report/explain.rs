//! `reprov.explain/v1`: what a code means, for those who meet it in an answer.

use std::fmt::Write as _;

use serde::Serialize;

use super::{
    audit::NoticeKind,
    columns::{field, line},
    pages,
};
use crate::{
    drift::{Background, Cause, Class},
    entry::code::{CODES, Page},
    model::{Reason, Taint, Turn, Verdict},
    verify::{Code, layout::LayoutCode, promotion::PromotionCode},
};

/// The answer of `explain`.
#[derive(Debug, Serialize)]
pub struct Explain {
    /// `reprov.explain/v1`.
    pub schema: &'static str,
    /// Verdicts first, then causes, reasons, taints, findings, changes, errors and notices.
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
    /// Why a request of a build was refused, or failed.
    Reason,
    /// Why a transcript may not be the whole truth.
    Taint,
    /// What verifying found.
    Finding,
    /// How what is known of an image turned from one night to the next.
    Change,
    /// Why a command gave no answer of its own.
    Error,
    /// What an audit has to say of its inventory.
    Notice,
}

/// Kinds of `reprov.error/v1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Wrong usage or configuration.
    Usage,
    /// Could not tell.
    Unavailable,
    /// A bug of ours.
    Internal,
}

impl ErrorKind {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Usage, Self::Unavailable, Self::Internal];

    /// As the answer has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// The exit code that goes with it.
    #[must_use]
    pub fn exit(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Unavailable => 3,
            Self::Internal => 70,
        }
    }
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
    /// Of a verdict: the exit code of `rebuild`; of an error: that of any command.
    pub exit: Option<u8>,
    /// What happened.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
    /// How it looks.
    pub example: &'static str,
    /// Of a cause: what in the two images says that it is this one.
    pub told_by: Option<&'static str>,
    /// Of a cause: what else to do about it.
    pub more_remedies: &'static [&'static str],
    /// Of a cause: where to read on.
    pub sources: &'static [&'static str],
}

impl From<Cause> for Entry {
    fn from(cause: Cause) -> Self {
        let Background { told_by, more_remedies, sources } = cause.background();
        Self {
            code: cause.code(),
            kind: Kind::Cause,
            class: Some(cause.class()),
            exit: None,
            meaning: cause.meaning(),
            remedy: cause.remedy(),
            example: cause.example(),
            told_by: Some(told_by),
            more_remedies,
            sources,
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
        Self::new(verdict.name(), Kind::Verdict, Some(exit), pages::verdict(verdict))
    }
}

impl From<Reason> for Entry {
    fn from(reason: Reason) -> Self {
        Self::new(reason.code(), Kind::Reason, None, pages::reason(reason))
    }
}

impl From<Taint> for Entry {
    fn from(taint: Taint) -> Self {
        Self::new(taint.code(), Kind::Taint, None, pages::taint(taint))
    }
}

impl From<Code> for Entry {
    fn from(code: Code) -> Self {
        Self::new(code.name(), Kind::Finding, None, (code.meaning(), code.remedy(), code.example()))
    }
}

impl From<LayoutCode> for Entry {
    fn from(code: LayoutCode) -> Self {
        Self::new(code.name(), Kind::Finding, None, (code.meaning(), code.remedy(), code.example()))
    }
}

impl From<PromotionCode> for Entry {
    fn from(code: PromotionCode) -> Self {
        Self::new(code.name(), Kind::Finding, None, (code.meaning(), code.remedy(), code.example()))
    }
}

impl From<Turn> for Entry {
    fn from(turn: Turn) -> Self {
        Self::new(turn.name(), Kind::Change, None, pages::turn(turn))
    }
}

impl From<Page> for Entry {
    fn from((code, page): Page) -> Self {
        Self::new(code, Kind::Finding, None, page)
    }
}

impl From<ErrorKind> for Entry {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind.name(), Kind::Error, Some(kind.exit()), pages::error(kind))
    }
}

impl From<NoticeKind> for Entry {
    fn from(kind: NoticeKind) -> Self {
        Self::new(kind.name(), Kind::Notice, None, pages::notice(kind))
    }
}

/// What a reason means, in a few words after a URL.
pub(super) fn sentence(reason: Reason) -> &'static str {
    match reason {
        Reason::NotAllowed => "under no allowed repository",
        Reason::IpLiteral => "this machine or a bare address, which only a repository can allow",
        Reason::Url => "not a URL that a repository can have",
        Reason::Method => "only GET, HEAD and POST are let through",
        Reason::Connect => "a tunnel to where no allowed repository is",
        Reason::Upgrade => "connections are not upgraded",
        Reason::Form => "not a request that can be recorded",
        Reason::Size => "larger than allowed",
        Reason::Checksum => "not the bytes that `--checksum` names",
        Reason::Signer => "not signed by the key that pins the repository",
        Reason::Unlisted => "in no index that the pinned key signed",
        Reason::Changed => "not the bytes that the signed index names",
        other => other.code(),
    }
}

impl Explain {
    /// Every code there is, and what it means.
    pub fn all() -> impl Iterator<Item = Entry> {
        let verdicts = Verdict::ALL.into_iter().map(Entry::from);
        verdicts
            .chain(Cause::ALL.iter().copied().map(Entry::from))
            .chain(Reason::ALL.iter().copied().map(Entry::from))
            .chain(Taint::ALL.iter().copied().map(Entry::from))
            .chain(Code::ALL.iter().copied().map(Entry::from))
            .chain(LayoutCode::ALL.iter().copied().map(Entry::from))
            .chain(PromotionCode::ALL.iter().copied().map(Entry::from))
            .chain(Turn::ALL.into_iter().map(Entry::from))
            .chain(CODES.into_iter().map(Entry::from))
            .chain(ErrorKind::ALL.into_iter().map(Entry::from))
            .chain(NoticeKind::ALL.into_iter().map(Entry::from))
    }

    /// All there is on `code`, or on everything; none if nothing has that code.
    #[must_use]
    pub fn of(code: Option<&str>) -> Option<Self> {
        let entries: Vec<_> =
            Self::all().filter(|entry| code.is_none_or(|code| code == entry.code)).collect();
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
    fn new(code: &'static str, kind: Kind, exit: Option<u8>, page: pages::Page) -> Self {
        let (meaning, remedy, example) = page;
        let (told_by, more_remedies, sources) = (None, &[][..], &[][..]);
        Self { code, kind, class: None, exit, meaning, remedy, example, told_by, more_remedies, sources }
    }

    fn write(&self, out: &mut String) {
        let exit = self.exit.unwrap_or_default();
        let kind = match self.kind {
            Kind::Cause => format!("a cause of class {}", self.class.map(Class::name).unwrap_or_default()),
            Kind::Verdict => format!("a verdict, exit code {exit}"),
            Kind::Reason => "why a request of a build was refused, or failed".to_owned(),
            Kind::Taint => "why a provenance is tainted".to_owned(),
            Kind::Finding => "what verifying found".to_owned(),
            Kind::Change => "a change that reports and messages tell".to_owned(),
            Kind::Error => format!("a kind of error, exit code {exit}"),
            Kind::Notice => "what an audit has to say of its inventory".to_owned(),
        };
        line(out, 0, 2, &format!("{}: {kind}", self.code));
        line(out, 2, 0, self.meaning);
        if let Some(told_by) = self.told_by {
            field(out, 2, "told by", told_by);
        }
        field(out, 2, "remedy", self.remedy);
        for remedy in self.more_remedies {
            field(out, 2, "or", remedy);
        }
        field(out, 2, "example", self.example);
        for source in self.sources {
            field(out, 2, "source", source);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_has_a_page_of_its_own() {
        let all = Explain::of(None).unwrap().entries;
        let mut codes: Vec<&str> = Verdict::ALL.into_iter().map(Verdict::name).collect();
        codes.extend(Cause::ALL.iter().map(|cause| cause.code()));
        codes.extend(Reason::ALL.iter().map(|reason| reason.code()));
        codes.extend(Taint::ALL.iter().map(|taint| taint.code()));
        codes.extend(Code::ALL.iter().map(|code| code.name()));
        codes.extend(LayoutCode::ALL.iter().map(|code| code.name()));
        codes.extend(PromotionCode::ALL.iter().map(|code| code.name()));
        codes.extend(Turn::ALL.map(Turn::name));
        codes.extend(CODES.map(|(code, _)| code));
        codes.extend(ErrorKind::ALL.map(ErrorKind::name));
        codes.extend(NoticeKind::ALL.map(NoticeKind::name));
        assert_eq!(all.iter().map(|entry| entry.code).collect::<Vec<_>>(), codes);
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
        insta::assert_snapshot!(Explain::of(Some("clock-in-text")).unwrap().text(), @r#"
        clock-in-text: a cause of class known
          A text differs only in dates and times, and each lies within its own build.
          Whatever wrote it asked the clock.
          told by   Texts that are the same once dates, times and epochs are taken away,
                    each within its own build; without provenance any time from 2000 to
                    2100 is taken.
          remedy    Write SOURCE_DATE_EPOCH instead of the present time, or remove the
                    file.
          or        `date -u -d @$SOURCE_DATE_EPOCH` in shell;
                    `datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)`
                    in Python.
          or        `clock = "commit"` in reprov.toml: steps see the commit's time.
          example   etc/build-date: Tue Nov 24 22:11:19 UTC 2026 → Tue Nov 24 22:11:28
                    UTC 2026
          source    SOURCE_DATE_EPOCH:
                    https://reproducible-builds.org/docs/source-date-epoch/
          source    https://reproducible-builds.org/docs/timestamps/
        "#);
    }
}
