//! `reprov copy`: an index with all that refers to it and to its parts, between both kinds of registry and a directory.

use std::{collections::BTreeSet, fs, path::Path, process::Stdio, thread, time::Duration};

use serde_json::{Value, json};

use crate::support::{ApiRegistry, Fault, Faulty, Lab, Ran, Registry, Serves, Settings, sha256};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// A registry that is filled and looked into behind its back.
pub(crate) trait Shelf: Serves {
    fn put_blob(&self, repository: &str, bytes: &[u8]) -> String;
    fn put_manifest(&self, repository: &str, manifest: &Value) -> String;
    fn set_tag(&self, repository: &str, tag: &str, digest: &str);
    fn tag(&self, repository: &str, tag: &str) -> Option<String>;
    fn referrers(&self, repository: &str, subject: &str) -> Vec<String>;
    fn has_blob(&self, repository: &str, digest: &str) -> bool;
    fn manifest(&self, repository: &str, digest: &str) -> Option<Value>;
    fn requests(&self, repository: &str) -> Vec<String>;
    fn blob(&self, digest: &str) -> Vec<u8>;
    /// Whether what refers to something has to be listed by a tag.
    fn lists_by_tag(&self) -> bool;

    fn name(&self, repository: &str) -> String {
        format!("{}/{repository}:1", self.host())
    }

    /// A manifest that is there.
    fn opened(&self, repository: &str, digest: &str) -> Value {
        self.manifest(repository, digest).unwrap_or_else(|| panic!("{digest} is not in {repository}"))
    }
}

impl Shelf for Registry {
    fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        Self::put_blob(self, repository, bytes)
    }
    fn put_manifest(&self, repository: &str, manifest: &Value) -> String {
        Self::put_manifest(self, repository, manifest)
    }
    fn set_tag(&self, repository: &str, tag: &str, digest: &str) {
        Self::set_tag(self, repository, tag, digest);
    }
    fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        Self::tag(self, repository, tag)
    }
    fn referrers(&self, repository: &str, subject: &str) -> Vec<String> {
        if Self::tag(self, repository, &subject.replace(':', "-")).is_none() {
            return Vec::new();
        }
        Self::referrers(self, repository, subject).into_iter().map(|(_, digest)| digest).collect()
    }
    fn has_blob(&self, repository: &str, digest: &str) -> bool {
        Self::has_blob(self, repository, digest)
    }
    fn manifest(&self, repository: &str, digest: &str) -> Option<Value> {
        self.has_manifest(repository, digest).then(|| self.blob_json(digest))
    }
    fn requests(&self, repository: &str) -> Vec<String> {
        Self::requests(self, repository)
    }
    fn blob(&self, digest: &str) -> Vec<u8> {
        Self::blob(self, digest)
    }
    fn lists_by_tag(&self) -> bool {
        true
    }
}

impl Shelf for ApiRegistry {
    fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        Self::put_blob(self, repository, bytes)
    }
    fn put_manifest(&self, repository: &str, manifest: &Value) -> String {
        Self::put_manifest(self, repository, manifest)
    }
    fn set_tag(&self, repository: &str, tag: &str, digest: &str) {
        Self::set_tag(self, repository, tag, digest);
    }
    fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        Self::tag(self, repository, tag)
    }
    fn referrers(&self, repository: &str, subject: &str) -> Vec<String> {
        Self::referrers(self, repository, subject).into_iter().map(|(_, digest)| digest).collect()
    }
    fn has_blob(&self, repository: &str, digest: &str) -> bool {
        Self::has_blob(self, repository, digest)
    }
    fn manifest(&self, repository: &str, digest: &str) -> Option<Value> {
        Some(serde_json::from_slice(&Self::manifest(self, repository, digest)?.1).unwrap())
    }
    fn requests(&self, repository: &str) -> Vec<String> {
        Self::requests(self, repository)
    }
    fn blob(&self, digest: &str) -> Vec<u8> {
        Self::blob(self, digest).unwrap()
    }
    fn lists_by_tag(&self) -> bool {
        self.is_apiless()
    }
}

/// What a blob of these bytes is called.
fn blob(media_type: &str, bytes: &[u8]) -> Value {
    json!({"mediaType": media_type, "digest": sha256(bytes), "size": bytes.len()})
}

/// Stores a manifest of these layers.
pub(crate) fn manifest(shelf: &dyn Shelf, repository: &str, layers: &[&[u8]]) -> Value {
    let config =
        json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
    let config = config.to_string().into_bytes();
    shelf.put_blob(repository, &config);
    let layers: Vec<Value> = layers
        .iter()
        .map(|layer| {
            shelf.put_blob(repository, layer);
            blob("application/vnd.oci.image.layer.v1.tar", layer)
        })
        .collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "config": blob("application/vnd.oci.image.config.v1+json", &config), "layers": layers});
    shelf.put_manifest(repository, &manifest);
    blob(MANIFEST, manifest.to_string().as_bytes())
}

/// Stores a bundle about `subject`, not listed yet.
pub(crate) fn bundle(shelf: &dyn Shelf, repository: &str, subject: &Value, text: &str) -> Value {
    shelf.put_blob(repository, b"{}");
    shelf.put_blob(repository, text.as_bytes());
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": BUNDLE,
        "config": blob("application/vnd.oci.empty.v1+json", b"{}"),
        "layers": [blob(BUNDLE, text.as_bytes())], "subject": subject, "annotations": {"text": text}});
    bundle_manifest(shelf, repository, &manifest)
}

/// Stores a manifest; how it is listed.
pub(crate) fn bundle_manifest(shelf: &dyn Shelf, repository: &str, manifest: &Value) -> Value {
    shelf.put_manifest(repository, manifest);
    blob(MANIFEST, manifest.to_string().as_bytes())
}

/// Lists `entries` as referring to `subject`, where the registry does not do that.
pub(crate) fn list(shelf: &dyn Shelf, repository: &str, subject: &str, entries: &[Value]) {
    if shelf.lists_by_tag() {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries});
        let digest = shelf.put_manifest(repository, &index);
        shelf.set_tag(repository, &subject.replace(':', "-"), &digest);
    }
}

/// Stores what cosign 2 attaches.
fn attachment(shelf: &dyn Shelf, repository: &str, tag: &str, texts: &[&str]) -> String {
    let mut layers = Vec::new();
    for text in texts {
        shelf.put_blob(repository, text.as_bytes());
        let mut layer = blob("application/vnd.dsse.envelope.v1+json", text.as_bytes());
        layer["annotations"] = json!({"dev.cosignproject.cosign/signature": ""});
        layers.push(layer);
    }
    shelf.put_blob(repository, b"{\"config\":{}}");
    let config = blob("application/vnd.oci.image.config.v1+json", b"{\"config\":{}}");
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers});
    let digest = shelf.put_manifest(repository, &manifest);
    shelf.set_tag(repository, tag, &digest);
    digest
}

/// What was made, and has to arrive.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) index: String,
    pub(crate) amd64: String,
    /// Manifests.
    all: BTreeSet<String>,
    /// What refers to what.
    referrers: Vec<(String, BTreeSet<String>)>,
    /// Tags of cosign's.
    tags: Vec<(String, String)>,
}

fn text(value: &Value) -> String {
    value["digest"].as_str().unwrap().to_owned()
}

/// An index of two images; 20 bundles about one of them and one about the index, and one about a bundle; attachments of
/// cosign 2.
pub(crate) fn fill(shelf: &dyn Shelf, repository: &str) -> Made {
    let large: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let amd64 = manifest(shelf, repository, &[b"shared layer", &large]);
    let arm64 = manifest(shelf, repository, &[b"shared layer", b"arm64"]);
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [amd64, arm64]});
    shelf.put_manifest(repository, &index);
    let index = blob(INDEX, index.to_string().as_bytes());
    let mut made = Made {
        index: text(&index),
        amd64: text(&amd64),
        all: [&index, &amd64, &arm64].map(text).into(),
        referrers: Vec::new(),
        tags: Vec::new(),
    };
    let mut about = |subject: &Value, texts: &[String]| {
        let bundles: Vec<Value> = texts.iter().map(|text| bundle(shelf, repository, subject, text)).collect();
        list(shelf, repository, &text(subject), &bundles);
        made.all.extend(bundles.iter().map(text));
        made.referrers.push((text(subject), bundles.iter().map(text).collect()));
        bundles[0].clone()
    };
    let twenty: Vec<String> = (0..20).map(|number| format!("bundle {number}")).collect();
    let first = about(&amd64, &twenty);
    about(&index, &["about the index".to_owned()]);
    about(&first, &["about a bundle".to_owned()]);
    for (subject, suffix, texts) in [(&amd64, "att", ["one", "two"]), (&index, "sig", ["two", "a signature"])]
    {
        let tag = format!("{}.{suffix}", text(subject).replace(':', "-"));
        let digest = attachment(shelf, repository, &tag, &texts);
        made.all.insert(digest.clone());
        made.tags.push((tag, digest));
    }
    shelf.set_tag(repository, "1", &made.index);
    made
}

/// Fails the test unless all of it arrived at `repository`, its tag aside.
#[track_caller]
pub(crate) fn arrived(shelf: &dyn Shelf, repository: &str, made: &Made) {
    for digest in &made.all {
        let manifest =
            shelf.manifest(repository, digest).unwrap_or_else(|| panic!("{digest} did not arrive"));
        let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
        for one in layers.iter().chain([&manifest["config"]]).filter(|one| !one.is_null()) {
            assert!(shelf.has_blob(repository, &text(one)), "{one} of {digest} did not arrive");
        }
    }
    for (subject, expected) in &made.referrers {
        let found: BTreeSet<String> = shelf.referrers(repository, subject).into_iter().collect();
        assert_eq!(&found, expected, "what refers to {subject}");
    }
    for (tag, digest) in &made.tags {
        assert_eq!(shelf.tag(repository, tag).as_ref(), Some(digest), "{tag}");
    }
}

pub(crate) fn copy(lab: &Lab, from: &str, to: &str, more: &[&str]) -> Ran {
    let store = lab.path("store");
    let mut args = vec!["copy", from, to, "--format", "json", "--store", &store];
    args.extend(more);
    lab.reprov(&args)
}

fn copied(lab: &Lab, from: &str, to: &str) -> Value {
    copy(lab, from, to, &[]).exits(0).json()
}

#[test]
fn there_and_back_by_way_of_a_directory_and_both_kinds_of_registry() {
    let (lab, docker, api) = (Lab::new(), Registry::shared(), Settings::default().page(7).start());
    let made = fill(docker, "copy-source");
    let layout = format!("oci:{}:1", lab.path("layout"));
    let answer = copied(&lab, &Shelf::name(docker, "copy-source"), &layout);
    assert_eq!(answer["digest"], made.index.as_str());
    assert_eq!(answer["manifests"], 27);
    assert_eq!(answer["referrers"].as_array().unwrap().len(), 22);
    assert_eq!((&answer["tags"].as_array().unwrap().len(), &answer["replaced"]), (&2, &Value::Null));

    copied(&lab, &layout, &api.name("middle/app"));
    arrived(&api, "middle/app", &made);
    assert_eq!(api.tag("middle/app", "1").as_deref(), Some(made.index.as_str()));
    // The fallback tags have become what the registry lists by itself.
    assert_eq!(api.tags("middle/app").len(), 3, "{:?}", api.tags("middle/app"));

    copied(&lab, &api.name("middle/app"), &Shelf::name(docker, "copy-target"));
    arrived(docker, "copy-target", &made);
    assert_eq!(docker.tag("copy-target", "1").as_deref(), Some(made.index.as_str()));

    let again = copied(&lab, &layout, &format!("oci:{}:1", lab.path("other")));
    assert_eq!(again["manifests"], 27);
    copied(&lab, &format!("oci:{}:1", lab.path("other")), &Shelf::name(docker, "copy-other"));
    arrived(docker, "copy-other", &made);
    let left: Vec<_> = fs::read_dir(lab.path("store/tmp")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

/// How often `method` was asked for `part`, by path.
fn most(requests: &[String], method: &str, part: &str) -> usize {
    let ours = |line: &&String| line.starts_with(&format!("{method} ")) && line.contains(part);
    let lines: Vec<&String> = requests.iter().filter(ours).collect();
    let count = |line: &String| lines.iter().filter(|other| **other == line).count();
    lines.iter().map(|line| count(line)).max().unwrap_or(0)
}

#[test]
fn nothing_is_read_or_sent_twice() {
    let lab = Lab::new();
    let (from, to) = (ApiRegistry::start(), ApiRegistry::start());
    let made = fill(&from, "app");
    let first = copied(&lab, &from.name("app"), &to.name("app"));
    let blobs = first["blobs"]["count"].as_u64().unwrap();
    assert_eq!((&first["blobs"]["sent"], &first["blobs"]["existing"]), (&blobs.into(), &0.into()));
    let (read, written) = (from.requests("app"), to.requests("app"));
    assert_eq!((most(&read, "GET", "/blobs/"), most(&read, "GET", "/manifests/")), (1, 1), "{read:#?}");
    assert_eq!((most(&written, "PUT", "/manifests/"), most(&written, "HEAD", "/blobs/")), (1, 1));
    let sent = written.iter().filter(|line| line.starts_with("PUT ") && line.contains("/blobs/")).count();
    assert_eq!(sent as u64, blobs, "{written:#?}");
    println!("an index with 22 referrers: {} requests to read, {} to write", read.len(), written.len());

    from.forget_requests();
    let second = copied(&lab, &from.name("app"), &to.name("app"));
    assert_eq!((&second["blobs"]["existing"], &second["blobs"]["sent_bytes"]), (&blobs.into(), &0.into()));
    assert_eq!(most(&from.requests("app"), "GET", "/blobs/"), 0);
    arrived(&to, "app", &made);

    // Within one registry it takes them over.
    to.forget_requests();
    let within = copied(&lab, &to.name("app"), &to.name("other"));
    assert_eq!(within["blobs"]["mounted"], blobs);
    assert_eq!(most(&to.requests("app"), "GET", "/blobs/"), 0);
    arrived(&to, "other", &made);
}

/// An image with 20 referrers, on each kind of registry: how many requests that takes.
#[test]
fn requests_for_an_image_with_twenty_referrers() {
    let (lab, docker, api) = (Lab::new(), Registry::shared(), ApiRegistry::start());
    for (shelf, most_read, most_written) in [(docker as &dyn Shelf, 55, 110), (&api, 75, 105)] {
        let image = manifest(shelf, "twenty-from", &[b"a layer", b"another"]);
        let bundles: Vec<Value> =
            (0..20).map(|number| bundle(shelf, "twenty-from", &image, &format!("number {number}"))).collect();
        list(shelf, "twenty-from", &text(&image), &bundles);
        shelf.set_tag("twenty-from", "1", &text(&image));
        let others: [&dyn Shelf; 2] = [&Registry::start(&[]), &ApiRegistry::start()];
        let target = others[usize::from(!shelf.lists_by_tag())];
        copied(&lab, &shelf.name("twenty-from"), &target.name("twenty-to"));
        let (read, written) = (shelf.requests("twenty-from"), target.requests("twenty-to"));
        println!("20 referrers, API {}: {} + {}", !shelf.lists_by_tag(), read.len(), written.len());
        assert!(read.len() <= most_read, "{} {read:#?}", read.len());
        assert!(written.len() <= most_written, "{} {written:#?}", written.len());
        assert_eq!(target.referrers("twenty-to", &text(&image)).len(), 20);
    }
}

#[test]
fn what_the_target_has_is_merged_with() {
    let (lab, docker, api) = (Lab::new(), Registry::shared(), ApiRegistry::start());
    let made = fill(&api, "app");
    // The target has another bundle about the image, listed with what only its writer knows, and an attachment.
    let amd64 = manifest(docker, "copy-merged", &[b"shared layer", b"other"]);
    assert_ne!(text(&amd64), made.amd64);
    let subject = json!({"mediaType": MANIFEST, "digest": made.amd64, "size": 1});
    let mut theirs = bundle(docker, "copy-merged", &subject, "theirs");
    theirs["odd"] = json!([1]);
    list(docker, "copy-merged", &made.amd64, std::slice::from_ref(&theirs));
    let tag = format!("{}.att", made.amd64.replace(':', "-"));
    attachment(docker, "copy-merged", &tag, &["two", "three"]);
    // And where the list of the index should be there is what `cosign copy` leaves: an image.
    docker.set_tag("copy-merged", &made.index.replace(':', "-"), &text(&amd64));
    docker.set_tag("copy-merged", "1", &text(&amd64));

    let answer = copied(&lab, &api.name("app"), &Shelf::name(docker, "copy-merged"));
    assert_eq!(answer["replaced"], text(&amd64));
    let found = Shelf::referrers(docker, "copy-merged", &made.amd64);
    assert_eq!((found.len(), found[0].clone()), (21, text(&theirs)));
    let list = docker.blob_json(&docker.tag("copy-merged", &made.amd64.replace(':', "-")).unwrap());
    assert_eq!(list["manifests"][0], theirs, "byte-true");
    assert_eq!(Shelf::referrers(docker, "copy-merged", &made.index).len(), 1);
    let merged = docker.blob_json(&docker.tag("copy-merged", &tag).unwrap());
    let layers: Vec<String> = merged["layers"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(layers, ["two", "three", "one"].map(|text| sha256(text.as_bytes())));
}

#[test]
fn a_spoilt_fallback_tag_at_the_source_is_no_list() {
    let (lab, docker) = (Lab::new(), Registry::shared());
    let image = manifest(docker, "copy-spoilt", &[b"layer"]);
    docker.set_tag("copy-spoilt", "1", &text(&image));
    docker.set_tag("copy-spoilt", &text(&image).replace(':', "-"), &text(&image));
    let answer = copied(&lab, &Shelf::name(docker, "copy-spoilt"), &Shelf::name(docker, "copy-unspoilt"));
    assert_eq!((&answer["manifests"], &answer["left"]), (&1.into(), &json!([])));
    assert_eq!(docker.tag("copy-unspoilt", &text(&image).replace(':', "-")), None);
}

#[test]
fn what_refers_to_something_in_a_list_from_before_the_api_is_found_too() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let image = manifest(&api, "app", &[b"layer"]);
    let [old, new] = ["old", "new"].map(|text| bundle(&api, "app", &image, text));
    api.set_tag("app", "1", &text(&image));
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [old]});
    let list = api.put_manifest("app", &index);
    api.set_tag("app", &text(&image).replace(':', "-"), &list);
    copied(&lab, &api.name("app"), &api.name("other"));
    let found: BTreeSet<String> = Shelf::referrers(&api, "other", &text(&image)).into_iter().collect();
    assert_eq!(found, [text(&old), text(&new)].into());
}

#[test]
fn strangers_cannot_hold_it_up_nor_hide_what_is_good() {
    // docker-registry answers 500 for lists with such entries; others keep whatever they are given.
    let (lab, api) = (Lab::new(), Settings::default().apiless().start());
    let (repository, to) = ("app", "to");
    let image = manifest(&api, repository, &[b"layer"]);
    let other = manifest(&api, repository, &[b"another image"]);
    let good = bundle(&api, repository, &image, "good");
    let misplaced = bundle(&api, repository, &other, "about another");
    let nested = bundle(&api, repository, &good, "about the good one");
    let gone = json!({"mediaType": MANIFEST, "digest": sha256(b"gone"), "size": 4});
    let junk =
        json!({"mediaType": MANIFEST, "digest": api.put_manifest(repository, &json!("junk")), "size": 6});
    // What is about the good one is listed beside the image first, where it does not belong.
    let own_list = json!({"mediaType": INDEX, "digest": sha256(b"a list"), "size": 1});
    list(
        &api,
        repository,
        &text(&image),
        &[nested.clone(), misplaced, gone, junk, own_list, json!({"digest": 7}), json!("x"), good.clone()],
    );
    list(&api, repository, &text(&good), std::slice::from_ref(&nested));
    api.set_tag(repository, "1", &text(&image));
    let answer = copied(&lab, &api.name(repository), &api.name(to));
    assert_eq!(Shelf::referrers(&api, to, &text(&image)), [text(&good)]);
    assert_eq!(Shelf::referrers(&api, to, &text(&good)), [text(&nested)]);
    assert_eq!(answer["left"].as_array().unwrap().len(), 4, "{answer:#}");
    assert_eq!(api.tag(to, "1"), Some(text(&image)));
}

#[test]
fn a_target_that_refuses_says_why_and_keeps_its_tag() {
    let (lab, docker) = (Lab::new(), Registry::shared());
    let api = Settings::default().read_only().start();
    let made = fill(docker, "copy-refused");
    let from = Shelf::name(docker, "copy-refused");
    let refused = copy(&lab, &from, &api.name("app"), &[]).exits(3).says("403 DENIED");
    assert!(refused.json()["image"].is_null());
    // Half way: what is there harms nobody, and the next run completes it.
    api.set(Settings::default().manifests_max(9));
    copy(&lab, &from, &api.name("app"), &[]).exits(3).says("403 DENIED");
    assert_eq!(api.tag("app", "1"), None);
    api.set(Settings::default());
    copied(&lab, &from, &api.name("app"));
    arrived(&api, "app", &made);
    // A login that does not suffice is told apart.
    api.set(Settings::default().login("ci", "secret"));
    copy(&lab, &from, &api.name("app"), &[]).exits(3).says("docker login");
}

#[test]
fn a_tag_that_names_another_image_is_moved_only_if_that_is_wanted() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let [one, two] = [b"one", b"two"].map(|layer| text(&manifest(&api, "app", &[layer])));
    api.set_tag("app", "1", &one);
    api.set_tag("to", "1", &two);
    manifest(&api, "to", &[b"two"]);
    let from = api.name("app");
    copy(&lab, &from, &api.name("to"), &["--no-overwrite"]).exits(1).says("--no-overwrite keeps it");
    assert_eq!(api.tag("to", "1"), Some(two.clone()));
    assert!(api.manifest("to", &one).is_none(), "nothing was sent");
    assert_eq!(copied(&lab, &from, &api.name("to"))["replaced"], two);
    assert_eq!(api.tag("to", "1"), Some(one.clone()));
    let same = copy(&lab, &from, &api.name("to"), &["--no-overwrite"]).exits(0).json();
    assert_eq!(same["replaced"], Value::Null);
    // By digest only, no tag is written; another digest is a no.
    let bare = format!("{}/bare@{one}", api.host());
    copied(&lab, &from, &bare);
    assert_eq!(api.tags("bare"), Vec::<String>::new());
    assert!(api.manifest("bare", &one).is_some());
    copy(&lab, &from, &format!("{}/bare@{two}", api.host()), &[]).exits(1).says("names another image");
    copy(&lab, &from, &format!("oci:{}@{one}", lab.path("x")), &[]).exits(2).says("needs a tag");
}

#[test]
fn one_platform_is_a_manifest_without_its_index() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let made = fill(&api, "app");
    let mut index = Shelf::manifest(&api, "app", &made.index).unwrap();
    for (entry, architecture) in index["manifests"].as_array_mut().unwrap().iter_mut().zip(["amd64", "arm64"])
    {
        entry["platform"] = json!({"os": "linux", "architecture": architecture});
    }
    let digest = api.put_manifest("app", &index);
    api.set_tag("app", "platforms", &digest);
    let from = format!("{}/app:platforms", api.host());
    let answer = copy(&lab, &from, &api.name("one"), &["--platform", "linux/amd64"]).exits(0).json();
    assert_eq!(answer["digest"], made.amd64.as_str());
    assert_eq!(api.tag("one", "1"), Some(made.amd64.clone()));
    assert_eq!(Shelf::referrers(&api, "one", &made.amd64).len(), 20);
    assert_eq!(answer["manifests"], 23, "image, 20 bundles, one about a bundle, one attachment");
    copy(&lab, &from, &api.name("one"), &["--platform", "linux/s390x"]).exits(3).says("it has linux/amd64");
}

#[test]
fn layers_that_are_kept_elsewhere_stay_there() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    manifest(&api, "app", &[b"own"]);
    let config =
        json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
    let mut foreign = blob("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", b"elsewhere");
    foreign["urls"] = json!(["https://layers.example.org/1"]);
    let image = json!({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [foreign],
        "config": blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes())});
    let digest = api.put_manifest("app", &image);
    api.set_tag("app", "1", &digest);
    let answer = copied(&lab, &api.name("app"), &api.name("to"));
    assert_eq!(answer["left"][0]["what"], sha256(b"elsewhere"));
    // One that is not said to be elsewhere must be there.
    let mut broken = image;
    broken["layers"][0].as_object_mut().unwrap().remove("urls");
    let digest = api.put_manifest("app", &broken);
    api.set_tag("app", "1", &digest);
    copy(&lab, &api.name("app"), &api.name("to"), &[]).exits(3).says("is not there");
}

#[test]
fn images_that_cannot_be_copied_say_so() {
    let (lab, api) = (Lab::new(), ApiRegistry::start());
    let check = |manifest: Value, words: &str| {
        let digest = api.put_manifest("app", &manifest);
        api.set_tag("app", "1", &digest);
        copy(&lab, &api.name("app"), &api.name("to"), &[]).exits(3).says(words);
        assert_eq!(api.tags("to"), Vec::<String>::new());
    };
    let index = |entry: Value| json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]});
    check(index(json!({"mediaType": MANIFEST, "digest": sha256(b"?"), "size": 1})), "it is not there");
    check(index(json!({"mediaType": "x/y", "digest": sha256(b"?"), "size": 1})), "is of type x/y");
    check(index(json!({"mediaType": MANIFEST, "digest": "sha256:../..", "size": 1})), "no descriptor");
    check(json!({"schemaVersion": 2, "mediaType": "application/vnd.own", "layers": []}), "neither");
    // An index of indexes that goes on; nobody looks further.
    let mut entries: Vec<Value> = Vec::new();
    for number in 0..101 {
        let children: Vec<Value> =
            (0..100).map(|child| blob(INDEX, format!("{number} {child}").as_bytes())).collect();
        let inner = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": children});
        api.put_manifest("app", &inner);
        entries.push(blob(INDEX, inner.to_string().as_bytes()));
    }
    check(json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}), "more than 10000 manifests");
}

/// What is beside an image and cannot be looked at may be what matters: without it nothing is tagged.
#[test]
fn a_source_that_lies_or_fails_is_not_copied() {
    let (lab, api) = (Lab::new(), Settings::default().page(3).start());
    let made = fill(&api, "app");
    let att = format!("{}.att", made.amd64.replace(':', "-"));
    let one_layer = sha256(b"arm64");
    let answer = |status, headers: &str| Fault::Answer(status, headers.to_owned(), String::new());
    let busy = answer("429 Too Many Requests", "Retry-After: 86400\r\n");
    let long = Fault::Flood(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 1 << 14], Duration::ZERO);
    let cases: [(&str, &str, Fault); 11] = [
        ("/referrers/", "403", answer("403 Forbidden", "")),
        ("/referrers/", "429", busy),
        ("/referrers/", "500", answer("500 Internal Server Error", "")),
        ("?from=3", "500", answer("500 Internal Server Error", "")),
        ("/tags/list", "503", answer("503 Service Unavailable", "")),
        (&att, "500", answer("500 Internal Server Error", "")),
        (&att, "login", answer("401 Unauthorized", "")),
        (&one_layer, "expected sha256:", Fault::Spoiled),
        (&one_layer, "more than 5 bytes", long),
        (&one_layer, "is not there", answer("404 Not Found", "")),
        (&made.index, "expected sha256:", Fault::Spoiled),
    ];
    for (number, (part, words, fault)) in cases.into_iter().enumerate() {
        let wanted = part.to_owned();
        let faulty = Faulty::before(
            &api,
            move |line, _| {
                if line.contains(&wanted) { fault.clone() } else { Fault::None }
            },
        );
        let to = format!("to-{number}");
        let from = format!("{}/app@{}", faulty.host, made.index);
        copy(&lab, &from, &api.name(&to), &[]).exits(3).says(words);
        assert_eq!(api.tag(&to, "1"), None, "{part}");
    }
    // A place that keeps its tags to itself is asked for each.
    let faulty = Faulty::before(&api, |line, _| {
        if line.contains("/tags/list") {
            Fault::Answer("403 Forbidden", String::new(), String::new())
        } else {
            Fault::None
        }
    });
    copied(&lab, &faulty.name("app"), &api.name("asked"));
    arrived(&api, "asked", &made);
}

#[test]
fn a_run_that_is_killed_leaves_no_tag_and_the_next_completes_it() {
    let (lab, docker, api) = (Lab::new(), Registry::shared(), ApiRegistry::start());
    let made = fill(docker, "copy-killed");
    let slow = Faulty::before(&api, |_, _| Fault::Slow(1, Duration::from_millis(15)));
    let (store, layout) = (lab.path("store"), lab.path("layout"));
    for (number, wait) in [50, 150, 300, 450, 700, 1000].into_iter().enumerate() {
        let repository = format!("killed-{number}");
        for to in [format!("{}/{repository}:1", slow.host), format!("oci:{layout}-{number}:1")] {
            let mut command = lab.command(lab.program());
            command.args(["copy", &Shelf::name(docker, "copy-killed"), &to, "--store", &store]);
            let mut run = command.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            thread::sleep(Duration::from_millis(wait));
            let killed = run.try_wait().unwrap().is_none();
            run.kill().unwrap();
            run.wait().unwrap();
            if to.starts_with("oci:") {
                let index = fs::read_to_string(Path::new(&format!("{layout}-{number}")).join("index.json"));
                assert!(!killed || !index.unwrap_or_default().contains("\"ref.name\":\"1\""));
                copied(&lab, &Shelf::name(docker, "copy-killed"), &to);
                copied(&lab, &to, &api.name(&format!("{repository}-layout")));
                arrived(&api, &format!("{repository}-layout"), &made);
            } else {
                if killed && api.tag(&repository, "1").is_some() {
                    arrived(&api, &repository, &made); // Killed after the tag: all was there.
                }
                copied(&lab, &Shelf::name(docker, "copy-killed"), &to);
                arrived(&api, &repository, &made);
                assert_eq!(api.tag(&repository, "1").as_deref(), Some(made.index.as_str()));
            }
        }
    }
}
