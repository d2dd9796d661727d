//! What belongs to an image: its manifests, all that refers to any of them, and what cosign attached by tags.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{AT_ONCE, CopyError, parts};
use crate::{
    job::{Ports, evidence::chain},
    model::{
        Descriptor, Digest, ImageName,
        limits::{COPY_BLOBS_MAX, COPY_MANIFESTS_MAX, COPY_MANIFESTS_SIZE_BYTES_MAX},
        names::{DOCKER_LIST, OCI_INDEX},
    },
    registry::{Known, RegistryError, fallback_tag},
    store::Store,
};

/// Where cosign keeps what belongs to the image `sha256-HEX`.
const COSIGN: [&str; 3] = ["att", "sig", "sbom"];

const NO_ATTACHMENT: &str = "cosign's tag holds something else than attachments";

/// Why a manifest belongs to the image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Why {
    /// It is the image, or part of it.
    Image,
    /// It is listed as referring to this one.
    Refers(Digest),
    /// It is behind this tag of cosign's.
    Tagged(String),
}

/// A manifest to be copied; its bytes are in the spool.
#[derive(Debug)]
pub(super) struct Node {
    pub descriptor: Descriptor,
    /// What has to be there before it.
    pub after: Vec<Digest>,
    /// What it says it is about.
    pub subject: Option<Digest>,
    /// Whether it can be what cosign keeps behind a tag: no index, and no layer of an image in it.
    attachment: bool,
}

/// All that belongs to an image.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub nodes: BTreeMap<Digest, Node>,
    pub blobs: BTreeMap<Digest, Descriptor>,
    /// Layers that may be elsewhere.
    pub foreign: BTreeMap<Digest, Descriptor>,
    /// Referrers and what each refers to.
    pub referrers: BTreeMap<Digest, Digest>,
    /// Tags of cosign's and what is behind each.
    pub tags: BTreeMap<String, Digest>,
    /// What cannot be copied, though it is listed as belonging to the image, and why.
    pub left: Vec<(String, String)>,
    size_bytes: u64,
}

/// A manifest to be looked at.
struct Wanted {
    digest: Digest,
    why: Why,
    /// It, if it was read already.
    read: Option<(Descriptor, Vec<u8>)>,
}

/// One that was.
struct Looked {
    digest: Digest,
    why: Why,
    node: Result<(Node, Vec<parts::Blob>), String>,
    next: Vec<Wanted>,
}

/// Where it is read from.
pub(super) struct Source<'a> {
    pub ports: &'a Ports,
    pub from: &'a ImageName,
    pub known: Known,
    /// For the manifests' bytes.
    pub spool: &'a Store,
}

impl Source<'_> {
    /// Everything that belongs to the image `root`.
    ///
    /// # Errors
    /// [`CopyError::Read`] for anything that could not be looked at; [`CopyError::Image`] if a part of the image itself is
    /// missing or malformed; [`CopyError::TooMuch`].
    pub(super) async fn gather(&self, root: Descriptor, bytes: Vec<u8>) -> Result<Gathered, CopyError> {
        let mut found = Gathered::default();
        let mut seen = BTreeSet::new();
        let mut wave = vec![Wanted { digest: root.digest, why: Why::Image, read: Some((root, bytes)) }];
        while !wave.is_empty() {
            let looks: Vec<_> = wave.into_iter().map(|wanted| self.look(wanted)).collect();
            let looked: Vec<Looked> = stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
            let mut next = Vec::new();
            for one in looked {
                next.extend(found.take(one)?);
            }
            wave = Vec::new();
            for wanted in next {
                if found.nodes.contains_key(&wanted.digest) {
                    found.belongs(wanted.digest, wanted.why);
                // What was listed wrongly for one may be listed rightly for another.
                } else if seen.insert((wanted.digest, wanted.why.clone())) {
                    wave.push(wanted);
                }
            }
            if seen.len() > COPY_MANIFESTS_MAX {
                return Err(CopyError::TooMuch { most: COPY_MANIFESTS_MAX as u64, unit: "manifests" });
            }
        }
        // What turned out not to be copied cannot be waited for.
        let there: BTreeSet<Digest> = found.nodes.keys().copied().collect();
        for node in found.nodes.values_mut() {
            node.after.retain(|digest| there.contains(digest));
        }
        found.tags.retain(|_, digest| there.contains(digest));
        found.left.retain(|(digest, _)| !there.iter().any(|there| there.to_string() == *digest));
        found.left.sort();
        found.left.dedup();
        Ok(found)
    }

    async fn look(&self, wanted: Wanted) -> Result<Looked, CopyError> {
        let Wanted { digest, why, read } = wanted;
        let left = |problem: String, why: Why| match why {
            Why::Image => Err(CopyError::Image { digest, problem }),
            why => Ok(Looked { digest, why, node: Err(problem), next: Vec::new() }),
        };
        let registries = &self.ports.registries;
        let read = match read {
            Some(read) => Ok(read),
            None => registries.manifest(&self.from.at(digest)).await,
        };
        let (descriptor, bytes) = match read {
            Ok(found) => found,
            Err(RegistryError::NotFound { .. }) => return left("it is not there".to_owned(), why),
            // Junk that a stranger listed; nobody can read it there either.
            Err(error @ (RegistryError::Answer { .. } | RegistryError::Mismatch { .. })) => {
                return left(chain(&error), why);
            }
            Err(source) => return Err(self.unread(format!("manifest {digest}"), source)),
        };
        let parts = match parts::read(&descriptor.media_type, &bytes) {
            Ok(parts) => parts,
            Err(problem) => return left(problem, why),
        };
        let attachment = !is_index(&descriptor) && !parts.of_image;
        match &why {
            Why::Refers(subject) if parts.subject != Some(*subject) => {
                return left(format!("it is listed for {subject} but not about it"), why);
            }
            Why::Tagged(_) if !attachment => return left(NO_ATTACHMENT.to_owned(), why),
            _ => {}
        }
        self.spool.put(&bytes)?;
        let part = |child: &Descriptor| Wanted { digest: child.digest, why: Why::Image, read: None };
        let mut next: Vec<Wanted> = parts.children.iter().map(part).collect();
        next.extend(self.beside(&digest, why == Why::Image).await?);
        let mut after: Vec<Digest> = parts.children.iter().map(|child| child.digest).collect();
        after.extend(parts.subject);
        let node = Node { descriptor, after, subject: parts.subject, attachment };
        Ok(Looked { digest, why, node: Ok((node, parts.blobs)), next })
    }

    /// What refers to `digest`, and what cosign attached to it. Beside images themselves it is looked for even if the
    /// place does not tell that it has it.
    async fn beside(&self, digest: &Digest, thorough: bool) -> Result<Vec<Wanted>, CopyError> {
        let registries = &self.ports.registries;
        let listed = registries.referrers_knowing(self.from, digest, &self.known, thorough).await;
        let listed = listed.map_err(|source| self.unread(format!("what refers to {digest}"), source))?;
        let refers =
            |entry: Descriptor| Wanted { digest: entry.digest, why: Why::Refers(*digest), read: None };
        let mut found: Vec<Wanted> = listed.into_iter().map(refers).collect();
        for suffix in COSIGN {
            let tag = format!("{}.{suffix}", fallback_tag(digest));
            if !(thorough || self.known.may_have(&tag)) {
                continue;
            }
            let mut name = self.from.clone();
            (name.selector.tag, name.selector.digest) = (Some(tag.clone()), None);
            match registries.manifest(&name).await {
                Ok(read) => {
                    found.push(Wanted { digest: read.0.digest, why: Why::Tagged(tag), read: Some(read) });
                }
                Err(RegistryError::NotFound { .. }) => {}
                Err(source) => return Err(self.unread(format!("tag {tag}"), source)),
            }
        }
        Ok(found)
    }

    fn unread(&self, what: String, source: RegistryError) -> CopyError {
        CopyError::Read { what, from: self.from.repository(), source }
    }
}

impl Gathered {
    /// Takes in what was looked at; what to look at next.
    fn take(&mut self, looked: Looked) -> Result<Vec<Wanted>, CopyError> {
        let Looked { digest, why, node, next } = looked;
        let (node, blobs) = match node {
            Ok(found) => found,
            Err(problem) => {
                self.left.push((digest.to_string(), problem));
                return Ok(Vec::new());
            }
        };
        self.size_bytes += node.descriptor.size;
        if self.size_bytes > COPY_MANIFESTS_SIZE_BYTES_MAX {
            return Err(CopyError::TooMuch {
                most: COPY_MANIFESTS_SIZE_BYTES_MAX,
                unit: "bytes of manifests",
            });
        }
        for blob in blobs {
            let list = if blob.foreign { &mut self.foreign } else { &mut self.blobs };
            // What the image says of a blob goes before what a stranger says.
            list.entry(blob.descriptor.digest).or_insert(blob.descriptor);
        }
        if self.blobs.len() + self.foreign.len() > COPY_BLOBS_MAX {
            return Err(CopyError::TooMuch { most: COPY_BLOBS_MAX as u64, unit: "blobs" });
        }
        self.nodes.insert(digest, node);
        self.belongs(digest, why);
        Ok(next)
    }

    /// Notes why a manifest belongs to the image; there may be several reasons.
    fn belongs(&mut self, digest: Digest, why: Why) {
        let node = self.nodes.get(&digest);
        let about = node.and_then(|node| node.subject);
        let attachment = node.is_some_and(|node| node.attachment);
        match why {
            Why::Refers(subject) if about == Some(subject) => drop(self.referrers.insert(digest, subject)),
            Why::Refers(_) | Why::Image => {}
            Why::Tagged(tag) if attachment => drop(self.tags.insert(tag, digest)),
            // It is copied for another reason; the tag is not.
            Why::Tagged(tag) => self.left.push((format!("tag {tag}"), NO_ATTACHMENT.to_owned())),
        }
    }
}

fn is_index(descriptor: &Descriptor) -> bool {
    [OCI_INDEX, DOCKER_LIST].contains(&descriptor.media_type.as_str())
}
