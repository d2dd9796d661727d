//! The report as one page of HTML: no script, nothing from elsewhere. The template escapes all it is given; what it is
//! given is printable before; and a policy in the page forbids the rest.

mod chart;

use askama::Template;

use super::{
    Change, Count, Image, Place, Report, Share, Standing,
    form::{lasted, standing},
};
use crate::model::{
    limits::{REPORT_ROWS_MAX, REPORT_TOP_MAX},
    path::printable,
};
use chart::{Chart, charts};

/// Changes of one code that are in sight; the rest is folded away.
const OPEN_MAX: usize = 20;

/// The whole page.
#[derive(Template)]
#[template(path = "night.html")]
struct Page {
    title: String,
    version: &'static str,
    standing: &'static str,
    standing_said: &'static str,
    headline: String,
    since: String,
    until: String,
    group: Option<String>,
    owner: Option<String>,
    tiles: Vec<Tile>,
    turns: Vec<TurnView>,
    nights: String,
    charts: Vec<Chart>,
    lists: Vec<List>,
    shares: Vec<Table>,
    waivers: Vec<[String; 4]>,
    images: Vec<Row>,
    images_note: String,
    more: usize,
}

/// A number and what it counts.
struct Tile {
    count: u64,
    what: &'static str,
    kind: &'static str,
}

/// All changes of a code.
struct TurnView {
    code: &'static str,
    kind: &'static str,
    count: usize,
    changes: Vec<ChangeView>,
    /// Folded away.
    rest: Vec<ChangeView>,
    more: usize,
}

struct ChangeView {
    image: String,
    message: String,
    owner: Option<String>,
    link: Option<String>,
}

/// Names with a number and a bar.
struct List {
    title: &'static str,
    note: &'static str,
    class: &'static str,
    /// How wide its columns are.
    shape: &'static str,
    rows: Vec<Rank>,
}

struct Rank {
    name: String,
    code: bool,
    value: String,
    width: String,
}

struct Table {
    title: &'static str,
    rows: Vec<ShareView>,
}

struct ShareView {
    name: String,
    images: u64,
    wrong: u64,
    unknown: u64,
    overdue: u64,
}

/// An image.
struct Row {
    image: String,
    owner: Option<String>,
    standing: &'static str,
    verified: String,
    verdict: String,
    codes: String,
    judged: String,
    overdue: bool,
    link: Option<String>,
}

/// All of it.
pub(super) fn render(report: &Report) -> String {
    Page::of(report).render().expect("a String takes whatever the template writes")
}

/// Where a report lies, as a link that can only lead to a page or a file; none if it cannot be one.
fn link(place: &str) -> Option<String> {
    if place.is_empty() {
        return None;
    }
    if place.starts_with("https://") || place.starts_with("http://") {
        return place.parse::<url::Url>().ok().map(|url| url.to_string());
    }
    // A path: `./` keeps a colon in it from being a scheme.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.-_~".contains(&byte);
    let encoded: String = place
        .bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect();
    match place.strip_prefix('/') {
        Some(rest) if rest.starts_with('/') => None, // Of another host.
        Some(_) => Some(encoded),
        None => Some(format!("./{encoded}")),
    }
}

impl Page {
    fn of(report: &Report) -> Self {
        let whole = &report.whole;
        let [wrong, unknown, good] = ["wrong", "unknown", "good"].map(|name| whole.standing[name]);
        let worst = report.worst().unwrap_or(Standing::Good);
        let headline = standing(whole.images, wrong, unknown, whole.overdue);
        let tile = |count, what, kind| Tile { count, what, kind: if count > 0 { kind } else { "" } };
        let shown: Vec<&Image> = report.images.iter().take(REPORT_ROWS_MAX).collect();
        Self {
            title: format!("{headline} · reprov"),
            version: env!("CARGO_PKG_VERSION"),
            standing: worst.name(),
            standing_said: match worst {
                Standing::Wrong => "something is wrong",
                Standing::Unknown => "nobody could tell",
                Standing::Good => "all is well",
            },
            headline,
            since: report.since.clone(),
            until: report.until.clone(),
            group: report.group.as_deref().map(printable),
            owner: report.owner.as_deref().map(printable),
            tiles: vec![
                tile(good, "good", "good"),
                tile(wrong, "wrong", "bad"),
                tile(unknown, "unknown", "doubt"),
                tile(whole.overdue, "overdue", "doubt"),
                tile(report.changes.len() as u64, "changed", ""),
            ],
            turns: turns(&report.changes),
            nights: match whole.trend.as_slice() {
                [first, .., last] => format!("{} to {}, from noon to noon (UTC)", first.night, last.night),
                _ => String::new(),
            },
            charts: charts(&whole.trend),
            lists: lists(report),
            shares: vec![table("Owners", &whole.owners), table("Groups", &whole.groups)]
                .into_iter()
                .flatten()
                .collect(),
            waivers: whole
                .waivers
                .iter()
                .map(|ending| {
                    let until = format!("{}{}", ending.until, if ending.ended { " (ended)" } else { "" });
                    [&ending.code, &ending.owner, &until, &ending.images.to_string()]
                        .map(|text| printable(text))
                })
                .collect(),
            images: shown.iter().map(|image| row(image)).collect(),
            images_note: "what is wrong first".to_owned(),
            more: report.images.len() - shown.len(),
        }
    }
}

fn turns(changes: &[Change]) -> Vec<TurnView> {
    let view = |change: &Change| ChangeView {
        image: printable(&change.image),
        message: printable(&change.message),
        owner: change.owner.as_deref().map(printable),
        link: change.report.as_deref().and_then(link),
    };
    let of_code = |those: &[Change]| TurnView {
        code: those[0].code.name(),
        kind: if those[0].code.better() {
            "better"
        } else if those[0].code.worse() {
            "worse"
        } else {
            "other"
        },
        count: those.len(),
        changes: those.iter().take(OPEN_MAX).map(view).collect(),
        rest: those.iter().take(REPORT_ROWS_MAX).skip(OPEN_MAX).map(view).collect(),
        more: those.len().saturating_sub(REPORT_ROWS_MAX),
    };
    changes.chunk_by(|a, b| a.code == b.code).map(of_code).collect()
}

/// As wide as `value` is to the largest.
fn width(value: u64, largest: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a width on a screen")]
    let share = value as f64 / largest.max(1) as f64 * 100.0;
    format!("{share:.1}%")
}

fn lists(report: &Report) -> Vec<List> {
    let whole = &report.whole;
    let counted = |title, note, class, counts: &[Count]| {
        let largest = counts.iter().map(|count| count.images).max().unwrap_or_default();
        let rank = |count: &Count| Rank {
            name: printable(&count.code),
            code: true,
            value: super::super::pair::counted(
                usize::try_from(count.images).unwrap_or(usize::MAX),
                "image",
                "images",
            ),
            width: width(count.images, largest),
        };
        List {
            title,
            note,
            class,
            shape: "codes",
            rows: counts.iter().take(2 * REPORT_TOP_MAX).map(rank).collect(),
        }
    };
    let slowest = whole.slowest.iter().filter_map(|place| place.took_ms).max().unwrap_or_default();
    let slow = |place: &Place| Rank {
        name: printable(&place.image),
        code: false,
        value: place.took_ms.map(lasted).unwrap_or_default(),
        width: width(place.took_ms.unwrap_or_default(), slowest),
    };
    let old = |place: &Place| Rank {
        name: printable(&place.image),
        code: false,
        value: place.judged.as_deref().map_or("never", |judged| &judged[..10]).to_owned(),
        width: String::new(),
    };
    let all = [
        counted("Verdicts", "of the last rebuilds", "known", &whole.verdicts),
        counted("Live verdicts", "of the last rebuilds from today's inputs", "known", &whole.live),
        counted("Causes of drift", "by number of images", "entropy", &whole.causes),
        counted("Findings", "by number of images", "unexplained", &whole.findings),
        List {
            title: "Not judged for longest",
            note: "the last time",
            class: "known",
            shape: "plain",
            rows: whole.oldest.iter().map(old).collect(),
        },
        List {
            title: "Slowest",
            note: "the last time",
            class: "package",
            shape: "names",
            rows: whole.slowest.iter().map(slow).collect(),
        },
    ];
    all.into_iter().filter(|list| !list.rows.is_empty()).collect()
}

/// Nothing where everybody is nobody.
fn table(title: &'static str, shares: &[Share]) -> Option<Table> {
    let rows = shares.iter().map(|share| ShareView {
        name: share.name.as_deref().map_or_else(|| "nobody".to_owned(), printable),
        images: share.images,
        wrong: share.wrong,
        unknown: share.unknown,
        overdue: share.overdue,
    });
    shares.iter().any(|share| share.name.is_some()).then(|| Table { title, rows: rows.collect() })
}

fn row(image: &Image) -> Row {
    let or_none = |text: &Option<String>| text.as_deref().map_or_else(|| "–".to_owned(), printable);
    let missed = ["gone", "unreachable"].contains(&image.said.as_str());
    Row {
        image: printable(&image.image),
        owner: image.owner.as_deref().map(printable),
        standing: image.standing,
        verified: if missed { image.said.clone() } else { or_none(&image.verified) },
        verdict: match (&image.verdict, &image.live) {
            (verdict, None) => or_none(verdict),
            (None, Some(live)) => format!("live: {}", printable(live)),
            (Some(verdict), Some(live)) => format!("{}, live: {}", printable(verdict), printable(live)),
        },
        codes: printable(&image.codes.join(", ")),
        judged: image.judged.as_deref().map_or("never", |judged| &judged[..10]).to_owned(),
        overdue: image.overdue,
        link: image.report.as_deref().and_then(link),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_pages_and_files_alone() {
        for (place, expected) in [
            ("https://ci.example.org/r/1.html", Some("https://ci.example.org/r/1.html")),
            ("javascript:alert(1)", Some("./javascript%3Aalert%281%29")),
            ("data:text/html,x", Some("./data%3Atext/html%2Cx")),
            ("/var/reports/a b.html", Some("/var/reports/a%20b.html")),
            ("//evil.example/x", None),
            ("reports/é\".html", Some("./reports/%C3%A9%22.html")),
            ("https://", None),
            ("", None),
        ] {
            assert_eq!(link(place).as_deref(), expected, "{place}");
        }
    }
}
