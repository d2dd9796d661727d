//! The forms of the report, and the one of them that is short: `JUnit`.

use super::{
    super::{
        json,
        junit::{self, Case, Outcome},
        pair::counted,
    },
    Image, Report, markdown, page, sarif, text,
};
use crate::model::{Verdict, path::printable};

/// How the report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NightForm {
    /// For people, on a terminal or in a mail.
    Text,
    /// The answer itself.
    Json,
    /// For a comment or a page of a wiki.
    Markdown,
    /// `JUnit`: a group is a suite, each image has a test for its policy, its rebuild and its tests.
    Junit,
    /// One page that needs nothing else, for a browser.
    Html,
    /// SARIF 2.1.0: what is wrong with an image is a result.
    Sarif,
}

impl Report {
    /// The report in that form.
    #[must_use]
    pub fn render(&self, form: NightForm) -> String {
        match form {
            NightForm::Text => text::render(self),
            NightForm::Json => json(self),
            NightForm::Markdown => markdown::render(self),
            NightForm::Junit => self.junit(),
            NightForm::Html => page::render(self),
            NightForm::Sarif => sarif::render(self),
        }
    }

    fn junit(&self) -> String {
        let mut suites: Vec<(String, Vec<Case>)> = Vec::new();
        for share in &self.whole.groups {
            let those = self.images.iter().filter(|image| image.group == share.name);
            let name = share.name.as_deref().map_or_else(|| "no group".to_owned(), printable);
            suites.push((name, those.flat_map(cases).collect()));
        }
        junit::written(&suites)
    }
}

/// The tests that an image stands for.
fn cases(image: &Image) -> Vec<Case> {
    let name = printable(&image.image);
    let case = |what: &str, kind, said: &str| Case {
        name: format!("{name} {what}"),
        outcome: of(image, kind, said),
    };
    let asked = [
        ("policy", "policy", &image.verified),
        ("rebuild", "drift", &image.verdict),
        ("live rebuild", "drift", &image.live),
        ("tests", "tests", &image.tested),
    ];
    let mut cases: Vec<_> = asked
        .into_iter()
        .filter_map(|(what, kind, outcome)| Some(case(what, kind, outcome.as_deref()?)))
        .collect();
    if ["gone", "unreachable"].contains(&image.said.as_str()) || cases.is_empty() {
        cases.push(case("reached", "gone", &image.said));
    }
    if image.overdue {
        let last = image.judged.as_deref().unwrap_or("never");
        let outcome = Outcome::Error(format!("overdue: judged last {last}"));
        cases.push(Case { name: format!("{name} in time"), outcome });
    }
    cases
}

/// What one outcome is as a test: a failure only where somebody says no.
fn of(image: &Image, kind: &'static str, said: &str) -> Outcome {
    let untold = match kind {
        "gone" => said != "gone",
        "drift" => {
            Verdict::ALL.into_iter().find(|verdict| verdict.name() == said).is_none_or(Verdict::undecided)
        }
        _ => said == "unknown",
    };
    match said {
        "passed" | "reproduced" => Outcome::Passed,
        _ if kind == "drift" && image.accepted.contains(&said) => {
            Outcome::Skipped(format!("{}, accepted", printable(said)))
        }
        _ if untold => {
            let why = image.error.as_deref().map(|why| format!(": {}", printable(why))).unwrap_or_default();
            Outcome::Error(format!("{}{why}", printable(said)))
        }
        _ => Outcome::Failed {
            kind,
            message: printable(said),
            text: image.codes.iter().map(|code| format!("{}\n", printable(code))).collect(),
        },
    }
}

/// `3 images, 1 wrong`, as far as there is something to say.
pub(super) fn standing(images: u64, wrong: u64, unknown: u64, overdue: u64) -> String {
    let count = usize::try_from(images).unwrap_or(usize::MAX);
    let mut text = counted(count, "image", "images");
    for (count, word) in [(wrong, "wrong"), (unknown, "unknown"), (overdue, "overdue")] {
        if count > 0 {
            text.push_str(&format!(", {count} {word}"));
        }
    }
    text
}

/// Milliseconds as people say them.
pub(super) fn lasted(took_ms: u64) -> String {
    match took_ms / 1000 {
        0 => format!("{took_ms} ms"),
        seconds if seconds < 60 => format!("{seconds} s"),
        seconds if seconds < 3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}
