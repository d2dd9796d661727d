//! `evidence` of what was signed by identities: certificates, log proofs and the trusted root go into the archive, and it is
//! judged by them alone.

use std::{collections::BTreeMap, fs};

use reprov::{
    dossier::{self, Contents, Identity, Member, TrustedRoot},
    model::Digest,
};
use serde_json::Value;

use super::archive::{flipped, read, verify};
use crate::{
    bundles,
    support::{Lab, Ran, Sigstore},
    verify::stand::{BUILDER, BUNDLE, By, NOW, PROVENANCE, REBUILD, Stand},
};

const IDENTITY: &str = "https://ci.example.org/app/.github/workflows/build.yml@refs/heads/main";
const ISSUER: &str = "https://token.example.org";

/// An image whose provenance an identity signed, and the policy that trusts it.
struct Signed {
    stand: Stand,
    sigstore: Sigstore,
}

/// A `[[trust]]` in an identity.
fn trust(identity: &str) -> String {
    format!("[[trust]]\nidentity = \"{identity}\"\nissuer = \"{ISSUER}\"\nbuilders = [\"{BUILDER}\"]\n")
}

fn policy(tables: &str) -> String {
    format!("name = \"ours\"\ntrusted-root = \"root.json\"\nbuilders = [\"*\"]\n{tables}")
}

impl Signed {
    fn new() -> Self {
        let signed = Self { stand: Stand::new(), sigstore: Sigstore::new() };
        signed.attach(&signed.sigstore);
        signed.write("root.json", signed.sigstore.trusted_root().to_string().as_bytes());
        signed
            .write("policy.toml", policy(&trust("https://ci.example.org/app/*@refs/heads/main")).as_bytes());
        signed
    }

    fn lab(&self) -> &Lab {
        &self.stand.lab
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.lab().path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// A provenance that names nothing below it, by the identity and by the word of `sigstore`.
    fn attach(&self, sigstore: &Sigstore) {
        let mut predicate = self.stand.predicate();
        let below =
            |one: &Value| ["base", "buildroot"].iter().any(|role| one["annotations"]["role"] == *role);
        let dependencies = &mut predicate["buildDefinition"]["resolvedDependencies"];
        dependencies.as_array_mut().unwrap().retain(|one| !below(one));
        let statement = self.stand.statement(PROVENANCE, &predicate).to_string();
        let bundle = sigstore.bundle(IDENTITY, ISSUER, statement.as_bytes());
        self.stand.attach_blob(BUNDLE, bundle.to_string().as_bytes());
    }

    fn make(&self, out: &str, policy: &str, more: &[&str]) -> Ran {
        let (name, store) = (self.stand.name(), self.lab().path("auditor"));
        let (out, policy) = (self.lab().path(out), self.lab().path(policy));
        let args = ["evidence", &name, "--out", &out, "--policy", &policy, "--store", &store, "--as-of", NOW];
        self.lab().reprov(&[&args[..], &["--format", "json"], more].concat())
    }

    fn made(&self) -> Value {
        self.make("one.tar", "policy.toml", &[]).exits(0).json()
    }
}

/// The archive `one.tar` with other contents, rightly listed and sealed.
pub(super) fn rewritten(lab: &Lab, edit: impl FnOnce(&mut Contents, &mut BTreeMap<String, Vec<u8>>)) {
    let bytes = fs::read(lab.path("one.tar")).unwrap();
    let mut bodies = BTreeMap::new();
    let keep = |member: &Member, body: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        body.read_to_end(&mut bytes)?;
        bodies.insert(member.path.clone(), bytes);
        Ok(())
    };
    let mut contents = dossier::read(&bytes[..], keep).unwrap().contents;
    edit(&mut contents, &mut bodies);
    let listed = |(path, bytes): (&String, &Vec<u8>)| Member {
        path: path.clone(),
        size: bytes.len() as u64,
        digest: Digest::of(bytes),
    };
    contents.members = bodies.iter().map(listed).collect();
    let mut out = Vec::new();
    dossier::write(&contents, &mut out, |member| Ok(&bodies[&member.path][..])).unwrap();
    fs::write(lab.path("changed.tar"), out).unwrap();
}

const ROOT: &str = "roots/trusted_root.json";

/// Puts another trusted root in its place.
fn put_root(contents: &mut Contents, bodies: &mut BTreeMap<String, Vec<u8>>, bytes: &[u8]) {
    contents.trusted_root = Some(TrustedRoot { digest: Digest::of(bytes), member: ROOT.into() });
    bodies.insert(ROOT.into(), bytes.to_vec());
}

#[test]
fn signers_by_certificate_stand_alone() {
    let signed = Signed::new();
    let made = signed.made();
    assert_eq!((&made["verdict"], &made["keys"]), (&"passed".into(), &Value::Array(Vec::new())), "{made:#}");
    assert_eq!(made["identities"][0]["issuer"], ISSUER);
    let Signed { stand: Stand { lab, registry, .. }, sigstore: _ } = signed;
    drop(registry); // From here on there is nobody to ask.

    let checked = verify(&lab, "one.tar", &[]).exits(0).json();
    for same in ["digest", "judged", "identities", "trusted_root", "verdict"] {
        assert_eq!(checked[same], made[same], "{same}");
    }
    let listed = read(&lab, "one.tar", "evidence.json");
    let root = fs::read(lab.path("root.json")).unwrap();
    assert_eq!(listed["trusted_root"]["digest"], Digest::of(&root).to_string());
    assert_eq!(listed["identities"][0]["identity"], "https://ci.example.org/app/*@refs/heads/main");
    let trace = read(&lab, "one.tar", "trace.json").to_string();
    assert!(trace.contains("signed by a trusted identity, by its certificate"), "{trace}");
    let index = read(&lab, "one.tar", "index.json");
    let requirements = index["requirements"].as_array().unwrap();
    let authentic = requirements.iter().find(|one| one["id"] == "L2 provenance is authentic").unwrap();
    assert_eq!(authentic["shown_by"], serde_json::json!(["image", "roots"]));
    flipped(&lab, &fs::read(lab.path("one.tar")).unwrap());
}

#[test]
fn an_auditor_demands_his_own_root_and_policy() {
    let signed = Signed::new();
    signed.made();
    let lab = signed.lab();
    let (policy, root) = (lab.path("policy.toml"), lab.path("root.json"));
    verify(lab, "one.tar", &["--policy", &policy, "--trusted-root", &root]).exits(0);
    let differs = |more: &[&str], word: &str| {
        let ran = verify(lab, "one.tar", more).exits(1);
        let answer = ran.json();
        assert!(answer["error"].is_null(), "{ran}");
        assert!(answer["differs"].to_string().contains(word), "{word}: {ran}");
    };
    let production = bundles::production();
    differs(&["--trusted-root", production.to_str().unwrap()], "not the one given with --trusted-root");
    // Keys alone vouch for no identity, unless a policy names it too.
    let key = By::Ours.public();
    differs(&["--trust", &key], "is no key given with --trust");
    verify(lab, "one.tar", &["--trust", &key, "--policy", &policy]).exits(0);
    // The very policy, beside another root.
    fs::create_dir(lab.path("other")).unwrap();
    let other = signed.write("other/policy.toml", &fs::read(&policy).unwrap());
    signed.write("other/root.json", Sigstore::new().trusted_root().to_string().as_bytes());
    differs(&["--policy", &other], "not the one that the policy given with --policy names");
    verify(lab, "one.tar", &["--trusted-root", &policy]).exits(2);
    // Where no identity is believed there is no root to be his.
    signed.stand.honest();
    signed.write("keys.toml", b"builders = [\"*\"]\n");
    signed.make("keys.tar", "keys.toml", &["--trust", &key]).exits(0);
    let ran = verify(lab, "keys.tar", &["--trusted-root", &root]).exits(1);
    assert!(ran.json()["differs"].to_string().contains("by keys alone"), "{ran}");
    let listed = read(lab, "keys.tar", "evidence.json");
    assert!(
        listed.get("identities").is_none() && listed.get("trusted_root").is_none(),
        "as before: {listed}"
    );
}

#[test]
fn whose_own_root_it_is_anybody_may_be_anybody() {
    let (signed, stranger) = (Signed::new(), Sigstore::new());
    let root = signed.lab().path("own.json");
    fs::rename(signed.lab().path("root.json"), &root).unwrap();
    signed.attach(&stranger);
    signed.write("root.json", stranger.trusted_root().to_string().as_bytes());
    signed.made();
    verify(signed.lab(), "one.tar", &[]).exits(0);
    verify(signed.lab(), "one.tar", &["--trusted-root", &root]).exits(1);
    // The same archive with the right root: what the stranger's authority certified is not believed, ours is.
    rewritten(signed.lab(), |contents, bodies| put_root(contents, bodies, &fs::read(&root).unwrap()));
    verify(signed.lab(), "changed.tar", &["--trusted-root", &root]).exits(0);
}

#[test]
fn keys_and_identities_stand_in_their_places() {
    let signed = Signed::new();
    let (lab, key) = (signed.lab(), |by: By, more: &str| {
        format!("[[trust]]\nkey = \"{}\"\nbuilders = [\"*\"]\n{more}", by.public())
    });
    let kinds = format!("predicates = [\"{REBUILD}\"]\n");
    let tables =
        [key(By::Ours, &kinds), trust("https://ci.example.org/*"), key(By::Other, ""), trust(IDENTITY)];
    signed.write("policy.toml", policy(&tables.concat()).as_bytes());
    let made = signed.made();
    assert_eq!(made["keys"].as_array().unwrap().len(), 2, "{made:#}");
    assert_eq!(made["identities"].as_array().unwrap().len(), 2, "{made:#}");
    verify(lab, "one.tar", &["--policy", &lab.path("policy.toml")]).exits(0);

    refused(lab, "the identity", |contents, _| contents.identities.swap(0, 1));
    refused(lab, "an identity of its policy is missing", |contents, _| drop(contents.identities.pop()));
    refused(lab, "a key of its policy is missing", |contents, _| drop(contents.keys.pop()));
    refused(lab, "that its policy does not name", |contents, _| {
        let key = contents.keys[0].clone();
        contents.keys.push(key);
    });
    refused(lab, "a key of its policy is missing", |contents, _| contents.keys[1].by = "flag".into());
    // Keys in each other's places: each is one of the archive's, but may say other things.
    rewritten(lab, |contents, _| contents.keys.swap(0, 1));
    let ran = verify(lab, "changed.tar", &["--policy", &lab.path("policy.toml")]).exits(1);
    assert!(ran.json()["differs"].to_string().contains("its keys are not those"), "{ran}");
    // One more that the policy does not name, and would say anything.
    rewritten(lab, |contents, _| {
        let key = dossier::Key { by: "flag".into(), ..contents.keys[1].clone() };
        contents.keys.insert(0, key);
    });
    let ran = verify(lab, "changed.tar", &["--policy", &lab.path("policy.toml")]).exits(1);
    assert!(ran.json()["differs"].to_string().contains("was believed beside the policy"), "{ran}");
}

#[track_caller]
fn refused(lab: &Lab, why: &str, edit: impl FnOnce(&mut Contents, &mut BTreeMap<String, Vec<u8>>)) {
    rewritten(lab, edit);
    let ran = verify(lab, "changed.tar", &[]).exits(1);
    let error = ran.json()["error"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains(why), "{why}: {ran}");
}

#[test]
fn what_is_no_trusted_root_is_refused() {
    let signed = Signed::new();
    signed.made();
    let lab = signed.lab();
    refused(lab, "its trusted root cannot be read", |contents, bodies| {
        put_root(contents, bodies, b"\x1b[2Jjunk");
    });
    refused(lab, "its trusted root cannot be read", |contents, bodies| put_root(contents, bodies, b"{}"));
    refused(lab, "its trusted root is no text", |contents, bodies| put_root(contents, bodies, b"\xff\xfe"));
    refused(lab, "its trusted root is larger than allowed", |contents, bodies| {
        let root = [bodies[ROOT].as_slice(), &vec![b' '; 10 << 20]].concat();
        put_root(contents, bodies, &root);
    });
    refused(lab, "its trusted root is missing", |_, bodies| drop(bodies.remove(ROOT)));
    refused(lab, "its trusted root is another than", |_, bodies| {
        bodies.get_mut(ROOT).unwrap().push(b'\n');
    });
    refused(lab, "no trusted root says", |contents, _| contents.trusted_root = None);
    refused(lab, "an identity of its policy is missing", |contents, _| contents.identities.clear());
    refused(lab, "the identity evil (\\u{202e}x) is not", |contents, _| {
        contents.identities.push(Identity { identity: "evil".into(), issuer: "\u{202e}x".into() });
    });
    refused(lab, "the identity", |contents, _| contents.identities[0].issuer.push('/'));
    refused(lab, "the identity", |contents, _| contents.identities[0].identity = "*".into());
    // A root that would be good, under a member that leads to another.
    refused(lab, "its trusted root is another than", |contents, _| {
        contents.trusted_root.as_mut().unwrap().member = "policy.toml".into();
    });
    for elsewhere in ["../root.json", "/etc/passwd", "evidence.json", "image"] {
        refused(lab, "its trusted root is missing", |contents, _| {
            contents.trusted_root.as_mut().unwrap().member = elsewhere.into();
        });
    }
    // Nobody believed it when this was made, and nobody says so now.
    rewritten(lab, |contents, bodies| {
        put_root(contents, bodies, Sigstore::new().trusted_root().to_string().as_bytes());
    });
    let ran = verify(lab, "changed.tar", &[]).exits(1);
    assert!(ran.json()["differs"].to_string().contains("judged now as failed"), "{ran}");
}

#[test]
fn two_roots_of_one_name_are_refused() {
    let signed = Signed::new();
    signed.made();
    let bytes = fs::read(signed.lab().path("one.tar")).unwrap();
    let at = bytes.windows(ROOT.len()).rposition(|window| window == ROOT.as_bytes()).unwrap();
    let size = fs::metadata(signed.lab().path("root.json")).unwrap().len();
    let end = at + 512 + usize::try_from(size.next_multiple_of(512)).unwrap();
    let twice = [&bytes[..end], &bytes[at..]].concat();
    signed.write("changed.tar", &twice);
    let ran = verify(signed.lab(), "changed.tar", &[]).exits(1);
    assert!(ran.json()["error"].as_str().unwrap().contains(ROOT), "{ran}");
}

/// The world's own: a bundle by a CI's identity under sigstore's production root, which is about another file.
#[test]
fn a_real_bundle_about_something_else_is_kept_and_not_believed() {
    let signed = Signed::new();
    let happy = fs::read(bundles::bundle_data("happy-path.json")).unwrap();
    signed.stand.attach_blob(BUNDLE, &happy);
    signed.write("root.json", &fs::read(bundles::production()).unwrap());
    let tables = "[[trust]]\nidentity = \"https://github.com/*\"\nissuer = \"https://token.actions.githubusercontent.com\"\n";
    signed.write("policy.toml", policy(tables).as_bytes());
    let made = signed.make("one.tar", "policy.toml", &[]).exits(1).json();
    assert_eq!(made["verdict"], "failed", "{made:#}");
    let lab = signed.lab();
    let checked = verify(lab, "one.tar", &["--policy", &lab.path("policy.toml")]).exits(1).json();
    assert_eq!((&checked["judged"], &checked["differs"]), (&made["judged"], &serde_json::json!([])));
    let hex = Digest::of(&happy).hex();
    let kept = dossier::read(&fs::read(lab.path("one.tar")).unwrap()[..], |_, _| Ok(())).unwrap().contents;
    assert!(kept.members.iter().any(|member| member.path.ends_with(&hex)), "it is in the archive");
}
