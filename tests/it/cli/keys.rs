//! Keys.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::Lab;

#[test]
fn a_pair_is_made_closed_to_others_and_never_overwritten() {
    let lab = Lab::new();
    let (prefix, private, public) = (lab.path("new"), lab.path("new.key"), lab.path("new.pub"));
    let ran = lab.reprov(&["key", "generate", "--out", &prefix]).exits(0);
    assert!(ran.err.contains("REPROV_PASSWORD"), "{ran}");
    assert_eq!(fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(fs::read_to_string(&private).unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    let shown = lab.reprov(&["key", "public", "--key", &private]).exits(0);
    assert_eq!(shown.out, fs::read_to_string(&public).unwrap());
    let shown = lab.reprov(&["key", "public", "--key", &private, "--format", "json"]).exits(0).json();
    assert_eq!(shown["pem"], fs::read_to_string(&public).unwrap());
    let before = fs::read(&private).unwrap();
    let again = lab.reprov(&["key", "generate", "--out", &prefix]);
    assert_ne!(again.code, Some(0), "{again}");
    assert_eq!(fs::read(&private).unwrap(), before);
}

#[test]
fn a_password_encrypts() {
    let lab = Lab::new();
    let (prefix, private) = (lab.path("locked"), lab.path("locked.key"));
    let run = |args: &[&str], password: Option<&str>| {
        let mut command = lab.command(lab.program());
        command.args(args);
        if let Some(password) = password {
            command.env("REPROV_PASSWORD", password);
        }
        Lab::run(command)
    };
    let generate = ["key", "generate", "--out", &prefix, "--type", "ed25519", "--format", "json"];
    assert_eq!(run(&generate, Some("secret")).exits(0).json()["private"], private.as_str());
    assert!(fs::read_to_string(&private).unwrap().starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    run(&["key", "public", "--key", &private], Some("secret")).exits(0);
    run(&["key", "public", "--key", &private], Some("guess")).exits(2);
    run(&["key", "public", "--key", &private], None).exits(2).says("REPROV_PASSWORD");
}
