//! Through the real `git` child, without any network but loopback.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    process::Command,
    thread,
    time::Duration,
};

use super::fake::{Fake, lines};
use crate::source::{Checkout, Options, SourceError};

/// A repository with two commits, a branch `old`, an annotated tag `v1`.
fn upstream() -> (Fake, String, String) {
    let fake = Fake::with(&[("a", "1")]);
    let first = {
        let first = fake.repo.head().unwrap().peel_to_commit().unwrap();
        fake.repo.branch("old", &first, false).unwrap();
        fake.repo.tag("v1", first.as_object(), &first.author(), "annotated", false).unwrap();
        first.id().to_string()
    };
    fake.file("a", "2");
    let second = fake.commit().to_string();
    (fake, first, second)
}

#[test]
fn fetches_what_is_named() {
    let (fake, first, second) = upstream();
    for (rev, expected) in [
        ("HEAD", &second),
        ("main", &second),
        ("refs/heads/main", &second),
        ("old", &first),
        ("v1", &first),
        (first.as_str(), &first),
        ("main~1", &first),
        ("HEAD^", &first),
        (&first[..10], &first),
        ("HEAD", &second),
    ] {
        let checkout = Checkout::open(&fake.url(), rev, &fake.options()).unwrap();
        assert_eq!(checkout.commit(), *expected, "{rev}");
        assert_eq!(checkout.uri(), Some(format!("git+{}", fake.url()).as_str()));
        assert_eq!((checkout.subdir(), checkout.dirty()), ("", false));
    }
    let checkout = Checkout::open(&fake.url(), "v1", &fake.options()).unwrap();
    assert_eq!(lines(&fake.export_of(&checkout).unwrap()), "a: 644 1\n");
}

#[test]
fn fetches_one_commit_without_its_history() {
    let (fake, first, second) = upstream();
    for rev in ["main", "HEAD", &second] {
        let other = Fake::new();
        let checkout = Checkout::open(&fake.url(), rev, &other.options()).unwrap();
        assert_eq!(checkout.commit(), second);
        let find = |id: &str| checkout.repository.find_commit(git2::Oid::from_str(id).unwrap()).map(|_| ());
        find(&second).unwrap();
        find(&first).unwrap_err();
    }
}

/// Serves the files under `dir`, as a web server that knows nothing of git.
fn serve(listener: &TcpListener, dir: &std::path::Path) {
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut head = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let request = head.next().unwrap_or_default();
        let _ = head.take_while(|line| !line.is_empty()).count();
        let path = request.split([' ', '?']).nth(1).unwrap_or("/");
        if path == "/quit" {
            return;
        }
        let (status, body) = match fs::read(dir.join(path.trim_start_matches('/'))) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", Vec::new()),
        };
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let _ = stream.write_all(&[head.as_bytes(), &body].concat());
    }
}

#[test]
fn a_server_that_hands_out_no_single_commit_hands_out_all() {
    let (fake, first, second) = upstream();
    let git = |args: &[&str]| {
        let status = Command::new("git").args(args).current_dir(fake.root()).status().unwrap();
        assert!(status.success());
    };
    git(&["-c", "gc.auto=0", "repack", "-adq"]);
    git(&["update-server-info"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let dir = fake.root().join(".git");
    let server = thread::spawn(move || serve(&listener, &dir));
    let url = format!("http://{address}/");
    for (rev, expected) in
        [("main", &second), ("v1", &first), ("old", &first), (&first, &first), (&first[..8], &first)]
    {
        let other = Fake::new();
        assert_eq!(Checkout::open(&url, rev, &other.options()).unwrap().commit(), *expected, "{rev}");
        let mut checkout = Checkout::open(&url, rev, &other.options()).unwrap();
        checkout.take_tags(None, &other.options()).unwrap();
        assert_eq!(checkout.tags().len(), usize::from(*expected == first), "{rev}");
    }
    TcpStream::connect(address).unwrap().write_all(b"GET /quit HTTP/1.1\r\n\r\n").unwrap();
    server.join().unwrap();
}

#[test]
fn follows_a_branch_that_moved() {
    let (fake, first, second) = upstream();
    assert_eq!(Checkout::open(&fake.url(), "main", &fake.options()).unwrap().commit(), second);
    let old = git2::Oid::from_str(&first).unwrap();
    fake.repo.set_head_detached(old).unwrap();
    fake.repo.reference("refs/heads/main", old, true, "").unwrap();
    assert_eq!(Checkout::open(&fake.url(), "main", &fake.options()).unwrap().commit(), first);
}

#[test]
fn a_commit_that_is_here_is_not_fetched_again() {
    let (fake, first, _) = upstream();
    Checkout::open(&fake.url(), &first, &fake.options()).unwrap();
    fs::rename(fake.root(), fake.dir.path().join("away")).unwrap();
    assert_eq!(Checkout::open(&fake.url(), &first, &fake.options()).unwrap().commit(), first);
    let gone = Checkout::open(&fake.url(), "main", &fake.options()).unwrap_err();
    assert!(matches!(gone, SourceError::Fetch { .. }) && gone.unavailable(), "{gone}");
}

#[test]
fn says_what_is_not_there() {
    let (fake, ..) = upstream();
    for rev in ["nope", "main~9", "-x", "a:b", "+main", "*", "0123456789012345678901234567890123456789"] {
        let refused = Checkout::open(&fake.url(), rev, &fake.options());
        assert!(matches!(refused, Err(SourceError::Rev { .. })), "{rev}: {refused:?}");
    }
}

#[test]
fn neither_hooks_nor_the_callers_git_environment_matter() {
    let (fake, _, second) = upstream();
    let proof = fake.dir.path().join("proof");
    let hook = format!("#!/bin/sh\ntouch {}\n", proof.display());
    for name in ["post-checkout", "reference-transaction", "pre-receive", "post-update"] {
        let path = fake.root().join(".git/hooks").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &hook).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let env = vec![
        variable("GIT_DIR", "/nonexistent"),
        variable("GIT_EXEC_PATH", "/nonexistent"),
        variable("GIT_TRACE", proof.to_str().unwrap()),
        variable("SSL_CERT_FILE", "/etc/ssl/x.pem"),
    ];
    let options = Options { env, ..fake.options() };
    assert_eq!(Checkout::open(&fake.url(), "main", &options).unwrap().commit(), second);
    assert!(!proof.exists());
}

#[test]
fn fetching_the_source_fetches_no_submodules() {
    let fake = Fake::new();
    let modules = fake.repo.blob(b"[submodule \"m\"]\n\tpath = m\n\turl = ext::sh -c false\n").unwrap();
    let tree = fake.raw_tree(&[("100644", b".gitmodules", modules), ("160000", b"m", modules)]);
    fake.commit_tree(tree, super::fake::EPOCH_S);
    let checkout = Checkout::open(&fake.url(), "HEAD", &fake.options()).unwrap();
    let refused = fake.export_of(&checkout);
    assert!(matches!(&refused, Err(SourceError::Submodule { path }) if path == "m"), "{refused:?}");
}

#[test]
fn other_object_formats_are_named() {
    let fake = Fake::new();
    let dir = fake.dir.path().join("sha256");
    let init = ["init", "--quiet", "--object-format=sha256", "--template=", dir.to_str().unwrap()];
    assert!(Command::new("git").args(init).status().unwrap().success());
    let refused = Checkout::open(dir.to_str().unwrap(), "HEAD", &fake.options());
    assert!(matches!(refused, Err(SourceError::ObjectFormat { .. })), "{refused:?}");
    let commit =
        ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-mx"];
    assert!(Command::new("git").args(commit).current_dir(&dir).status().unwrap().success());
    let refused = Checkout::open(&format!("file://{}", dir.display()), "HEAD", &fake.options());
    assert!(matches!(refused, Err(SourceError::ObjectFormat { .. })), "{refused:?}");
}

#[test]
fn a_silent_server_costs_no_more_than_the_timeout() {
    let fake = Fake::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://user:hunter2@{}/a", silent.local_addr().unwrap());
    let options = Options { timeout: Duration::from_millis(300), ..fake.options() };
    let error = Checkout::open(&url, "HEAD", &options).unwrap_err();
    assert!(matches!(error, SourceError::Timeout { .. }) && error.unavailable(), "{error}");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn a_cancelled_fetch_ends() {
    let fake = Fake::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let options = fake.options();
    options.cancel.cancel();
    let url = format!("http://{}/a", silent.local_addr().unwrap());
    assert!(matches!(Checkout::open(&url, "HEAD", &options), Err(SourceError::Cancelled { .. })));
}

#[test]
fn a_password_is_in_no_error() {
    let fake = Fake::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error =
        Checkout::open(&format!("http://user:hunter2@{closed}/a"), "HEAD", &fake.options()).unwrap_err();
    assert!(matches!(error, SourceError::Fetch { .. }), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}

/// Answers every request with 401 until one asks for `/quit`; all heads.
fn never_satisfied(listener: &TcpListener) -> String {
    let mut heads = String::new();
    loop {
        let (mut stream, _) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let answer = "HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(answer.as_bytes());
        if head.first().is_none_or(|line| line.contains("/quit")) {
            return heads;
        }
        heads.push_str(&head.join("\n"));
    }
}

#[test]
fn a_password_goes_to_the_server_alone() {
    let fake = Fake::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || never_satisfied(&listener));
    let error =
        Checkout::open(&format!("http://user:hunter2@{address}/a"), "HEAD", &fake.options()).unwrap_err();
    assert!(matches!(error, SourceError::Fetch { .. }), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    TcpStream::connect(address).unwrap().write_all(b"GET /quit HTTP/1.1\r\n\r\n").unwrap();
    let heads = server.join().unwrap();
    assert!(heads.contains("Authorization: Basic dXNlcjpodW50ZXIy"), "{heads}");
    assert!(!super::fake::lines(&super::fake::listing(fake.store.root())).contains("hunter2"));
}
