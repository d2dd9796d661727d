//! The report as Markdown, for a comment on a change. Of an image nothing stands outside of code spans, where nothing
//! has a meaning.

use super::{
    config::{said, value},
    pair::{Pair, cause_and_class, counted, kinds, place},
    text::said_accepted,
};
use crate::{drift::Drift, model::path::printable};

/// Comments are cut off, or refused, beyond 65,536 characters.
pub(super) const REPORT_BYTES_MAX: usize = 60_000;
/// The longest text of an image in one place.
const SPAN_CHARS_MAX: usize = 300;

/// All of it.
pub(super) fn render(pairs: &[Pair<'_>]) -> String {
    let mut out = String::new();
    for pair in pairs {
        write(&mut out, pair);
    }
    out
}

fn write(out: &mut String, pair: &Pair<'_>) {
    let summary = pair.summary();
    out.push_str(&format!("## {}\n\n", pair.said()));
    for (label, name) in &pair.names {
        out.push_str(&format!("{label} {}  \n", code(name)));
    }
    out.push_str(&format!("{} of {} equal", summary.equal, counted(pair.layers.len(), "layer", "layers")));
    if let Some((_, place)) = &summary.first {
        out.push_str(&format!("; it begins at {}", code(place)));
    }
    out.push_str("\n\n");
    if let Some(error) = pair.error {
        out.push_str(&format!("{}\n\n", code(error)));
    }
    if !summary.security.is_empty() {
        out.push_str(&format!("**Security:** {}\n\n", kinds(&summary.security)));
    }
    if !summary.causes.is_empty() {
        out.push_str("| drifts | cause | remedy |\n|---:|---|---|\n");
        for (cause, count) in &summary.causes {
            out.push_str(&format!("| {count} | {} | {} |\n", cause_and_class(*cause), prose(cause.remedy())));
        }
        out.push('\n');
    }
    if summary.accepted > 0 {
        let (accepted, all) = (summary.accepted, summary.own.len());
        out.push_str(&format!("{accepted} of {all} drift(s) accepted; the verdict stays.\n\n"));
    }
    if !pair.config.is_empty() {
        out.push_str("| config | ");
        out.push_str(&format!("{} | {} | cause |\n|---|---|---|---|\n", pair.sides[0], pair.sides[1]));
        for (index, drift) in pair.config.iter().enumerate() {
            if full(out, pair.config.len() - index) {
                break;
            }
            let (a, b) = (cell(&value(drift.a.as_ref())), cell(&value(drift.b.as_ref())));
            out.push_str(&format!("| {} | {a} | {b} | {} |\n", cell(&said(drift)), drift.cause.code()));
        }
        out.push('\n');
    }
    write_drifts(out, &summary.own);
    if summary.consequences > 0 {
        let follow = counted(summary.consequences, "consequence", "consequences");
        out.push_str(&format!("And {follow} of these.\n\n"));
    }
}

/// By place; what concerns security in sight, the rest folded away.
fn write_drifts(out: &mut String, own: &[&Drift]) {
    let (security, rest): (Vec<&Drift>, Vec<&Drift>) = own.iter().partition(|drift| drift.security);
    list(out, &security);
    if !rest.is_empty() {
        out.push_str(&format!("<details><summary>{}</summary>\n\n", counted(rest.len(), "drift", "drifts")));
        list(out, &rest);
        out.push_str("</details>\n\n");
    }
}

fn list(out: &mut String, drifts: &[&Drift]) {
    let mut last = None;
    for (index, drift) in drifts.iter().enumerate() {
        if full(out, drifts.len() - index) {
            break;
        }
        let place = place(drift);
        if last.as_ref() != Some(&place) {
            out.push_str(&format!("\n{}\n\n", code(&place)));
        }
        last = Some(place);
        let path = if drift.path.is_empty() { "the layer as a whole".to_owned() } else { code(&drift.path) };
        let security = drift.security_kind.map(|kind| format!("**{}**, ", kind.words())).unwrap_or_default();
        out.push_str(&format!("- {path}: {security}{}", cause_and_class(drift.cause)));
        if !drift.evidence.is_empty() {
            out.push_str(&format!(", {}", code(&drift.evidence)));
        }
        if let Some(accepted) = &drift.accepted {
            out.push_str(&format!("; accepted: {}", code(&said_accepted(accepted))));
        }
        out.push('\n');
    }
    out.push('\n');
}

/// Whether no more fits; says so, once.
fn full(out: &mut String, left: usize) -> bool {
    let full = out.len() > REPORT_BYTES_MAX;
    if full {
        out.push_str(&format!("\n… and {left} more; another form of the report has all\n"));
    }
    full
}

/// A code span (`CommonMark` 0.31, 6.1): fenced by more backticks than it holds.
pub(super) fn code(text: &str) -> String {
    let shown: String = printable(text).chars().take(SPAN_CHARS_MAX).collect();
    let cut = if shown.len() < printable(text).len() { "…" } else { "" };
    let longest = shown.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let apart = if shown.starts_with('`') || shown.ends_with('`') { " " } else { "" };
    // An empty span is none.
    if shown.is_empty() { "—".to_owned() } else { format!("{fence}{apart}{shown}{cut}{apart}{fence}") }
}

/// A code span in a table, where a bar would end the cell (GFM, 4.10).
pub(super) fn cell(text: &str) -> String {
    code(text).replace('|', "\\|")
}

/// Words of ours in a table.
fn prose(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_cannot_be_left() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`a"), "`` `a ``");
        assert_eq!(code("<script>\n"), "`<script>\\u{a}`");
        assert_eq!(cell("a|b"), "`a\\|b`");
        assert_eq!(code(""), "—");
        assert!(code(&"x".repeat(4_096)).chars().count() < SPAN_CHARS_MAX + 5);
    }
}
