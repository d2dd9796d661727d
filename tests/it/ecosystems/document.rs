//! `docs/ecosystems.md`: the part that is made.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use super::{
    Answer, real,
    table::{ABSENT, FIXTURES, Files, Fixture},
    twice::Found,
};

/// Set, the document is written instead of compared.
const WRITE: &str = "REPROV_WRITE_ECOSYSTEMS";
const BEGIN: &str = "<!-- what follows is made by the test: make ecosystems -->";
const END: &str = "<!-- end of what is made -->";
const TWICE_BEGIN: &str = "<!-- what follows is made by the test: make twice -->";
const TWICE_END: &str = "<!-- end of what make twice makes -->";
/// Paths shown for a cause.
const SHOWN: usize = 3;

pub(super) fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ecosystems.md")
}

/// Writes the document, if that is wanted.
pub(super) fn write(found: &BTreeMap<&str, [Answer; 2]>) {
    if std::env::var_os(WRITE).is_some() {
        let made = made(found, &fs::read_to_string(path()).unwrap());
        fs::write(path(), made).unwrap();
    }
}

/// The committed document says the same.
#[track_caller]
pub(super) fn agree(found: &BTreeMap<&str, [Answer; 2]>) {
    let document = fs::read_to_string(path()).unwrap();
    let made = made(found, &document);
    for (ours, theirs) in made.lines().zip(document.lines()) {
        assert_eq!(ours, theirs, "docs/ecosystems.md is out of date; {WRITE}=1 writes it");
    }
    assert_eq!(made.len(), document.len());
}

/// The document as it should be. A fixture that was not run now keeps its verdicts.
fn made(found: &BTreeMap<&str, [Answer; 2]>, document: &str) -> String {
    let row = |fixture: &Fixture| {
        let verdicts = match found.get(fixture.name) {
            Some(answers) => answers.each_ref().map(cell),
            None => known(document, fixture.name)?,
        };
        let [real, commit] = verdicts;
        Some(format!("| {} | {} | {real} | {commit} | {} |\n", fixture.name, fixture.what, fixture.needed))
    };
    let theirs = |fixture: &&Fixture| matches!(fixture.files, Files::Npm(..));
    let mut text = String::from(HEAD);
    text.extend(FIXTURES.iter().filter(|fixture| !theirs(fixture)).filter_map(row));
    text.push_str("\n### Dockerfiles that nobody here wrote\n\n");
    text.push_str(HEAD.trim_start());
    text.extend(FIXTURES.iter().filter(theirs).filter_map(row));
    text.push_str("\n| fixture | file | what was changed |\n|---|---|---|\n");
    for fixture in FIXTURES.iter().filter(theirs) {
        let Files::Npm(package, path, _) = fixture.files else { continue };
        let changes = real::changes(fixture.name).join(" ");
        text.push_str(&format!(
            "| {} | `{path}` in `{package}` of npm's registry | {changes} |\n",
            fixture.name
        ));
    }
    text.push_str("\n### What cannot run here\n\n| what | why |\n|---|---|\n");
    text.extend(ABSENT.iter().map(|(what, why)| format!("| {what} | {why} |\n")));
    let (head, rest) = document.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    format!("{head}{BEGIN}\n{text}\n{END}{tail}")
}

/// Writes the table of what two builds without a profile differ in, if that is wanted. A fixture that was not run now
/// keeps its row.
pub(super) fn write_twice(found: &BTreeMap<&str, Found>) {
    if std::env::var_os(WRITE).is_none() {
        return;
    }
    let document = fs::read_to_string(path()).unwrap();
    let known = rows_of_twice(&document);
    let row = |fixture: &Fixture| {
        let row = match found.get(fixture.name) {
            Some(found) => {
                let counted: Vec<_> =
                    found.causes.iter().map(|(cause, count)| format!("`{cause}` {count}")).collect();
                let unexplained = found.causes.get("unexplained").copied().unwrap_or_default();
                [fixture.name.to_owned(), found.verdict.clone(), counted.join(", "), unexplained.to_string()]
            }
            None => known.iter().find(|row| row[0] == fixture.name)?.clone(),
        };
        Some(format!("| {} |\n", row.join(" | ")))
    };
    let mut text =
        String::from("\n| fixture | verdict | causes, by differences | unexplained |\n|---|---|---|---|\n");
    text.extend(FIXTURES.iter().filter_map(row));
    let (head, rest) = document.split_once(TWICE_BEGIN).unwrap();
    let (_, tail) = rest.split_once(TWICE_END).unwrap();
    fs::write(path(), format!("{head}{TWICE_BEGIN}\n{text}\n{TWICE_END}{tail}")).unwrap();
}

/// The rows of that table: fixture, verdict, causes, how many are unexplained.
pub(super) fn rows_of_twice(document: &str) -> Vec<[String; 4]> {
    let (_, rest) = document.split_once(TWICE_BEGIN).unwrap();
    let (table, _) = rest.split_once(TWICE_END).unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let cells = rows.map(|row| row.split(" | ").map(str::to_owned).collect::<Vec<_>>());
    cells.skip(1).filter_map(|cells| cells.try_into().ok()).collect()
}

/// Both verdicts of a fixture as the document has them.
fn known(document: &str, name: &str) -> Option<[String; 2]> {
    let start = format!("| {name} | ");
    let row = document.lines().find(|line| line.starts_with(&start) && line.matches(" | ").count() == 4)?;
    let cells: Vec<_> = row.split(" | ").collect();
    Some([cells[2].to_owned(), cells[3].to_owned()])
}

const HEAD: &str =
    "\n| fixture | what it does | real clock | commit's clock | needed |\n|---|---|---|---|---|\n";

/// The verdict, and by cause where.
fn cell(answer: &Answer) -> String {
    let causes: BTreeSet<_> = answer.drifts.iter().map(|[cause, class, _]| (cause, class)).collect();
    let mut parts = Vec::new();
    for (cause, class) in causes {
        let paths: Vec<_> = answer
            .drifts
            .iter()
            .filter(|[its, ..]| its == cause)
            .map(|[.., path]| format!("`{}`", steady(path).replace('|', "\\|")))
            .collect();
        let mut shown = paths.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        if paths.len() > SHOWN {
            shown.push_str(&format!(" and {} more", paths.len() - SHOWN));
        }
        let class = if class == "entropy" { " (entropy)" } else { "" };
        parts.push(format!("`{cause}`{class} in {shown}"));
    }
    if parts.is_empty() {
        answer.verdict.clone()
    } else {
        format!("{}: {}", answer.verdict, parts.join("; "))
    }
}

/// A path without the chance that is in it.
fn steady(path: &str) -> String {
    match path.split_once("/tmp.") {
        Some((dir, _)) => format!("{dir}/tmp.…"),
        None => path.to_owned(),
    }
}
