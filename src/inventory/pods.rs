//! What runs in a cluster: the answer of `kubectl get pods -A -o json`.

use std::{collections::BTreeSet, fmt, io::Read, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

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
    #[serde(default, deserialize_with = "few")]
    containers: Vec<Container>,
    #[serde(default, deserialize_with = "few")]
    init_containers: Vec<Container>,
    #[serde(default, deserialize_with = "few")]
    ephemeral_containers: Vec<Container>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Status {
    #[serde(default)]
    phase: String,
    #[serde(default, deserialize_with = "few")]
    container_statuses: Vec<Running>,
    #[serde(default, deserialize_with = "few")]
    init_container_statuses: Vec<Running>,
    #[serde(default, deserialize_with = "few")]
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

/// Reads a list of pods, one after the other. Those that have ended are passed over.
///
/// The digest that runs (`imageID`) is preferred to the name in the pod, whose tag may have moved since; the tag is kept
/// beside it. Names are completed as a cluster does: `nginx` is `docker.io/library/nginx:latest`.
///
/// # Errors
/// [`InventoryError::Pods`] if it is something else, [`InventoryError::TooMany`] past [`INVENTORY_IMAGES_MAX`], as soon as
/// that many were read.
pub fn pods(reader: impl Read) -> Result<Pods, InventoryError> {
    let mut list = List::default();
    let mut json = serde_json::Deserializer::from_reader(reader);
    let read = json.deserialize_map(&mut list).and_then(|()| json.end());
    if let Some(wrong) = list.wrong {
        return Err(wrong);
    }
    read.map_err(|error| wrong(&error.to_string()))?;
    if !list.has_items {
        return Err(wrong("it has no `items`"));
    }
    let kind = list.kind.unwrap_or_default();
    if kind != "List" && kind != "PodList" {
        return Err(wrong(&format!("its kind is `{kind}`")));
    }
    Ok(list.found)
}

fn wrong(why: &str) -> InventoryError {
    InventoryError::Pods(printable(&why.chars().take(200).collect::<String>()))
}

/// What was read of the list so far.
#[derive(Default)]
struct List {
    kind: Option<String>,
    has_items: bool,
    found: Pods,
    /// Why nothing more is read.
    wrong: Option<InventoryError>,
}

impl List {
    fn take(&mut self, pod: &Pod) -> Result<(), InventoryError> {
        if let Some(kind) = pod.kind.as_deref().filter(|kind| *kind != "Pod") {
            return Err(wrong(&format!("it lists a {kind}")));
        }
        if pod.status.phase == "Succeeded" || pod.status.phase == "Failed" {
            return Ok(());
        }
        one(pod, &mut self.found);
        if self.found.images.len() + self.found.unclear.len() > INVENTORY_IMAGES_MAX {
            return Err(InventoryError::TooMany(INVENTORY_IMAGES_MAX));
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for &mut List {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of pods")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "kind" if self.kind.is_some() => return Err(de::Error::duplicate_field("kind")),
                "items" if self.has_items => return Err(de::Error::duplicate_field("items")),
                "kind" => self.kind = Some(map.next_value()?),
                "items" => {
                    self.has_items = true;
                    map.next_value_seed(Items(self))?;
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The pods of a list, each taken as it is read.
struct Items<'a>(&'a mut List);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pods")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while let Some(pod) = items.next_element::<Pod>()? {
            if let Err(wrong) = self.0.take(&pod) {
                self.0.wrong = Some(wrong);
                return Err(de::Error::custom("no more is read"));
            }
        }
        Ok(())
    }
}

/// A list inside one pod, no longer than an inventory may be.
fn few<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Few<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut all = Vec::new();
            while let Some(item) = items.next_element()? {
                if all.len() == INVENTORY_IMAGES_MAX {
                    return Err(de::Error::custom(format_args!(
                        "one pod has more than {INVENTORY_IMAGES_MAX} containers"
                    )));
                }
                all.push(item);
            }
            Ok(all)
        }
    }
    deserializer.deserialize_seq(Few(PhantomData))
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
            ("[]", "invalid type: sequence, expected a list of pods"),
            (r#"{"kind":"List","items":[],"items":[]}"#, "duplicate field `items`"),
            (r#"{"kind":"List","items":[]} x"#, "trailing characters"),
            (r#"{"kind":"List"}"#, "no `items`"),
            (r#"{"kind":"Deployment","items":[]}"#, "its kind is `Deployment`"),
            (r#"{"kind":"List","items":[{"kind":"Node"}]}"#, "it lists a Node"),
        ] {
            let error = pods(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(pods("[".repeat(100_000).as_bytes()).is_err());
    }

    /// A list of pods without an end, each with an image of its own; it fails past `read_max` bytes.
    struct Endless {
        pending: Vec<u8>,
        pods: usize,
        read: usize,
        read_max: usize,
    }

    impl Read for Endless {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            if self.read > self.read_max {
                return Err(std::io::Error::other("it was read too far"));
            }
            if self.pending.is_empty() {
                self.pods += 1;
                let pod = format!(
                    r#"{{"spec":{{"containers":[{{"name":"a","image":"registry.example.org/a:{}"}}]}}}},"#,
                    self.pods
                );
                self.pending = pod.into_bytes();
            }
            let count = into.len().min(self.pending.len());
            into[..count].copy_from_slice(&self.pending[..count]);
            self.pending.drain(..count);
            self.read += count;
            Ok(count)
        }
    }

    #[test]
    fn too_many_are_refused_before_the_rest_is_read() {
        let pending = br#"{"items":["#.to_vec();
        let endless = Endless { pending, pods: 0, read: 0, read_max: 200 * INVENTORY_IMAGES_MAX };
        assert_eq!(pods(endless).unwrap_err(), InventoryError::TooMany(INVENTORY_IMAGES_MAX));
        let containers = "{},".repeat(INVENTORY_IMAGES_MAX);
        let pod = format!(r#"{{"kind":"List","items":[{{"spec":{{"containers":[{containers}{{}}]}}}}]}}"#);
        let error = pods(pod.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("one pod has more than 100000 containers"), "{error}");
    }
}
