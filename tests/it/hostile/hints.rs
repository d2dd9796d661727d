//! What real tools print when they meet a limit of the buildroot, and the hint that comes of it (docs/limits.md).

use crate::support::{Base, Lab, Registry};

/// Builds a Dockerfile whose last step fails, and expects exactly these hints, in the answer and on stderr.
#[track_caller]
fn check(name: &str, dockerfile: &str, more: &[&str], expected: &[&str]) {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source(name, &[("Dockerfile", dockerfile)]);
    let ran = lab.build(registry, &source, &registry.name(name), more).exits(1);
    let hints = ran.json()["error"]["hints"].as_array().unwrap().clone();
    let codes: Vec<_> = hints.iter().map(|hint| hint["code"].as_str().unwrap()).collect();
    assert_eq!(codes, expected, "{ran}");
    for hint in &hints {
        let line = format!("hint: {} ({})", hint["text"].as_str().unwrap(), hint["see"].as_str().unwrap());
        assert!(ran.err.contains(&line), "{line}: {ran}");
    }
}

#[track_caller]
fn check_tiny(name: &str, script: &str, expected: &[&str]) {
    let dockerfile = format!("FROM {}\nRUN {script}; exit 1\n", Base::Tiny.written());
    check(name, &dockerfile, &[], expected);
}

#[test]
fn namespaces_nodes_and_mounts() {
    let script = "unshare -U true; mknod /x c 1 3; mount -t tmpfs none /root";
    check_tiny("hints-rights", script, &["nested-namespaces", "device-nodes", "mount"]);
}

#[test]
fn names_that_nobody_resolves() {
    check_tiny("hints-ping", "ping -c 1 mirror.example.org", &["no-network"]);
    check_tiny("hints-nslookup", "timeout 20 nslookup mirror.example.org", &["no-network"]);
}

#[test]
fn addresses_that_nobody_routes_and_the_clock() {
    let script = "nc -w 2 192.0.2.1 80 </dev/null; ping -c 1 -W 2 192.0.2.1; date -s 2001-01-01";
    check_tiny("hints-route", script, &["no-network", "clock"]);
}

#[test]
fn nothing_is_hinted_where_nothing_was_met() {
    check_tiny("hints-none", "echo no such thing", &[]);
}

#[test]
fn tools_of_debian() {
    let dockerfile = format!(
        "FROM {}\nRUN apt-get update && apt-get install -y --no-install-recommends git curl bubblewrap python3-minimal\n\
         COPY . /src\n\
         RUN cd /src && git describe; bwrap --ro-bind / / true; \
         curl -sS --cacert /etc/ssl/certs/ca-certificates.crt https://mirror.example.org/x; exit 1\n",
        Base::Debian.written()
    );
    let allow = ["--allow", "other=https://mirror.example.org/"];
    check("hints-debian", &dockerfile, &allow, &["git-directory", "nested-namespaces", "trust-store"]);
}
