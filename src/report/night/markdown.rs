//! The report as Markdown. What comes from elsewhere stands in code spans, where nothing has a meaning.

use super::{
    super::markdown::{REPORT_BYTES_MAX, cell, code},
    Count, Report, Share,
    form::{lasted, standing},
};

pub(super) fn render(report: &Report) -> String {
    let mut out = String::new();
    let whole = &report.whole;
    let (wrong, unknown) = (whole.standing["wrong"], whole.standing["unknown"]);
    out.push_str(&format!("## {}\n\n", standing(whole.images, wrong, unknown, whole.overdue)));
    out.push_str(&format!("As of {}.\n\n", report.until));
    changes(&mut out, report);
    counts(&mut out, "verdict", &whole.verdicts);
    counts(&mut out, "verdict of live rebuilds", &whole.live);
    counts(&mut out, "cause", &whole.causes);
    counts(&mut out, "finding", &whole.findings);
    shares(&mut out, "owner", &whole.owners);
    shares(&mut out, "group", &whole.groups);
    if !whole.waivers.is_empty() {
        out.push_str("| waiver of | owner | until | images |\n|---|---|---|---:|\n");
        for waiver in &whole.waivers {
            let (of, owner, until) = (cell(&waiver.code), cell(&waiver.owner), cell(&waiver.until));
            let ended = if waiver.ended { " (ended)" } else { "" };
            out.push_str(&format!("| {of} | {owner} | {until}{ended} | {} |\n", waiver.images));
        }
        out.push('\n');
    }
    let mut left = report.images.iter().filter(|image| image.standing != "good").peekable();
    if left.peek().is_some() {
        out.push_str("| image | stands | | codes | judged | took |\n|---|---|---|---|---|---:|\n");
    }
    while let Some(image) = left.next() {
        let judged = image.judged.as_deref().unwrap_or("never");
        let took = image.took_ms.map(lasted).unwrap_or_default();
        let codes = if image.codes.is_empty() { String::new() } else { cell(&image.codes.join(", ")) };
        let (name, said) = (cell(&image.image), cell(&image.said));
        out.push_str(&format!("| {name} | {} | {said} | {codes} | {judged} | {took} |\n", image.standing));
        if full(&mut out, left.clone().count()) {
            break;
        }
    }
    out
}

fn changes(out: &mut String, report: &Report) {
    if report.changes.is_empty() {
        out.push_str(&format!("Nothing changed since {}.\n\n", report.since));
        return;
    }
    out.push_str(&format!("### Changed since {}\n\n", report.since));
    for (index, change) in report.changes.iter().enumerate() {
        out.push_str(&format!("- **{}** {}: {}", change.code, code(&change.image), code(&change.message)));
        if let Some(owner) = &change.owner {
            out.push_str(&format!(", {}", code(owner)));
        }
        if let Some(at) = &change.report {
            out.push_str(&format!(", report {}", code(at)));
        }
        out.push('\n');
        if full(out, report.changes.len() - index - 1) {
            break;
        }
    }
    out.push('\n');
}

/// Whether no more fits; says so, once.
fn full(out: &mut String, left: usize) -> bool {
    let full = left > 0 && out.len() > REPORT_BYTES_MAX;
    if full {
        out.push_str(&format!("\n… and {left} more; another form of the report has all\n"));
    }
    full
}

fn counts(out: &mut String, what: &str, counts: &[Count]) {
    if !counts.is_empty() {
        out.push_str(&format!("| {what} | images |\n|---|---:|\n"));
        for count in counts {
            out.push_str(&format!("| {} | {} |\n", cell(&count.code), count.images));
        }
        out.push('\n');
    }
}

fn shares(out: &mut String, what: &str, shares: &[Share]) {
    if shares.iter().any(|share| share.name.is_some()) {
        out.push_str(&format!(
            "| {what} | images | wrong | unknown | overdue |\n|---|---:|---:|---:|---:|\n"
        ));
        for Share { name, images, wrong, unknown, overdue } in shares {
            let name = name.as_deref().map_or_else(|| "nobody".to_owned(), cell);
            out.push_str(&format!("| {name} | {images} | {wrong} | {unknown} | {overdue} |\n"));
        }
        out.push('\n');
    }
}
