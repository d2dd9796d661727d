//! More that drifts than may lie in memory.

use std::{collections::BTreeMap, fs, process::Stdio, thread, time::Duration};

use super::Pairs;

/// 200 files of 1 MiB on both sides are 400 MiB.
const PEAK_MIB_MAX: u64 = 40;

#[test]
fn two_hundred_large_files_are_explained_in_little_memory() {
    let pairs = Pairs::made_by("many");
    let side = |side: &str| format!("oci:{}:many-{side}", pairs.lab.path("pairs"));
    let (out, store) = (pairs.lab.path("answer"), pairs.lab.path("store"));
    let mut command = pairs.lab.command(pairs.lab.program());
    command.args(["diff", &side("a"), &side("b"), "--store", &store, "--format", "json"]);
    let mut child = command.stdout(fs::File::create(&out).unwrap()).stderr(Stdio::null()).spawn().unwrap();
    let mut peak_kib = 0;
    while child.try_wait().unwrap().is_none() {
        peak_kib = peak_kib.max(anonymous_kib(child.id()).unwrap_or_default());
        thread::sleep(Duration::from_millis(2));
    }
    let answer: serde_json::Value = serde_json::from_slice(&fs::read(&out).unwrap()).unwrap();
    let mut causes: BTreeMap<&str, usize> = BTreeMap::new();
    for drift in answer["drifts"].as_array().unwrap() {
        *causes.entry(drift["cause"].as_str().unwrap()).or_default() += 1;
        assert!(!drift["excerpt"].is_null(), "{drift}");
    }
    let expected =
        [("clock-in-text", 10), ("gzip-timestamp", 90), ("pyc-timestamp", 90), ("random-token", 10)];
    assert_eq!(causes, expected.into());
    let peak_mib = peak_kib >> 10;
    println!("200 files of 1 MiB that differ: {peak_mib} MiB of memory");
    assert!((1..=PEAK_MIB_MAX).contains(&peak_mib), "{peak_mib} MiB");
}

/// The memory that a process has, without the pages of its own program, which are many where it is not optimised.
fn anonymous_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
