//! What the real git says of a `.git` that we wrote.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{
    fake::{EPOCH_S, Fake, listing},
    submodules::link,
};
use crate::source::{Checkout, Options, SourceError, Tag, Wanted};

/// A repository with history, tags of all kinds, and files that git might think differently of.
fn sample() -> Fake {
    let fake = Fake::with(&[("a", "0")]);
    fake.repo.tag_lightweight("v0", &fake.repo.revparse_single("HEAD").unwrap(), false).unwrap();
    fake.file("a", "1");
    fake.file("crlf.txt", "x\r\ny\r\n");
    fake.file(".gitattributes", "*.txt text eol=lf\n*.bin filter=lfs\nid ident\n");
    fake.file("id", "$Id: 1 $\n");
    fake.file("x.bin", "binary");
    fake.file("sub/run", "#!/bin/sh\n");
    fake.executable("sub/run");
    fake.file("empty", "");
    fake.file(&"long".repeat(60), "");
    fake.link("l", "a");
    fake.commit();
    tag_all(&fake.repo);
    fake
}

fn tag_all(repo: &git2::Repository) {
    let head = repo.head().unwrap().peel_to_commit().unwrap();
    repo.tag_lightweight("v1", head.as_object(), false).unwrap();
    let annotated = repo.tag("v1.0", head.as_object(), &head.author(), "annotated", false).unwrap();
    let tag = repo.find_object(annotated, None).unwrap();
    repo.tag("release/v1", &tag, &head.author(), "of a tag", false).unwrap();
}

/// Exports the context and its `.git` to a new directory.
fn exported(fake: &Fake, checkout: &Checkout) -> PathBuf {
    let out = tempfile::tempdir_in(fake.dir.path()).unwrap().keep().join("out");
    checkout.export(&out, ".", "Dockerfile").unwrap();
    checkout.export_git(&out.join(".git"), ".", "Dockerfile").unwrap();
    out
}

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new("git");
    command.current_dir(dir).env_clear().env("PATH", std::env::var("PATH").unwrap());
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("HOME", "/nonexistent");
    command.args(args).output().unwrap()
}

#[track_caller]
fn git(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// All files, and their times.
fn state(dir: &Path) -> BTreeMap<String, (String, i64)> {
    let time = |path: &str| fs::symlink_metadata(dir.join(path)).unwrap().mtime();
    listing(dir).into_iter().map(|(path, what)| (path.clone(), (what, time(&path)))).collect()
}

/// The repository without its work tree, of which git would say that attributes make it differ.
fn objects(fake: &Fake) -> String {
    format!("{}/.git", fake.source())
}

fn tagged(fake: &Fake, source: &str) -> Checkout {
    let mut checkout = Checkout::open(source, "HEAD", &fake.options()).unwrap();
    checkout.take_tags(None, &fake.options()).unwrap();
    checkout
}

#[test]
fn is_what_tools_ask() {
    let fake = sample();
    let checkout = tagged(&fake, &objects(&fake));
    let names: Vec<String> = checkout.tags().into_iter().map(|tag| tag.name).collect();
    assert_eq!(names, ["release/v1", "v1", "v1.0"]);
    let out = exported(&fake, &checkout);
    assert_eq!(git(&out, &["diff-index", "HEAD"]), "");
    assert_eq!(git(&out, &["diff-files"]), "");
    assert_eq!(git(&out, &["status", "--porcelain", "--ignored"]), "");
    assert_eq!(
        git(&out, &["rev-parse", "HEAD", "HEAD^{tree}"]),
        format!("{}\n{}", checkout.commit(), checkout.tree())
    );
    assert_eq!(git(&out, &["describe", "--match", "v*"]), "v1.0");
    assert_eq!(
        git(&out, &["describe", "--dirty", "--tags", "--long", "--match", "v[0-9]"]),
        format!("v1-0-g{}", &checkout.commit()[..7])
    );
    assert_eq!(
        git(&out, &["for-each-ref", "--format=%(refname:short)", "--merged", "HEAD"]),
        names.join("\n")
    );
    assert_eq!(git(&out, &["log", "--format=%H %ct"]), format!("{} {EPOCH_S}", checkout.commit()));
    assert_eq!(git(&out, &["rev-list", "--count", "HEAD"]), "1");
    assert_eq!(git(&out, &["ls-files"]), git(&fake.root(), &["ls-files"]));
    assert_eq!(git(&out, &["fsck", "--strict", "--no-dangling"]), "");
    assert_eq!(git(&out, &["cat-file", "-p", "HEAD:a"]), "1");
    assert_eq!(git(&out, &["rev-parse", "--is-shallow-repository"]), "true");
    fs::write(out.join("a"), "2").unwrap();
    assert_eq!(git(&out, &["status", "--porcelain"]), " M a");
}

#[test]
fn is_the_same_each_time_and_from_everywhere() {
    let fake = sample();
    let first = exported(&fake, &tagged(&fake, &objects(&fake)));
    let expected = state(&first);
    assert!(expected.values().all(|(_, time)| *time == EPOCH_S));
    assert_eq!(fs::metadata(&first).unwrap().mtime(), EPOCH_S);
    assert_eq!(state(&exported(&fake, &tagged(&fake, &objects(&fake)))), expected);
    // Fetched without history and tags.
    assert_eq!(state(&exported(&fake, &tagged(&fake, &fake.url()))), expected);
    let checkout = tagged(&fake, &fake.url());
    let mut pack = Vec::new();
    checkout.pack(&mut pack).unwrap();
    let (commit, tree) = (checkout.commit(), checkout.tree());
    let wanted = Wanted { uri: None, commit, tree, subdir: String::new() };
    let other = Fake::new();
    let mut back = Checkout::from_pack(&pack[..], &wanted, &other.options()).unwrap();
    back.take_tags(Some(&checkout.tags()), &other.options()).unwrap();
    assert_eq!(state(&exported(&other, &back)), expected);
    let names: Vec<&str> = expected
        .keys()
        .filter_map(|path| path.strip_prefix(".git/"))
        .filter(|path| !path.contains("pack-"))
        .collect();
    insta::assert_snapshot!(names.join(" "), @"HEAD config index info info/attributes objects objects/info objects/pack packed-refs refs refs/heads refs/tags shallow");
}

/// What tools leave behind when they ask must not tell one machine from another.
#[test]
fn asking_leaves_the_same_traces_everywhere() {
    let fake = sample();
    let traces = || {
        let out = exported(&fake, &tagged(&fake, &objects(&fake)));
        for args in [&["status"][..], &["describe", "--dirty", "--tags"], &["diff", "--quiet"]] {
            git(&out, args);
        }
        listing(&out)
    };
    assert_eq!(traces(), traces());
}

#[test]
fn what_is_ignored_counts_as_not_checked_out() {
    let fake = sample();
    fake.file(".dockerignore", "sub\n*.bin\n");
    fake.commit();
    let checkout = fake.open_bare().unwrap();
    let out = exported(&fake, &checkout);
    assert!(!out.join("sub").exists() && !out.join("x.bin").exists());
    assert_eq!(git(&out, &["status", "--porcelain"]), "");
    assert_eq!(git(&out, &["diff-index", "HEAD"]), "");
    assert!(git(&out, &["ls-files", "-t"]).contains("S sub/run"));
}

#[test]
fn without_tags_describe_says_so() {
    let fake = sample();
    fake.file("a", "2");
    let commit = fake.commit().to_string();
    let checkout = tagged(&fake, &objects(&fake));
    assert_eq!(checkout.tags(), []);
    let out = exported(&fake, &checkout);
    assert!(!run(&out, &["describe", "--tags"]).status.success());
    assert_eq!(git(&out, &["describe", "--tags", "--always"]), commit[..7]);
    assert!(!out.join(".git/packed-refs").exists());
}

#[test]
fn a_first_commit_is_not_shallow() {
    let fake = Fake::with(&[("a", "1")]);
    let out = exported(&fake, &fake.open().unwrap());
    assert!(!out.join(".git/shallow").exists());
    assert_eq!(git(&out, &["rev-parse", "--is-shallow-repository"]), "false");
    assert_eq!(git(&out, &["status", "--porcelain"]), "");
}

#[test]
fn submodules_count_as_unchanged() {
    let lib = Fake::with(&[("l", "lib")]);
    let fake = Fake::with(&[("a", "1")]);
    link(&fake, &[("lib", &lib.url(), lib.repo.head().unwrap().target().unwrap())]);
    let mut checkout = fake.open().unwrap();
    checkout.fetch_submodules(".", "Dockerfile", &fake.options()).unwrap();
    let out = exported(&fake, &checkout);
    assert!(out.join("lib/l").exists());
    assert_eq!(git(&out, &["status", "--porcelain"]), "");
    assert_eq!(git(&out, &["diff-index", "HEAD"]), "");
}

#[test]
fn uncommitted_changes_are_a_commit_without_tags() {
    let fake = Fake::with(&[("a", "1"), ("b", "2")]);
    tag_all(&fake.repo);
    fake.file("a", "changed");
    let options = Options { allow_dirty: true, ..fake.options() };
    let mut checkout = Checkout::open(&fake.source(), "HEAD", &options).unwrap();
    checkout.take_tags(None, &options).unwrap();
    assert_eq!(checkout.tags(), []);
    let out = exported(&fake, &checkout);
    assert_eq!(git(&out, &["rev-parse", "HEAD"]), checkout.commit());
    assert_eq!(git(&out, &["status", "--porcelain"]), "");
}

#[test]
fn says_when_it_cannot_be() {
    let check = |ignore: &str, context: &str, expected: &str| {
        let fake = Fake::with(&[("sub/a", "1"), (".dockerignore", ignore)]);
        let checkout = fake.open().unwrap();
        let refused = checkout.export_git(&fake.dir.path().join("g"), context, "Dockerfile").unwrap_err();
        assert!(
            matches!(refused, SourceError::GitDirectory { reason } if reason.contains(expected)),
            "{refused}"
        );
    };
    check("", "sub", "`context = \".\"`");
    check(".git\n", ".", "end it with the line `!.git`");
    check("*\n!sub\n", ".", "end it with the line `!.git`");
    check("**/*.pack\n", ".", "end it with the line `!.git`");
    let fake = Fake::with(&[("a", "1"), (".dockerignore", "*\n!.git\n")]);
    assert_eq!(git(&exported(&fake, &fake.open().unwrap()), &["status", "--porcelain"]), "");
}

#[test]
fn tags_are_found_again_or_missed() {
    let fake = sample();
    let tags = tagged(&fake, &objects(&fake)).tags();
    let take = |source: &str, tags: &[Tag]| {
        let other = Fake::new();
        let mut checkout = Checkout::open(source, "HEAD", &other.options()).unwrap();
        checkout.take_tags(Some(tags), &other.options())?;
        assert_eq!(checkout.tags(), tags);
        Ok::<_, SourceError>(())
    };
    for source in [objects(&fake), fake.url()] {
        take(&source, &tags).unwrap();
        take(&source, &tags[1..2]).unwrap();
        let refuses = |name: &str, id: &str, expected: &str| {
            let tag = Tag { name: name.to_owned(), id: id.to_owned() };
            let error = take(&source, &[tag]).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        let id = tags[2].id.as_str();
        for name in ["", "a b", "a\nb", "../x", "a..b", "a.lock", "/a"] {
            refuses(name, id, "no tag has such a name");
        }
        refuses("v1.0", &id[..10], "its id is none");
        let parent = fake.repo.revparse_single("HEAD~1").unwrap().id().to_string();
        refuses("v0", &parent, "it is not there as it was");
    }
    // Moved, then gone.
    let head = fake.repo.head().unwrap().peel_to_commit().unwrap();
    fake.repo.tag("v1.0", head.as_object(), &head.author(), "another", true).unwrap();
    let error = take(&fake.url(), &tags[2..]).unwrap_err();
    assert!(matches!(error, SourceError::Tag { .. }) && error.unavailable(), "{error}");
    fake.repo.tag_delete("v1.0").unwrap();
    let error = take(&fake.url(), &tags[2..]).unwrap_err();
    assert!(matches!(error, SourceError::Fetch { .. }) && error.unavailable(), "{error}");
}
