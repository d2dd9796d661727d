//! The Dockerfile reader on several hundred real files, against a scan that shares nothing with it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use reprov::dockerfile::{BuildArgs, Dockerfile, ImageReference, Lowered, Pin, Scope};

use crate::support::{fixtures, must};

/// What the reader refuses, and why that is right: part of a path, part of the error, how many files at most.
const REFUSED: &[(&str, &str, usize)] = &[
    // Named like Dockerfiles, and something else.
    (".5.md", "unknown instruction `%`", 2),
    (".nanorc", "unknown instruction `syntax`", 1),
    (".tm", "unknown instruction `<?xml`", 2),
    ("src/dockerfile_parser.", "unknown instruction `//`", 2),
    (".dockerignore", "unknown instruction `*`", 3),
    ("config.docker", "unknown instruction `--`", 1),
    // Templates: a makefile or the C preprocessor fills them in.
    ("kubernetes", "unknown instruction `CROSS_BUILD_COPY`", 19),
    ("kubernetes", "unknown instruction `COPY_SYSTEM_SPEC_FILE`", 1),
    ("Containerfile.in", "RUN before the first FROM", 1),
    // Made to be refused: BuildKit refuses them with these reasons too.
    ("copy-from/Dockerfile.bad", "does not name an image", 1),
    ("Dockerfile.invalid_from", "does not name an image", 1),
    ("-empty-run", "RUN needs an argument", 3),
    ("unrecognized/Dockerfile", "unknown instruction `BOGUS`", 1),
    ("dockerfile-parser-0.9.0/Dockerfile.test", "unknown instruction `other`", 1),
    // `'a\'b'`: there is no escape within single quotes. Docker once read on to the end of the line.
    ("testdata/Dockerfile.env", "`'` is missing", 1),
    ("transientmount/Dockerfile.env", "`'` is missing", 1),
];

#[test]
#[ignore = "slow: make acceptance"]
fn real_dockerfiles_are_read_as_they_are_meant() {
    let dir = tempfile::Builder::new().prefix("reprov-corpus-").tempdir_in("/var/tmp").unwrap();
    must(Command::new(fixtures("corpus")).arg(dir.path()));
    let mut files = Vec::new();
    walk(dir.path(), &mut files);
    assert!(files.len() > 500, "only {} files", files.len());

    let (mut wrong, mut read) = (Vec::new(), 0);
    let mut refused: Vec<_> = REFUSED.iter().map(|(.., most)| *most).collect();
    for path in &files {
        let bytes = fs::read(path).unwrap();
        let name = path.strip_prefix(dir.path()).unwrap().display().to_string();
        let text = String::from_utf8_lossy(&bytes);
        let given = given(&text);
        match examine(&bytes, &given) {
            Ok(references) => match scan(&text, &given) {
                scanned if scanned == references => read += 1,
                scanned => wrong.push(format!("{name}: {references:?}, the scan has {scanned:?}")),
            },
            Err(error) => {
                let known = |(part, why, _): &(&str, &str, usize)| name.contains(part) && error.contains(why);
                if !spent(&mut refused, REFUSED.iter().position(known)) {
                    wrong.push(format!("{name}: {error}"));
                }
            }
        }
    }
    assert!(
        wrong.is_empty() && read > 650,
        "{read} of {} files as the scan has them, but\n{}",
        files.len(),
        wrong.join("\n")
    );
}

/// What a caller would give: a name for every ARG that has a default nowhere. Platforms come by themselves.
fn given(text: &str) -> BTreeMap<String, String> {
    let args = text.lines().filter_map(|line| line.strip_prefix("ARG ")).flat_map(str::split_whitespace);
    let (defaults, bare): (Vec<_>, Vec<_>) = args.partition(|word| word.contains('='));
    let has_default =
        |name: &str| defaults.iter().any(|word| word.split('=').next().unwrap_or_default() == name);
    let is_platform = |name: &str| ["BUILD", "TARGET"].iter().any(|own| name.starts_with(own));
    let names = bare.into_iter().filter(|name| !has_default(name) && !is_platform(name));
    names.map(|name| (name.to_owned(), "given".to_owned())).collect()
}

/// Takes one off the number of files that an explanation may cover.
fn spent(left: &mut [usize], index: Option<usize>) -> bool {
    let Some(left) = index.and_then(|index| left.get_mut(index)).filter(|left| **left > 0) else {
        return false;
    };
    *left -= 1;
    true
}

fn walk(dir: &Path, into: &mut Vec<PathBuf>) {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            walk(&path, into);
        } else {
            into.push(path);
        }
    }
}

/// Reads the file, edits nothing, edits every reference; the references after expansion.
fn examine(bytes: &[u8], given: &BTreeMap<String, String>) -> Result<Vec<String>, String> {
    let file = Dockerfile::parse(bytes).map_err(|error| error.to_string())?;
    assert_eq!(file.source().as_bytes(), bytes);
    let target = file.stages.len() - 1;
    let args = BuildArgs { platform: "linux/amd64".to_owned(), values: given.clone() };
    let references = file.references(target, &args).map_err(|error| error.to_string())?;
    let scope = Scope { target, args: args.clone(), ..Scope::default() };
    let lower = |pins: &[Pin]| file.lower(&scope, pins).map_err(|error| error.to_string());
    let pins = |replacement: &dyn Fn(&ImageReference) -> String| -> Vec<Pin> {
        let pin = |reference: &ImageReference| Pin {
            span: reference.span.clone(),
            replacement: replacement(reference),
        };
        references.iter().map(pin).collect()
    };
    let lowered = lower(&[])?;
    untouched(bytes, &lowered);
    if references.iter().all(|reference| reference.literal) {
        assert_eq!(lower(&pins(&|reference| reference.used.clone()))?, lowered, "pinned to what they are");
    }
    let pinned = lower(&pins(&|_| "localhost/pinned:1".to_owned()))?;
    untouched(bytes, &pinned);
    let again = Dockerfile::parse(&pinned.text).expect("what was pinned can be read");
    let pinned = again.references(target, &args).expect("and its references");
    assert!(pinned.iter().all(|reference| reference.used == "localhost/pinned:1"), "{pinned:?}");
    assert_eq!(pinned.len(), references.len());
    Ok(references.into_iter().map(|reference| reference.used).collect())
}

/// All lines but those of edits are as they were, at the same numbers.
fn untouched(before: &[u8], lowered: &Lowered) {
    let (before, after) = (lines(before), lines(&lowered.text));
    let touched = |number: usize| {
        lowered
            .edits
            .iter()
            .any(|edit| (edit.line..=edit.line + edit.original.matches('\n').count()).contains(&number))
    };
    let cut = lowered.edits.iter().any(|edit| format!("{:?}", edit.kind) == "Stages");
    assert!(cut || before.len() == after.len(), "{} lines became {}", before.len(), after.len());
    for (index, (before, after)) in before.iter().zip(&after).enumerate() {
        assert!(touched(index + 1) || before == after, "line {}", index + 1);
    }
}

fn lines(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.split(|byte| *byte == b'\n').collect()
}

/// Every image that the file names, in order, by a scan for words.
fn scan(text: &str, given: &BTreeMap<String, String>) -> Vec<String> {
    let (mut found, mut stages): (Vec<String>, Vec<Option<String>>) = (Vec::new(), Vec::new());
    let (mut globals, mut locals) = (BTreeMap::new(), BTreeMap::new());
    for (name, value) in [("PLATFORM", "linux/amd64"), ("OS", "linux"), ("ARCH", "amd64"), ("VARIANT", "")] {
        for side in ["BUILD", "TARGET"] {
            globals.insert(format!("{side}{name}"), value.to_owned());
        }
    }
    for line in logical_lines(text) {
        let mut words = line.split_whitespace();
        let keyword = words.next().unwrap_or_default().to_uppercase();
        let flags: Vec<_> =
            line.split_whitespace().skip(1).take_while(|word| word.starts_with("--")).collect();
        let rest: Vec<_> = words.skip(flags.len()).collect();
        let mut image = |name: String, stages: &[Option<String>]| {
            let is_stage = stages.iter().flatten().any(|stage| stage.eq_ignore_ascii_case(&name));
            if !is_stage && name.parse::<usize>().is_err() && name != "scratch" {
                found.push(name);
            }
        };
        match keyword.as_str() {
            "FROM" => {
                image(expand(rest[0], &globals), &stages);
                stages.push(rest.get(2).map(|name| (*name).to_owned()));
                locals.clear();
            }
            "ARG" | "ENV" => {
                let outer = globals.clone();
                let known = if stages.is_empty() { &mut globals } else { &mut locals };
                for (name, value) in rest.iter().filter_map(|word| word.split_once('=')) {
                    let value = expand(value.trim_matches(['"', '\'']), known);
                    known.insert(name.to_owned(), value);
                }
                for name in rest.iter().filter(|_| keyword == "ARG") {
                    if let Some(value) = given.get(*name).or_else(|| outer.get(*name)) {
                        known.insert((*name).to_owned(), value.clone());
                    }
                }
            }
            "COPY" | "ADD" => {
                for name in flags.iter().filter_map(|flag| flag.strip_prefix("--from=")) {
                    image(expand(name, &locals), &stages);
                }
            }
            "RUN" => {
                for mount in flags.iter().filter_map(|flag| flag.strip_prefix("--mount=")) {
                    for name in mount.split(',').filter_map(|field| field.strip_prefix("from=")) {
                        image(expand(name, &locals), &stages);
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// Lines joined, without comments and the bodies of heredocs.
fn logical_lines(text: &str) -> Vec<String> {
    let top = text.trim_start_matches('\u{feff}').lines().take_while(|line| line.starts_with('#'));
    let backtick = top.into_iter().any(|line| line.to_lowercase().replace(' ', "") == "#escape=`");
    let escape = if backtick { '`' } else { '\\' };
    let (mut all, mut joined) = (Vec::new(), String::new());
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with('#') || line.trim().is_empty() {
            continue;
        }
        if let Some(line) = line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
            joined.push_str(line);
            continue;
        }
        joined.push_str(line);
        let whole = std::mem::take(&mut joined);
        let keyword = whole.split_whitespace().next().unwrap_or_default().to_uppercase();
        let holds = ["RUN", "COPY", "ADD", "ONBUILD"].contains(&keyword.as_str()) && !whole.contains("[\"");
        for word in whole.split_whitespace().filter(|_| holds) {
            let Some(name) = word.trim_start_matches(|c: char| c.is_ascii_digit()).strip_prefix("<<") else {
                continue;
            };
            let name = name.trim_start_matches('-').trim_matches(['"', '\'']);
            if name.starts_with(|c: char| c.is_alphabetic() || c == '_') {
                lines.by_ref().find(|line| line.trim_start_matches('\t') == name);
            }
        }
        all.push(whole);
    }
    all.push(joined);
    all
}

/// `$A`, `${A}`, `${A:-b}`, `${A:+b}`.
fn expand(word: &str, known: &BTreeMap<String, String>) -> String {
    let Some((before, rest)) = word.split_once('$') else { return word.trim_matches('"').to_owned() };
    let value = |name: &str| known.get(name).cloned().unwrap_or_default();
    let braced = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let (inner, after) = braced.unwrap_or_else(|| rest.split_at(end_of_name(rest)));
    let (name, operation) = inner.split_at(end_of_name(inner));
    let value = match operation.trim_start_matches(':').split_at_checked(1) {
        Some(("-", word)) if value(name).is_empty() => expand(word, known),
        Some(("+", _)) if value(name).is_empty() => String::new(),
        Some(("+", word)) => expand(word, known),
        _ => value(name),
    };
    format!("{}{value}{}", before.trim_matches('"'), expand(after, known))
}

fn end_of_name(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}
