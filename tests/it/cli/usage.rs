//! Wrong usage is said in one sentence and exits 2.

use crate::support::Lab;

#[test]
fn version() {
    let ran = Lab::new().reprov(&["--version"]).exits(0);
    assert_eq!(ran.out.trim(), concat!("reprov ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_words_exit_2() {
    let lab = Lab::new();
    for args in [
        &["frobnicate"][..],
        &["build", "--no-such-flag"],
        &["build", "."],
        &["rebuild"],
        &["rebuild", "127.0.0.1:1/x:1"],
        &["diff", "127.0.0.1:1/x:1"],
        &["--format", "yaml", "doctor"],
        &["key", "public"],
    ] {
        let ran = lab.reprov(args).exits(2);
        assert!(ran.out.is_empty() && !ran.err.is_empty(), "{ran}");
    }
}

#[test]
fn wrong_usage_is_an_object_too_where_json_was_asked_for() {
    let lab = Lab::new();
    let answer = lab
        .reprov(&["build", "/nonexistent", "--tag", "oci:x:1", "--no-sign", "--format", "json"])
        .exits(2)
        .json();
    assert_eq!((&answer["schema"], &answer["kind"]), (&"reprov.error/v1".into(), &"usage".into()));
    assert!(answer["message"].is_string() && answer["causes"].is_array() && answer["hints"].is_array());
    let answer = lab.reprov(&["build", "--no-such-flag", "--format", "json"]).exits(2).json();
    assert_eq!(answer["kind"], "usage");
}

#[test]
fn neither_key_nor_no_sign_is_refused() {
    let lab = Lab::new();
    let source = lab.source("unsigned", &[("Dockerfile", "FROM scratch\n")]);
    let ran = lab.reprov(&["build", source.to_str().unwrap(), "--tag", "oci:x:1"]).exits(2);
    ran.says("--key");
}

#[test]
fn flags_have_variables() {
    let lab = Lab::new();
    let mut command = lab.command(lab.program());
    command
        .args(["diff", "oci:none:1", "oci:none:1"])
        .env("REPROV_FORMAT", "json")
        .env("REPROV_STORE", lab.path("s"));
    let ran = Lab::run(command);
    assert_eq!(ran.json()["schema"], "reprov.error/v1");
}
