//! `verify --bundle` with bundles of the world: those that the `sigstore-*` crates carry for their own tests, cosign's, and
//! ours; and twins of each that must not pass.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reprov::signing::{KeyType, PrivateKey};
use serde_json::{Value, json};

use crate::support::{Lab, Ran, fixtures};

/// Where cargo keeps the source of a crate that this one depends on. Without it there is nothing to test with, and that is an
/// error.
fn source_of(package: &str) -> PathBuf {
    static METADATA: LazyLock<Value> = LazyLock::new(|| {
        let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
        let mut command = Command::new(cargo);
        let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        command.args(["metadata", "--format-version", "1", "--offline", "--filter-platform", &platform]);
        let output = command
            .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    });
    let packages = METADATA["packages"].as_array().unwrap();
    let package = packages.iter().find(|one| one["name"] == package).expect("it is a dependency");
    Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

fn verify_data(name: &str) -> PathBuf {
    source_of("sigstore-verify").join("test_data").join(name)
}

pub(crate) fn bundle_data(name: &str) -> PathBuf {
    source_of("sigstore-bundle").join("tests/fixtures").join(name)
}

pub(crate) fn production() -> PathBuf {
    source_of("sigstore-trust-root").join("src/trusted_root.json")
}

fn staging() -> PathBuf {
    source_of("sigstore-trust-root").join("src/trusted_root_staging.json")
}

fn github() -> PathBuf {
    source_of("sigstore-trust-root").join("src/trusted_root_github.json")
}

const ACTIONS: &str = "https://token.actions.githubusercontent.com";
const LOGIN: &str = "https://github.com/login/oauth";
const BEACON: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
/// The file that sigstore's conformance suite signs.
const A_TXT: &str = "sha256:a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf";

/// One run of `verify --bundle`.
struct Case {
    bundle: PathBuf,
    subject: String,
    more: Vec<String>,
}

impl Case {
    fn keyless(bundle: PathBuf, root: &Path, subject: &str, identity: &str, issuer: &str) -> Self {
        let root = root.to_str().unwrap();
        let more = ["--trusted-root", root, "--identity", identity, "--issuer", issuer];
        Self { bundle, subject: subject.to_owned(), more: more.map(str::to_owned).to_vec() }
    }

    fn key(bundle: PathBuf, subject: &str, key: &Path) -> Self {
        let more = vec!["--trust".to_owned(), key.to_str().unwrap().to_owned()];
        Self { bundle, subject: subject.to_owned(), more }
    }

    fn run(&self, lab: &Lab) -> Ran {
        let mut args = vec![
            "verify",
            "--bundle",
            self.bundle.to_str().unwrap(),
            "--subject",
            &self.subject,
            "--format",
            "json",
        ];
        args.extend(self.more.iter().map(String::as_str));
        lab.reprov(&args)
    }

    #[track_caller]
    fn passes(&self, lab: &Lab) -> Value {
        let image = self.run(lab).exits(0).json()["images"][0].clone();
        assert_eq!(image["verdict"], "passed", "{image:#}");
        assert_eq!(image["attestations"][0]["verified"], true, "{image:#}");
        image
    }

    /// Refused, for one reason.
    #[track_caller]
    fn fails(&self, lab: &Lab, code: &str) {
        let ran = self.run(lab).exits(1);
        let image = &ran.json()["images"][0];
        let denied: Vec<_> =
            image["findings"].as_array().unwrap().iter().filter(|one| one["severity"] == "deny").collect();
        assert_eq!(denied.len(), 1, "{ran}");
        assert_eq!(denied[0]["code"], code, "{ran}");
        assert_eq!(image["verdict"], "failed", "{ran}");
        assert_eq!(image["attestations"][0]["verified"], false, "{ran}");
        assert_eq!(image["attestations"][0]["signer"], Value::Null, "{ran}");
    }

    /// The same with a bundle that is changed.
    fn edited(&self, lab: &Lab, edit: impl FnOnce(&mut Value)) -> Self {
        let mut bundle = serde_json::from_slice(&fs::read(&self.bundle).unwrap()).unwrap();
        edit(&mut bundle);
        self.instead(lab, bundle.to_string().as_bytes())
    }

    fn instead(&self, lab: &Lab, bytes: &[u8]) -> Self {
        let path = PathBuf::from(lab.path("edited.json"));
        fs::write(&path, bytes).unwrap();
        Self { bundle: path, subject: self.subject.clone(), more: self.more.clone() }
    }

    fn about(&self, subject: &str) -> Self {
        Self { bundle: self.bundle.clone(), subject: subject.to_owned(), more: self.more.clone() }
    }

    /// The same with another trusted root.
    fn rooted(&self, lab: &Lab, edit: impl FnOnce(&mut Value)) -> Self {
        let at = self.more.iter().position(|arg| arg == "--trusted-root").unwrap() + 1;
        let mut root = serde_json::from_slice(&fs::read(&self.more[at]).unwrap()).unwrap();
        edit(&mut root);
        let mut more = self.more.clone();
        more[at] = lab.path("root.json");
        fs::write(&more[at], root.to_string()).unwrap();
        Self { bundle: self.bundle.clone(), subject: self.subject.clone(), more }
    }

    fn with(&self, more: &[&str]) -> Self {
        let more = self.more.iter().cloned().chain(more.iter().map(|&arg| arg.to_owned())).collect();
        Self { bundle: self.bundle.clone(), subject: self.subject.clone(), more }
    }
}

fn entry(bundle: &mut Value) -> &mut Value {
    &mut bundle["verificationMaterial"]["tlogEntries"][0]
}

/// Base64 with a bit of its last whole byte but some flipped.
fn flipped(value: &Value) -> Value {
    let mut bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    STANDARD.encode(bytes).into()
}

/// A v0.3 bundle of a statement, logged in Rekor v1.
fn happy() -> Case {
    Case::keyless(bundle_data("happy-path.json"), &production(), A_TXT, BEACON, ACTIONS)
}

/// A v0.3 bundle of a file, logged and timestamped, by cosign 3.
fn blob() -> Case {
    let file = verify_data("bundles/cosign-v3-blob.txt");
    let bundle = verify_data("bundles/cosign-v3-blob.sigstore.json");
    Case::keyless(bundle, &production(), file.to_str().unwrap(), "w.vollprecht@gmail.com", LOGIN)
}

/// A v0.3 bundle of a file, logged in Rekor v2.
fn second() -> Case {
    let file = verify_data("upstream/sigstore-python/staging-rekor-v2.txt");
    let bundle = verify_data("upstream/sigstore-python/staging-rekor-v2.txt.sigstore.json");
    Case::keyless(bundle, &staging(), file.to_str().unwrap(), "jku@goto.fi", LOGIN)
}

/// A bundle of a file, signed by a key and logged.
fn managed() -> Case {
    let file = verify_data("managed-key/artifact.txt");
    let key = verify_data("managed-key/key.pub");
    Case::key(verify_data("managed-key/bundle.sigstore.json"), file.to_str().unwrap(), &key)
}

#[test]
fn identities_are_verified_under_their_roots() {
    let lab = Lab::new();
    let conda = verify_data("bundles/signed-package-2.1.0-hb0f4dca_0.conda");
    let conda = conda.to_str().unwrap();
    let workflow =
        "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main";
    let whl = "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2";
    let whl_digest = "sha256:c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201";
    let js = "https://github.com/sigstore/sigstore-js/.github/workflows/release.yml@refs/heads/main";
    let js_digest = "sha512:46d4e2f74c4877316640000a6fdf8a8b59f1e0847667973e9859f774dd31b8f1e0937813b777fb66a2ac67d50540fe34640966eee9fc2ccca387082b4c85cd3c";
    let release = "sha256:76f1fe8593bf227cca2c089e3c16dc95014a8d3e89c5dd220530469ca043c428";
    let python = verify_data("upstream/sigstore-python/a.dsse.staging-rekor-v2.txt.sigstore.json");
    let multi = verify_data("sct-multi-intermediate/staging_trusted_root.json");
    let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let custom =
        "https://github.com/sigstore/root-signing-staging/.github/workflows/custom-test.yml@refs/heads/main";
    let valid = verify_data("timestamps/valid_trusted_root.json");
    let bundles = |name: &str| verify_data(&format!("bundles/{name}"));
    for case in [
        happy(),
        blob(),
        second(),
        Case::keyless(bundles("conda-attestation.sigstore.json"), &production(), conda, workflow, ACTIONS),
        Case::keyless(
            bundles("conda-attestation-rekor2.sigstore.json"),
            &staging(),
            conda,
            "jku@goto.fi",
            LOGIN,
        ),
        Case::keyless(bundles("bundle_v3_github.whl.sigstore"), &production(), whl_digest, whl, ACTIONS),
        Case::keyless(
            bundles("sigstore.js@2.0.0-provenance.sigstore.json"),
            &production(),
            js_digest,
            js,
            ACTIONS,
        ),
        Case::keyless(python, &staging(), A_TXT, BEACON, ACTIONS),
        Case::keyless(
            verify_data("sct-multi-intermediate/staging_bundle.sigstore.json"),
            &multi,
            empty,
            custom,
            ACTIONS,
        ),
        Case::keyless(verify_data("timestamps/valid_bundle.json"), &valid, A_TXT, BEACON, ACTIONS),
        // A root without logs: a timestamp is enough, and this authority's certificates name no issuer.
        Case::keyless(
            bundles("github-private-attestation.sigstore.json"),
            &github(),
            release,
            "https://dotcom.releases.github.com",
            "",
        ),
    ] {
        let image = case.passes(&lab);
        assert!(image["attestations"][0]["signer"].is_string(), "{image:#}");
    }
}

#[test]
fn whom_to_believe_is_asked_letter_by_letter_or_by_an_anchored_pattern() {
    let lab = Lab::new();
    let (root, bundle) = (production(), bundle_data("happy-path.json"));
    let by = |identity: [&str; 2], issuer: [&str; 2]| {
        let mut case = Case::keyless(bundle.clone(), &root, A_TXT, "", "");
        case.more.truncate(2);
        case.with(&[identity, issuer].concat())
    };
    let (exact, pattern) = ("--identity", "--identity-pattern");
    let (issuer, like) = (["--issuer", ACTIONS], "--issuer-pattern");
    by([pattern, "https://github.com/sigstore-conformance/*@refs/heads/main"], issuer).passes(&lab);
    by([exact, BEACON], [like, "https://token.actions.githubusercontent.*"]).passes(&lab);
    for (identity, issuer) in [
        ([exact, "https://github.com/sigstore-conformance/*"], issuer),
        ([exact, &BEACON[1..]], issuer),
        ([exact, &BEACON.to_uppercase()], issuer),
        ([exact, ""], issuer),
        ([pattern, "github.com/sigstore-conformance/*"], issuer),
        ([pattern, "https://github.com/sigstore-conformance/*@refs/heads/mai"], issuer),
        ([exact, BEACON], ["--issuer", "https://accounts.google.com"]),
        ([exact, BEACON], ["--issuer", "https://token.actions.githubusercontent.com/"]),
        ([exact, BEACON], ["--issuer", ""]),
        ([exact, BEACON], [like, "*.example.org"]),
    ] {
        by(identity, issuer).fails(&lab, "identity-mismatch");
    }
    for patterns in [[[pattern, "*"], issuer], [[exact, BEACON], [like, "**"]]] {
        by(patterns[0], patterns[1]).run(&lab).exits(2).says("anybody");
    }
}

#[test]
fn who_is_believed_must_be_said() {
    let lab = Lab::new();
    let (root, key) = (production(), verify_data("managed-key/key.pub"));
    let (root, key) = (root.to_str().unwrap(), key.to_str().unwrap());
    let bundle = bundle_data("happy-path.json");
    let base = ["verify", "--bundle", bundle.to_str().unwrap(), "--subject", A_TXT];
    for more in [
        &[][..],
        &["--trusted-root", root],
        &["--trusted-root", root, "--identity", BEACON],
        &["--trusted-root", root, "--issuer", ACTIONS],
        &["--identity", BEACON, "--issuer", ACTIONS],
        // A managed key and an identity at once.
        &["--trust", key, "--trusted-root", root, "--identity", BEACON, "--issuer", ACTIONS],
        &["--trusted-root", "/nonexistent", "--identity", BEACON, "--issuer", ACTIONS],
        &["--trusted-root", key, "--identity", BEACON, "--issuer", ACTIONS],
        &["--trust", root],
    ] {
        lab.reprov(&[&base[..], more].concat()).exits(2);
    }
    lab.reprov(&["verify", "--bundle", bundle.to_str().unwrap(), "--trust", key]).exits(2);
    lab.reprov(&["verify", "--subject", A_TXT, "--trust", key]).exits(2);
}

#[test]
fn what_cannot_be_read_tells_nothing() {
    let lab = Lab::new();
    let case = managed();
    let missing =
        |bundle: &str| Case { bundle: bundle.into(), subject: case.subject.clone(), more: case.more.clone() };
    for bundle in ["/nonexistent", "/", "/dev/zero"] {
        let ran = missing(bundle).run(&lab).exits(3);
        assert_eq!(ran.json()["images"][0]["verdict"], "unknown", "{ran}");
    }
    // Neither a digest nor a file.
    for subject in
        ["sha256:00", "sha256:A0CFC71271D6E278E57CD332FF957C3F7043FDDA354C4CBB190A30D56EFA01BF", "/", "gone"]
    {
        case.about(subject).run(&lab).exits(3);
    }
    let pipe = lab.path("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    case.about(&pipe).run(&lab).exits(3).says("no regular file");
    missing(&pipe).run(&lab).exits(3);
}

#[test]
fn a_certificate_proves_nothing_that_its_root_does_not() {
    let lab = Lab::new();
    for (case, name) in [(happy(), "statement"), (blob(), "file"), (second(), "second log")] {
        // Another root: its authorities, its logs.
        let other = if name == "second log" { production() } else { staging() };
        let bytes = fs::read(other).unwrap();
        let ran =
            case.rooted(&lab, |root| *root = serde_json::from_slice(&bytes).unwrap()).run(&lab).exits(1);
        assert_eq!(ran.json()["images"][0]["verdict"], "failed", "{ran}");
        let without = |field: &str| case.rooted(&lab, |root| root[field] = json!([])).run(&lab).exits(1);
        without("certificateAuthorities");
        without("tlogs");
        without("ctlogs");
        // Authorities and logs of another time.
        for list in ["certificateAuthorities", "ctlogs", "tlogs"] {
            let past = json!({"start": "2000-01-01T00:00:00Z", "end": "2001-01-01T00:00:00Z"});
            let case = case.rooted(&lab, |root| {
                for one in root[list].as_array_mut().unwrap() {
                    let place = if list == "certificateAuthorities" { one } else { &mut one["publicKey"] };
                    place["validFor"] = past.clone();
                }
            });
            // A log's checkpoint stands when its key has retired since; nothing else does.
            if !(name == "second log" && list == "tlogs") {
                case.run(&lab).exits(1);
            }
        }
    }
    let scrambled = verify_data("invalid-ct-key_fail/trusted_root.json");
    let bundle = verify_data("invalid-ct-key_fail/bundle.sigstore.json");
    let ran = Case::keyless(bundle, &scrambled, A_TXT, BEACON, ACTIONS).run(&lab);
    assert!(matches!(ran.code, Some(1 | 2)), "{ran}");
    // A certificate of another: its log entry and its signature are by somebody else.
    let others = serde_json::from_slice::<Value>(&fs::read(blob().bundle).unwrap()).unwrap();
    happy()
        .edited(&lab, |bundle| {
            bundle["verificationMaterial"]["certificate"] =
                others["verificationMaterial"]["certificate"].clone();
        })
        .run(&lab)
        .exits(1);
    // A bit of the certificate: of its signature, or of what is signed.
    let certificate = |bundle: &mut Value| {
        let place = &mut bundle["verificationMaterial"]["certificate"]["rawBytes"];
        *place = flipped(place);
    };
    happy().edited(&lab, certificate).run(&lab).exits(1);
}

#[test]
fn a_log_entry_must_be_in_the_log_and_of_this_bundle() {
    let lab = Lab::new();
    for (case, first) in [(happy(), true), (blob(), true), (second(), false)] {
        let check = |edit: &dyn Fn(&mut Value), codes: &[&str]| {
            let ran = case.edited(&lab, edit).run(&lab).exits(1);
            let code = &ran.json()["images"][0]["findings"][0]["code"];
            assert!(codes.contains(&code.as_str().unwrap()), "{codes:?}: {ran}");
        };
        let log = &["entry-invalid"][..];
        check(
            &|bundle| bundle["verificationMaterial"]["tlogEntries"] = json!([]),
            &["entry-invalid", "entry-missing", "time-unproven"],
        );
        check(&|bundle| drop(entry(bundle).as_object_mut().unwrap().remove("inclusionProof")), log);
        check(&|bundle| entry(bundle)["inclusionProof"]["hashes"][0] = STANDARD.encode([0; 32]).into(), log);
        check(&|bundle| entry(bundle)["inclusionProof"]["hashes"] = json!([]), log);
        check(
            &|bundle| drop(entry(bundle)["inclusionProof"].as_object_mut().unwrap().remove("checkpoint")),
            &["entry-invalid", "bundle-malformed"],
        );
        check(
            &|bundle| {
                let text =
                    entry(bundle)["inclusionProof"]["checkpoint"]["envelope"].as_str().unwrap().to_owned();
                let at = text.rfind(' ').unwrap() + 10;
                let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
                entry(bundle)["inclusionProof"]["checkpoint"]["envelope"] =
                    format!("{}{other}{}", &text[..at], &text[at + 1..]).into();
            },
            &["entry-invalid", "bundle-malformed"],
        );
        check(
            &|bundle| entry(bundle)["inclusionProof"]["checkpoint"]["envelope"] = "nonsense".into(),
            &["entry-invalid", "bundle-malformed"],
        );
        check(
            &|bundle| {
                entry(bundle)["canonicalizedBody"] = flipped(&entry(bundle)["canonicalizedBody"].clone());
            },
            &["entry-invalid", "bundle-malformed"],
        );
        check(&|bundle| entry(bundle)["kindVersion"]["kind"] = "alpine".into(), &["bundle-malformed"]);
        check(&|bundle| entry(bundle)["kindVersion"]["version"] = "9.9.9".into(), &["bundle-malformed"]);
        if first {
            check(&|bundle| entry(bundle)["integratedTime"] = "1600000000".into(), log);
            check(
                &|bundle| {
                    let place = &mut entry(bundle)["inclusionPromise"]["signedEntryTimestamp"];
                    *place = flipped(place);
                },
                log,
            );
            check(&|bundle| entry(bundle)["logIndex"] = "1".into(), log);
            check(&|bundle| entry(bundle)["logId"]["keyId"] = STANDARD.encode([1; 32]).into(), log);
        }
    }
    // A promise proves the time where no timestamp does.
    let unpromised =
        |bundle: &mut Value| drop(entry(bundle).as_object_mut().unwrap().remove("inclusionPromise"));
    happy().edited(&lab, unpromised).fails(&lab, "time-unproven");
    blob().edited(&lab, unpromised).passes(&lab);
}

/// Another's entry, which is good by itself (CVE-2022-36056).
#[test]
fn an_entry_of_another_bundle_proves_nothing() {
    let lab = Lab::new();
    let others = serde_json::from_slice::<Value>(&fs::read(happy().bundle).unwrap()).unwrap();
    let others = &others["verificationMaterial"]["tlogEntries"][0];
    let conda = verify_data("bundles/conda-attestation.sigstore.json");
    let package = verify_data("bundles/signed-package-2.1.0-hb0f4dca_0.conda");
    let workflow =
        "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main";
    let case = Case::keyless(conda, &production(), package.to_str().unwrap(), workflow, ACTIONS);
    case.edited(&lab, |bundle| *entry(bundle) = others.clone()).run(&lab).exits(1);
    // Beside the right one it does no better.
    let both = |bundle: &mut Value| {
        bundle["verificationMaterial"]["tlogEntries"].as_array_mut().unwrap().push(others.clone());
    };
    case.edited(&lab, both).run(&lab).exits(1);
    let cve = verify_data("bundles/bundle_cve_2022_36056.txt.sigstore");
    let digest = "sha256:c87b5b213ab08b32970c106d0c7e4423e67f5449c2fd2d1e9b4ea6cc43b6ee7c";
    Case::keyless(cve, &production(), digest, "william@yossarian.net", LOGIN).run(&lab).exits(1);
}

#[test]
fn a_time_must_be_proven() {
    let lab = Lab::new();
    let case = second();
    case.edited(&lab, |bundle| {
        bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"] = json!([]);
    })
    .fails(&lab, "time-unproven");
    case.edited(&lab, |bundle| {
        let place = &mut bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"][0]
            ["signedTimestamp"];
        let mut token = STANDARD.decode(place.as_str().unwrap()).unwrap();
        *token.last_mut().unwrap() ^= 1; // Of the authority's signature, which stands at its end.
        *place = STANDARD.encode(token).into();
    })
    .fails(&lab, "time-unproven");
    // Another's timestamp, and one beside the right one.
    let others = serde_json::from_slice::<Value>(&fs::read(blob().bundle).unwrap()).unwrap();
    let other = &others["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"][0];
    for keep in [false, true] {
        case.edited(&lab, |bundle| {
            let list = bundle["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
                .as_array_mut()
                .unwrap();
            if !keep {
                list.clear();
            }
            list.push(other.clone());
        })
        .fails(&lab, "time-unproven");
    }
    // An authority that is not trusted, or was not at that time.
    case.rooted(&lab, |root| root["timestampAuthorities"] = json!([])).fails(&lab, "time-unproven");
    case.rooted(&lab, |root| {
        for one in root["timestampAuthorities"].as_array_mut().unwrap() {
            one["validFor"] = json!({"start": "2000-01-01T00:00:00Z", "end": "2001-01-01T00:00:00Z"});
        }
    })
    .fails(&lab, "time-unproven");
    let unsigned = verify_data("bundles/bundle_v3_no_signed_time.txt.sigstore.json");
    let digest = "sha256:ca6de99a11d3d38056d838c7dc9a23a11a0c81bcace0d11eaa301a2ffb482c42";
    Case::keyless(unsigned, &production(), digest, "william@yossarian.net", LOGIN)
        .fails(&lab, "time-unproven");
}

#[test]
fn a_signature_is_over_this_file_and_no_other() {
    let lab = Lab::new();
    let other = lab.path("other.txt");
    fs::write(&other, "something else").unwrap();
    let nothing = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for case in [happy(), blob(), second(), managed()] {
        case.about(&other).fails(&lab, "subject-mismatch");
        case.about(nothing).fails(&lab, "subject-mismatch");
    }
    for case in [blob(), second(), managed()] {
        let file = fs::read(&case.subject).unwrap();
        case.about(&reprov::model::Digest::of(&file).to_string()).passes(&lab);
        let signature = |bundle: &mut Value| {
            let place = &mut bundle["messageSignature"]["signature"];
            *place = flipped(place);
        };
        case.edited(&lab, signature).run(&lab).exits(1);
        let digest = |bundle: &mut Value| {
            let place = &mut bundle["messageSignature"]["messageDigest"]["digest"];
            *place = flipped(place);
        };
        case.edited(&lab, digest).fails(&lab, "subject-mismatch");
        // A signature over other bytes does not pass by a digest that fits.
        let moved = |bundle: &mut Value| {
            let digest = STANDARD.encode(sha256(b"something else"));
            bundle["messageSignature"]["messageDigest"]["digest"] = digest.into();
        };
        case.edited(&lab, moved).about(&other).run(&lab).exits(1);
    }
    let envelope = |edit: fn(&mut Value)| happy().edited(&lab, |bundle| edit(&mut bundle["dsseEnvelope"]));
    envelope(|envelope| envelope["signatures"][0]["sig"] = flipped(&envelope["signatures"][0]["sig"]))
        .run(&lab)
        .exits(1);
    envelope(|envelope| envelope["payload"] = flipped(&envelope["payload"])).run(&lab).exits(1);
    envelope(|envelope| envelope["payloadType"] = "text/plain".into()).fails(&lab, "payload-type");
    happy().with(&["--type", "https://slsa.dev/provenance/v1"]).passes(&lab);
    happy().with(&["--type", "https://slsa.dev/provenance/v0.2"]).fails(&lab, "predicate-missing");
    blob().with(&["--type", "https://slsa.dev/provenance/v1"]).fails(&lab, "predicate-missing");
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    let digest = reprov::model::Digest::of(bytes);
    digest.bytes().to_vec()
}

#[test]
fn what_is_no_bundle_says_why() {
    let lab = Lab::new();
    let bundles = |name: &str| verify_data(&format!("bundles/{name}"));
    let refused = |name: &str, code: &str| {
        Case::keyless(bundles(name), &production(), A_TXT, "william@yossarian.net", LOGIN).fails(&lab, code);
    };
    refused("bundle_invalid_version.txt.sigstore", "bundle-version");
    refused("bundle_no_cert_v1.txt.sigstore", "bundle-malformed");
    refused("dsse-2sigs.sigstore.json", "signatures-too-many");
    let of = |name: &str, digest: &str, identity: &str, issuer: &str| {
        Case::keyless(bundles(name), &production(), digest, identity, issuer)
    };
    let digest = "sha256:802dd60ff88333802f2585e73043bd21c341285e1992fe5b31755e1cadeae30e";
    of("bundle_no_checkpoint.txt.sigstore", digest, "william@yossarian.net", LOGIN)
        .fails(&lab, "entry-invalid");
    let digest = "sha256:9b469fc9761e8b933073b62725fbc98b549c3314199ded71cc8b286ef2c6fb9b";
    let google = "https://accounts.google.com";
    of("bundle_no_log_entry.txt.sigstore", digest, "alex.cameron@trailofbits.com", google)
        .fails(&lab, "entry-invalid");
    let text = fs::read_to_string(happy().bundle).unwrap();
    for (bytes, code) in [
        (String::new(), "json-malformed"),
        ("[]".to_owned(), "bundle-malformed"),
        (format!("\u{feff}{text}"), "json-malformed"),
        (format!("{text}x"), "json-malformed"),
        (text.replacen('{', "{\"mediaType\":\"x\",", 1), "json-duplicate-key"),
        (text.replacen('{', "{\"surprise\":1,", 1), "bundle-malformed"),
        ("[".repeat(200_000), "json-malformed"),
        (text.replace("bundle.v0.3", "bundle.v0.4"), "bundle-version"),
    ] {
        happy().instead(&lab, bytes.as_bytes()).fails(&lab, code);
    }
    happy().instead(&lab, b"\xff\xfe").fails(&lab, "json-malformed");
    happy().instead(&lab, &vec![b' '; 49 << 20]).run(&lab).exits(3).says("larger than allowed");
    let chain = |bundle: &mut Value| {
        let material = bundle["verificationMaterial"].as_object_mut().unwrap();
        let certificate = material.remove("certificate").unwrap();
        material
            .insert("x509CertificateChain".to_owned(), json!({"certificates": [certificate, certificate]}));
    };
    happy().edited(&lab, chain).fails(&lab, "bundle-malformed");
    let both = |bundle: &mut Value| bundle["messageSignature"] = json!({"signature": "AA=="});
    happy().edited(&lab, both).fails(&lab, "bundle-malformed");
    let nobody = |bundle: &mut Value| {
        drop(bundle["verificationMaterial"].as_object_mut().unwrap().remove("certificate"));
    };
    happy().edited(&lab, nobody).fails(&lab, "bundle-malformed");
}

#[test]
fn keys_are_trusted_where_they_are_given() {
    let lab = Lab::new();
    let root = production();
    let rooted = ["--trusted-root", root.to_str().unwrap()];
    let image = managed().passes(&lab);
    assert_eq!(image["findings"][0]["code"], "entry-unchecked", "{image:#}");
    let image = managed().with(&rooted).passes(&lab);
    assert_eq!(image["findings"], json!([]), "{image:#}");
    // Its log entries must be good where there is a root to judge them by.
    let case = managed().with(&rooted);
    case.edited(&lab, |bundle| entry(bundle)["integratedTime"] = "1600000000".into())
        .fails(&lab, "entry-invalid");
    case.edited(&lab, |bundle| entry(bundle)["inclusionProof"]["hashes"] = json!([]))
        .fails(&lab, "entry-invalid");
    // Without entries a key is enough, and what it hints at binds nobody.
    let bare =
        |bundle: &mut Value| bundle["verificationMaterial"] = json!({"publicKey": {"hint": "whoever"}});
    case.edited(&lab, bare).passes(&lab);
    let older = |bundle: &mut Value| {
        bare(bundle);
        bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.2".into();
    };
    case.edited(&lab, older).fails(&lab, "entry-missing");
    let stranger = lab.path("signer.pub");
    let by = |bundle: PathBuf, subject: &str| Case::key(bundle, subject, Path::new(&stranger));
    by(managed().bundle, &managed().subject).fails(&lab, "signer-untrusted");
    by(happy().bundle, A_TXT).fails(&lab, "certificate-untrusted");
    let claims = |bundle: &mut Value| {
        let key = fs::read_to_string(&stranger).unwrap();
        let hint = reprov::attest::PublicKey::from_pem(&key).unwrap().hint();
        bundle["verificationMaterial"] = json!({"publicKey": {"hint": hint}});
    };
    by(managed().bundle, &managed().subject).edited(&lab, claims).fails(&lab, "signature-invalid");
    Case::keyless(managed().bundle, &root, &managed().subject, BEACON, ACTIONS)
        .fails(&lab, "signer-untrusted");
    let raw = |bundle: &mut Value| bundle["verificationMaterial"]["publicKey"] = json!({"rawBytes": "AA=="});
    managed().edited(&lab, raw).fails(&lab, "bundle-malformed");
}

#[test]
fn what_cosign_wrote_is_read() {
    let lab = Lab::new();
    let tiny = "sha256:0e1425798d5a78e0ce805056a90a154dbe33566dbc8ff4fdfb231f3443a8b9d4";
    let interop = fixtures("interop");
    let key = |name: &str| interop.join(format!("keys/TEST-ONLY-{name}.pub"));
    for (bundle, signer) in [
        ("cosign3-bundle.json", "p256-v3"),
        ("cosign3-bundle-rsa.json", "rsa"),
        ("cosign3-bundle-ed25519ph.json", "ed25519"),
    ] {
        let case = Case::key(interop.join(bundle), tiny, &key(signer));
        let image = case.with(&["--type", "https://slsa.dev/provenance/v1"]).passes(&lab);
        let unportable =
            image["findings"].as_array().unwrap().iter().any(|one| one["code"] == "signature-unportable");
        assert_eq!(unportable, signer == "ed25519", "{image:#}");
        Case::key(interop.join(bundle), tiny, &key("p256")).fails(&lab, "signer-untrusted");
        let envelope = |bundle: &mut Value| {
            let place = &mut bundle["dsseEnvelope"]["payload"];
            *place = flipped(place);
        };
        case.edited(&lab, envelope).fails(&lab, "signature-invalid");
    }
}

/// A log of one entry, and whoever signs.
struct Log {
    log: PrivateKey,
    key: PrivateKey,
}

/// How an entry says what was signed.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    File1,
    File2,
    Envelope2,
}

impl Log {
    fn new() -> Self {
        Self { log: PrivateKey::generate(KeyType::P256), key: PrivateKey::generate(KeyType::P256) }
    }

    fn root(&self) -> Value {
        let spki = self.log.public();
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [{
                "baseUrl": "https://log.example.org",
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": STANDARD.encode(spki.spki()),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": {"start": "2020-01-01T00:00:00Z"},
                },
                "logId": {"keyId": spki.hint()},
            }],
        })
    }

    /// What an entry says of a signature over `payload`.
    fn body(&self, kind: Kind, payload: &[u8], signature: &[u8]) -> Value {
        let signed = reprov::attest::pae(IN_TOTO, payload);
        let public = self.key.public();
        let verifier = json!({"publicKey": {"rawBytes": STANDARD.encode(public.spki())}, "keyDetails": "PKIX_ECDSA_P256_SHA_256"});
        match kind {
            Kind::File1 => json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": reprov::model::Digest::of(&signed).hex()}},
                "signature": {"content": STANDARD.encode(signature), "publicKey": {"content": STANDARD.encode(public.to_pem())}},
            }}),
            Kind::File2 => {
                json!({"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": {"hashedRekordV002": {
                    "data": {"algorithm": "SHA2_256", "digest": STANDARD.encode(sha256(&signed))},
                    "signature": {"content": STANDARD.encode(signature), "verifier": verifier},
                }}})
            }
            Kind::Envelope2 => json!({"apiVersion": "0.0.2", "kind": "dsse", "spec": {"dsseV002": {
                "payloadHash": {"algorithm": "SHA2_256", "digest": STANDARD.encode(sha256(payload))},
                "signatures": [{"content": STANDARD.encode(signature), "verifier": verifier}],
            }}}),
        }
    }

    /// The entry of `body` in this log.
    fn entry(&self, kind: Kind, body: &Value) -> Value {
        let body = body.to_string().into_bytes();
        let root = STANDARD.encode(sha256(&[&[0], &body[..]].concat()));
        let note = format!("log.example.org\n1\n{root}\n");
        let id = sha256(self.log.public().spki());
        let signature = STANDARD.encode([&id[..4], &self.log.sign(note.as_bytes())].concat());
        let (name, version) = match kind {
            Kind::File1 => ("hashedrekord", "0.0.1"),
            Kind::File2 => ("hashedrekord", "0.0.2"),
            Kind::Envelope2 => ("dsse", "0.0.2"),
        };
        json!({
            "logIndex": "0",
            "logId": {"keyId": self.log.public().hint()},
            "kindVersion": {"kind": name, "version": version},
            "inclusionProof": {
                "logIndex": "0", "rootHash": root, "treeSize": "1", "hashes": [],
                "checkpoint": {"envelope": format!("{note}\n\u{2014} log.example.org {signature}\n")},
            },
            "canonicalizedBody": STANDARD.encode(body),
        })
    }

    /// A bundle of a statement, logged as `kind`; `edit` changes what the log has of it.
    fn bundle(&self, kind: Kind, payload: &[u8], edit: impl FnOnce(&mut Value)) -> Value {
        let signature = self.key.sign(&reprov::attest::pae(IN_TOTO, payload));
        let mut body = self.body(kind, payload, &signature);
        edit(&mut body);
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {"publicKey": {"hint": ""}, "tlogEntries": [self.entry(kind, &body)]},
            "dsseEnvelope": {
                "payload": STANDARD.encode(payload), "payloadType": IN_TOTO,
                "signatures": [{"sig": STANDARD.encode(signature)}],
            },
        })
    }

    fn case(&self, lab: &Lab, bundle: &Value) -> Case {
        let (key, root, path) = (lab.path("log-key.pub"), lab.path("log-root.json"), lab.path("logged.json"));
        fs::write(&key, self.key.public_pem()).unwrap();
        fs::write(&root, self.root().to_string()).unwrap();
        fs::write(&path, bundle.to_string()).unwrap();
        Case::key(path.into(), A_TXT, Path::new(&key)).with(&["--trusted-root", &root])
    }
}

const IN_TOTO: &str = "application/vnd.in-toto+json";

fn statement() -> Vec<u8> {
    let digest = &A_TXT["sha256:".len()..];
    json!({
        "_type": "https://in-toto.io/Statement/v1", "predicateType": "https://example.org/p/v1", "predicate": {},
        "subject": [{"name": "a.txt", "digest": {"sha256": digest}}],
    })
    .to_string()
    .into_bytes()
}

#[test]
fn entries_of_every_kind_are_judged() {
    let (lab, log, payload) = (Lab::new(), Log::new(), statement());
    let other = log.key.sign(b"something else");
    for kind in [Kind::File1, Kind::File2, Kind::Envelope2] {
        let plain = log.bundle(kind, &payload, |_| {});
        let image = log.case(&lab, &plain).passes(&lab);
        assert_eq!(image["findings"], json!([]), "{kind:?}: {image:#}");
        log.case(&lab, &plain).about(&format!("sha256:{}", "0".repeat(64))).fails(&lab, "subject-mismatch");
        // Another log has it, or says so.
        let stranger =
            Log { log: PrivateKey::generate(KeyType::P256), key: PrivateKey::generate(KeyType::P256) };
        log.case(&lab, &plain).rooted(&lab, |root| *root = stranger.root()).fails(&lab, "entry-invalid");
        // A good entry of another signature, payload or key.
        let wrong = |edit: &dyn Fn(&mut Value)| {
            let case = log.case(&lab, &log.bundle(kind, &payload, edit));
            let ran = case.run(&lab).exits(1);
            let code = ran.json()["images"][0]["findings"][0]["code"].clone();
            assert!(
                ["entry-invalid", "subject-mismatch", "bundle-malformed"].contains(&code.as_str().unwrap()),
                "{kind:?}: {ran}"
            );
        };
        wrong(&|body| *body = log.body(kind, &payload, &other));
        wrong(&|body| *body = log.body(kind, b"{}", &log.key.sign(&reprov::attest::pae(IN_TOTO, &payload))));
        let theirs = |body: &mut Value| {
            let signature = log.key.sign(&reprov::attest::pae(IN_TOTO, &payload));
            *body = stranger.body(kind, &payload, &signature);
        };
        wrong(&theirs);
        if kind == Kind::Envelope2 {
            wrong(&|body| body["kind"] = "alpine".into());
        }
        wrong(&|body| body["spec"] = json!({}));
        // What the log has is not what the entry says, or the proof is none.
        let tampered = |edit: &dyn Fn(&mut Value)| {
            let mut bundle = plain.clone();
            edit(entry(&mut bundle));
            log.case(&lab, &bundle).run(&lab).exits(1);
        };
        tampered(&|entry| {
            entry["canonicalizedBody"] = STANDARD.encode(log.body(kind, b"{}", &other).to_string()).into();
        });
        tampered(&|entry| entry["inclusionProof"]["hashes"] = json!([STANDARD.encode([0; 32])]));
        tampered(&|entry| entry["inclusionProof"]["checkpoint"] = Value::Null);
        tampered(&|entry| drop(entry.as_object_mut().unwrap().remove("inclusionProof")));
        if kind != Kind::File1 {
            tampered(&|entry| entry["logIndex"] = "1".into()); // The first Rekor's proof has an index of its own.
        }
        tampered(&|entry| entry["canonicalizedBody"] = "".into());
        let mut signature = plain.clone();
        signature["dsseEnvelope"]["signatures"][0]["sig"] =
            STANDARD.encode(log.key.sign(&reprov::attest::pae(IN_TOTO, &payload))).into();
        log.case(&lab, &signature).run(&lab).exits(1);
    }
    // Statements that are none, though all else is right.
    let text = String::from_utf8(payload).unwrap();
    for (from, to, code) in [
        ("Statement/v1", "Statement/v9", "statement-type"),
        ("\"_type\"", "\"_tipe\"", "statement-type"),
        ("\"predicate\":{}", "\"predicate\":null", "predicate-empty"),
        ("\"subject\":[", "\"subject\":[],\"x\":[", "subject-malformed"),
        ("sha256", "sha2566", "subject-malformed"),
        ("{\"_type\"", "{\"_type\":\"x\",\"_type\"", "json-duplicate-key"),
    ] {
        assert!(text.contains(from), "{text}");
        let bundle = log.bundle(Kind::File2, text.replace(from, to).as_bytes(), |_| {});
        let ran = log.case(&lab, &bundle).run(&lab).exits(1);
        let found = &ran.json()["images"][0]["findings"][0]["code"];
        assert!(found == code || found == "bundle-malformed", "{code}: {ran}");
    }
}
