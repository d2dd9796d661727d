//! koji's content-generator metadata, version 0, of an image whose provenance is known (koji,
//! `docs/source/content_generator_metadata.rst`; docs/attest.md says where each field comes from).
//!
//! The image's file is its manifest: that is what a registry keeps under the image's digest.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    attest::{Attested, Origin, Provenance},
    model::{Digest, ResourceDescriptor},
    oci::Image,
};

/// What is known of the image itself.
#[derive(Debug)]
pub struct Known<'a> {
    /// `HOST/REPOSITORY`, or what stands for it.
    pub repository: &'a str,
    /// The tag it was found by.
    pub tag: Option<&'a str>,
    /// Media type of its manifest.
    pub media_type: &'a str,
    /// The image.
    pub image: &'a Image,
    /// Sizes of the blobs kept beside it.
    pub sizes: BTreeMap<Digest, u64>,
}

/// Why there is no metadata.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KojiError {
    /// An import has no commit and no buildroot.
    #[error("the image was imported, not built; koji's metadata is about builds")]
    Imported,
    /// koji wants both times.
    #[error("nobody says when the build began and ended, and koji's metadata needs both times")]
    Times,
}

/// The buildroot's id in the document.
const BUILDROOT: u64 = 1;

/// What of a provenance of either kind is needed.
struct Build<'a> {
    source: Option<String>,
    commit: Option<String>,
    times: (i64, i64),
    invocation: Option<String>,
    generator: (String, String),
    tools: Vec<Value>,
    mode: &'static str,
    buildroot: Option<Digest>,
    components: Vec<Value>,
    bases: Vec<&'a ResourceDescriptor>,
    /// The one of them that it stands on, where anybody can tell.
    parent: Option<&'a ResourceDescriptor>,
    repositories: Vec<String>,
    byproducts: &'a [ResourceDescriptor],
}

/// Writes the metadata.
///
/// # Errors
/// [`KojiError`].
pub fn metadata(origin: &Origin, known: &Known<'_>) -> Result<Value, KojiError> {
    let build = match origin {
        Origin::Built(provenance) => built(provenance),
        Origin::Attested(said) => attested(said)?,
        Origin::Imported(_) => return Err(KojiError::Imported),
    };
    let platform = known.image.config.platform();
    let mut parts = platform.split('/');
    let (os, arch) = (parts.next().unwrap_or_default(), arch(parts.next().unwrap_or_default()));
    let [name, version, release] = nvr(known, &build);
    let digest = known.image.manifest_digest.to_string();
    let pull = format!("{}@{digest}", known.repository);
    let tags: Vec<_> = known.tag.into_iter().collect();
    let parents: Vec<_> = build.bases.iter().map(|base| base.uri.as_str()).collect();
    let extra = json!({
        "image": {
            "index": {"pull": [pull], "tags": tags, "digests": {known.media_type: digest}},
            "parent_images": parents,
            "yum_repourls": build.repositories,
        },
        "osbs_build": {"kind": "container_build", "engine": build.generator.0, "subtypes": []},
        "submitter": "reprov",
    });
    let mut output = vec![image(known, &build, [&name, &version, &release], &arch)];
    output.extend(logs(known, &build));
    Ok(json!({
        "metadata_version": 0,
        "build": {
            "name": name,
            "version": version,
            "release": release,
            "source": source(&build),
            "start_time": build.times.0,
            "end_time": build.times.1,
            "extra": extra,
        },
        "buildroots": [{
            "id": BUILDROOT,
            "host": {"os": os, "arch": arch},
            "content_generator": {"name": build.generator.0, "version": build.generator.1},
            "container": {"type": build.mode, "arch": arch},
            "tools": build.tools,
            "components": build.components,
            "extra": {"osbs": {
                "build_id": build.invocation,
                "builder_image_id": build.buildroot.map(|digest| digest.to_string()),
            }},
        }],
        "output": output,
    }))
}

fn built(provenance: &Provenance) -> Build<'_> {
    let (definition, run) = (&provenance.definition, &provenance.run);
    let internal = &definition.internal;
    let tool = |tool: &crate::attest::Tool| json!({"name": tool.name, "version": tool.version});
    let source = definition.role("source").next();
    let buildroot = definition.role("buildroot").next();
    Build {
        source: definition.external.source.uri.clone(),
        commit: source.and_then(|source| source.digest.get("gitCommit")).cloned(),
        times: (run.started_on_s, run.finished_on_s),
        invocation: Some(run.invocation_id.clone()).filter(|id| !id.is_empty()),
        generator: ("reprov".to_owned(), run.reprov_version.clone()),
        tools: vec![tool(&internal.engine), tool(&internal.runtime)],
        // Programs of an image ran in a container of it; those of the machine in a root of its own.
        mode: if buildroot.is_some() { "docker" } else { "chroot" },
        buildroot: buildroot.and_then(ResourceDescriptor::sha256),
        components: run.inputs.iter().filter_map(component).collect(),
        bases: definition.role("base").collect(),
        parent: definition.role("base").last(),
        repositories: definition
            .external
            .repositories
            .iter()
            .map(|repository| repository.url.clone())
            .collect(),
        byproducts: &run.byproducts,
    }
}

fn attested(said: &Attested) -> Result<Build<'_>, KojiError> {
    let source = said.external.source.clone().unwrap_or_default();
    let builder = said.external.builder.clone().unwrap_or_default();
    let tools = builder.version.iter().map(|(name, version)| json!({"name": name, "version": version}));
    let name = builder.id.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned();
    let times = said.run.started_on_s.zip(said.run.finished_on_s);
    Ok(Build {
        source: source.uri,
        commit: source.commit,
        times: times.ok_or(KojiError::Times)?,
        invocation: said.run.invocation_id.clone(),
        generator: (
            name.clone(),
            builder.version.get(&name).cloned().unwrap_or_else(|| "unknown".to_owned()),
        ),
        tools: tools.collect(),
        mode: "none",
        buildroot: said.role("buildroot").find_map(ResourceDescriptor::sha256),
        components: said.role("material").filter_map(component).collect(),
        bases: said.role("base").collect(),
        // Of several the order says nothing.
        parent: said.role("base").next().filter(|_| said.role("base").count() == 1),
        repositories: said.external.repositories.iter().map(|repository| repository.url.clone()).collect(),
        byproducts: &said.run.byproducts,
    })
}

/// `git+https://…#COMMIT`, as koji writes it.
fn source(build: &Build<'_>) -> Value {
    let (Some(uri), commit) = (&build.source, &build.commit) else { return Value::Null };
    let bare = match uri.rsplit_once('@') {
        Some((bare, reference)) if reference.starts_with("refs/") => bare,
        _ => uri,
    };
    format!("{bare}#{}", commit.as_deref().unwrap_or_default()).into()
}

/// Name, version and release: labels say them, else what the image is called and its commit. No `-` in the last two.
fn nvr(known: &Known<'_>, build: &Build<'_>) -> [String; 3] {
    let labels = known.image.config.raw().pointer("/config/Labels").and_then(Value::as_object);
    let label = |names: &[&str]| {
        let text = names.iter().find_map(|name| labels?.get(*name)?.as_str());
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let last = known.repository.rsplit('/').next().unwrap_or(known.repository);
    let short = |commit: &String| commit.chars().take(12).collect::<String>();
    let name = label(&["com.redhat.component"]).unwrap_or_else(|| last.to_owned());
    let version = label(&["version", "org.opencontainers.image.version"]);
    let version = version.or_else(|| known.tag.map(str::to_owned)).unwrap_or_else(|| "0".to_owned());
    let release = label(&["release"]).or_else(|| build.commit.as_ref().map(short));
    let release = release.unwrap_or_else(|| known.image.manifest_digest.short());
    [name, version.replace('-', "_"), release.replace('-', "_")]
}

fn image(known: &Known<'_>, build: &Build<'_>, [name, version, release]: [&String; 3], arch: &str) -> Value {
    let (manifest, config) = (&known.image.manifest, &known.image.config);
    let digest = known.image.manifest_digest;
    let layers = manifest.layers().iter().zip(config.diff_ids());
    let sizes: Vec<_> =
        layers.map(|(layer, diff_id)| json!({"diff_id": diff_id.to_string(), "size": layer.size})).collect();
    let mut repositories = vec![format!("{}@{digest}", known.repository)];
    repositories.extend(known.tag.map(|tag| format!("{}:{tag}", known.repository)));
    let parent = build.parent.and_then(ResourceDescriptor::sha256).map(|digest| digest.to_string());
    json!({
        "buildroot_id": BUILDROOT,
        "filename": format!("{name}-{version}-{release}.{arch}.manifest.json"),
        "filesize": manifest.bytes().len(),
        "arch": arch,
        "checksum": digest.hex(),
        "checksum_type": "sha256",
        "type": "docker-image",
        "components": [],
        "extra": {
            "docker": {
                "id": manifest.config().digest.to_string(),
                "parent_id": parent,
                "repositories": repositories,
                "digests": {known.media_type: digest.to_string()},
                "layer_sizes": sizes,
                "tags": known.tag.into_iter().collect::<Vec<_>>(),
            },
            "image": {"arch": arch},
        },
    })
}

/// Byproducts that are files beside the image; koji calls all that is no image a log.
fn logs(known: &Known<'_>, build: &Build<'_>) -> Vec<Value> {
    let log = |byproduct: &ResourceDescriptor| {
        let digest = byproduct.sha256()?;
        let file = byproduct.annotations.get("file").and_then(Value::as_str);
        let filename = file.map_or_else(|| format!("{}.log", byproduct.name), str::to_owned);
        Some(json!({
            "buildroot_id": BUILDROOT,
            "filename": filename,
            "filesize": known.sizes.get(&digest)?,
            "arch": "noarch",
            "checksum": digest.hex(),
            "checksum_type": "sha256",
            "type": "log",
        }))
    };
    let mut logs: Vec<_> = build.byproducts.iter().filter_map(log).collect();
    let mut seen = BTreeMap::new();
    for log in &mut logs {
        // Files of one build have one name each.
        let name = log["filename"].as_str().unwrap_or_default().to_owned();
        let count: &mut usize = seen.entry(name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            log["filename"] = format!("{count}-{name}").into();
        }
    }
    logs
}

/// A file that went in; nothing without a size, which koji wants.
fn component(input: &ResourceDescriptor) -> Option<Value> {
    let size =
        ["size", "filesize"].iter().find_map(|name| input.annotations.get(*name)).and_then(Value::as_u64)?;
    let (kind, hex) = input.digest.get_key_value("sha256").or_else(|| input.digest.iter().next())?;
    let path = input.uri.split(['?', '#']).next().unwrap_or_default();
    let last = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let name = if input.uri.is_empty() { input.name.as_str() } else { last };
    let mut file = Map::new();
    file.insert("type".to_owned(), "file".into());
    file.insert("filename".to_owned(), name.into());
    file.insert("filesize".to_owned(), size.into());
    file.insert("checksum".to_owned(), hex.as_str().into());
    file.insert("checksum_type".to_owned(), kind.as_str().into());
    Some(Value::Object(file))
}

/// koji's name of an architecture.
fn arch(oci: &str) -> String {
    match oci {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "386" => "i686",
        "arm" => "armv7hl",
        other => other,
    }
    .to_owned()
}
