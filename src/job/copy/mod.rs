//! `copy`: an image or index and everything that belongs to it, from one place to another. Gather at the source → blobs
//! → manifests, each after what it names → lists of referrers and cosign's tags → the tag, last and apart, so that
//! whoever gates it comes between.

mod gather;
mod parts;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicU64, Ordering},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use self::gather::{Gathered, Node, Source};
use super::Ports;
use crate::{
    model::{Descriptor, Digest, ImageName, allowance::size, limits::MANIFEST_SIZE_BYTES_MAX},
    progress::Update,
    registry::{CopyBlobError, Listed, Pushed, RegistryError},
    store::{Store, StoreError},
};

/// Requests to one side at once.
const AT_ONCE: usize = 4;

/// What to copy.
#[derive(Debug, Clone)]
pub struct Request {
    /// The image.
    pub from: ImageName,
    /// Where it goes. Its tag is written last (`latest` if it names none); with a digest and no tag, none is.
    pub to: ImageName,
    /// Only the manifest of this platform, and what belongs to it.
    pub platform: Option<String>,
    /// Whether a tag that names another image is moved.
    pub overwrite: bool,
}

/// Why something was not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The source could not be read.
    #[error("cannot read {what} from `{from}`")]
    Read {
        /// What.
        what: String,
        /// Where from.
        from: String,
        /// Why not.
        source: RegistryError,
    },
    /// The target did not take it.
    #[error("cannot write {what} to `{to}`")]
    Write {
        /// What.
        what: String,
        /// Where to.
        to: String,
        /// Why not.
        source: RegistryError,
    },
    /// The image itself is not whole, or nothing that can be copied.
    #[error("manifest {digest} of the image cannot be copied: {problem}")]
    Image {
        /// Which manifest.
        digest: Digest,
        /// Why not.
        problem: String,
    },
    /// More than is ever copied.
    #[error("the image and what refers to it are more than {most} {unit}")]
    TooMuch {
        /// The bound.
        most: u64,
        /// Of what.
        unit: &'static str,
    },
    /// The target's name has another digest than the source.
    #[error("`{to}` names another image than {digest}")]
    OtherDigest {
        /// The name.
        to: String,
        /// What the source is.
        digest: Digest,
    },
    /// The tag names another image, and is not to be moved.
    #[error("`{to}` is {digest} already, and --no-overwrite keeps it")]
    Taken {
        /// The name.
        to: String,
        /// What it names.
        digest: Digest,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No room for what is under way.
    #[error("cannot make a directory in the store")]
    Spool(#[source] std::io::Error),
}

/// Blobs, by how they came to the target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Blobs {
    /// All.
    pub count: u64,
    /// It had them.
    pub existing: u64,
    /// It took them over from another of its repositories.
    pub mounted: u64,
    /// They were read and sent.
    pub sent: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
}

/// What was brought to the target; all but the tag, which [`Brought::tag`] writes.
#[derive(Debug)]
pub struct Brought {
    /// The image.
    pub root: Descriptor,
    /// Manifests: the image's, and of all that belongs to it.
    pub manifests: usize,
    /// What refers to something, and to what.
    pub referrers: BTreeMap<Digest, Digest>,
    /// Tags of cosign's.
    pub tags: BTreeMap<String, Digest>,
    /// The blobs.
    pub blobs: Blobs,
    /// What is listed beside the image but cannot be copied, and why.
    pub left: Vec<(String, String)>,
    /// What the target's tag named before.
    pub before: Option<Digest>,
    to: ImageName,
    bytes: Vec<u8>,
    overwrite: bool,
}

impl Brought {
    /// The image where it is now.
    #[must_use]
    pub fn image(&self) -> ImageName {
        self.to.at(self.root.digest)
    }

    /// The tag that is to be written, if one is.
    #[must_use]
    pub fn to_tag(&self) -> Option<&str> {
        self.to.selector.tag.as_deref()
    }

    /// Points the target's tag at the image, unless that was not asked for.
    ///
    /// # Errors
    /// [`CopyError::Taken`] if somebody gave the tag to another image meanwhile and it is not to be moved;
    /// [`CopyError::Write`].
    pub async fn tag(&self, ports: &Ports) -> Result<(), CopyError> {
        let Some(tag) = self.to_tag() else { return Ok(()) };
        ports.progress.update(Update::Phase("tag", tag));
        if !self.overwrite {
            self.untaken(standing(ports, &self.to).await?)?;
        }
        let tagged = ports.registries.tag(&self.to, &self.root.media_type, &self.bytes).await;
        tagged.map_err(|source| written("the tag", &self.to, source))
    }

    fn untaken(&self, before: Option<Digest>) -> Result<(), CopyError> {
        untaken(&self.to, before, self.root.digest)
    }
}

fn untaken(to: &ImageName, before: Option<Digest>, digest: Digest) -> Result<(), CopyError> {
    match before {
        Some(other) if other != digest => Err(CopyError::Taken { to: to.to_string(), digest: other }),
        _ => Ok(()),
    }
}

async fn standing(ports: &Ports, to: &ImageName) -> Result<Option<Digest>, CopyError> {
    let standing = ports.registries.tagged(to).await;
    standing.map_err(|source| CopyError::Read { what: "the tag".into(), from: to.to_string(), source })
}

fn written(what: impl Into<String>, to: &ImageName, source: RegistryError) -> CopyError {
    CopyError::Write { what: what.into(), to: to.repository(), source }
}

/// Brings everything but the tag to the target. A run that was killed leaves whole blobs and manifests there that no tag
/// names, which the next one finds.
///
/// # Errors
/// [`CopyError`]; the tag is where it was then.
pub async fn bring(ports: &Ports, request: &Request) -> Result<Brought, CopyError> {
    let Request { from, platform, overwrite, .. } = request;
    ports.progress.update(Update::Phase("read", &from.to_string()));
    let read = match platform {
        Some(platform) => ports.registries.platform_manifest(from, platform).await,
        None => ports.registries.manifest(from).await,
    };
    let unread = |what: &str, source| CopyError::Read { what: what.into(), from: from.to_string(), source };
    let (root, bytes) = read.map_err(|source| unread("the image", source))?;
    let to = target(&request.to, root.digest)?;
    let before = match &to.selector.tag {
        Some(_) => standing(ports, &to).await?,
        None => None,
    };
    if !overwrite {
        untaken(&to, before, root.digest)?;
    }
    let dir = tempfile::tempdir_in(ports.store.tmp()).map_err(CopyError::Spool)?;
    let spool = Store::open(dir.path())?;
    let known = ports.registries.known(from).await.map_err(|source| unread("the tags", source))?;
    let source = Source { ports, from, known, spool: &spool };
    let mut gathered = source.gather(root.clone(), bytes.clone()).await?;
    for (what, problem) in &gathered.left {
        let text = format!("{what} is listed beside the image and stays behind: {problem}");
        ports.progress.update(Update::Warning(&text));
    }
    let carrier = Carrier { ports, from, to: &to, spool: &spool };
    let blobs =
        if from.location == to.location { Blobs::default() } else { carrier.all(&mut gathered).await? };
    let Gathered { nodes, referrers, tags, left, .. } = gathered;
    let overwrite = *overwrite;
    Ok(Brought { root, manifests: nodes.len(), referrers, tags, blobs, left, before, to, bytes, overwrite })
}

/// The target with the tag it gets, if it gets one.
fn target(to: &ImageName, digest: Digest) -> Result<ImageName, CopyError> {
    let mut target = to.clone();
    match target.selector.digest.take() {
        Some(named) if named != digest => Err(CopyError::OtherDigest { to: to.to_string(), digest }),
        Some(_) => Ok(target),
        None => {
            target.selector.tag.get_or_insert_with(|| "latest".to_owned());
            Ok(target)
        }
    }
}

/// Brings what was gathered to the target.
struct Carrier<'a> {
    ports: &'a Ports,
    from: &'a ImageName,
    to: &'a ImageName,
    spool: &'a Store,
}

impl Carrier<'_> {
    async fn all(&self, gathered: &mut Gathered) -> Result<Blobs, CopyError> {
        let blobs = self.blobs(gathered).await?;
        let count = gathered.nodes.len();
        self.tell("manifests", &format!("{count}"));
        let unlisted = self.manifests(&gathered.nodes).await?;
        self.list(&unlisted).await?;
        self.attachments(gathered).await?;
        Ok(blobs)
    }

    fn tell(&self, phase: &'static str, what: &str) {
        self.ports.progress.update(Update::Phase(phase, what));
    }

    async fn blobs(&self, gathered: &mut Gathered) -> Result<Blobs, CopyError> {
        let bytes: u64 = gathered.blobs.values().map(|blob| blob.size).fold(0, u64::saturating_add);
        self.tell("blobs", &format!("{}, {} as they are named", gathered.blobs.len(), size(bytes)));
        let (sent_count, sent_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let copy = async |blob: Descriptor, foreign: bool| {
            let pushed = self.blob(&blob, foreign).await?;
            if pushed == Some(Pushed::Sent) {
                let count = sent_count.fetch_add(1, Ordering::Relaxed) + 1;
                let bytes = sent_bytes.fetch_add(blob.size, Ordering::Relaxed) + blob.size;
                self.ports.progress.update(Update::Sent { count, bytes });
            }
            Ok::<_, CopyError>((blob, pushed))
        };
        let foreign = gathered.foreign.iter().filter(|(digest, _)| !gathered.blobs.contains_key(digest));
        let all: Vec<_> = gathered
            .blobs
            .values()
            .map(|blob| copy(blob.clone(), false))
            .chain(foreign.map(|(_, blob)| copy(blob.clone(), true)))
            .collect();
        let done: Vec<(Descriptor, Option<Pushed>)> =
            stream::iter(all).buffer_unordered(AT_ONCE).try_collect().await?;
        let mut blobs = Blobs::default();
        for (blob, pushed) in done {
            blobs.count += 1;
            match pushed {
                Some(Pushed::Existing) => blobs.existing += 1,
                Some(Pushed::Mounted) => blobs.mounted += 1,
                Some(Pushed::Sent) => {
                    blobs.sent += 1;
                    blobs.sent_bytes += blob.size;
                }
                None => {
                    blobs.count -= 1;
                    let why = "the source does not have it, only the URLs in the manifest".to_owned();
                    gathered.left.push((blob.digest.to_string(), why));
                }
            }
        }
        Ok(blobs)
    }

    /// Nothing if the blob is a foreign one that the source does not have.
    async fn blob(&self, blob: &Descriptor, foreign: bool) -> Result<Option<Pushed>, CopyError> {
        let what = || format!("blob {}", blob.digest);
        match self.ports.registries.copy_blob(self.from, self.to, blob, self.spool).await {
            Ok(pushed) => Ok(Some(pushed)),
            Err(CopyBlobError::Read(RegistryError::NotFound { .. })) if foreign => Ok(None),
            Err(CopyBlobError::Read(source)) => {
                Err(CopyError::Read { what: what(), from: self.from.repository(), source })
            }
            Err(CopyBlobError::Write(source)) => Err(written(what(), self.to, source)),
        }
    }

    /// Each after what it names and what it is about; what the target does not list by itself, by what it is about.
    async fn manifests(
        &self,
        nodes: &BTreeMap<Digest, Node>,
    ) -> Result<BTreeMap<Digest, Vec<Descriptor>>, CopyError> {
        let mut unlisted: BTreeMap<Digest, Vec<Descriptor>> = BTreeMap::new();
        let mut done: BTreeSet<Digest> = BTreeSet::new();
        while done.len() < nodes.len() {
            // No circle is possible: each names the digests of the others.
            let ready = |node: &&Node| {
                !done.contains(&node.descriptor.digest)
                    && node.after.iter().all(|digest| done.contains(digest))
            };
            let puts: Vec<_> = nodes.values().filter(ready).map(|node| self.manifest(node)).collect();
            let put: Vec<(Digest, Option<(Digest, Descriptor)>)> =
                stream::iter(puts).buffered(AT_ONCE).try_collect().await?;
            if put.is_empty() {
                break;
            }
            for (digest, listing) in put {
                done.insert(digest);
                if let Some((subject, descriptor)) = listing {
                    unlisted.entry(subject).or_default().push(descriptor);
                }
            }
        }
        Ok(unlisted)
    }

    async fn manifest(&self, node: &Node) -> Result<(Digest, Option<(Digest, Descriptor)>), CopyError> {
        let Descriptor { digest, media_type, .. } = &node.descriptor;
        let bytes = self.spool.read(digest, MANIFEST_SIZE_BYTES_MAX)?;
        let registries = &self.ports.registries;
        let failed = |source| written(format!("manifest {digest}"), self.to, source);
        let Some(subject) = node.subject else {
            registries.push_manifest(self.to, media_type, &bytes).await.map_err(failed)?;
            return Ok((*digest, None));
        };
        let put = registries.put_referrer(self.to, media_type, &bytes).await.map_err(failed)?;
        let unlisted = put.listed == Listed::FallbackTag;
        Ok((*digest, unlisted.then_some((subject, put.descriptor))))
    }

    /// Merges the fallback tags.
    async fn list(&self, unlisted: &BTreeMap<Digest, Vec<Descriptor>>) -> Result<(), CopyError> {
        let lists: Vec<_> = unlisted.iter().map(|(subject, all)| self.list_of(subject, all)).collect();
        stream::iter(lists).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn list_of(&self, subject: &Digest, attachments: &[Descriptor]) -> Result<(), CopyError> {
        let about = Descriptor::new("", *subject, 0);
        let listed = self.ports.registries.list_attachments(self.to, &about, attachments, None).await;
        let dropped = listed.map_err(|source| written("the list of referrers", self.to, source))?;
        for digest in dropped {
            let text = format!("{digest} was listed at the target but is gone; its entry was dropped");
            self.ports.progress.update(Update::Warning(&text));
        }
        Ok(())
    }

    /// Merges cosign's tags.
    async fn attachments(&self, gathered: &Gathered) -> Result<(), CopyError> {
        let merges: Vec<_> = gathered.tags.iter().map(|(tag, digest)| self.attachment(tag, digest)).collect();
        stream::iter(merges).buffer_unordered(AT_ONCE).try_collect().await
    }

    async fn attachment(&self, tag: &str, digest: &Digest) -> Result<(), CopyError> {
        let bytes = self.spool.read(digest, MANIFEST_SIZE_BYTES_MAX)?;
        let mut name = self.to.clone();
        name.selector.tag = Some(tag.to_owned());
        let merged = self.ports.registries.merge_legacy(&name, &bytes, self.spool).await;
        merged.map(drop).map_err(|source| written(format!("tag {tag}"), self.to, source))
    }
}
