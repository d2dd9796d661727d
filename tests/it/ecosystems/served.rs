//! What the test itself serves, in the place of repositories that are not reached from here: names of example.org, which
//! lead to loopback by `replace`.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    thread,
};

use tempfile::TempDir;

use crate::support::{
    must,
    repositories::{Served, Signer, yum},
};

/// What a fixture asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serve {
    /// A module proxy of Go's: plain files.
    Modules,
    /// A yum repository.
    Packages,
    /// A file.
    Files,
    /// A git repository, over smart HTTP.
    Git,
    /// Its base, built first.
    Parent,
    /// A secret for its steps.
    Secret,
}

impl Serve {
    /// The table of the recipe that leads there, if it is a repository.
    pub(super) fn table(self) -> Option<String> {
        let (kind, name, url) = match self {
            Self::Modules => ("go", "http://modules.example.org", served(Self::Modules)),
            Self::Packages => ("yum", "http://packages.example.org", served(Self::Packages)),
            Self::Files => ("generic", "https://files.example.org", served(Self::Files)),
            Self::Git => ("generic", "https://git.example.org", &*git().1),
            Self::Parent | Self::Secret => return None,
        };
        let word = name.split_once("://")?.1.split('.').next()?;
        Some(format!(
            "[[repository]]\nname = \"{word}\"\nkind = \"{kind}\"\nurl = \"{url}\"\nreplace = [\"{name}\"]\n\n"
        ))
    }
}

/// The URL of a directory of files, made once.
fn served(what: Serve) -> &'static str {
    static ALL: [OnceLock<Served>; 3] = [const { OnceLock::new() }; 3];
    let (place, fill): (usize, fn(&Path)) = match what {
        Serve::Modules => (0, modules),
        Serve::Packages => (1, packages),
        _ => (2, |dir| fs::write(dir.join("greeting"), "hello\n").unwrap()),
    };
    let served = ALL[place].get_or_init(|| {
        let served = Served::start();
        fill(served.dir.path());
        served
    });
    &served.url
}

/// `example.org/greeting`, as the protocol of module proxies has it: <https://go.dev/ref/mod#goproxy-protocol>.
fn modules(dir: &Path) {
    let module = "module example.org/greeting\n\ngo 1.19\n";
    let versions = dir.join("example.org/greeting/@v");
    let inside = dir.join("made/example.org/greeting@v1.0.0");
    for dir in [&versions, &inside] {
        fs::create_dir_all(dir).unwrap();
    }
    fs::write(versions.join("list"), "v1.0.0\n").unwrap();
    let info = "{\"Version\":\"v1.0.0\",\"Time\":\"2024-01-01T00:00:00Z\"}\n";
    fs::write(versions.join("v1.0.0.info"), info).unwrap();
    fs::write(versions.join("v1.0.0.mod"), module).unwrap();
    fs::write(inside.join("go.mod"), module).unwrap();
    let source = "package greeting\n\nfunc Word() string { return \"hello\" }\n";
    fs::write(inside.join("greeting.go"), source).unwrap();
    // Every name in the archive begins with module and version: no entries for directories.
    let script = "import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as z:\n  for f in sys.argv[2:]: z.write(f)";
    let mut zip = Command::new("/usr/bin/python3");
    zip.args(["-c", script]).arg(versions.join("v1.0.0.zip"));
    zip.args(["go.mod", "greeting.go"].map(|name| format!("example.org/greeting@v1.0.0/{name}")));
    must(zip.current_dir(dir.join("made")));
}

fn packages(dir: &Path) {
    yum(dir, &Signer::generate(), "hello");
}

/// A repository of two commits and a tag, and the URL of the directory it is in.
fn git() -> &'static (TempDir, String) {
    static SERVED: OnceLock<(TempDir, String)> = OnceLock::new();
    SERVED.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let bare = dir.path().join("words.git");
        let run = |args: &[&str]| {
            let mut git = Command::new("git");
            git.args(["-c", "user.name=author", "-c", "user.email=author@example.org"]).args(args);
            let date = "2024-01-01T00:00:00Z";
            git.env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date);
            must(git.env("GIT_CONFIG_GLOBAL", "/dev/null").current_dir(dir.path()))
        };
        run(&["init", "-q", "-b", "main", "work"]);
        for word in ["one", "two"] {
            fs::write(dir.path().join("work").join(word), format!("{word}\n")).unwrap();
            run(&["-C", "work", "add", "."]);
            run(&["-C", "work", "commit", "-q", "-m", word]);
        }
        run(&["-C", "work", "tag", "v1"]);
        run(&["clone", "-q", "--bare", "work", bare.to_str().unwrap()]);
        let url = backend(dir.path().to_owned());
        (dir, url)
    })
}

/// `git http-backend` behind a loopback port, until the tests end.
fn backend(root: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let root = root.clone();
            thread::spawn(move || answer(stream, &root));
        }
    });
    url
}

/// One request a connection, by CGI (RFC 3875).
fn answer(mut stream: TcpStream, root: &Path) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let (mut first, mut headers) = (String::new(), Vec::new());
    reader.read_line(&mut first).ok()?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let header =
        |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    let mut body = vec![0; header("content-length").unwrap_or("0").parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let [method, target, _] = first.split_whitespace().collect::<Vec<_>>().try_into().ok()?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut command = Command::new("git");
    command.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("PATH_INFO", path).env("QUERY_STRING", query);
    command.env("REQUEST_METHOD", method).env("CONTENT_LENGTH", body.len().to_string());
    for (variable, name) in [
        ("CONTENT_TYPE", "content-type"),
        ("HTTP_CONTENT_ENCODING", "content-encoding"),
        ("GIT_PROTOCOL", "git-protocol"),
    ] {
        command.env(variable, header(name).unwrap_or_default());
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
    let mut input = child.stdin.take()?;
    let writer = thread::spawn(move || drop(input.write_all(&body)));
    let output = child.wait_with_output().ok()?.stdout;
    let _ = writer.join();
    let end = output.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    let body = &output[end + 4..];
    let head =
        format!("HTTP/1.1 {status}\r\n{head}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()
}
