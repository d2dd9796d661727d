//! What runs in a cluster: the answer of `kubectl get pods -A -o json`.

use std::{collections::BTreeSet, io::Read};

use serde::Deserialize;

use super::InventoryError;
use crate::model::{ImageName, limits::INVENTORY_IMAGES_MAX, path::printable, reference::normalised};

/// The images of a list of pods.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Pods {
    /// Each once: by the digest that runs where the cluster tells it, else by the name in the pod.
    pub images: BTreeSet<ImageName>,
    /// What names no image that could be looked at, as it stands there, with its pod.
    pub unclear: BTreeSet<String>,
}

#[derive(Deserialize)]
struct List {
    kind: Option<String>,
    items: Option<Vec<Pod>>,
}

#[derive(Deserialize)]
struct Pod {
    kind: Option<String>,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize, Default)]
struct Metadata {
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    name: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    containers: Vec<Container>,
    #[serde(default)]
    init_containers: Vec<Container>,
    #[serde(default)]
    ephemeral_containers: Vec<Container>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    phase: String,
    #[serde(default)]
    container_statuses: Vec<Running>,
    #[serde(default)]
    init_container_statuses: Vec<Running>,
    #[serde(default)]
    ephemeral_container_statuses: Vec<Running>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    name: String,
    #[serde(default)]
    image: String,
}

#[derive(Deserialize)]
struct Running {
    #[serde(default)]
    name: String,
    #[serde(default, rename = "imageID")]
    image_id: String,
}

/// Reads a list of pods, or one pod. Those that have ended are passed over.
///
/// The digest that runs (`imageID`) is preferred to the name in the pod, whose tag may have moved since; the tag is kept
/// beside it. Names are completed as a cluster does: `nginx` is `docker.io/library/nginx:latest`.
///
/// # Errors
/// [`InventoryError::Pods`] if it is something else, [`InventoryError::TooMany`] past [`INVENTORY_IMAGES_MAX`].
pub fn pods(reader: impl Read) -> Result<Pods, InventoryError> {
    let wrong = |why: &str| InventoryError::Pods(printable(&why.chars().take(200).collect::<String>()));
    let list: List = serde_json::from_reader(reader).map_err(|error| wrong(&error.to_string()))?;
    let items = list.items.ok_or_else(|| wrong("it has no `items`"))?;
    let kind = list.kind.unwrap_or_default();
    if kind != "List" && kind != "PodList" {
        return Err(wrong(&format!("its kind is `{kind}`")));
    }
    let mut found = Pods::default();
    for pod in items {
        if let Some(kind) = pod.kind.as_deref().filter(|kind| *kind != "Pod") {
            return Err(wrong(&format!("it lists a {kind}")));
        }
        if pod.status.phase == "Succeeded" || pod.status.phase == "Failed" {
            continue;
        }
        one(&pod, &mut found);
        if found.images.len() > INVENTORY_IMAGES_MAX {
            return Err(InventoryError::TooMany(INVENTORY_IMAGES_MAX));
        }
    }
    Ok(found)
}

fn one(pod: &Pod, found: &mut Pods) {
    let Spec { containers, init_containers, ephemeral_containers } = &pod.spec;
    let status = &pod.status;
    let parts = [
        (containers, &status.container_statuses),
        (init_containers, &status.init_container_statuses),
        (ephemeral_containers, &status.ephemeral_container_statuses),
    ];
    for (containers, running) in parts {
        for container in containers {
            let id = running.iter().find(|running| running.name == container.name);
            let id = id.map(|running| running.image_id.as_str()).unwrap_or_default();
            if let Some(name) = named(&container.image, id) {
                found.images.insert(name);
            } else {
                let Metadata { namespace, name } = &pod.metadata;
                let text = format!("`{}` of pod {namespace}/{name}", container.image);
                found.unclear.insert(printable(&text.chars().take(300).collect::<String>()));
            }
        }
    }
}

/// The image that runs: `id` is `REPOSITORY@DIGEST`, perhaps after `docker-pullable://`; a bare `sha256:…` is the image's
/// config, by which no registry finds it.
fn named(image: &str, id: &str) -> Option<ImageName> {
    let asked: Option<ImageName> = normalised(image).parse().ok();
    let id = id.rsplit_once("://").map_or(id, |(_, rest)| rest);
    let running: Option<ImageName> = id.contains('@').then(|| normalised(id).parse().ok()).flatten();
    let Some(mut running) = running else { return asked };
    // A mirror's name is the place it came from; the tag is only told where the place is the same.
    if let Some(asked) = asked.filter(|asked| asked.location == running.location) {
        running.selector.tag = asked.selector.tag;
    }
    Some(running)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Pods {
        pods(text.as_bytes()).unwrap()
    }

    #[test]
    fn prefers_the_digest_that_runs() {
        let hex = "a".repeat(64);
        let text = format!(
            r#"{{"apiVersion":"v1","kind":"List","items":[{{"kind":"Pod","metadata":{{"namespace":"n","name":"p"}},
            "spec":{{"containers":[{{"name":"a","image":"registry.example.org/web:1"}},{{"name":"b","image":"nginx"}},
              {{"name":"c","image":"Not An Image"}},{{"name":"d","image":"registry.example.org/d:2"}}],
              "initContainers":[{{"name":"i","image":"registry.example.org/init:3"}}]}},
            "status":{{"phase":"Running","containerStatuses":[
              {{"name":"a","image":"x","imageID":"docker-pullable://registry.example.org/web@sha256:{hex}"}},
              {{"name":"d","imageID":"sha256:{hex}"}}],
              "initContainerStatuses":[{{"name":"i","imageID":"mirror.example.org/init@sha256:{hex}"}}]}}}},
            {{"kind":"Pod","spec":{{"containers":[{{"name":"a","image":"registry.example.org/done:1"}}]}},"status":{{"phase":"Succeeded"}}}}]}}"#
        );
        let found = read(&text);
        let images: Vec<_> = found.images.iter().map(ToString::to_string).collect();
        assert_eq!(
            images,
            [
                "docker.io/library/nginx:latest".to_owned(),
                format!("mirror.example.org/init@sha256:{hex}"),
                "registry.example.org/d:2".to_owned(),
                format!("registry.example.org/web:1@sha256:{hex}"),
            ]
        );
        assert_eq!(found.unclear.into_iter().collect::<Vec<_>>(), ["`Not An Image` of pod n/p"]);
    }

    #[test]
    fn refuses_other_things() {
        for (text, why) in [
            ("", "EOF"),
            ("[]", "invalid length"),
            (r#"{"kind":"List"}"#, "no `items`"),
            (r#"{"kind":"Deployment","items":[]}"#, "its kind is `Deployment`"),
            (r#"{"kind":"List","items":[{"kind":"Node"}]}"#, "it lists a Node"),
        ] {
            let error = pods(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(pods("[".repeat(100_000).as_bytes()).is_err());
    }
}
