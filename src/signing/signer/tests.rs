//! Commands that sign, fail, hang, and lie. Those that sign are OpenSSL's.

use std::{path::Path, time::Instant};

use super::*;
use crate::signing::KeyType;

fn command(line: &str, public: &PublicKey) -> Signer {
    Signer::Command(SignerCommand::new(line, public.clone(), Duration::from_secs(20)).unwrap())
}

fn key(dir: &Path, kind: KeyType) -> (PublicKey, String) {
    let (key, path) = (PrivateKey::generate(kind), dir.join("k.pem"));
    std::fs::write(&path, &*key.to_pem(None)).unwrap();
    (key.public(), path.display().to_string())
}

#[tokio::test]
async fn openssl_signs_raw_and_in_base64() {
    let dir = tempfile::tempdir().unwrap();
    for kind in [KeyType::P256, KeyType::Rsa] {
        let (public, path) = key(dir.path(), kind);
        for line in [
            format!("openssl dgst -sha256 -sign {path}"),
            format!("sh -c 'openssl dgst -sha256 -sign \"$1\" | openssl base64' sh {path}"),
            format!("sh -c 'openssl dgst -sha256 -sign \"$1\" | base64 -w0 | tr -d = | tr +/ -_' sh {path}"),
        ] {
            let signature = command(&line, &public).sign(b"what is signed").await.unwrap();
            assert_eq!(public.check(b"what is signed", &signature), Checked::Portable, "{line}");
        }
    }
}

#[track_caller]
fn says(error: &SignError, expected: &str) {
    use std::error::Error as _;
    let text = format!("{error}: {}", error.source().map(ToString::to_string).unwrap_or_default());
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn what_is_no_signature_over_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (public, path) = key(dir.path(), KeyType::P256);
    for (line, expected) in [
        (format!("sh -c 'echo other | openssl dgst -sha256 -sign {path}'"), "not a signature"),
        (format!("openssl dgst -sha1 -sign {path}"), "not a signature"),
        ("echo nonsense".to_owned(), "9 bytes"),
        ("true".to_owned(), "0 bytes"),
        ("cat".to_owned(), "not a signature"),
        ("cat /dev/zero".to_owned(), "said more than"),
        ("sh -c 'echo no such slot >&2; exit 3'".to_owned(), "no such slot"),
        ("/nonexistent/signer".to_owned(), "cannot run `/nonexistent/signer`"),
    ] {
        says(&command(&line, &public).sign(b"message").await.unwrap_err(), expected);
    }
    let (stranger, _) = key(dir.path(), KeyType::P256);
    let line = "openssl dgst -sha256 -sign k.pem".replace("k.pem", &path);
    command(&line, &stranger).sign(b"message").await.unwrap();
    says(&command(&line, &public).sign(b"message").await.unwrap_err(), "Is --key the public key");
}

#[tokio::test]
async fn what_others_do_not_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("k.pem");
    let openssl = |args: &[&str]| {
        let ran = std::process::Command::new("openssl").args(args).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    };
    let file = path.to_str().unwrap();
    openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384", "-out", file]);
    let public = PublicKey::from_pem(&openssl(&["pkey", "-in", file, "-pubout"])).unwrap();
    let sign = |hash: &str| command(&format!("openssl dgst -{hash} -sign {file}"), &public);
    sign("sha256").sign(b"message").await.unwrap();
    says(&sign("sha384").sign(b"message").await.unwrap_err(), "sign with SHA-256");
    says(&sign("sha512").sign(b"message").await.unwrap_err(), "not a signature");
}

#[tokio::test]
async fn one_that_hangs_is_killed_with_all_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let (public, _) = key(dir.path(), KeyType::P256);
    let pid = dir.path().join("pid");
    let line = format!("sh -c 'sleep 600 & echo $! > {}; wait'", pid.display());
    let started = Instant::now();
    let hanging = SignerCommand::new(&line, public, Duration::from_secs(1)).unwrap();
    says(&Signer::Command(hanging).sign(b"message").await.unwrap_err(), "did not end within 1 s");
    assert!(started.elapsed() < Duration::from_secs(10));
    let pid = std::fs::read_to_string(pid).unwrap();
    let state = || std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    for _ in 0..100 {
        match state() {
            Ok(stat) if !stat.contains(") Z ") => std::thread::sleep(Duration::from_millis(20)),
            _ => return,
        }
    }
    panic!("it still runs: {:?}", state());
}

#[test]
fn words_are_needed() {
    let public = PrivateKey::generate(KeyType::P256).public();
    let refused = SignerCommand::new("openssl 'dgst", public, Duration::from_secs(1)).unwrap_err();
    assert_eq!(refused.to_string(), "--signer-command: a quote is not closed");
}
