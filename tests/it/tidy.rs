//! The architecture, as a test: a row may import only rows above it, and what else a reader can count on.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

const ROWS: &[&[&str]] = &[
    &["model"],
    &[
        "oci",
        "layer",
        "attest",
        "dockerfile",
        "recipe",
        "transcript",
        "engine",
        "policy",
        "dossier",
        "entry",
        "inventory",
    ],
    &["diff", "pin", "verify"],
    &["drift"],
    &["report"],
    &["compute", "process", "host", "progress"],
    &["store"],
    &["registry", "source", "buildroot", "gateway", "signing", "ledger", "notify"],
    &["job"],
    &["cli"],
];
/// Up to this row: no files, network, clock, environment, processes, no waiting.
const LAST_PURE_ROW: usize = 4;
/// Where bytes are worked on by many cores at once.
const PARALLEL: &[&str] = &["layer", "diff", "drift", "compute"];
/// Programs of their own, compiled by the build script.
const APART: [&str; 2] = ["shim", "clock"];
const FILE_LINES_MAX: usize = 500;

struct Source {
    path: PathBuf,
    module: String,
    text: String,
}

impl Source {
    fn row(&self) -> Option<usize> {
        row(&self.module)
    }

    fn code(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(|line| line.split("//").next().unwrap())
    }
}

fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file but `lib.rs` and `main.rs`, which see all rows.
fn sources() -> Vec<Source> {
    let (mut files, src) = (Vec::new(), root().join("src"));
    walk(&src, &mut files);
    let source = |path: PathBuf| {
        let path = path.strip_prefix(&src).unwrap().to_owned();
        let module = path.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        Source { text: fs::read_to_string(src.join(&path)).unwrap(), path, module }
    };
    let sources = files.into_iter().map(source);
    sources.filter(|source| !["lib", "main", APART[0], APART[1]].contains(&source.module.as_str())).collect()
}

fn walk(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The modules named after `crate::`, with `crate::{a::X, b::Y}` opened up.
fn imports(text: &str) -> BTreeSet<String> {
    let word = |text: &str| -> String {
        text.trim_start().chars().take_while(|&letter| letter.is_alphanumeric() || letter == '_').collect()
    };
    let mut found = BTreeSet::new();
    for (at, prefix) in text.match_indices("crate::") {
        let rest = &text[at + prefix.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(word(rest));
            continue;
        };
        found.extend(items(list).into_iter().map(word));
    }
    found.remove("");
    found
}

/// The parts between commas of a braced list, up to its closing brace.
fn items(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&list[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

#[track_caller]
fn nothing(wrong: impl IntoIterator<Item = String>) {
    let wrong: Vec<_> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn imports_are_found() {
    let text = "use crate::{\n    a::{B, C},\n    d,\n};\nfn f() -> crate::e::F {}";
    assert_eq!(imports(text).into_iter().collect::<Vec<_>>(), ["a", "d", "e"]);
}

#[test]
fn a_module_imports_only_rows_above_it() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(own) = source.row() else {
            wrong.push(format!("{}: give it a row", source.module));
            continue;
        };
        for import in imports(&source.text).into_iter().filter(|import| *import != source.module) {
            if row(&import).is_none_or(|other| other >= own) {
                wrong.push(format!("{} (row {own}) imports `{import}`", source.path.display()));
            }
        }
    }
    nothing(wrong);
}

#[test]
fn every_row_exists() {
    let there: BTreeSet<String> = sources().into_iter().map(|source| source.module).collect();
    let absent = |module: &&&str| !there.contains(**module);
    nothing(ROWS.iter().copied().flatten().filter(absent).map(|module| format!("{module} is no module")));
}

#[test]
fn no_file_is_long() {
    let long = |source: &Source| source.text.lines().count() > FILE_LINES_MAX;
    nothing(sources().iter().filter(|source| long(source)).map(|source| source.path.display().to_string()));
}

#[test]
fn the_pure_rows_never_wait() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.row().is_some_and(|row| row <= LAST_PURE_ROW)) {
        for (number, line) in source.code().enumerate() {
            if ["async ", ".await", "tokio::"].iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{}: {line}", source.path.display(), number + 1));
            }
        }
    }
    nothing(wrong);
}

#[test]
fn many_cores_only_where_bytes_are() {
    let elsewhere = |source: &&Source| !PARALLEL.contains(&source.module.as_str());
    let uses = |source: &&Source| source.code().any(|line| line.contains("rayon::"));
    let all = sources();
    nothing(all.iter().filter(elsewhere).filter(uses).map(|source| source.path.display().to_string()));
}

#[test]
fn no_file_is_dead() {
    let all = sources();
    let declared = |source: &Source| {
        let stem = source.path.file_stem().unwrap().to_str().unwrap();
        let dir = source.path.parent().unwrap();
        // `a/mod.rs` is declared as `a` beside the directory; any other file by its neighbours.
        let (name, dir) = match stem {
            "mod" => (dir.file_name().unwrap().to_str().unwrap(), dir.parent().unwrap()),
            stem => (stem, dir),
        };
        let declares = |text: &str| {
            text.lines().any(|line| {
                let line = line.trim().trim_start_matches("pub ").trim_start_matches("pub(crate) ");
                let line = line.trim_start_matches("pub(super) ");
                line == format!("mod {name};") || line.contains(&format!("\"{stem}.rs\""))
            })
        };
        if dir == Path::new("") {
            return declares(&fs::read_to_string(root().join("src/lib.rs")).unwrap());
        }
        let parents = [dir.join("mod.rs"), dir.with_extension("rs")];
        all.iter().any(|other| {
            (parents.contains(&other.path) || other.path.parent() == Some(dir)) && declares(&other.text)
        })
    };
    nothing(all.iter().filter(|source| !declared(source)).map(|source| source.path.display().to_string()));
}

#[test]
fn every_dependency_says_why() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (mut listing, mut wrong) = (false, Vec::new());
    for line in manifest.lines() {
        if line.starts_with('[') {
            listing = line.ends_with("dependencies]");
        } else if listing && line.contains('=') && !line.starts_with('#') && !line.contains(" # ") {
            wrong.push(line.to_owned());
        }
    }
    nothing(wrong);
}

#[test]
fn the_binary_needs_no_library_but_those_of_libc_and_compiler() {
    let mut command = std::process::Command::new("readelf");
    let dynamic = command.args(["-dW", env!("CARGO_BIN_EXE_reprov")]).output().unwrap();
    let dynamic = String::from_utf8(dynamic.stdout).unwrap();
    let needed = dynamic.lines().filter(|line| line.contains("(NEEDED)"));
    let names: BTreeSet<_> = needed.filter_map(|line| line.split_once('[')?.1.split('.').next()).collect();
    let of_every_system = ["ld-linux-aarch64", "ld-linux-x86-64", "libc", "libgcc_s", "libm"];
    assert!(names.contains("libc"), "{dynamic}");
    nothing(
        names
            .into_iter()
            .filter(|name| !of_every_system.contains(name))
            .map(|name| format!("it needs {name}")),
    );
}

/// A merge can leave a package twice in a lock file, and nothing but a run of the fuzz targets would notice.
#[test]
fn what_is_fuzzed_has_the_same_dependencies() {
    let locked = |path: &str| -> BTreeSet<(String, String)> {
        let text = fs::read_to_string(root().join(path)).unwrap();
        let lock: toml::Table = toml::from_str(&text).unwrap();
        let packages = lock["package"].as_array().unwrap();
        let word = |package: &toml::Value, name: &str| package[name].as_str().unwrap().to_owned();
        let of: BTreeSet<_> =
            packages.iter().map(|package| (word(package, "name"), word(package, "version"))).collect();
        assert_eq!(of.len(), packages.len(), "{path}: a package stands there twice");
        of
    };
    let (own, fuzzed) = (locked("Cargo.lock"), locked("fuzz/Cargo.lock"));
    let apart = ["arbitrary", "libfuzzer-sys", "reprov-fuzz"];
    nothing(
        fuzzed
            .difference(&own)
            .filter(|(name, _)| !apart.contains(&name.as_str()))
            .map(|(name, version)| format!("fuzz/Cargo.lock: {name} {version}, which Cargo.lock has not")),
    );
}

#[test]
fn no_registry_is_compiled_in() {
    // Written in two parts, so that this file does not find itself.
    let hosts = [
        ("pypi.", "org"),
        ("registry.", "npmjs.org"),
        ("crates.", "io"),
        ("deb.", "debian.org"),
        ("static.", "crates.io"),
    ];
    let mut wrong = Vec::new();
    for source in sources() {
        for (left, right) in hosts {
            if source.text.contains(&format!("{left}{right}")) {
                wrong.push(format!("{} names {left}{right}", source.path.display()));
            }
        }
    }
    nothing(wrong);
}
