//! What becomes of fetched files: pushed beside the image, elsewhere or not at all; never twice; found again.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::support::{Base, Lab, Mirror, Ran, Registry};

/// As `npm` fetches: many small files, one of them large.
const PACKAGES: usize = 400;

struct Setting {
    lab: Lab,
    registry: Registry,
    mirror: Mirror,
    source: PathBuf,
}

impl Setting {
    fn new(word: &str, packages: usize) -> Self {
        let (lab, registry) = (Lab::new(), Registry::start(&Base::ALL));
        let dockerfile = format!(
            "FROM base.example/tiny:1\nARG MIRROR\nRUN wget -q -O /large $MIRROR/large && i=0 && \
             while [ $i -lt {packages} ]; do i=$((i+1)); wget -q -O - $MIRROR/package/$i || exit 1; done >/packages\n"
        );
        let source = lab.source("many", &[("Dockerfile", &dockerfile)]);
        Self { lab, registry, mirror: Mirror::start(word), source }
    }

    fn build(&self, repository: &str, more: &[&str]) -> Ran {
        let (arg, allow) = (format!("MIRROR={}", self.mirror.url), format!("local={}", self.mirror.url));
        let more = [&["--build-arg", &arg, "--allow", &allow], more].concat();
        self.lab.build(&self.registry, &self.source, &self.registry.name(repository), &more)
    }

    fn rebuild(&self, repository: &str, more: &[&str]) -> Ran {
        self.lab.rebuild(&self.registry.name(repository), more)
    }

    fn statement(&self, repository: &str) -> Value {
        let image = self.registry.image(repository).digest;
        let bundle = self.registry.blob_json(&self.registry.referrer(repository, &image, "sigstore.bundle"));
        let bundle = self.registry.blob_json(bundle["layers"][0]["digest"].as_str().unwrap());
        let payload = bundle["dsseEnvelope"]["payload"].as_str().unwrap();
        let payload = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, payload).unwrap();
        serde_json::from_slice(&payload).unwrap()
    }

    /// `(kept, how many)` of the inputs in the statement.
    fn kept(&self, repository: &str) -> Vec<(String, usize)> {
        let statement = self.statement(repository);
        let all = statement["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().unwrap();
        let mut counts = std::collections::BTreeMap::new();
        for input in all.iter().filter(|input| input["annotations"]["role"] == "input") {
            *counts.entry(input["annotations"]["kept"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        counts.into_iter().collect()
    }
}

fn verdict(ran: &Ran) -> Value {
    ran.json()["images"][0]["verdict"].clone()
}

#[test]
fn many_files_go_in_few_requests_and_never_twice() {
    let setting = Setting::new("many", PACKAGES);
    let built = setting.build("first", &[]).exits(0).json();
    assert_eq!(built["inputs"]["count"], PACKAGES + 1, "{built:#}");
    assert_eq!((&built["inputs"]["to"], &built["inputs"]["local"]["count"]), (&json!("same"), &json!(0)));
    setting.build("without", &["--inputs-to", "none"]).exits(0);
    let of = |repository| setting.registry.requests(repository);
    let (with, without) = (of("first"), of("without"));
    assert!(
        with.len() <= without.len() + 20 + 3,
        "{} requests with the inputs, {} without:\n{}",
        with.len(),
        without.len(),
        with.join("\n")
    );

    // The same inputs again: in the same repository, and in another one.
    let sent = |requests: &[String]| requests.iter().filter(|request| request.starts_with("PATCH ")).count();
    let puts = |requests: &[String]| -> Vec<String> {
        let puts =
            requests.iter().filter(|request| request.starts_with("PUT ") && request.contains("/uploads/"));
        puts.cloned().collect()
    };
    let image = setting.registry.image("first").digest;
    let inputs = setting.registry.blob_json(&setting.registry.referrer("first", &image, "inputs"));
    let bodies: Vec<_> = inputs["layers"].as_array().unwrap().iter().map(|layer| &layer["digest"]).collect();
    assert_eq!(bodies.len(), 2, "one large body, one pack: {inputs:#}");
    setting.build("second", &[]).exits(0);
    let second = of("second");
    for digest in bodies.iter().map(|digest| digest.as_str().unwrap().replace(':', "%3A")) {
        let named =
            |request: &&String| request.contains(&digest) || request.contains(&digest.replace("%3A", ":"));
        let about: Vec<_> = second.iter().filter(named).collect();
        assert!(
            about.iter().any(|request| request.starts_with("POST ") && request.contains("mount=")),
            "{about:?}"
        );
        assert!(!about.iter().any(|request| request.starts_with("PUT ")), "sent again: {about:?}");
    }
    assert!(sent(&second) + puts(&second).len() < sent(&with) + puts(&with).len(), "{second:#?}");
    let before = puts(&of("first")).len();
    setting.build("first", &[]).exits(0);
    let again = puts(&of("first"));
    assert!(
        !again[before..].iter().any(|put| bodies
            .iter()
            .any(|digest| { put.replace("%3A", ":").contains(digest.as_str().unwrap()) })),
        "{again:#?}"
    );
    assert_eq!(verdict(&setting.rebuild("second", &[]).exits(0)), "reproduced");
}

#[test]
fn another_repository_keeps_them() {
    let setting = Setting::new("elsewhere", 3);
    let place = setting.registry.name("kept/inputs").replace(":1", "");
    let built = setting.build("app", &["--inputs-to", &place]).exits(0).json();
    assert_eq!(built["inputs"]["to"], place.as_str(), "{built:#}");
    let image = setting.registry.image("app").digest;
    let types = setting.registry.referrers("app", &image);
    assert!(!types.iter().any(|(kind, _)| kind.contains("inputs")), "{types:?}");
    let artifact = setting.registry.referrer("kept/inputs", &image, "inputs");
    let byproducts = setting.statement("app")["predicate"]["runDetails"]["byproducts"].clone();
    let keeper =
        byproducts.as_array().unwrap().iter().find(|byproduct| byproduct["name"] == "inputs").unwrap();
    assert_eq!(keeper["uri"], format!("docker://{place}@{artifact}"));
    assert_eq!(setting.kept("app"), [("registry".to_owned(), 4)]);
    let rebuilt = setting.rebuild("app", &[]).exits(0);
    assert_eq!(rebuilt.json()["images"][0]["upstream_requests"], 0, "{rebuilt}");
    // Without the keeper's blobs it is said who was asked.
    let manifest = setting.registry.blob_json(&artifact);
    for layer in manifest["layers"].as_array().unwrap() {
        setting.registry.forget_layer("kept/inputs", layer["digest"].as_str().unwrap());
    }
    let ran = setting.rebuild("app", &[]).exits(3);
    assert_eq!(verdict(&ran), "inputs-missing", "{ran}");
    setting
        .build("app2", &["--inputs-to", &format!("{place}:tag")])
        .exits(2)
        .says("name the repository alone");
}

#[test]
fn none_stay_only_here() {
    let setting = Setting::new("none", 3);
    let built = setting.build("app", &["--inputs-to", "none"]).exits(0).json();
    assert_eq!(built["inputs"]["local"]["count"], 4, "{built:#}");
    assert_eq!(setting.kept("app"), [("local".to_owned(), 4)]);
    let image = setting.registry.image("app").digest;
    let types = setting.registry.referrers("app", &image);
    assert!(!types.iter().any(|(kind, _)| kind.contains("inputs")), "{types:?}");
    let elsewhere = setting.rebuild("app", &[]).exits(3);
    assert_eq!(verdict(&elsewhere), "inputs-missing", "{elsewhere}");
    elsewhere.says("kept at the builder alone");
    let store = setting.lab.path("store");
    assert_eq!(verdict(&setting.rebuild("app", &["--store", &store]).exits(0)), "reproduced");
}

#[test]
fn what_was_altered_in_the_cache_is_fetched_again() {
    let setting = Setting::new("altered", 3);
    setting.build("app", &[]).exits(0);
    let store = setting.lab.path("cache");
    setting.rebuild("app", &["--store", &store]).exits(0);
    let image = setting.registry.image("app").digest;
    let mut digests = Vec::new();
    for kind in ["inputs", "source", "log", "transcript"] {
        let manifest = setting.registry.blob_json(&setting.registry.referrer("app", &image, kind));
        let layers = manifest["layers"].as_array().unwrap();
        digests.extend(
            layers.iter().map(|layer| layer["digest"].as_str().unwrap()["sha256:".len()..].to_owned()),
        );
    }
    let transcript = setting.rebuild("app", &["--store", &store]).exits(0);
    assert_eq!(verdict(&transcript), "reproduced");
    // The bodies from the pack, too: everything that is no layer or manifest.
    let base: Vec<_> = ["base.v1"]
        .iter()
        .flat_map(|kind| {
            let manifest = setting.registry.blob_json(&setting.registry.referrer("app", &image, kind));
            manifest["layers"].as_array().unwrap().clone()
        })
        .map(|layer| layer["digest"].as_str().unwrap()["sha256:".len()..].to_owned())
        .collect();
    let mut altered = 0;
    for entry in fs::read_dir(format!("{store}/blobs/sha256")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut bytes = fs::read(&path).unwrap();
        if base.contains(&name) || bytes.is_empty() {
            continue;
        }
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, bytes).unwrap();
        altered += 1;
    }
    assert!(altered > digests.len(), "only {altered} files");
    let ran = setting.rebuild("app", &["--store", &store]).exits(0);
    assert_eq!(verdict(&ran), "reproduced", "{ran}");
}

/// Digests of the bases that are kept beside an image.
fn kept_bases(registry: &Registry, repository: &str) -> Vec<String> {
    let image = registry.image(repository).digest;
    let all = registry.referrers(repository, &image);
    let bases = all.into_iter().filter(|(kind, _)| kind.contains("base.v1"));
    let manifest =
        |digest: String| registry.blob_json(&digest)["layers"][0]["digest"].as_str().unwrap().to_owned();
    let mut found: Vec<_> = bases.map(|(_, digest)| manifest(digest)).collect();
    found.sort();
    found
}

#[test]
fn the_bases_that_are_asked_for_are_kept() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/tiny:1 AS below\nFROM base.example/debian:bookworm AS tools\n\
                      FROM below\nCOPY --from=tools /etc/debian_version /from\n";
    let source = lab.source("bases", &[("Dockerfile", dockerfile)]);
    let digest = |base: Base| {
        let repository = base.used(registry).split_once('/').unwrap().1.split(':').next().unwrap().to_owned();
        let tag = base.used(registry).rsplit(':').next().unwrap().to_owned();
        registry.tag(&repository, &tag).unwrap()
    };
    let (tiny, debian) = (digest(Base::Tiny), digest(Base::Debian));
    let mut both = vec![tiny.clone(), debian];
    both.sort();
    for (keep, expected) in [("none", vec![]), ("final", vec![tiny]), ("all", both)] {
        let repository = format!("bases-{keep}");
        let to = registry.name(&repository);
        lab.build(registry, &source, &to, &["--keep-bases", keep]).exits(0);
        assert_eq!(kept_bases(registry, &repository), expected, "{keep}");
        let ran = lab.rebuild(&to, &[]).exits(0);
        assert_eq!(verdict(&ran), "reproduced", "{keep}: {ran}");
    }
}

#[test]
#[ignore = "slow: make acceptance"]
fn more_files_than_a_statement_lists_are_said_to_stay_here() {
    let setting = Setting::new("thousands", 2001);
    let built = setting.build("app", &["--inputs-to", "none"]).exits(0).json();
    assert_eq!(built["inputs"]["local"]["count"], 2002, "{built:#}");
    assert_eq!(setting.kept("app"), []);
    let elsewhere = setting.rebuild("app", &[]).exits(3);
    assert_eq!(verdict(&elsewhere), "inputs-missing", "{elsewhere}");
    elsewhere.says("2002 inputs").says("kept at the builder alone");
    let store = setting.lab.path("store");
    assert_eq!(verdict(&setting.rebuild("app", &["--store", &store]).exits(0)), "reproduced");
}
