//! Every answer follows its schema in `schemas/`, with everything in it and with as little as possible.

/// The integration tests hold every answer of the program to the same schemas.
#[path = "../../tests/it/support/schemas.rs"]
pub(super) mod schemas;

#[path = "attest_tests.rs"]
mod attest_tests;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{report_tests::drifts, *};
use crate::{
    diff::Of,
    drift::{Cause, Class, ConfigDrift, LogDrift},
    model::{Allowance, Exceeded, Limit, Repository, RepositoryKind, SignerFile, Verdict},
};

#[track_caller]
fn follows(answer: &impl Serialize) -> Value {
    let answer = serde_json::to_value(answer).unwrap();
    let wrong = schemas::violations(&answer);
    assert!(wrong.is_empty(), "{wrong:#?}\n{answer:#}");
    answer
}

fn hints() -> Vec<crate::engine::Hint> {
    vec![crate::engine::Hint { code: "mount", text: "no", see: "docs/limits.md#mounts" }]
}

fn digest() -> Digest {
    Digest::of(b"any")
}

fn instruction() -> Instruction {
    Instruction { line: 7, text: "RUN true".into() }
}

fn pairs() -> Vec<LayerPair> {
    let id = LayerId { digest: digest(), diff_id: DiffId(digest()) };
    let pair = |original, rebuilt| LayerPair {
        index: 0,
        instruction: Some(instruction().into()),
        original,
        rebuilt,
        equal: false,
    };
    vec![pair(Some(id), None), pair(None, Some(id))]
}

fn repository() -> Repository {
    let url = "http://mirror.example.org/debian".to_owned();
    Repository {
        replace: vec!["http://old".into()],
        key: Some(SignerFile { path: "keys/main.asc".into(), digest: Digest::of(b"key") }),
        configure: true,
        ..Repository::plain("main".into(), RepositoryKind::Apt, url)
    }
}

fn config() -> Vec<ConfigDrift> {
    let change = |of, a| ConfigDrift {
        of,
        pointer: "/config/Env/0".into(),
        a,
        b: Some(json!({"x": 1})),
        cause: Cause::BuilderLabel,
        class: Class::Known,
    };
    vec![change(Of::Config, None), change(Of::Manifest, Some(json!("a")))]
}

pub(super) fn limits(hit: Option<Limit>) -> Limits {
    let allowance = Allowance {
        memory_bytes: 1 << 30,
        memory_reserve_bytes: 2,
        disk_bytes: hit.map(|_| 3),
        disk_reserve_bytes: 4,
        files: hit.map(|_| 10),
        files_reserve: 11,
        inputs_bytes: 5,
        processes: 6,
    };
    let hit = hit.map(|limit| Exceeded { limit, allowed: 7, found: 8 });
    Limits::new(&allowance, 9, hit.is_none(), hit.as_ref())
}

#[test]
fn build_answers() {
    let mut answer = build::Build::failed("no engine".into());
    follows(&answer);
    answer.image = Some("registry.example.org/app:1@sha256:x".into());
    (answer.manifest, answer.config, answer.definition) = (Some(digest()), Some(digest()), Some(digest()));
    let layer =
        |instruction| build::Layer { digest: digest(), diff_id: DiffId(digest()), size: 1, instruction };
    answer.layers = vec![layer(None), layer(Some(instruction()))];
    answer.provenance = Some(build::Provenance { digest: digest(), signed: true });
    answer.statement = Some(Named { digest: digest() });
    let refused = |line| Refused {
        method: "GET".into(),
        url: "http://x".into(),
        reason: "url".into(),
        because: None,
        line,
    };
    answer.inputs = build::Inputs {
        count: 1,
        bytes: 2,
        refused: vec![refused(None), refused(Some(3))],
        tainted: true,
        to: "same".into(),
        local: build::Local { count: 1, bytes: 2 },
    };
    answer.log = Some(build::Log { digest: digest(), size: 3, path: None, truncated: true });
    answer.build = Some("0a".into());
    answer.events = Some(build::Events { digest: digest(), size: 3, path: Some("/events".into()) });
    let left =
        |pushed| build::Left { statement: digest(), signed: true, path: "/statement.json".into(), pushed };
    answer.left = Some(left(None));
    follows(&answer);
    answer.left = Some(left(Some("registry.example.org/app:1.failed-0a@sha256:x".into())));
    answer.limits = Some(limits(None));
    answer.normalized = vec![build::Normalized { rule: "dpkg-log".into(), entries: 1 }];
    answer.engine = Some("buildah 1.28.2".into());
    (answer.repositories, answer.learned) = (vec![repository()], vec![repository()]);
    answer.error = None;
    follows(&answer);
    for (verdict, full) in
        Verdict::ALL.map(Some).into_iter().chain([None]).zip([true, false].into_iter().cycle())
    {
        let cost = build::CheckCost { replay_seconds: 1.5, added_seconds: 0.0 };
        let full_image = image(verdict, full);
        // A check does none of these.
        let image = rebuild::Image { variations: None, tried: None, inputs_compared: None, ..full_image };
        answer.check = Some(build::Check { image, accepted: full, cost });
        follows(&answer);
    }
    answer.tests = Some(test::Results { result: Some("failed"), ..test::Results::default() });
    follows(&answer);
    let instruction = Some(instruction());
    answer.error = Some(build::BuildFailure {
        reason: "exit code 1".into(),
        instruction,
        tail: "no".into(),
        hints: hints(),
    });
    answer.fail("exit code 1".into());
    follows(&answer);
    for limit in Limit::ALL {
        answer.limits = Some(limits(Some(limit)));
        follows(&answer);
    }
}

fn log(drift: crate::drift::Drift) -> Option<LogDrift> {
    Some(LogDrift { instruction: drift.instruction?, excerpt: drift.excerpt? })
}

fn image(verdict: Option<Verdict>, full: bool) -> rebuild::Image {
    rebuild::Image {
        image: "oci:x:1".into(),
        verdict,
        dockerfile: full.then(|| "Dockerfile".into()),
        layers: if full { pairs() } else { Vec::new() },
        config: if full { config() } else { Vec::new() },
        drifts: if full { drifts() } else { Vec::new() },
        logs: drifts().into_iter().filter(|_| full).filter_map(log).collect(),
        undeclared_inputs: vec![rebuild::Undeclared { method: "GET".into(), url: "http://x".into() }],
        upstream_requests: 0,
        replayed_requests: 1,
        inputs: 2,
        refused: 3,
        secrets_missing: vec!["token".into()],
        steps_run: 4,
        engine: full.then(|| "buildah 1.28.2".into()),
        limits: full.then(|| limits(Some(Limit::Memory))),
        rebuilt: full.then(digest),
        builder_changed: full.then(|| "engine".into()),
        variations: full.then(rebuild::Variations::sample),
        tried: verdict.map(|_| rebuild::Tried::sample(full)),
        inputs_compared: verdict.map(|_| live::InputsCompared::sample(full)),
        attestation: full.then(digest),
        build: full.then(|| "0a".into()),
        log: full.then(|| Named { digest: digest() }),
        events: full.then(|| Named { digest: digest() }),
        error: full.then(|| "why".into()),
        tail: full.then(|| "end".into()),
        hints: if full { hints() } else { Vec::new() },
        seconds: -1,
    }
}

#[test]
fn rebuild_answers() {
    let mut images: Vec<_> = Verdict::ALL.into_iter().map(|verdict| image(Some(verdict), true)).collect();
    images.push(image(None, false));
    let names = Verdict::ALL.map(Verdict::name).into_iter().chain(["error"]);
    let summary: BTreeMap<String, u64> = names.map(|name| (name.to_owned(), 1)).collect();
    let accepted = Verdict::ALL.to_vec();
    let answer = rebuild::Rebuild { schema: "reprov.rebuild/v1", images, summary, accepted };
    follows(&answer);
    for form in Form::ALL {
        let report = render(form, &answer);
        assert_eq!(report, render(form, &answer));
        assert!(Verdict::ALL.iter().all(|verdict| report.contains(verdict.name())), "{form:?}");
        assert!(form != Form::Text || report.lines().all(|line| line.chars().count() <= 80), "{report}");
    }
}

#[test]
fn where_bases_differ_their_drift_is_not_listed() {
    let [a, b] = [b"a", b"b"].map(|base| Some(diff::OfBase { base: Digest::of(base), layers: 2 }));
    let mut answer = compared(Verdict::Unexplained, diff::Inherited { a, b: a });
    let count = answer.drifts.len();
    answer.leave_out_bases();
    assert_eq!(answer.drifts.len(), count, "one base is no other");
    answer.inherited.b = b;
    answer.leave_out_bases();
    assert_eq!((answer.drifts.len(), answer.drifts[0].layer), (count - 2, 2));
    let text = diff::Diff::new(vec![answer], Vec::new(), images()).text(false);
    assert!(text.contains("the bases differ"), "{text}");
}

fn compared(verdict: Verdict, inherited: diff::Inherited) -> diff::Compared {
    diff::Compared {
        platform: Some("linux/amd64".into()),
        images: images(),
        verdict,
        inherited,
        layers: pairs(),
        config: config(),
        drifts: drifts(),
    }
}

fn images() -> diff::Images {
    diff::Images { a: "oci:a:1@sha256:x".into(), b: "oci:b:1@sha256:y".into() }
}

fn of_base(layers: usize) -> diff::OfBase {
    diff::OfBase { base: digest(), layers }
}

#[test]
fn diff_answers() {
    for verdict in Verdict::ALL {
        let inherited = diff::Inherited { a: Some(of_base(1)), b: None };
        let others = Verdict::ALL.map(|verdict| compared(verdict, inherited)).into();
        let absent =
            ["a", "b"].map(|only_in| diff::Absent { platform: "linux/arm64".into(), only_in }).into();
        follows(&diff::Diff::new(others, absent, images()));
        follows(&diff::Diff::new(vec![compared(verdict, inherited)], Vec::new(), images()));
    }
}

fn rootfs(full: bool) -> import::Rootfs {
    import::Rootfs {
        digest: full.then(digest),
        size: full.then_some(3),
        form: "tar".into(),
        compression: "xz".into(),
        source: full.then(|| "https://images.example.org/rootfs.tar.xz".into()),
    }
}

fn imported(full: bool) -> trace::Imported {
    trace::Imported {
        rootfs: rootfs(full),
        platform: "linux/amd64".into(),
        created: crate::model::rfc3339(0),
        packages: full.then_some(92),
        unread: vec!["var/lib/rpm/rpmdb.sqlite".into()],
    }
}

/// A base that was imported, built on such a one, or is not known.
fn base(was_imported: Option<bool>) -> trace::BaseLine {
    let origin = |was_imported: bool| trace::Origin {
        digest: digest(),
        verified: was_imported,
        builder: "https://ci.example.org".into(),
        finished_on: Some(crate::model::rfc3339(0)),
        claimed: !was_imported,
        commit: (!was_imported).then(|| "3".repeat(40)),
        source: (!was_imported).then(|| "git+https://git.example.org/base".into()),
        imported: was_imported.then(|| imported(true)),
        bases: if was_imported { Vec::new() } else { vec![base(Some(true))] },
    };
    trace::BaseLine {
        written: "x".into(),
        used: "y".into(),
        line: 1,
        digest: was_imported.map(|_| digest()),
        layers: was_imported.map(usize::from),
        origin: was_imported.map(origin),
        unknown: was_imported.is_none().then(|| "gone".into()),
    }
}

#[test]
fn import_answers() {
    follows(&import::Import::failed("not an archive".into()));
    follows(&import::Import {
        schema: "reprov.import/v1",
        image: Some("registry.example.org/base:1@sha256:x".into()),
        manifest: Some(digest()),
        config: Some(digest()),
        layer: Some(import::Layer { digest: digest(), diff_id: DiffId(digest()), size: 1, entries: 2 }),
        platform: Some("linux/arm/v7".into()),
        created: Some(crate::model::rfc3339(0)),
        rootfs: Some(rootfs(true)),
        dropped: vec![build::Normalized { rule: "device-node".into(), entries: 1 }],
        packages: Some(import::Packages {
            count: 1,
            kinds: BTreeMap::from([("deb".into(), 1)]),
            unread: vec!["var/lib/rpm/rpmdb.sqlite".into()],
            digest: digest(),
        }),
        provenance: Some(build::Provenance { digest: digest(), signed: true }),
        statement: Some(Named { digest: digest() }),
        error: None,
        seconds: 3,
    });
}

fn tree() -> crate::report::tree::Node {
    use crate::report::tree::{Node, State};
    let mut top =
        Node::new("image", "x", State::Verified, "its manifest has this digest").digest(digest().to_string());
    top.children =
        vec![Node::new("commit", "y", State::Claimed, ""), Node::new("log", "", State::Missing, "")];
    top
}

#[test]
fn a_trace_goes_down_to_the_archive() {
    let mut out = String::new();
    let answer = trace_answer(true);
    for line in answer.text().lines().filter(|line| line.starts_with(' ') || line.starts_with("base")) {
        out.push_str(&line.replace(&digest().to_string(), "DIGEST"));
        out.push('\n');
    }
    insta::assert_snapshot!(out, @r"
    base        line 1: x → y DIGEST
      statement DIGEST (signature verified)
      rootfs    DIGEST (tar, xz, 3 B)
      origin    https://images.example.org/rootfs.tar.xz (claimed; nobody looked)
      platform  linux/amd64
      created   1970-01-01T00:00:00Z
      packages  92
      not read  var/lib/rpm/rpmdb.sqlite
    base        line 1: x → y DIGEST
      statement DIGEST (NOT VERIFIED)
      commit    3333333333333333333333333333333333333333 (claimed)
      source    git+https://git.example.org/base
      base      line 1: x → y DIGEST
        statement DIGEST (signature verified)
        rootfs  DIGEST (tar, xz, 3 B)
        origin  https://images.example.org/rootfs.tar.xz (claimed; nobody looked)
        platform linux/amd64
        created 1970-01-01T00:00:00Z
        packages 92
        not read var/lib/rpm/rpmdb.sqlite
    base        line 1: x → y
      unknown   gone
      input     DIGEST        2 B 200 http://x
    ");
}

#[test]
fn trace_answers() {
    follows(&trace_answer(true));
    follows(&trace_answer(false));
}

fn trace_answer(full: bool) -> trace::Trace {
    let time = crate::model::rfc3339(1_764_021_600);
    trace::Trace {
        schema: "reprov.trace/v1",
        image: "oci:x:1".into(),
        provenance: digest(),
        verified: full,
        provenances: vec![trace::ProvenanceLine {
            digest: digest(),
            definition: digest(),
            finished_on: full.then(|| time.clone()),
            builds: 1,
        }],
        builder: "https://ci.example.org".into(),
        started_on: full.then(|| time.clone()),
        finished_on: full.then(|| time.clone()),
        source: full.then(|| trace::Source {
            uri: full.then(|| "git+https://git.example.org/x".into()),
            commit: "0".repeat(40),
            tree: "1".repeat(40),
            dockerfile: "Dockerfile".into(),
            dirty: !full,
            submodules: vec![trace::Submodule {
                path: "lib".into(),
                uri: full.then(|| "git+https://git.example.org/lib".into()),
                commit: "2".repeat(40),
            }],
            tags: vec!["v1".into()],
        }),
        buildroot: full.then(|| "host: buildah 1.28.2, runc 1.1.5".into()),
        imported: (!full).then(|| imported(false)),
        attested: (!full).then(attest_tests::attested),
        layers: trace::Layers { own: 1, inherited: 2 },
        bases: vec![base(Some(true)), base(Some(false)), base(None)],
        repositories: vec![repository()],
        inputs: full.then(|| trace::InputsLine {
            count: 1,
            bytes: 2,
            list: full.then(|| {
                let (url, repository) = ("http://x".to_owned(), "main".to_owned());
                vec![trace::Input { url, status: 200, size: 2, repository, digest: Some(digest()) }]
            }),
        }),
        log: full.then(digest),
        events: full.then(digest),
        tainted: vec!["learned".into()],
        definition: digest(),
        tree: full.then(tree),
    }
}

#[test]
fn answers_about_failed_builds() {
    let answer = |full: bool| {
        let trace = trace_answer(true);
        failed::Failed {
            schema: "reprov.failed/v1",
            place: "registry.example.org/app:1.failed@sha256:x".into(),
            build: "0a".into(),
            to: "registry.example.org/app:1".into(),
            statement: digest(),
            signed: full,
            verified: full,
            builder: trace.builder,
            started_on: trace.started_on.unwrap(),
            finished_on: trace.finished_on.unwrap(),
            source: trace.source.unwrap(),
            buildroot: "host: buildah 1.28.2, runc 1.1.5".into(),
            reason: "2 refused request(s)".into(),
            instruction: full.then(instruction),
            exit_code: full.then_some(7),
            limit: full.then(|| failed::Passed { limit: "memory".into(), allowed: 1, found: 2 }),
            refused: 2,
            log: digest(),
            events: digest(),
            tainted: Vec::new(),
            definition: digest(),
        }
    };
    follows(&answer(true));
    follows(&answer(false));
    assert!(answer(true).text().contains("(verified)"));
    assert!(answer(false).text().contains("(NOT SIGNED)"));
}

#[test]
fn store_and_explain_answers() {
    let kinds = ["blobs", "bases", "git", "builds", "tmp", "shim", "logs"].map(|kind| store::Kind {
        kind,
        count: 1,
        bytes: 2,
        freed_count: 3,
        freed_bytes: 4,
        in_use_count: 5,
    });
    for command in ["du", "gc", "prune", "rm"] {
        follows(&store::Store::new(command, "/cache".into(), true, kinds.to_vec()));
    }
    follows(&explain::Explain::of(None).unwrap());
}

#[test]
fn the_schemas_can_say_no() {
    let one = compared(Verdict::Explained, diff::Inherited { a: None, b: Some(of_base(2)) });
    let mut answer = follows(&diff::Diff::new(vec![one], Vec::new(), images()));
    answer["drifts"][0]["more"] = json!(1);
    answer["layers"][0]["original"]["digest"] = json!("sha256:short");
    answer["verdict"] = json!("perhaps");
    answer.as_object_mut().unwrap().remove("config");
    assert_eq!(schemas::violations(&answer).len(), 4);
    assert_eq!(schemas::violations(&json!({"schema": "reprov.nothing/v1"})).len(), 1);
}
