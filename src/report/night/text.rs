//! The report for people, in 80 columns.

use std::collections::BTreeMap;

use super::{
    super::{
        columns::{field, line},
        pair::counted,
    },
    Change, Count, Place, Report, Share,
    form::{lasted, standing},
};
use crate::model::{limits::REPORT_ROWS_MAX, path::printable};

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    told(&mut out, &report.changes, &report.since);
    whole(&mut out, report);
    out
}

/// What changed, by code.
pub(super) fn told(out: &mut String, changes: &[Change], since: &str) {
    let count = match changes.len() {
        0 => "nothing changed".to_owned(),
        count => counted(count, "change", "changes"),
    };
    line(out, 0, 2, &format!("{count}{}", from(since)));
    let mut last = None;
    for change in changes {
        if last.replace(change.code) != Some(change.code) {
            line(out, 2, 2, change.code.name());
        }
        line(out, 4, 2, &printable(&change.image));
        line(out, 6, 2, &printable(&change.message));
        let beside = [("owner", &change.owner), ("group", &change.group), ("report", &change.report)];
        for (label, value) in beside {
            if let Some(value) = value {
                field(out, 6, label, &printable(value));
            }
        }
    }
}

/// ` since …`; what was never told before is told from the beginning.
pub(super) fn from(since: &str) -> String {
    if since.starts_with("1970-01-01T00:00:00") { " so far".to_owned() } else { format!(" since {since}") }
}

fn whole(out: &mut String, report: &Report) {
    let whole = &report.whole;
    let (wrong, unknown) = (whole.standing["wrong"], whole.standing["unknown"]);
    out.push('\n');
    line(
        out,
        0,
        2,
        &format!("{} as of {}", standing(whole.images, wrong, unknown, whole.overdue), report.until),
    );
    counts(out, "policy", &by_name(&whole.verified));
    counts(out, "rebuilds", &whole.verdicts);
    counts(out, "live", &whole.live);
    counts(out, "tests", &by_name(&whole.tested));
    counts(out, "causes", &whole.causes);
    counts(out, "findings", &whole.findings);
    shares(out, "owners", &whole.owners);
    shares(out, "groups", &whole.groups);
    for waiver in &whole.waivers {
        let word = if waiver.ended { "ended" } else { "ends" };
        let images = counted(usize::try_from(waiver.images).unwrap_or(usize::MAX), "image", "images");
        let (code, owner, until) =
            (printable(&waiver.code), printable(&waiver.owner), printable(&waiver.until));
        field(out, 2, "waiver", &format!("{code} by {owner} {word} {until} ({images})"));
    }
    places(out, "not judged for longest", &whole.oldest, |place| {
        place.judged.clone().unwrap_or_else(|| "never".to_owned())
    });
    places(out, "slowest", &whole.slowest, |place| place.took_ms.map(lasted).unwrap_or_default());
    if whole.retired > 0 {
        let count = usize::try_from(whole.retired).unwrap_or(usize::MAX);
        let images = counted(count, "image that nobody", "images that nobody");
        line(out, 2, 2, &format!("left out: {images} has looked at for 90 days"));
    }
    let wrong: Vec<_> = report.images.iter().filter(|image| image.standing != "good").collect();
    if !wrong.is_empty() {
        out.push('\n');
    }
    for image in wrong.iter().take(REPORT_ROWS_MAX) {
        let codes =
            if image.codes.is_empty() { String::new() } else { format!(": {}", image.codes.join(", ")) };
        let name = printable(&image.image);
        line(
            out,
            0,
            2,
            &format!("{}  {name}  {}{}", image.standing, printable(&image.said), printable(&codes)),
        );
    }
    if let Some(more) = wrong.len().checked_sub(REPORT_ROWS_MAX).filter(|more| *more > 0) {
        line(out, 0, 2, &format!("and {more} more; --format json has all"));
    }
}

fn by_name(counts: &BTreeMap<String, u64>) -> Vec<Count> {
    counts.iter().map(|(code, images)| Count { code: code.clone(), images: *images }).collect()
}

fn counts(out: &mut String, label: &str, counts: &[Count]) {
    if !counts.is_empty() {
        let each: Vec<_> =
            counts.iter().map(|count| format!("{} {}", printable(&count.code), count.images)).collect();
        field(out, 2, label, &each.join(", "));
    }
}

fn shares(out: &mut String, label: &str, shares: &[Share]) {
    if shares.iter().all(|share| share.name.is_none()) {
        return;
    }
    line(out, 2, 2, label);
    for share in shares {
        let name = share.name.as_deref().map_or_else(|| "nobody".to_owned(), printable);
        line(
            out,
            4,
            2,
            &format!("{name}: {}", standing(share.images, share.wrong, share.unknown, share.overdue)),
        );
    }
}

fn places(out: &mut String, label: &str, places: &[Place], what: impl Fn(&Place) -> String) {
    if !places.is_empty() {
        line(out, 2, 2, label);
        for place in places {
            line(out, 4, 2, &format!("{}  {}", what(place), printable(&place.image)));
        }
    }
}
