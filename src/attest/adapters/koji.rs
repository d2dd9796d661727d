//! koji's content-generator metadata, version 0 (koji, `docs/source/content_generator_metadata.rst`; the fields of OSBS
//! as atomic-reactor's `koji_import` writes them).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    AdapterError,
    claims::Claims,
    slsa::{items, members, text},
    uri,
};
use crate::{
    attest::{ClaimedBuilder, ClaimedRepository, ClaimedSource},
    model::{Digest, ResourceDescriptor},
};

/// Whether this is such a document, of whatever version.
pub(super) fn is(document: &Value) -> bool {
    document.get("metadata_version").is_some() && document.get("build").is_some()
}

/// What it says.
pub(super) fn read(document: &Value) -> Result<Claims, AdapterError> {
    if document.get("metadata_version").and_then(Value::as_i64) != Some(0) {
        return Err(AdapterError::Shape("koji metadata", "`metadata_version` is not 0"));
    }
    let build = document.get("build").filter(|build| build.is_object());
    let build = build.ok_or(AdapterError::Shape("koji metadata", "`build` is not an object"))?;
    let mut claims = Claims::of("koji-v0");
    for name in ["name", "version", "release", "owner"] {
        claims.parameter(&format!("koji.{name}"), build.get(name));
    }
    source(&mut claims, text(build, "/source").unwrap_or_default());
    claims.started_on_s = build.get("start_time").and_then(seconds);
    claims.finished_on_s = build.get("end_time").and_then(seconds);
    let ids = [("build", build.get("build_id")), ("task", build.get("task_id"))];
    let task = ("task", build.pointer("/extra/container_koji_task_id"));
    let id = ids.into_iter().rev().chain([task]).find_map(|(kind, id)| Some((kind, id?.as_i64()?)));
    claims.invocation_id = id.map(|(kind, id)| format!("koji {kind} {id}"));
    image(&mut claims, build.pointer("/extra/image").or_else(|| build.pointer("/extra/typeinfo/image")));
    claims.parameter("koji.submitter", build.pointer("/extra/submitter"));
    items(document, "/buildroots").for_each(|buildroot| self::buildroot(&mut claims, buildroot));
    items(document, "/output").for_each(|output| self::output(&mut claims, output));
    claims.subjects.sort_unstable();
    claims.subjects.dedup();
    Ok(claims)
}

/// Whole seconds, of a number with or without a fraction.
fn seconds(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "a fraction of a second is dropped on purpose")]
    value.as_i64().or_else(|| value.as_f64().filter(|time| time.abs() < 1e12).map(|time| time as i64))
}

fn source(claims: &mut Claims, source: &str) {
    if source.is_empty() {
        return;
    }
    let found = uri::git(source, &BTreeMap::new()).map(|(found, _)| found);
    let found =
        found.unwrap_or_else(|| ClaimedSource { uri: Some(uri::public(source)), ..ClaimedSource::default() });
    claims.built_from(found, "no");
}

/// `extra.image` of OSBS.
fn image(claims: &mut Claims, image: Option<&Value>) {
    let Some(image) = image else { return };
    for (_, digest) in members(image, "/index/digests") {
        claims.subjects.extend(digest.as_str().and_then(|digest| digest.parse::<Digest>().ok()));
    }
    for url in items(image, "/yum_repourls").filter_map(Value::as_str) {
        claims.repositories.push(ClaimedRepository { url: uri::public(url), digest: None });
    }
    let builds = image.get("parent_image_builds").unwrap_or(&Value::Null);
    for parent in items(image, "/parent_images").filter_map(Value::as_str) {
        let mut annotations = serde_json::Map::new();
        if let Some(build) = builds.get(parent) {
            let nvr = text(build, "/nvr").unwrap_or_default();
            annotations.insert("kojiBuild".to_owned(), nvr.into());
        }
        annotations.insert("written".to_owned(), parent.into());
        let (uri, digest) = uri::image(&format!("docker://{parent}"), None);
        let digest = digest.map(|digest| ("sha256".to_owned(), digest.hex())).into_iter().collect();
        claims.depend(
            "base",
            "no",
            ResourceDescriptor { uri, digest, annotations, ..ResourceDescriptor::default() },
        );
    }
    for remote in items(image, "/remote_sources") {
        let uri = uri::public(text(remote, "/url").unwrap_or_default());
        let name = text(remote, "/name").unwrap_or_default().to_owned();
        claims.depend("material", "no", ResourceDescriptor { name, uri, ..ResourceDescriptor::default() });
    }
    for name in ["isolated", "autorebuild", "media_types", "odcs", "help", "pnc", "go", "operator_manifests"]
    {
        claims.parameter(&format!("koji.{name}"), image.get(name));
    }
}

fn buildroot(claims: &mut Claims, buildroot: &Value) {
    let generator = text(buildroot, "/content_generator/name").unwrap_or_default();
    if !generator.is_empty() {
        let builder = claims.builder.get_or_insert_with(|| ClaimedBuilder {
            id: format!("koji:content-generator/{generator}"),
            ..ClaimedBuilder::default()
        });
        if let Some(version) = text(buildroot, "/content_generator/version") {
            builder.version.insert(generator.to_owned(), version.to_owned());
        }
        for tool in items(buildroot, "/tools") {
            if let (Some(name), Some(version)) = (text(tool, "/name"), text(tool, "/version")) {
                builder.version.insert(name.to_owned(), version.to_owned());
            }
        }
    }
    for (name, pointer) in [
        ("koji.host.os", "/host/os"),
        ("koji.host.arch", "/host/arch"),
        ("koji.container.type", "/container/type"),
        ("koji.container.arch", "/container/arch"),
    ] {
        claims.parameter(name, buildroot.pointer(pointer));
    }
    if let Some(id) = buildroot.pointer("/extra/osbs/builder_image_id") {
        // A number, an id, or a digest: only the last says which image it was.
        let id = id.as_str().map_or_else(|| id.to_string(), str::to_owned);
        let digest = id.parse::<Digest>().ok().map(|digest| ("sha256".to_owned(), digest.hex()));
        let digest = digest.into_iter().collect();
        claims.depend(
            "buildroot",
            "no",
            ResourceDescriptor { name: id, digest, ..ResourceDescriptor::default() },
        );
    }
    for component in items(buildroot, "/components") {
        match text(component, "/type") {
            Some("rpm") => claims.packages.push(package(component)),
            Some("file" | "kojifile") => {
                let found = file(component);
                claims.depend("material", "no", found);
            }
            _ => {}
        }
    }
}

fn package(component: &Value) -> Value {
    let mut package = json!({"kind": "rpm"});
    for name in ["name", "version", "release", "epoch", "arch", "sigmd5", "signature"] {
        match component.get(name) {
            Some(Value::String(text)) => package[name] = text.clone().into(),
            Some(Value::Number(number)) => package[name] = number.to_string().into(),
            _ => {}
        }
    }
    package
}

/// A file by the checksum that koji has of it, whatever that is by.
fn file(component: &Value) -> ResourceDescriptor {
    let mut annotations = serde_json::Map::new();
    for name in ["nvr", "archive_id", "filesize"] {
        if let Some(value) = component.get(name).filter(|value| value.is_string() || value.is_u64()) {
            annotations.insert(name.to_owned(), value.clone());
        }
    }
    let checksum = text(component, "/checksum_type").zip(text(component, "/checksum"));
    let digest = checksum.map(|(kind, hex)| (kind.to_owned(), hex.to_owned())).into_iter().collect();
    let name = text(component, "/filename").unwrap_or_default().to_owned();
    ResourceDescriptor { name, digest, annotations, ..ResourceDescriptor::default() }
}

fn output(claims: &mut Claims, output: &Value) {
    for (_, digest) in members(output, "/extra/docker/digests") {
        claims.subjects.extend(digest.as_str().and_then(|digest| digest.parse::<Digest>().ok()));
    }
    if text(output, "/type") == Some("log") {
        let mut log = file(output);
        log.annotations.insert("file".to_owned(), std::mem::take(&mut log.name).into());
        log.annotations.insert("kept".to_owned(), "no".into());
        claims.byproducts.push(ResourceDescriptor { name: "log".to_owned(), ..log });
    }
}
