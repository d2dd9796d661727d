//! `trace` of an image with everything below it: a base that was imported, a buildroot that was built.

use serde_json::Value;

use crate::{
    jobs::buildroot,
    support::{Base, Lab, Registry},
};

/// The parts of a tree of one kind, wherever they are.
fn parts<'a>(node: &'a Value, kind: &str) -> Vec<&'a Value> {
    let below = node["children"].as_array().unwrap().iter().flat_map(|child| parts(child, kind));
    (node["kind"] == kind).then_some(node).into_iter().chain(below).collect()
}

fn state<'a>(node: &'a Value, kind: &str) -> &'a str {
    let all = parts(node, kind);
    assert!(!all.is_empty(), "no {kind} in {node:#}");
    all[0]["state"].as_str().unwrap()
}

#[test]
fn a_layered_image_on_an_imported_base_in_a_buildroot() {
    let ((inside, builder), lab, registry) = (buildroot::shared(), Lab::new(), Registry::shared());
    let (rootfs, base) = (Base::Debian.rootfs(), registry.name("traced-base"));
    let (key, store) = (lab.path("signer.key"), lab.path("store"));
    let source = "https://images.example.org/rootfs.tar.gz";
    let args = ["import", rootfs.to_str().unwrap(), "--tag", &base, "--source", source, "--key", &key];
    lab.reprov(&[&args[..], &["--store", &store]].concat()).exits(0);
    let files = [("Dockerfile", "FROM imported.example/base:1\nRUN echo one > /one\nRUN echo two > /two\n")];
    let (app, code) = (registry.name("traced-app"), lab.source("traced", &files));
    let swap = format!("imported.example/base:1={base}");
    let more = ["--from", &swap, "--buildroot", inside, "--keep-source"];
    lab.build(registry, &code, &app, &more).exits(0);

    let (own, others) = (lab.path("signer.pub"), builder.path("signer.pub"));
    let trace =
        |more: &[&str]| lab.reprov(&[&["trace", &app, "--store", &lab.path("elsewhere")], more].concat());
    let answer = trace(&["--trust", &own, "--trust", &others, "--format", "json"]).exits(0).json();
    let tree = &answer["tree"];
    assert_eq!(tree["kind"], "image");
    for kind in
        ["image", "provenance", "log", "events", "transcript", "commit", "base", "buildroot", "packages"]
    {
        assert_eq!(state(tree, kind), "verified", "{kind}: {tree:#}");
    }
    for kind in ["builder", "rootfs", "repository"] {
        assert_eq!(state(tree, kind), "claimed", "{kind}: {tree:#}");
    }
    assert!(parts(tree, "missing").is_empty());
    assert_eq!(parts(tree, "provenance").len(), 4, "image, base, buildroot and its base: {tree:#}");
    assert_eq!(parts(tree, "base").len(), 2, "{tree:#}");

    // Nobody is trusted: everything is only said.
    let answer = trace(&["--format", "json"]).exits(0).json();
    for kind in ["provenance", "log", "commit", "base", "buildroot"] {
        assert_eq!(state(&answer["tree"], kind), "claimed", "{kind}");
    }
    // The buildroot's builder is a stranger, and so is what he vouches for.
    let answer = trace(&["--trust", &own, "--format", "json"]).exits(0).json();
    let buildroot = parts(&answer["tree"], "buildroot")[0];
    assert_eq!((&buildroot["state"], state(buildroot, "provenance")), (&"verified".into(), "claimed"));

    let text = trace(&["--trust", &own, "--trust", &others]).exits(0);
    text.says("├─ commit ").says("[verified: its manifest").says("[CLAIMED: a trusted signer says so");
    let page = trace(&["--trust", &own, "--format", "html"]).exits(0).out;
    assert!(page.starts_with("<!doctype html>") && page.contains(source) && !page.contains("<script"));
    let graph = trace(&["--trust", &own, "--format", "dot"]).exits(0).out;
    assert!(graph.starts_with("digraph ") && graph.contains("n0 -> n1;"), "{graph}");
    let drawing = || trace(&["--trust", &own, "--format", "svg"]).exits(0).out;
    let drawn = drawing();
    assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"), "{drawn}");
    for foreign in ["<script", "href", "<image", "@import", "url(", "<foreignObject"] {
        assert!(!drawn.contains(foreign), "{foreign}: {drawn}");
    }
    let tree = trace(&["--trust", &own, "--format", "json"]).exits(0).json()["tree"].take();
    for state in ["verified", "claimed", "missing"] {
        let boxes = drawn.matches(&format!("\">{state}</text>")).count();
        assert_eq!(
            boxes,
            tree.to_string().matches(&format!("\"state\":\"{state}\"")).count(),
            "{state}: {drawn}"
        );
    }
    assert_eq!(drawn, drawing(), "the same tree is the same drawing");
    for format in ["html", "svg"] {
        trace(&["--log", "--format", format]).exits(2);
    }
    lab.reprov(&["doctor", "--format", "dot"]).exits(2);
    lab.reprov(&["doctor", "--format", "svg"]).exits(2).says("dot, svg and koji");
}

#[test]
fn what_is_gone_is_missing() {
    let (lab, registry) = (Lab::new(), Registry::start(&[Base::Tiny]));
    let to = registry.name("gone");
    let source = lab.source("gone", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo one > /one\n")]);
    let built = lab.build(&registry, &source, &to, &[]).exits(0).json();
    registry.forget_layer("gone", built["log"]["digest"].as_str().unwrap());
    let args = ["trace", &to, "--store", &lab.path("elsewhere"), "--trust", &lab.path("signer.pub")];
    let answer = lab.reprov(&[&args[..], &["--deep", "--format", "json"]].concat()).exits(0).json();
    let tree = &answer["tree"];
    assert_eq!((state(tree, "log"), state(tree, "events")), ("missing", "verified"), "{tree:#}");
    let base = parts(tree, "base")[0];
    assert_eq!((&base["state"], state(base, "provenance")), (&"verified".into(), "missing"), "{tree:#}");
}
