//! Signing where the key is not at hand: commands that reach one in a token, and commands that do not do as they should.

use std::{fs, path::Path, process::Command, time::Instant};

use crate::support::{Lab, Ran, must};

/// Imports a directory with one file, signed by `line` for the public key `key`.
fn import(lab: &Lab, key: &str, line: &str, more: &[&str], env: &[(&str, &str)]) -> Ran {
    let rootfs = lab.path("rootfs");
    if !Path::new(&rootfs).exists() {
        fs::create_dir_all(format!("{rootfs}/etc")).unwrap();
        fs::write(format!("{rootfs}/etc/os-release"), "ID=none\n").unwrap();
    }
    let to = format!("oci:{}:1", lab.path("layout"));
    let store = lab.path("store");
    let args =
        ["import", &rootfs, "--tag", &to, "--platform", "linux/amd64", "--store", &store, "--format", "json"];
    let mut command = lab.command(lab.program());
    command.args(args).args(["--key", key, "--signer-command", line]).args(more);
    command.envs(env.iter().copied());
    Lab::run(command)
}

fn verify(lab: &Lab, key: &str) -> Ran {
    let image = format!("oci:{}:1", lab.path("layout"));
    lab.reprov(&["verify", &image, "--trust", key, "--store", &lab.path("other"), "--format", "json"])
}

#[test]
fn openssl_signs_and_others_verify() {
    let lab = Lab::new();
    let (private, public) = (lab.path("signer.key"), lab.path("signer.pub"));
    let line = format!("openssl dgst -sha256 -sign {private}");
    let answer = import(&lab, &public, &line, &[], &[]).exits(0).json();
    assert_eq!(answer["provenance"]["signed"], true, "{answer:#}");
    verify(&lab, &public).exits(0);
    // The key's own words are the same.
    let plain = format!("oci:{}:1", lab.path("plain"));
    let args = [
        "import",
        &lab.path("rootfs"),
        "--tag",
        &plain,
        "--platform",
        "linux/amd64",
        "--store",
        &lab.path("store"),
    ];
    lab.reprov(&[&args[..], &["--key", &private]].concat()).exits(0);
}

#[test]
fn a_key_in_a_token_signs() {
    let lab = Lab::new();
    fs::create_dir(lab.path("tokens")).unwrap();
    let conf = lab.path("softhsm2.conf");
    fs::write(&conf, format!("directories.tokendir = {}\nobjectstore.backend = file\n", lab.path("tokens")))
        .unwrap();
    let module = "/usr/lib/softhsm/libsofthsm2.so";
    let run =
        |program: &str, args: &[&str]| must(Command::new(program).args(args).env("SOFTHSM2_CONF", &conf));
    run("softhsm2-util", &["--init-token", "--free", "--label", "ci", "--so-pin", "1234", "--pin", "5678"]);
    let token = ["--module", module, "--token-label", "ci", "--login", "--pin", "5678"];
    let tool = |args: &[&str]| run("pkcs11-tool", &[&token[..], args].concat());
    tool(&["--keypairgen", "--key-type", "EC:prime256v1", "--label", "release", "--id", "01"]);
    let (der, public) = (lab.path("k.der"), lab.path("token.pub"));
    tool(&["--read-object", "--type", "pubkey", "--label", "release", "--output-file", &der]);
    must(Command::new("openssl").args(["pkey", "-pubin", "-inform", "DER", "-in", &der, "-out", &public]));
    let line = format!(
        "sh -c 'openssl dgst -sha256 -binary | pkcs11-tool --module {module} --token-label ci --login --pin env:PIN --sign --mechanism ECDSA --signature-format openssl --label release'"
    );
    let env = [("SOFTHSM2_CONF", conf.as_str()), ("PIN", "5678")];
    import(&lab, &public, &line, &[], &env).exits(0);
    verify(&lab, &public).exits(0);
    let ran =
        import(&lab, &public, &line, &[], &[env[0], ("PIN", "0000")]).exits(3).says("made no signature");
    assert!(!ran.err.contains("0000"), "{ran}");
}

#[test]
fn nothing_is_attached_that_the_key_did_not_sign() {
    let lab = Lab::new();
    lab.reprov(&["key", "generate", "--out", &lab.path("other")]).exits(0);
    let (public, other) = (lab.path("signer.pub"), lab.path("other.key"));
    let private = lab.path("signer.key");
    for (line, says) in [
        ("false".to_owned(), "made no signature"),
        ("/nonexistent/signer".to_owned(), "cannot run"),
        ("echo nonsense".to_owned(), "not a signature"),
        ("true".to_owned(), "0 bytes"),
        (format!("openssl dgst -sha256 -sign {other}"), "Is --key the public key"),
        (
            format!("sh -c 'cat >/dev/null; echo else | openssl dgst -sha256 -sign {private}'"),
            "not a signature",
        ),
        ("sh -c 'echo the token is locked >&2; exit 7'".to_owned(), "the token is locked"),
        ("cat /dev/zero".to_owned(), "said more than"),
    ] {
        import(&lab, &public, &line, &[], &[]).exits(3).says(says);
        let index = fs::read_to_string(lab.path("layout/index.json")).unwrap_or_default();
        assert!(!index.contains("sigstore") && !index.contains("\"1\""), "{line}: {index}");
    }
    let started = Instant::now();
    import(&lab, &public, "sleep 300", &["--signer-timeout", "1s"], &[]).exits(3).says("within 1 s");
    assert!(started.elapsed().as_secs() < 60);
    // Then all is as it should be.
    import(&lab, &public, &format!("openssl dgst -sha256 -sign {private}"), &[], &[]).exits(0);
    verify(&lab, &public).exits(0);
}

#[test]
fn a_command_needs_the_public_key_of_what_it_signs_with() {
    let lab = Lab::new();
    let (private, public) = (lab.path("signer.key"), lab.path("signer.pub"));
    import(&lab, &private, "true", &[], &[]).exits(2).says("reprov key public");
    import(&lab, &public, "", &[], &[]).exits(2).says("names no program");
    import(&lab, &public, "'open", &[], &[]).exits(2).says("quote");
    import(&lab, &public, "true", &["--signer-timeout", "soon"], &[]).exits(2).says("is not a time");
    let to = format!("oci:{}:1", lab.path("layout"));
    lab.reprov(&["import", "/", "--tag", &to, "--signer-command", "true", "--no-sign"]).exits(2);
    lab.reprov(&["import", "/", "--tag", &to]).exits(2).says("--key");
}
