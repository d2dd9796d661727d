//! Keys.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{Lab, Ran, fixtures, must};

/// Puts `text` into a file that only its owner may read.
fn closed(lab: &Lab, name: &str, text: impl AsRef<[u8]>) -> String {
    let path = lab.path(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// A TEST-ONLY key of another tool's.
fn foreign(lab: &Lab, name: &str) -> String {
    closed(lab, name, fs::read(fixtures(&format!("interop/keys/TEST-ONLY-{name}"))).unwrap())
}

/// Runs with a password of each kind.
fn with(lab: &Lab, args: &[&str], passwords: [Option<&str>; 2]) -> Ran {
    let mut command = lab.command(lab.program());
    command.args(args);
    for (name, password) in ["REPROV_PASSWORD", "COSIGN_PASSWORD"].into_iter().zip(passwords) {
        if let Some(password) = password {
            command.env(name, password);
        }
    }
    Lab::run(command)
}

fn openssl(args: &[&str]) -> String {
    must(Command::new("openssl").args(args))
}

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

#[test]
fn keys_of_other_tools_are_imported() {
    let lab = Lab::new();
    for (name, public, passwords) in [
        ("p256.pem", "p256.pub", [None, None]),
        ("p256-sec1.pem", "p256.pub", [None, None]),
        ("p256-encrypted-pkcs8.pem", "p256.pub", [Some("test-only"), None]),
        ("ed25519.pem", "ed25519.pub", [None, None]),
        ("p256-v3.key", "p256-v3.pub", [None, Some("test-only")]),
    ] {
        let (file, prefix) = (foreign(&lab, name), lab.path(&format!("imported-{name}")));
        let ran =
            with(&lab, &["key", "import", &file, "--out", &prefix, "--format", "json"], passwords).exits(0);
        let answer = ran.json();
        assert_eq!(answer["private"], format!("{prefix}.key"), "{ran}");
        assert_eq!(fs::metadata(format!("{prefix}.key")).unwrap().permissions().mode() & 0o777, 0o600);
        let expected = fs::read_to_string(fixtures(&format!("interop/keys/TEST-ONLY-{public}"))).unwrap();
        assert_eq!(fs::read_to_string(format!("{prefix}.pub")).unwrap(), expected, "{ran}");
        let label = if passwords[0].is_some() { "ENCRYPTED PRIVATE KEY" } else { "PRIVATE KEY" };
        assert!(
            fs::read_to_string(format!("{prefix}.key"))
                .unwrap()
                .starts_with(&format!("-----BEGIN {label}-----"))
        );
        assert_eq!(
            with(&lab, &["key", "public", &format!("{prefix}.key")], passwords).exits(0).out,
            expected
        );
        assert!(!ran.err.contains("test-only") && !ran.out.contains("test-only"), "{ran}");
        with(&lab, &["key", "import", &file, "--out", &prefix], passwords).exits(2).says("not overwritten");
    }
    let text = fs::read_to_string(fixtures("interop/keys/TEST-ONLY-p256.pem")).unwrap();
    let mut command = lab.command(lab.program());
    command.args(["key", "import", "env:SECRET", "--out", &lab.path("from-env")]).env("SECRET", text);
    Lab::run(command).exits(0);
}

#[test]
fn every_wrong_file_says_what_it_is() {
    let lab = Lab::new();
    let check = |path: &str, says: &str| {
        let ran = with(&lab, &["key", "public", path], [None, None]).exits(2).says(says);
        assert!(!ran.err.contains("BEGIN"), "{ran}");
    };
    check(&lab.path("signer.pub"), "public key; give the private one");
    check(&foreign(&lab, "p256-encrypted-pkcs8.pem"), "set REPROV_PASSWORD");
    check(&foreign(&lab, "p256-v3.key"), "set COSIGN_PASSWORD");
    let args = |path: &str| ["key".to_owned(), "public".to_owned(), path.to_owned()];
    let wrong = |name: &str, passwords, says: &str| {
        let args = args(&lab.path(name));
        with(&lab, &args.each_ref().map(String::as_str), passwords).exits(2).says(says);
    };
    wrong("p256-encrypted-pkcs8.pem", [Some("guess"), None], "is REPROV_PASSWORD right?");
    wrong("p256-v3.key", [None, Some("guess")], "is COSIGN_PASSWORD right?");
    wrong("p256-v3.key", [Some("test-only"), None], "set COSIGN_PASSWORD");
    let certificate = lab.path("c.pem");
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=x",
        "-keyout",
        "/dev/null",
        "-out",
        &certificate,
    ]);
    check(&certificate, "it holds a certificate");
    let make = |name: &str, args: &[&str]| {
        openssl(&[&["genpkey", "-out", &lab.path(name)], args].concat());
        closed(&lab, name, fs::read(lab.path(name)).unwrap())
    };
    let curve = |curve: &str| format!("ec_paramgen_curve:{curve}");
    check(
        &make("p384.pem", &["-algorithm", "EC", "-pkeyopt", &curve("P-384")]),
        "a P-384 key signs through --signer-command",
    );
    check(&make("k1.pem", &["-algorithm", "EC", "-pkeyopt", &curve("secp256k1")]), "EC (curve 1.3.132.0.10)");
    check(&make("short.pem", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]), "RSA");
    check(&make("x.pem", &["-algorithm", "X25519"]), "does not sign here");
    let dsa = lab.path("dsa.pem");
    openssl(&["dsaparam", "-genkey", "-noout", "-out", &dsa, "1024"]);
    check(&closed(&lab, "dsa2.pem", fs::read(&dsa).unwrap()), "DSA");
    let key = fs::read_to_string(lab.path("signer.key")).unwrap();
    check(&closed(&lab, "cut.key", &key[..key.len() / 2]), "not a PEM file");
    check(&closed(&lab, "two.key", format!("{key}{key}")), "one private key");
    check(&closed(&lab, "empty.key", ""), "reprov key generate");
    check(&closed(&lab, "big.key", vec![b' '; 10 << 20]), "larger than allowed");
    check(&closed(&lab, "bytes.key", [0xff, 0xfe]), "no text");
    check(&lab.path(""), "it is a directory");
    check(&lab.path("gone.key"), "No such file");
    check("/dev/zero", "no regular file");
    check("env:NOT_SET", "NOT_SET is not set");
    let pipe = lab.path("pipe");
    must(Command::new("mkfifo").arg(&pipe));
    let started = Instant::now();
    check(&pipe, "no regular file");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_key_that_others_may_read_is_refused_with_the_line_that_closes_it() {
    let lab = Lab::new();
    let key = lab.path("signer.key");
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    for open in [0o640, 0o604, 0o660, 0o666, 0o644, 0o610] {
        mode(open);
        let ran = lab.reprov(&["key", "public", &key]).exits(2);
        assert!(ran.err.contains(&format!("chmod 600 {key}")), "{ran}");
    }
    for closed in [0o600, 0o400] {
        mode(closed);
        lab.reprov(&["key", "public", &key]).exits(0);
    }
    let link = lab.path("link.key");
    symlink(&key, &link).unwrap();
    lab.reprov(&["key", "public", &link]).exits(0);
    // What is no private key is told as such, open or not.
    lab.reprov(&["key", "public", &lab.path("signer.pub")]).exits(2).says("public key");
}

#[test]
fn what_cannot_be_trusted_says_what_it_is() {
    let lab = Lab::new();
    let digest = format!("sha256:{}", "0".repeat(64));
    let check = |path: &str, says: &str| {
        let args = ["verify", "--bundle", "/nonexistent", "--subject", &digest, "--trust", path];
        lab.reprov(&args).exits(2).says(says);
    };
    check(&lab.path("signer.key"), "reprov key public");
    check(&foreign(&lab, "p256-v3.key"), "reprov key public");
    let certificate = lab.path("c.pem");
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=x",
        "-keyout",
        "/dev/null",
        "-out",
        &certificate,
    ]);
    check(&certificate, "openssl x509");
    let public = |name: &str, args: &[&str]| {
        let (private, public) = (lab.path("p.pem"), lab.path(name));
        openssl(&[args, &["-out", &private]].concat());
        openssl(&["pkey", "-in", &private, "-pubout", "-out", &public]);
        public
    };
    check(
        &public("short.pub", &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]),
        "1024 bits",
    );
    check(
        &public("odd.pub", &["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2040"]),
        "2040 bits",
    );
    check(
        &public("k1.pub", &["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"]),
        "1.3.132.0.10",
    );
    let dsa = lab.path("d.pem");
    openssl(&["dsaparam", "-genkey", "-noout", "-out", &dsa, "1024"]);
    openssl(&["pkey", "-in", &dsa, "-pubout", "-out", &lab.path("d.pub")]);
    check(&lab.path("d.pub"), "DSA");
    check(&closed(&lab, "junk.pub", "hello"), "PEM");
    check("/", "directory");
}
