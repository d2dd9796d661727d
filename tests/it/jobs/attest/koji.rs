//! koji's metadata written from a provenance, held against the rules of its importer (koji,
//! `content_generator_metadata.rst`, `CG_Importer`).

use std::collections::BTreeSet;

use super::*;

const CONTAINERS: [&str; 6] = ["none", "directory", "chroot", "mock-chroot", "kvm", "docker"];
const CHECKSUMS: [(&str, usize); 3] = [("md5", 32), ("sha1", 40), ("sha256", 64)];

/// Every rule that the document breaks.
#[expect(clippy::too_many_lines, reason = "a list of rules")]
fn broken(metadata: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |holds: bool, what: String| {
        if !holds {
            broken.push(what);
        }
    };
    let text = |value: &Value, key: &str| value[key].as_str().is_some_and(|text| !text.is_empty());
    rule(metadata["metadata_version"] == 0, "metadata_version".into());
    let build = &metadata["build"];
    for key in ["name", "version", "release"] {
        rule(text(build, key), format!("build.{key}"));
    }
    for key in ["version", "release"] {
        rule(!build[key].as_str().unwrap_or("-").contains('-'), format!("build.{key} has a -"));
    }
    rule(
        build["source"].is_null()
            || build["source"].as_str().is_some_and(|url| url.contains("://") && url.contains('#')),
        "build.source".into(),
    );
    let times = build["start_time"].as_i64().zip(build["end_time"].as_i64());
    rule(times.is_some_and(|(start, end)| 0 < start && start <= end), "build times".into());
    let types: Vec<_> =
        ["maven", "win", "image"].iter().filter(|kind| build["extra"][**kind].is_object()).collect();
    rule(!types.is_empty() || build["extra"]["typeinfo"].is_object(), "build.extra has no type".into());
    let mut ids = BTreeSet::new();
    for buildroot in metadata["buildroots"].as_array().unwrap() {
        let id = buildroot["id"].to_string();
        rule(ids.insert(id.clone()), format!("buildroot {id} twice"));
        rule(
            text(&buildroot["host"], "os") && text(&buildroot["host"], "arch"),
            format!("buildroot {id} host"),
        );
        let generator = &buildroot["content_generator"];
        rule(
            text(generator, "name") && text(generator, "version"),
            format!("buildroot {id} content_generator"),
        );
        let container = buildroot["container"]["type"].as_str().unwrap_or_default();
        rule(
            CONTAINERS.contains(&container) && text(&buildroot["container"], "arch"),
            format!("buildroot {id} container"),
        );
        for tool in buildroot["tools"].as_array().unwrap() {
            rule(text(tool, "name") && text(tool, "version"), format!("tool {tool}"));
        }
        for component in buildroot["components"].as_array().unwrap() {
            let good = match component["type"].as_str() {
                Some("rpm") => {
                    ["name", "version", "release", "arch", "sigmd5"].iter().all(|key| text(component, key))
                }
                Some("file") => {
                    text(component, "filename") && component["filesize"].is_u64() && checksum(component)
                }
                Some("kojifile") => {
                    text(component, "nvr") && component["archive_id"].is_u64() && checksum(component)
                }
                _ => false,
            };
            rule(good, format!("component {component}"));
        }
        rule(buildroot["extra"].is_object(), format!("buildroot {id} extra"));
    }
    let (mut used, mut files) = (BTreeSet::new(), BTreeSet::new());
    for output in metadata["output"].as_array().unwrap() {
        let id = output["buildroot_id"].to_string();
        rule(ids.contains(&id), format!("output of buildroot {id}, which is not listed"));
        used.insert(id);
        rule(
            text(output, "filename") && !output["filename"].as_str().unwrap().contains('/'),
            format!("filename {output}"),
        );
        rule(files.insert(output["filename"].to_string()), format!("filename twice: {output}"));
        rule(
            output["filesize"].is_u64() && text(output, "arch") && checksum(output),
            format!("output {output}"),
        );
        let good = match output["type"].as_str() {
            Some("log") => true,
            Some("docker-image") => {
                let docker = &output["extra"]["docker"];
                let digests = docker["digests"].as_object().is_some_and(|digests| !digests.is_empty());
                digests && docker["repositories"].is_array() && text(&output["extra"]["image"], "arch")
            }
            _ => false,
        };
        rule(good, format!("output type {output}"));
    }
    rule(used == ids, format!("buildroots {ids:?}, used {used:?}"));
    broken
}

fn checksum(value: &Value) -> bool {
    let (kind, sum) = (value["checksum_type"].as_str(), value["checksum"].as_str().unwrap_or_default());
    CHECKSUMS.iter().any(|(name, length)| kind == Some(name) && sum.len() == *length)
        && sum.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn metadata(lab: &Lab, image: &str) -> Value {
    let store = lab.path("elsewhere");
    let ran = lab.reprov(&["trace", image, "--store", &store, "--format", "koji"]).exits(0);
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn the_checker_refuses() {
    let text = fs::read_to_string(crate::support::fixtures("provenance/koji-v0.json")).unwrap();
    let good: Value = serde_json::from_str(
        &text.replace("SUBJECT", hex(&sha256(b"x"))).replace("1763391600.25", "1763391600"),
    )
    .unwrap();
    let mut whole = good.clone();
    whole["output"][0]["extra"]["docker"]["repositories"] = json!([]);
    assert_eq!(broken(&whole), Vec::<String>::new());
    let check = |pointer: &str, value: Value| {
        let mut spoilt = whole.clone();
        *spoilt.pointer_mut(pointer).unwrap() = value;
        assert!(!broken(&spoilt).is_empty(), "{pointer}");
    };
    check("/metadata_version", json!(1));
    check("/build/release", json!("1-2"));
    check("/build/end_time", json!(1));
    check("/build/extra", json!({}));
    check("/buildroots/0/container/type", json!("oci"));
    check("/buildroots/0/id", json!(2));
    check("/output/0/checksum_type", json!("sha256"));
    check("/output/1/buildroot_id", json!(7));
    check("/output/1/type", json!("text"));
    check("/output/1/filename", whole["output"][0]["filename"].clone());
}

#[test]
fn our_own_provenance_becomes_metadata_that_an_importer_takes() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let source = lab.source("app", &[("Dockerfile", "FROM base.example/tiny:1\nRUN echo x > /x\n")]);
    let name = registry.name("koji");
    let built = lab.build(registry, &source, &name, &[]).exits(0).json();
    let made = metadata(&lab, &name);
    assert_eq!(broken(&made), Vec::<String>::new(), "{made:#}");
    assert_eq!(made["build"]["name"], "koji");
    assert_eq!(made["build"]["version"], "1");
    assert_eq!(made["buildroots"][0]["content_generator"]["name"], "reprov");
    assert_eq!(made["buildroots"][0]["tools"][0]["name"], "buildah");
    let image = &made["output"][0];
    assert_eq!(image["checksum"], hex(built["manifest"].as_str().unwrap()));
    assert_eq!(image["extra"]["docker"]["id"], built["config"]);
    let diff_ids: Vec<_> =
        built["layers"].as_array().unwrap().iter().map(|layer| &layer["diff_id"]).collect();
    let written: Vec<_> = image["extra"]["docker"]["layer_sizes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| &layer["diff_id"])
        .collect();
    assert_eq!(written, diff_ids);
    let log = made["output"]
        .as_array()
        .unwrap()
        .iter()
        .find(|output| output["checksum"] == hex(built["log"]["digest"].as_str().unwrap()));
    assert_eq!(log.unwrap()["filesize"], built["log"]["size"]);
    assert!(made["build"]["extra"]["image"]["parent_images"][0].as_str().unwrap().contains("tiny"));

    // And what koji said of an image comes back.
    let shelf: &dyn Shelf = registry;
    let digest = tagged(
        shelf,
        "from-koji",
        &json!({"com.redhat.component": "app-container", "version": "1.2", "release": "4"}),
    );
    let path = fixture(&lab, "koji-v0", &digest);
    attest(&lab, &registry.name("from-koji"), &["--koji", &path]).exits(0);
    let back = metadata(&lab, &registry.name("from-koji"));
    assert_eq!(broken(&back), Vec::<String>::new(), "{back:#}");
    let theirs: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for field in ["name", "version", "release", "source", "end_time"] {
        assert_eq!(back["build"][field], theirs["build"][field], "{field}");
    }
    assert_eq!(back["buildroots"][0]["content_generator"], theirs["buildroots"][0]["content_generator"]);
    assert_eq!(
        back["buildroots"][0]["components"][0]["checksum"],
        theirs["buildroots"][0]["components"][1]["checksum"]
    );
    let elsewhere = lab.reprov(&["doctor", "--format", "koji"]);
    elsewhere.exits(2).says("are for the answer of `trace`");
}
