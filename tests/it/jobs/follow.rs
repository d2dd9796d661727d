//! A build's log while it runs, seen from another process.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use super::log::{events, logs};
use crate::support::{Lab, Registry};

/// A mirror that answers nobody before it is told to.
fn gate() -> (String, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (open, opened) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let _ = stream.read(&mut head);
        opened.recv().unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\ngo").unwrap();
    });
    (url, open)
}

fn spawn(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// A build whose step says something, then waits at the gate, then says more; and its name.
fn start(lab: &Lab, name: &str, url: &str) -> (Child, String) {
    let registry = Registry::shared();
    let dockerfile =
        "FROM base.example/tiny:1\nARG URL\nRUN echo it waits; wget -q -O /go $URL/go && echo it went on\n";
    let source = lab.source(name, &[("Dockerfile", dockerfile)]);
    let (arg, allow) = (format!("URL={url}"), format!("gate={url}"));
    let more = ["--build-arg", arg.as_str(), "--allow", allow.as_str()];
    let mut child = spawn(lab.building(registry, &source, &registry.name(name), &more));
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let begun = lines.find(|line| line.contains("--follow")).expect("the build's name is printed");
    thread::spawn(move || lines.for_each(drop));
    let build = begun.rsplit(' ').next().unwrap().trim_end_matches(')').to_owned();
    (child, build)
}

/// Follows `build` until it says that it waits; the lines so far, and the rest to come.
fn follow(lab: &Lab, build: &str, more: &[&str]) -> (Child, BufReader<std::process::ChildStdout>, String) {
    let store = lab.path("store");
    let mut command = lab.command(lab.program());
    command.args(["trace", "--follow", build, "--store", &store]).args(more);
    let mut child = spawn(command);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("it waits\n") && !said.contains("\"it waits\"") {
        assert!(out.read_line(&mut said).unwrap() > 0, "it ended before: {said}");
    }
    (child, out, said)
}

#[test]
fn a_running_build_is_followed_to_its_end() {
    for (lab, name) in [(Lab::new(), "followed"), (Lab::ordinary(), "followed-user")] {
        let (url, open) = gate();
        let (mut building, build) = start(&lab, name, &url);
        let (mut text, mut text_out, mut said) = follow(&lab, &build, &[]);
        let (mut json, mut json_out, mut lines) = follow(&lab, &build[..6], &["--format", "json"]);
        assert!(said.contains("STEP 1/3: FROM"), "from the beginning: {said}");
        let store = lab.path("store");
        for wrong in [&["--follow", "zzzz"][..], &["--follow"]] {
            let ran = lab.reprov(&[&["trace", "--store", &store], wrong].concat()).exits(2);
            assert!(ran.err.contains(&build) && ran.err.contains(&Registry::shared().name(name)), "{ran}");
        }
        open.send(()).unwrap();
        text_out.read_to_string(&mut said).unwrap();
        json_out.read_to_string(&mut lines).unwrap();
        assert_eq!((text.wait().unwrap().code(), json.wait().unwrap().code()), (Some(0), Some(0)), "{said}");
        assert!(building.wait().unwrap().success());
        assert!(said.contains("it went on\n") && said.contains("line 3: fetched GET"), "{said}");
        assert!(said.ends_with("reprov: built\n"), "{said}");
        let events = events(&lines);
        assert_eq!(
            (&events[0]["kind"], &events.last().unwrap()["outcome"]),
            (&"began".into(), &"built".into())
        );
        lab.reprov(&["trace", "--follow", &build, "--store", &store]).exits(2).says("no build runs");
        assert_eq!(logs(&lab), [""; 0]);
    }
}

#[test]
fn a_killed_build_is_said_to_be_so() {
    let lab = Lab::new();
    let (url, _open) = gate();
    let (mut building, build) = start(&lab, "killed-log", &url);
    let (following, mut out, mut said) = follow(&lab, &build, &[]);
    building.kill().unwrap();
    building.wait().unwrap();
    out.read_to_string(&mut said).unwrap();
    let ended = following.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(3) && err.contains("was killed"), "{said}{err}");
    // What it said before is still there, until it is cleaned up after.
    let store = lab.path("store");
    lab.reprov(&["trace", "--follow", &build, "--store", &store]).exits(3).says("it waits");
    assert_eq!(logs(&lab).len(), 1);
    lab.reprov(&["store", "prune", "--store", &store]).exits(0);
    assert_eq!(logs(&lab), [""; 0]);
}

#[test]
fn a_failed_build_can_be_read_by_its_name_later() {
    let lab = Lab::new();
    let registry = Registry::shared();
    let source = lab.source("app", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo so long; exit 3\n")]);
    let answer = lab.build(registry, &source, &registry.name("read-later"), &[]).exits(1).json();
    let (build, store) = (answer["build"].as_str().unwrap(), lab.path("store"));
    let ran = lab.reprov(&["trace", "--follow", build, "--store", &store]).exits(0);
    ran.says("so long\n").says("failed: the engine ended with exit code 3");
}
