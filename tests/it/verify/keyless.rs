//! Identities instead of keys: a real bundle of a CI's, and what is no such identity.

use std::{fs, path::PathBuf, process::Command};

use reprov::{
    job::verify::keyless::vouch,
    model::{Descriptor, Digest},
    policy::{Allowed, Policy},
    signing::keyless::TrustedRoot,
    verify::{Candidate, Code, Form, Judged, Place, Root, RootSigner, Roots, State, open},
};
use serde_json::Value;

const ISSUER: &str = "https://token.actions.githubusercontent.com";

fn source_of(package: &str) -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let args = [
        "metadata",
        "--filter-platform",
        &platform,
        "--format-version",
        "1",
        "--offline",
        "--manifest-path",
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
    ];
    let output = Command::new(cargo).args(args).output().unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found =
        metadata["packages"].as_array().unwrap().iter().find(|one| one["name"] == package).unwrap().clone();
    PathBuf::from(found["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

/// What a bundle that a CI's identity signed is taken for, where this identity and issuer are trusted.
fn state(identity: &str, issuer: &str) -> (Vec<usize>, State) {
    let data = source_of("sigstore-verify").join("test_data/bundles");
    let bytes = fs::read(data.join("conda-attestation.sigstore.json")).unwrap();
    let root = source_of("sigstore-trust-root").join("src/trusted_root.json");
    let trusted = TrustedRoot::parse(&fs::read_to_string(root).unwrap()).unwrap();
    let text = format!(
        "trusted-root = \"x\"\nbuilders = [\"*\"]\n[[trust]]\nidentity = \"{identity}\"\nissuer = \"{issuer}\"\n"
    );
    let policy = Policy::parse(&text, &[]).unwrap();
    let reprov::policy::Signer::Identity { identity, issuer } = policy.trust[0].signer.clone() else {
        panic!("no identity")
    };
    let key = reprov::signing::PrivateKey::generate(reprov::signing::KeyType::P256).public();
    let root = Root { signer: RootSigner::Identity { identity, issuer }, ..Root::key(key, Allowed::Any, 3) };
    let roots = Roots(vec![root]);
    let envelope = reprov::attest::Bundle::parse(&bytes).unwrap().envelope;
    let hex = envelope.statement().unwrap().subject[0].digest["sha256"].clone();
    let digest = Digest::from_hex(&hex).unwrap();
    let judged = Judged {
        image: "app".to_owned(),
        descriptor: Descriptor::new("application/vnd.oci.image.manifest.v1+json", digest, 1),
        sha512: String::new(),
        index: false,
    };
    let mut candidate = Candidate::new(Place::File(digest), Form::Bundle, bytes, None);
    vouch(&mut candidate, &roots, &trusted, &digest);
    (candidate.vouched.clone(), open(candidate, &roots, &judged).state)
}

#[test]
fn an_identity_is_trusted_for_what_it_signed() {
    let (vouched, state) = state("https://github.com/*", ISSUER);
    assert_eq!(vouched, [0]);
    let State::Believed(believed) = state else { panic!("{state:?}") };
    assert_eq!(believed.roots, [0]);
}

#[test]
fn another_identity_or_issuer_is_not() {
    for (identity, issuer) in [
        ("https://github.com/somebody/else", ISSUER),
        ("https://github.com/*", "https://accounts.example.org"),
    ] {
        let (vouched, state) = state(identity, issuer);
        assert_eq!(vouched, [0; 0]);
        let State::Refused(refused) = state else { panic!("{state:?}") };
        assert_eq!(refused.code, Code::CertificateUntrusted, "{refused:?}");
    }
}
