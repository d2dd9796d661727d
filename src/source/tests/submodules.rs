//! Through the real `git` child and `file://` URLs.

use std::{fs, path::Path, process::Command};

use git2::Oid;

use super::fake::{EPOCH_S, Fake, lines};
use crate::source::{Checkout, Options, SourceError, Submodule, Wanted};

/// Adds gitlinks and their `.gitmodules` to the work tree's files, and commits.
pub(super) fn link(fake: &Fake, links: &[(&str, &str, Oid)]) -> Oid {
    let mut text = String::new();
    for (path, url, _) in links {
        text += &format!("[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n");
    }
    fake.file(".gitmodules", &text);
    let mut index = fake.repo.index().unwrap();
    index.read(true).unwrap();
    index.add_path(Path::new(".gitmodules")).unwrap();
    for (path, _, id) in links {
        let zero = git2::IndexTime::new(0, 0);
        let entry = git2::IndexEntry {
            ctime: zero,
            mtime: zero,
            dev: 0,
            ino: 0,
            mode: 0o160_000,
            uid: 0,
            gid: 0,
            file_size: 0,
            id: *id,
            flags: 0,
            flags_extended: 0,
            path: path.as_bytes().to_vec(),
        };
        index.add(&entry).unwrap();
        fs::create_dir_all(fake.root().join(path)).unwrap();
    }
    index.write().unwrap();
    let tree = index.write_tree().unwrap();
    fake.commit_tree(tree, EPOCH_S)
}

fn head(fake: &Fake) -> Oid {
    fake.repo.head().unwrap().target().unwrap()
}

/// A source with `lib` (which has `deep` in it) as a submodule, and those.
fn nested() -> (Fake, Fake, Fake) {
    let deep = Fake::with(&[("d", "deep")]);
    let lib = Fake::with(&[("l", "lib")]);
    link(&lib, &[("in/deep", &deep.url(), head(&deep))]);
    let fake = Fake::with(&[("a", "1")]);
    link(&fake, &[("vendor/lib", &lib.url(), head(&lib))]);
    // Both have moved on; what is pinned counts.
    for moved in [&deep, &lib] {
        moved.file("new", "");
        moved.commit();
    }
    (fake, lib, deep)
}

fn fetched(source: &str, fake: &Fake) -> Result<Checkout, SourceError> {
    let mut checkout = Checkout::open(source, "HEAD", &fake.options())?;
    checkout.fetch_submodules(".", "Dockerfile", &fake.options())?;
    Ok(checkout)
}

/// The sentences of an error and its causes.
fn said(error: &dyn std::error::Error) -> String {
    error.source().map_or(error.to_string(), |source| format!("{error}: {}", said(source)))
}

#[track_caller]
fn refuses(fake: &Fake, expected: &[&str]) {
    let error = fetched(&fake.source(), fake).unwrap_err();
    let text = said(&error);
    assert!(expected.iter().all(|expected| text.contains(expected)), "{text}");
}

const FILES: &str = "\
a: 644 1
vendor: 755 /
vendor/lib: 755 /
vendor/lib/.gitmodules: 644
vendor/lib/in: 755 /
vendor/lib/in/deep: 755 /
vendor/lib/in/deep/d: 644 deep
vendor/lib/l: 644 lib
";

/// [`FILES`] without what `.gitmodules` says.
fn files(fake: &Fake, checkout: &Checkout) -> String {
    let mut listing = fake.export_of(checkout).unwrap();
    listing.remove(".gitmodules");
    listing.entry("vendor/lib/.gitmodules".into()).and_modify(|text| text.truncate(3));
    lines(&listing)
}

#[test]
fn are_fetched_at_their_commits_and_exported() {
    let (fake, lib, deep) = nested();
    for source in [fake.source(), fake.url(), format!("{}/.git", fake.source())] {
        let checkout = fetched(&source, &fake).unwrap();
        let parents = |fake: &Fake| fake.repo.head().unwrap().peel_to_commit().unwrap().parent_id(0).unwrap();
        let expected = [("vendor/lib", &lib), ("vendor/lib/in/deep", &deep)].map(|(path, of)| Submodule {
            path: path.into(),
            uri: Some(format!("git+{}", of.url())),
            commit: parents(of).to_string(),
        });
        assert_eq!(checkout.submodules(), expected);
        assert_eq!(files(&fake, &checkout), FILES);
    }
}

#[test]
fn travel_in_the_pack() {
    let (fake, lib, deep) = nested();
    let checkout = fetched(&fake.source(), &fake).unwrap();
    let pack = |checkout: &Checkout| {
        let mut bytes = Vec::new();
        checkout.pack(&mut bytes).unwrap();
        bytes
    };
    let bytes = pack(&checkout);
    assert_eq!(bytes, pack(&fetched(&fake.url(), &fake).unwrap()));
    let (commit, tree) = (checkout.commit(), checkout.tree());
    let wanted = Wanted { uri: None, commit, tree, subdir: String::new() };
    for gone in [&lib, &deep] {
        fs::remove_dir_all(gone.root()).unwrap();
    }
    let other = Fake::new();
    let mut back = Checkout::from_pack(&bytes[..], &wanted, &other.options()).unwrap();
    back.fetch_submodules(".", "Dockerfile", &other.options()).unwrap();
    let commits = |checkout: &Checkout| {
        checkout.submodules().into_iter().map(|found| (found.path, found.commit)).collect::<Vec<_>>()
    };
    assert_eq!(commits(&back), commits(&checkout));
    assert_eq!(files(&other, &back), FILES);
    assert_eq!(pack(&back), bytes);

    let mut alone = Vec::new();
    Checkout::open(&fake.source(), "HEAD", &fake.options()).unwrap().pack(&mut alone).unwrap();
    let mut back = Checkout::from_pack(&alone[..], &wanted, &other.options()).unwrap();
    let error = back.fetch_submodules(".", "Dockerfile", &other.options()).unwrap_err();
    assert!(said(&error).contains("its URL is of this machine"), "{}", said(&error));
}

#[test]
fn a_pack_with_other_objects_is_refused() {
    let (fake, lib, _deep) = nested();
    let checkout = fetched(&fake.source(), &fake).unwrap();
    let (commit, tree) = (checkout.commit(), checkout.tree());
    let wanted = Wanted { uri: None, commit, tree, subdir: String::new() };
    let read = |more: Option<Oid>| {
        let mut builder = fake.repo.packbuilder().unwrap();
        builder.insert_commit(wanted.commit.parse().unwrap()).unwrap();
        if let Some(id) = more {
            builder.insert_object(id, None).unwrap();
        }
        let mut bytes = git2::Buf::new();
        builder.write_buf(&mut bytes).unwrap();
        Checkout::from_pack(&bytes[..], &wanted, &fake.options()).map(|_| ())
    };
    read(None).unwrap();
    let stray = fake.repo.blob(b"stray").unwrap();
    assert!(said(&read(Some(stray)).unwrap_err()).contains("objects that are not of the commit"));
    let parent = fake.repo.head().unwrap().peel_to_commit().unwrap().parent_id(0).unwrap();
    assert!(said(&read(Some(parent)).unwrap_err()).contains("objects that are not of the commit"));
    // A submodule's commit without its files.
    let id = lib.repo.head().unwrap().peel_to_commit().unwrap().parent_id(0).unwrap();
    let raw = lib.repo.odb().unwrap().read(id).unwrap().data().to_vec();
    fake.repo.odb().unwrap().write(git2::ObjectType::Commit, &raw).unwrap();
    assert!(matches!(read(Some(id)), Err(SourceError::Git { .. })));
}

#[test]
fn relative_urls_count_from_the_source() {
    let fake = Fake::with(&[("a", "1")]);
    let bare = fake.dir.path().join("lib.git");
    let lib = Fake::with(&[("l", "lib")]);
    git(lib.dir.path(), &["clone", "--quiet", "--bare", &lib.source(), bare.to_str().unwrap()]);
    link(&fake, &[("lib", "../lib.git", head(&lib))]);
    let uri = |checkout: Checkout| checkout.submodules().remove(0).uri;
    let expected = Some(format!("git+file://{}", bare.display()));
    assert_eq!(uri(fetched(&fake.url(), &fake).unwrap()), expected);
    // A path is nothing that others could use.
    assert_eq!(uri(fetched(&fake.source(), &fake).unwrap()), None);
    fake.repo.remote("origin", &format!("file://{}/x", fake.dir.path().display())).unwrap();
    assert_eq!(uri(fetched(&fake.source(), &fake).unwrap()), expected);
}

#[track_caller]
fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(dir).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = command.args(["-c", "protocol.file.allow=always"]).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_clone_beside_the_source_is_used_before_the_network() {
    let (fake, lib, deep) = nested();
    git(&fake.root(), &["submodule", "--quiet", "update", "--init", "--recursive"]);
    for gone in [&lib, &deep] {
        fs::rename(gone.root(), gone.dir.path().join("away")).unwrap();
    }
    let checkout = fetched(&fake.source(), &fake).unwrap();
    assert_eq!(files(&fake, &checkout), FILES);
    // What `git submodule` cloned has remote branches that have the commit.
    assert_eq!(checkout.submodules()[1].uri, Some(format!("git+{}", deep.url())));
    assert!(!fake.store.root().join("git").exists());

    // A commit of the clone that its remote has not got.
    let inner = fake.root().join("vendor/lib");
    let author = ["-c", "user.name=t", "-c", "user.email=t@example.org"];
    git(&inner, &[&author, ["commit", "--quiet", "--allow-empty", "-m", "own"].as_slice()].concat());
    let own: Oid = git(&inner, &["rev-parse", "HEAD"]).trim().parse().unwrap();
    refuses(&fake, &["submodule `vendor/lib` is at commit", "not at the recorded"]);
    link(&fake, &[("vendor/lib", &lib.url(), own)]);
    let checkout = fetched(&fake.source(), &fake).unwrap();
    assert_eq!((checkout.submodules()[0].uri.as_deref(), checkout.submodules().len()), (None, 2));
}

#[test]
fn changes_in_them_are_refused_with_or_without_allow_dirty() {
    let (fake, _lib, _deep) = nested();
    git(&fake.root(), &["submodule", "--quiet", "update", "--init", "--recursive"]);
    fs::write(fake.root().join("vendor/lib/in/deep/d"), "changed").unwrap();
    refuses(&fake, &["submodule `vendor/lib/in/deep` has uncommitted changes (`d`)", "--allow-dirty"]);
    fake.file("a", "2");
    let options = Options { allow_dirty: true, ..fake.options() };
    let mut checkout = Checkout::open(&fake.source(), "HEAD", &options).unwrap();
    assert!(checkout.dirty());
    let refused = checkout.fetch_submodules(".", "Dockerfile", &options);
    assert!(matches!(refused, Err(SourceError::SubmoduleDirty { .. })), "{refused:?}");
    git(&fake.root().join("vendor/lib/in/deep"), &["checkout", "--quiet", "."]);
    checkout.fetch_submodules(".", "Dockerfile", &options).unwrap();
    assert!(files(&fake, &checkout).contains("a: 644 2\n"));
    // Another revision has nothing to do with the work tree.
    fs::write(fake.root().join("vendor/lib/l"), "changed").unwrap();
    let mut checkout = Checkout::open(&fake.source(), "HEAD~1", &options).unwrap();
    checkout.fetch_submodules(".", "Dockerfile", &options).unwrap();
    assert_eq!(checkout.submodules(), []);
}

#[test]
fn only_those_of_the_context_are_needed() {
    let lib = Fake::with(&[("Dockerfile", "FROM x"), ("src/l", "lib")]);
    let fake = Fake::with(&[("app/a", "1"), (".dockerignore", "docs\n!README.md\n"), ("docs/x", "")]);
    let (none, id) = ("file:///none", head(&lib));
    link(
        &fake,
        &[("lib", &lib.url(), id), ("docs/theme", none, id), ("tool", none, head(&Fake::with(&[("t", "")])))],
    );
    let know = |context: &str, dockerfile: &str| {
        let mut checkout = Checkout::open(&fake.source(), "HEAD", &fake.options()).unwrap();
        checkout.fetch_submodules(context, dockerfile, &fake.options()).map(|()| checkout)
    };
    assert_eq!(know("app", "Dockerfile").unwrap().submodules(), []);
    let error = know(".", "Dockerfile").unwrap_err();
    assert!(matches!(&error, SourceError::SubmoduleFetch { path, .. } if path == "tool"), "{error}");
    // The Dockerfile and the context may be in a submodule.
    let checkout = know("lib/src", "lib/Dockerfile").unwrap();
    assert_eq!(checkout.read("lib/Dockerfile", 100).unwrap().unwrap(), b"FROM x");
    let out = fake.dir.path().join("out");
    checkout.export(&out, "lib/src", "lib/Dockerfile").unwrap();
    assert_eq!(fs::read_to_string(out.join("l")).unwrap(), "lib");
    let checkout = know("app", "lib/Dockerfile").unwrap();
    assert_eq!(checkout.submodules().len(), 1);
    let refused = fake.export_of(&checkout);
    assert!(matches!(&refused, Err(SourceError::Submodule { path }) if path == "tool"), "{refused:?}");
}

#[test]
fn what_cannot_be_had_is_named() {
    let fake = Fake::with(&[("a", "1")]);
    let id = head(&Fake::with(&[("x", "")]));
    link(&fake, &[("lib", "file:///none/lib", id)]);
    let id = id.to_string();
    refuses(&fake, &["submodule `lib`", &id, "from `file:///none/lib`", "`git fetch` of"]);
    assert!(fetched(&fake.source(), &fake).unwrap_err().unavailable());
    let lib = Fake::with(&[("l", "")]);
    link(&fake, &[("lib", &lib.url(), id.parse().unwrap())]);
    refuses(&fake, &["submodule `lib`", "names no commit in"]);
}

#[test]
fn hostile_ones_are_refused() {
    let check = |modules: &[(&str, &str)], expected: &str| {
        let fake = Fake::with(&[("a", "1")]);
        let id = head(&Fake::with(&[("x", "")]));
        link(&fake, &[("lib", "x", id)]);
        let text: String =
            modules.iter().map(|(name, rest)| format!("[submodule \"{name}\"]\n{rest}\n")).collect();
        let mut index = fake.repo.index().unwrap();
        let modules = fake.repo.blob(text.as_bytes()).unwrap();
        let mut entry = index.get_path(Path::new(".gitmodules"), 0).unwrap();
        entry.id = modules;
        index.add(&entry).unwrap();
        fake.commit_tree(index.write_tree().unwrap(), EPOCH_S);
        let checkout = Checkout::open(&fake.url(), "HEAD", &fake.options());
        let error = checkout.unwrap().fetch_submodules(".", "Dockerfile", &fake.options()).unwrap_err();
        assert!(said(&error).contains(expected), "{}", said(&error));
        assert!(!said(&error).contains("hunter2"), "{}", said(&error));
    };
    let name = "`.gitmodules` does not name it";
    check(&[], name);
    for path in ["../lib", "/lib", "./lib", "lib/", "x"] {
        check(&[("m", &format!("path = {path}\nurl = ../x"))], name);
    }
    check(&[("m", "path = lib")], "`.gitmodules` gives it no URL");
    check(&[("m", "path = lib\nurl = x"), ("n", "path = lib\nurl = y")], "two submodules have one path");
    check(&[("m", "path = lib\nurl = ext::sh -c id")], "remote helpers are never run");
    check(&[("m", "path = lib\nurl = --upload-pack=id")], "looks like an option");
    check(&[("m", "path = lib\nurl = ssh://-oProxyCommand=id/x")], "not a host");
    check(&[("m", "path = lib\nurl = git://git.example.org/x")], "use https");
    check(&[("m", "path = lib\nurl = http://u:hunter2@git.example.org/x")], "plain http");
    check(&[("m", "path = lib\nurl = \"../../../../../../../../../../x\"")], "leads out of its host");
    check(&[("m", "path = lib\nurl = lib")], "neither absolute nor relative");
    check(&[("m", "path = lib\nurl")], "gives it no URL");
}

#[test]
fn a_source_from_the_network_names_nothing_of_this_machine() {
    let secret = Fake::with(&[("key", "hunter2")]);
    let fake = Fake::with(&[("a", "1")]);
    link(&fake, &[("lib", &secret.url(), head(&secret))]);
    fake.repo.remote("origin", "https://git.example.org/a.git").unwrap();
    refuses(&fake, &["submodule `lib`", "its URL is of this machine"]);
}

#[test]
fn doubling_ends_at_the_bound() {
    let fake = Fake::new();
    let modules = fake.repo.blob(b"[submodule \"a\"]\npath = a\n[submodule \"b\"]\npath = b\n").unwrap();
    let tree = fake.raw_tree(&[("100644", b"x", modules)]);
    let mut inner = fake.commit_tree(tree, EPOCH_S);
    for _ in 0..12 {
        let links =
            [("100644", &b".gitmodules"[..], modules), ("160000", b"a", inner), ("160000", b"b", inner)];
        inner = fake.commit_tree(fake.raw_tree(&links), EPOCH_S);
    }
    let mut checkout = fake.open_bare().unwrap();
    let refused = checkout.fetch_submodules(".", "Dockerfile", &fake.options());
    assert!(matches!(refused, Err(SourceError::TooLarge { what: "more submodules", .. })), "{refused:?}");
}

#[test]
fn gitmodules_must_be_a_file() {
    let fake = Fake::new();
    let blob = fake.repo.blob(b"/etc/passwd").unwrap();
    let tree = fake.raw_tree(&[("120000", b".gitmodules", blob), ("160000", b"lib", blob)]);
    fake.commit_tree(tree, EPOCH_S);
    let mut checkout = fake.open_bare().unwrap();
    let error = checkout.fetch_submodules(".", "Dockerfile", &fake.options()).unwrap_err().to_string();
    assert_eq!(error, "bad `.gitmodules`, line 1: it is not a regular file");
}

#[test]
fn a_clone_is_not_looked_for_outside() {
    let lib = Fake::with(&[("l", "")]);
    let fake = Fake::with(&[("a", "1")]);
    let text = "[submodule \"../../../lib\"]\npath = lib\nurl = file:///none\n";
    fake.file(".gitmodules", text);
    let modules = fake.repo.blob(text.as_bytes()).unwrap();
    let tree = fake.raw_tree(&[("100644", b".gitmodules", modules), ("160000", b"lib", head(&lib))]);
    let commit = fake.commit_tree(tree, EPOCH_S).to_string();
    fake.commit();
    // Neither through a name that climbs, nor through a link.
    let _ = fs::remove_dir(fake.root().join("lib"));
    std::os::unix::fs::symlink(lib.root(), fake.root().join("lib")).unwrap();
    std::os::unix::fs::symlink(lib.root().join(".git"), fake.dir.path().join("lib")).unwrap();
    fs::create_dir_all(fake.root().join(".git/modules")).unwrap();
    let mut checkout = Checkout::open(&fake.source(), &commit, &fake.options()).unwrap();
    let refused = checkout.fetch_submodules(".", "Dockerfile", &fake.options());
    assert!(matches!(refused, Err(SourceError::SubmoduleFetch { .. })), "{refused:?}");
    // Each alone would have led there.
    for name in ["repo/.git/modules/../../../lib", "repo/lib/.git"] {
        git2::Repository::open(fake.dir.path().join(name)).unwrap().find_commit(head(&lib)).unwrap();
    }
}
