use super::fake::{EPOCH_S, Fake, NOW_S};
use crate::source::{Checkout, SourceError};

#[test]
fn names_commits_in_every_way() {
    let fake = Fake::with(&[("a", "1")]);
    let commit = fake.repo.head().unwrap().peel_to_commit().unwrap();
    fake.repo.tag("v1", commit.as_object(), &commit.author(), "annotated", false).unwrap();
    let id = commit.id().to_string();
    for rev in ["HEAD", "main", "v1", &id, &id[..8]] {
        let checkout = Checkout::open(&fake.source(), rev, &fake.options()).unwrap();
        assert_eq!((checkout.commit(), checkout.tree()), (id.clone(), commit.tree_id().to_string()), "{rev}");
        assert_eq!((checkout.epoch_s(), checkout.subdir(), checkout.dirty()), (EPOCH_S, "", false));
    }
    for rev in ["nope", "", "v1^{tree}", "--upload-pack=x"] {
        let refused = Checkout::open(&fake.source(), rev, &fake.options());
        assert!(matches!(refused, Err(SourceError::Rev { .. })), "{rev}: {refused:?}");
    }
}

#[test]
fn a_subdirectory_is_the_root_of_the_build() {
    let fake = Fake::with(&[("sub/dir/Dockerfile", "FROM x"), ("Dockerfile", "FROM y")]);
    let source = format!("{}/sub/dir", fake.source());
    let checkout = Checkout::open(&source, "HEAD", &fake.options()).unwrap();
    assert_eq!(checkout.subdir(), "sub/dir");
    assert_eq!(checkout.read("Dockerfile", 100).unwrap().unwrap(), b"FROM x");
    assert_eq!(checkout.read("./Dockerfile", 100).unwrap().unwrap(), b"FROM x");
    assert_eq!(checkout.read("../Dockerfile", 100).unwrap(), None);
    std::fs::create_dir(fake.root().join("new")).unwrap();
    let refused = Checkout::open(&format!("{}/new", fake.source()), "HEAD", &fake.options());
    assert!(matches!(refused, Err(SourceError::Path { what: "a directory", .. })), "{refused:?}");
}

#[test]
fn reads_bounded_regular_files() {
    let fake = Fake::with(&[("a", "12345"), ("d/b", "")]);
    fake.link("l", "a");
    fake.commit();
    let checkout = fake.open().unwrap();
    assert_eq!(checkout.read("a", 5).unwrap().unwrap(), b"12345");
    assert!(matches!(checkout.read("a", 4), Err(SourceError::TooLarge { max: 4, .. })));
    assert_eq!(checkout.read("none", 5).unwrap(), None);
    assert_eq!(checkout.read("a/b", 5).unwrap(), None);
    for path in ["l", "d"] {
        assert!(matches!(checkout.read(path, 5), Err(SourceError::Path { what: "a regular file", .. })));
    }
}

#[test]
fn the_time_of_a_commit_must_be_sane() {
    let check = |epoch_s: i64, expected: Option<&str>| {
        let fake = Fake::new();
        fake.file("a", "");
        fake.commit_at(epoch_s);
        match (fake.open(), expected) {
            (Ok(checkout), None) => assert_eq!(checkout.epoch_s(), epoch_s),
            (Err(error), Some(expected)) => assert!(error.to_string().contains(expected), "{error}"),
            (other, _) => panic!("{epoch_s}: {other:?}"),
        }
    };
    check(NOW_S, None);
    check(NOW_S + 1, Some("2027-01-15T08:00:01Z, which is in the future"));
    check(315_532_800, None);
    check(315_532_799, Some("1979-12-31T23:59:59Z, which is before 1980"));
    check(0, Some("before 1980"));
}

#[test]
fn finds_bare_and_linked_repositories() {
    let fake = Fake::with(&[("a", "1")]);
    let bare = Checkout::open(&format!("{}/.git", fake.source()), "HEAD", &fake.options()).unwrap();
    assert_eq!(bare.subdir(), "");
    let linked = fake.dir.path().join("linked");
    fake.repo.worktree("linked", &linked, None).unwrap();
    let checkout = Checkout::open(linked.to_str().unwrap(), "HEAD", &fake.options()).unwrap();
    assert_eq!(checkout.commit(), bare.commit());
    std::fs::write(linked.join("new"), "").unwrap();
    let refused = Checkout::open(linked.to_str().unwrap(), "HEAD", &fake.options());
    assert!(matches!(refused, Err(SourceError::Dirty { .. })), "{refused:?}");
}

#[test]
fn says_when_there_is_no_repository() {
    let fake = Fake::with(&[("a", "1")]);
    let refuses = |source: &str, expected: &str| {
        let error = Checkout::open(source, "HEAD", &fake.options()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    refuses(fake.dir.path().to_str().unwrap(), "no git repository");
    refuses(&format!("{}/a", fake.source()), "it is a file");
    refuses(&format!("{}/none", fake.source()), "cannot open");
    let empty = Fake::new();
    assert!(matches!(empty.open(), Err(SourceError::Rev { .. })));
}

#[test]
fn other_owners_and_work_trees_elsewhere_do_not_matter() {
    let fake = Fake::with(&[("a", "1")]);
    fake.repo.config().unwrap().set_str("core.worktree", "/").unwrap();
    assert!(!fake.open().unwrap().dirty());
    for path in [fake.root(), fake.root().join(".git")] {
        let _ = std::os::unix::fs::chown(path, Some(4321), None); // Only root can.
    }
    fake.open().unwrap();
}

#[test]
fn the_uri_is_that_of_a_remote_that_has_the_commit() {
    let fake = Fake::with(&[("a", "1")]);
    let pushed = fake.repo.head().unwrap().target().unwrap();
    assert_eq!(fake.open().unwrap().uri(), None);
    fake.repo.remote("origin", "https://user:secret@git.example.org/a.git").unwrap();
    assert_eq!(fake.open().unwrap().uri(), None);
    fake.file("a", "2");
    let tip = fake.commit();
    fake.repo.reference("refs/remotes/origin/main", tip, true, "").unwrap();
    let uri_of = |rev: &str| {
        Checkout::open(&fake.source(), rev, &fake.options()).unwrap().uri().map(ToOwned::to_owned)
    };
    let uri = Some("git+https://git.example.org/a.git".to_owned());
    assert_eq!(uri_of("HEAD"), uri);
    assert_eq!(uri_of(&pushed.to_string()), uri);
    fake.file("a", "3");
    fake.commit();
    assert_eq!(uri_of("HEAD"), None);
}
