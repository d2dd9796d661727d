//! `docs/causes`: a page for each cause of drift, and a list of them, in Markdown.

use std::collections::BTreeMap;

use super::explain::Entry;
use crate::drift::Cause;

/// Every page by the name of its file.
#[must_use]
pub fn pages() -> BTreeMap<String, String> {
    let page = |cause: &Cause| (format!("{}.md", cause.code()), page(&Entry::from(*cause)));
    Cause::ALL.iter().map(page).chain([("README.md".to_owned(), list())]).collect()
}

fn list() -> String {
    let mut causes = Cause::ALL.to_vec();
    causes.sort_by_key(|cause| cause.code());
    let row = |cause: &Cause| {
        let (code, class) = (cause.code(), cause.class().name());
        let first = cause.meaning().split_inclusive(". ").next().unwrap_or_default().trim_end();
        format!("| [{code}]({code}.md) | {class} | {} |\n", first.replace('|', "\\|"))
    };
    let rows: String = causes.iter().map(row).collect();
    format!(
        "# Causes of drift\n\nWhat `reprov rebuild` and `reprov diff` name as the cause of a difference; `reprov explain \
         CODE` prints the same.\nMade from `src/drift` by `make causes`.\n\n| code | class | what happened \
         |\n|---|---|---|\n{rows}"
    )
}

fn page(entry: &Entry) -> String {
    let class = entry.class.map_or("", |class| class.name());
    let mut out = format!("# {}\n\nClass: {class}. {}\n", entry.code, entry.meaning);
    let mut section = |title: &str, text: &str| out.push_str(&format!("\n## {title}\n\n{text}\n"));
    section("Evidence", entry.told_by.unwrap_or_default());
    section("Example", &format!("```\n{}\n```", entry.example));
    section("Remedies", &items(std::iter::once(&entry.remedy).chain(entry.more_remedies)));
    section("Sources", &items(entry.sources));
    out
}

fn items<'a>(texts: impl IntoIterator<Item = &'a &'static str>) -> String {
    texts.into_iter().map(|text| format!("- {text}")).collect::<Vec<_>>().join("\n")
}
