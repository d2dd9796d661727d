//! Steps that take all they can get, or go on when they should end: each is ended, the answer names what for and
//! where, nothing is left, and the next build on the same store goes well.
//!
//! None of it runs outside a build, and the limits are small: the machine has other work.

use serde_json::{Value, json};

use crate::support::{Lab, Mirror, Ran, Registry, bomb};

/// A build of one hostile step, on line 3.
#[track_caller]
fn build(lab: &Lab, name: &str, step: &str, more: &[&str]) -> Ran {
    let registry = Registry::shared();
    // With its name in their command line, the lab knows processes of the step if it finds any later.
    let dockerfile = format!("FROM base.example/tiny:1\nRUN true\nRUN {step}; : {}\n", lab.path(name));
    let source = lab.source(name, &[("Dockerfile", &dockerfile)]);
    lab.build(registry, &source, &registry.name(name), more)
}

/// The step is ended for `limit`, which the answer names with its value, the line and the flag that raises it.
#[track_caller]
fn is_ended(lab: &Lab, name: &str, step: &str, more: &[&str], (limit, allowed): (&str, u64)) {
    let ran = build(lab, name, step, more).exits(1);
    let answer = ran.json();
    let hit = &answer["limits"]["hit"];
    assert_eq!((&hit["limit"], &hit["allowed"]), (&limit.into(), &allowed.into()), "{ran}");
    assert!(hit["found"].as_u64().unwrap() >= allowed, "{ran}");
    assert_eq!(
        (&answer["image"], &answer["error"]["instruction"]["line"]),
        (&Value::Null, &json!(3)),
        "{ran}"
    );
    let flag = hit["flag"].as_str().unwrap_or("it is fixed");
    for words in ["the build failed at line 3: RUN", "limit", flag] {
        assert!(ran.err.contains(words), "`{words}`: {ran}");
    }
    assert_eq!(Registry::shared().tag(name, "1"), None);
    is_well(lab, name);
}

/// Nothing is left, and the store is as good as before.
#[track_caller]
fn is_well(lab: &Lab, name: &str) {
    assert_eq!(lab.leftovers(), [""; 0]);
    let (registry, next) = (Registry::shared(), format!("{name}-next"));
    let source = lab.source(&next, &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo well > /word\n")]);
    lab.build(registry, &source, &registry.name(&next), &[]).exits(0);
    assert_eq!(registry.image(&next).text("word"), "well\n");
    assert_eq!(lab.leftovers(), [""; 0]);
}

const MIB: u64 = 1 << 20;
const MEMORY: [&str; 2] = ["--max-memory", "192M"];
const DISK: [&str; 2] = ["--max-disk", "64M"];

#[test]
fn a_step_that_takes_memory() {
    let step = "dd if=/dev/zero of=/dev/null bs=300M count=100000";
    for (lab, name) in [(Lab::new(), "memory"), (Lab::ordinary(), "memory-of-a-user")] {
        is_ended(&lab, name, step, &MEMORY, ("memory", 192 * MIB));
    }
}

#[test]
fn a_step_that_takes_memory_that_no_process_has() {
    let step = "--mount=type=tmpfs,target=/big dd if=/dev/zero of=/big/x bs=1M count=300; sleep 600";
    is_ended(&Lab::new(), "tmpfs", step, &MEMORY, ("memory", 192 * MIB));
    // It has a bound of its own (64 MiB): neither that nor what the process has is too much alone.
    let step =
        "dd if=/dev/zero of=/dev/shm/x bs=1M count=63; dd if=/dev/zero of=/dev/null bs=125M count=100000";
    is_ended(&Lab::new(), "shm", step, &MEMORY, ("memory", 192 * MIB));
}

#[test]
fn a_step_that_fills_the_disk() {
    let step = "dd if=/dev/zero of=/x bs=1M count=100000";
    for (lab, name) in [(Lab::new(), "disk"), (Lab::ordinary(), "disk-of-a-user")] {
        is_ended(&lab, name, step, &DISK, ("disk", 64 * MIB));
    }
}

#[test]
fn a_step_that_fills_the_disk_with_a_file_without_a_name() {
    let step = "exec 3>/x; rm /x; dd if=/dev/zero bs=1M count=100000 >&3";
    is_ended(&Lab::new(), "nameless", step, &DISK, ("disk", 64 * MIB));
}

#[test]
fn a_step_that_makes_files_without_end() {
    // Empty ones: they take none of the disk's bytes.
    let step = "mkdir /many && cd /many && seq 1 2000000 | xargs touch";
    for (lab, name) in [(Lab::new(), "files"), (Lab::ordinary(), "files-of-a-user")] {
        is_ended(&lab, name, step, &["--max-files", "20000"], ("files", 20_000));
    }
}

#[test]
fn a_step_that_forks_without_end() {
    let _bomb = bomb();
    is_ended(&Lab::new(), "bomb", "b() { b | b; }; b", &[], ("processes", 8192));
}

#[test]
fn a_step_that_fetches_without_end() {
    let (lab, mirror) = (Lab::new(), Mirror::start("endless"));
    let step = format!("wget -q -O /dev/null {}/endless; sleep 600", mirror.url);
    let allow = format!("local={}", mirror.url);
    let more = ["--max-inputs", "8M", "--allow", &allow];
    is_ended(&lab, "endless", &step, &more, ("inputs", 8 * MIB));
    // It may as well ask for many; and what it makes of the failure does not count.
    let step = format!("for n in 1 2 3 4 5 6 7 8; do wget -q -O /x {}/large?$n; done; true", mirror.url);
    is_ended(&lab, "many", &step, &more, ("inputs", 8 * MIB));
}

#[test]
fn a_mirror_that_sends_a_byte_at_a_time() {
    let mirror = Mirror::start("slow");
    let (step, allow) =
        (format!("wget -q -O /dev/null {}/slow", mirror.url), format!("local={}", mirror.url));
    is_ended(&Lab::new(), "slow", &step, &["--timeout", "10s", "--allow", &allow], ("time", 10));
    assert_eq!(mirror.asked(), ["/slow"]);
}

#[test]
fn a_step_that_ignores_signals_and_its_time() {
    let step = "trap '' TERM INT HUP QUIT; while true; do sleep 1; done";
    is_ended(&Lab::new(), "deaf", step, &["--timeout", "20s"], ("time", 20));
}

#[test]
fn a_step_that_deletes_everything() {
    let lab = Lab::new();
    let registry = Registry::shared();
    let dockerfile = "FROM base.example/debian:bookworm\nRUN rm -rf --no-preserve-root / 2>/dev/null; true\n";
    let source = lab.source("delete", &[("Dockerfile", dockerfile)]);
    lab.build(registry, &source, &registry.name("delete"), &[]).exits(0);
    let layer = registry.image("delete").layers.pop().unwrap();
    for gone in [".wh.bin", ".wh.usr", ".wh.home"] {
        assert!(layer.contains_key(gone), "{:?}", layer.keys().collect::<Vec<_>>());
    }
    // The base that all builds of the store share is whole: it makes the same image again.
    let answer = lab.rebuild(&registry.name("delete"), &["--store", &lab.path("store")]).exits(0).json();
    assert_eq!(answer["images"][0]["verdict"], "reproduced", "{answer:#}");
    is_well(&lab, "delete");
}

#[test]
fn a_step_that_leaves_daemons() {
    let lab = Lab::new();
    let daemon = format!("trap '' TERM HUP; while true; do sleep 0.1; done; : {}", lab.path("daemons"));
    let step = format!("for n in 1 2 3; do (setsid sh -c \"{daemon}\" & ) & done; sleep 1");
    build(&lab, "daemons", &step, &[]).exits(0);
    is_well(&lab, "daemons");
}

#[test]
fn a_rebuild_that_is_ended_has_no_verdict() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let step = "dd if=/dev/zero of=/dev/null bs=300M count=40";
    let built = build(&lab, "greedy", step, &[]).exits(0).json();
    assert_eq!(built["limits"]["hit"], Value::Null, "{built:#}");
    let (to, key) = (registry.name("greedy"), lab.path("signer.key"));
    let digest = registry.image("greedy").digest;
    let before = registry.referrers("greedy", &digest).len();
    let ran = lab.rebuild(&to, &["--max-memory", "192M", "--key", &key]).exits(3);
    let answer = ran.json();
    let image = &answer["images"][0];
    assert_eq!(
        (&image["verdict"], &image["limits"]["hit"]["limit"]),
        (&Value::Null, &"memory".into()),
        "{ran}"
    );
    for words in ["says nothing of the image", "line 3", "--max-memory"] {
        assert!(image["error"].as_str().unwrap().contains(words), "`{words}`: {ran}");
    }
    assert_eq!(registry.referrers("greedy", &digest).len(), before, "a verdict was attached");
    assert_eq!(lab.leftovers(), [""; 0]);
    let answer = lab.rebuild(&to, &[]).exits(0).json();
    assert_eq!(answer["images"][0]["verdict"], "reproduced", "{answer:#}");
}

#[test]
fn what_was_chosen_stands_in_the_provenance() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let more = ["--max-memory", "2G", "--max-disk", "3GiB", "--max-inputs", "1048576", "--max-files", "9000"];
    let built = build(&lab, "chosen", "true", &more).exits(0).json();
    let limits = &built["limits"];
    let found = ["memory_bytes", "disk_bytes", "inputs_bytes"].map(|name| limits[name].as_u64().unwrap());
    assert_eq!(found, [2 << 30, 3 << 30, 1 << 20], "{built:#}");
    assert_eq!(limits["files"], 9000, "{built:#}");
    let referrer = registry.blob_json(built["provenance"]["digest"].as_str().unwrap());
    let bundle = registry.blob_json(referrer["layers"][0]["digest"].as_str().unwrap());
    let payload = lab.path("payload");
    std::fs::write(&payload, bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    let statement = Lab::run({
        let mut decode = lab.command("base64");
        decode.args(["-d", &payload]);
        decode
    });
    let statement: Value = serde_json::from_str(&statement.exits(0).out).unwrap();
    let recorded = &statement["predicate"]["buildDefinition"]["internalParameters"]["limits"];
    let expected = json!({"enforcedBy": "watch", "memoryBytes": 2_u64 << 30, "diskBytes": 3_u64 << 30,
        "files": 9000, "inputsBytes": 1 << 20});
    assert_eq!(recorded, &expected);
}

#[test]
fn a_size_that_is_none() {
    let lab = Lab::new();
    for (flag, size, words) in [
        ("--max-memory", "4", "write 4G"),
        ("--max-memory", "lots", "K, M, G or T"),
        ("--max-disk", "-1G", "--max-disk"),
        ("--max-inputs", "1.5G", "K, M, G or T"),
        ("--max-files", "4", "1000"),
    ] {
        let flag_is = format!("{flag}={size}");
        lab.reprov(&["build", ".", "--tag", "oci:x:1", "--no-sign", &flag_is])
            .exits(2)
            .says(words)
            .says(flag);
    }
    lab.reprov(&["rebuild", "oci:x:1", "--insecure-skip-verify", "--max-disk=5"]).exits(2).says("--max-disk");
}
