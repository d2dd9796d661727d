//! The door to every place where images live: repositories of registries and `oci:DIR` (distribution-spec 1.1,
//! image-spec 1.1).
//!
//! Everything is asked of both kinds in the same way. Bytes are checked against the digest asked for before anybody
//! reads them; sizes, times, pages and redirects have bounds (CLI.md, "Network waits"). Does not know what manifests
//! and attestations mean: it moves them.

mod access;
mod attach;
mod auth;
mod challenge;
mod conf;
mod error;
mod evidence;
mod http;
mod layout;
mod legacy;
mod manifest;
mod mirrors;
mod neighbours;
mod place;
mod program;
mod pull;
mod push;
mod referrers;
mod retry;
#[cfg(test)]
mod tests;
mod transfer;
mod upload;
mod watch;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use self::{
    attach::Before,
    conf::{ConfError, RegistriesConf, is_short},
    error::RegistryError,
    legacy::is_image_layer,
    referrers::{fallback_tag, legacy_tag},
    retry::Waits,
    transfer::{CopyBlobError, Known},
};
use self::{
    http::Http, layout::Layout, neighbours::Neighbours, place::Place, push::Uploads, referrers::Apis,
    retry::Patience,
};
use crate::{
    model::{Descriptor, Digest, ImageName, Location, Network, names::OCI_MANIFEST},
    store::Store,
};

/// How to reach registries. The default: no credentials, HTTPS but for loopback, the system's certificates, the waits
/// of CLI.md.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Files of credentials (docker's config.json, podman's auth.json), tried in order; they need not exist.
    pub docker_config: Vec<PathBuf>,
    /// Directories where credential programs (`docker-credential-NAME`) that those files name are looked for.
    pub programs: Vec<PathBuf>,
    /// `host[:port]`s that speak plain HTTP; loopback hosts always do.
    pub plain_http: Vec<String>,
    /// Mirrors, other locations, short names. Mirrors are only read from, and first; who refers to what is asked of the
    /// place itself first.
    pub conf: RegistriesConf,
    /// How registries are reached.
    pub network: Network,
    /// Further certificate authorities, PEM, each believed for one `host[:port]` only.
    pub ca: Vec<(String, Vec<u8>)>,
    /// How long things may take.
    pub waits: Waits,
}

/// How a blob came to be where it was pushed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It was there already.
    Existing,
    /// The registry took it over from another of its repositories.
    Mounted,
    /// We sent it.
    Sent,
}

/// Where an attachment is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// By the registry (`OCI-Subject`).
    Api,
    /// By the tag `sha256-HEX`, which we keep ourselves.
    FallbackTag,
    /// In a layout's `index.json`.
    Index,
}

/// What came of [`Registries::attach`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The attachment's manifest, as it is listed.
    pub descriptor: Descriptor,
    /// Where.
    pub listed: Listed,
    /// Entries of the fallback tag whose manifests are gone, dropped because the registry takes no index that names
    /// them; to be told to the user.
    pub dropped: Vec<Digest>,
}

/// All places of images, and the connections and logins they share. One for a whole run.
pub struct Registries {
    http: Http,
    uploads: Uploads,
    apis: Arc<Apis>,
}

impl fmt::Debug for Registries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registries").field("options", &self.http.options).finish_non_exhaustive()
    }
}

/// A place, looked at closely.
enum Site {
    Registry(Place),
    Layout(Layout),
}

impl Registries {
    /// Remembers `options`; connects to nothing and reads no file yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { http: Http::new(options), uploads: Uploads::default(), apis: Arc::default() }
    }

    /// The same door for another runtime: a connection lives no longer than the one that it was made on. Logins are
    /// shared, and how many requests may be under way.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self { http: self.http.twin(), uploads: Uploads::default(), apis: Arc::clone(&self.apis) }
    }

    /// The descriptor of the manifest or index `name` means now: by digest, else tag, else `latest` (in a layout: else
    /// the only image).
    ///
    /// # Errors
    /// Those of [`Registries::manifest`].
    pub async fn resolve(&self, name: &ImageName) -> Result<Descriptor, RegistryError> {
        Ok(self.manifest(name).await?.0)
    }

    /// [`Registries::resolve`], and the bytes, which have exactly the digest of the descriptor.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`]; [`RegistryError::Mismatch`] if the bytes are not those of the digest asked for or
    /// of `Docker-Content-Digest`; [`RegistryError::TooLarge`] past 4 MiB; [`RegistryError::Answer`] if they are no
    /// manifest; those of network and disk.
    pub async fn manifest(&self, name: &ImageName) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        match self.site(name)? {
            Site::Registry(place) => {
                let reference = &pull::reference(&name.selector);
                let read = |place| async move { pull::manifest(&self.http, &place, reference).await };
                let found = self.first(name, name.selector.digest.is_some(), place, read).await?;
                Ok((found.descriptor, found.bytes))
            }
            Site::Layout(layout) => {
                let selector = name.selector.clone();
                blocking(&layout.dir.clone(), move || layout.manifest(&selector)).await
            }
        }
    }

    /// The image manifest of `platform` (`os/architecture[/variant]`): from the index that `name` means, then with
    /// [`Descriptor::platform`] set; a manifest that stands alone is returned as it is.
    ///
    /// # Errors
    /// [`RegistryError::Platform`] listing what there is; an index within the index; those of
    /// [`Registries::manifest`].
    pub async fn platform_manifest(
        &self,
        name: &ImageName,
        platform: &str,
    ) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        let (descriptor, bytes) = self.manifest(name).await?;
        if !manifest::is_index(&descriptor.media_type) {
            return Ok((descriptor, bytes));
        }
        let what = name.to_string();
        let (_, index) = manifest::read(&what, &bytes, Some(&descriptor.media_type))?;
        let entry = manifest::select(&what, &index, platform)?;
        let (mut chosen, bytes) = self.manifest(&name.at(entry.digest)).await?;
        if !manifest::is_manifest(&chosen.media_type) {
            let problem = format!("{platform} is a {}, not an image manifest", chosen.media_type);
            return Err(RegistryError::answer(&what, problem));
        }
        if chosen.size != entry.size {
            let problem = format!("{platform} has {} bytes instead of {}", chosen.size, entry.size);
            return Err(RegistryError::answer(&what, problem));
        }
        chosen.platform = entry.platform;
        Ok((chosen, bytes))
    }

    /// Brings the blob `wanted` of `name`'s place into `store`, unless it is there already. For blobs of any size: may
    /// take any time as long as bytes come.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`]; [`RegistryError::Mismatch`], [`RegistryError::TooLarge`], [`RegistryError::Answer`]
    /// if the bytes are others, more or fewer than `wanted` says (nothing is kept then); those of network and disk.
    pub async fn fetch_blob(
        &self,
        name: &ImageName,
        wanted: &Descriptor,
        store: &Store,
    ) -> Result<(), RegistryError> {
        self.fetch(name, wanted, store, Patience::Transfer).await
    }

    /// [`Registries::fetch_blob`] for small blobs that somebody waits for (attestations): with the shorter waits of
    /// registry reads, a bound on the whole included.
    ///
    /// # Errors
    /// Those of [`Registries::fetch_blob`].
    pub async fn fetch_evidence(
        &self,
        name: &ImageName,
        wanted: &Descriptor,
        store: &Store,
    ) -> Result<(), RegistryError> {
        self.fetch(name, wanted, store, Patience::Read).await
    }

    async fn fetch(
        &self,
        name: &ImageName,
        wanted: &Descriptor,
        store: &Store,
        patience: Patience,
    ) -> Result<(), RegistryError> {
        if store.size(&wanted.digest) == Some(wanted.size) {
            return Ok(());
        }
        match self.site(name)? {
            Site::Registry(place) => {
                let read =
                    |place| async move { pull::blob(&self.http, &place, wanted, store, patience).await };
                self.first(name, true, place, read).await
            }
            Site::Layout(layout) => {
                let (wanted, store) = (wanted.clone(), store.clone());
                blocking(&layout.dir.clone(), move || layout.fetch(&wanted, &store)).await
            }
        }
    }

    /// Whether `name`'s place has the blob `digest`.
    ///
    /// # Errors
    /// If it could not be asked.
    pub async fn blob_exists(&self, name: &ImageName, digest: &Digest) -> Result<bool, RegistryError> {
        match self.site(name)? {
            Site::Registry(place) => pull::has_blob(&self.http, &place, digest).await,
            Site::Layout(layout) => {
                let digest = *digest;
                blocking(&layout.dir.clone(), move || layout.has_blob(&digest)).await
            }
        }
    }

    /// Brings the blob `wanted` from `store` to `name`'s place: not at all if it is there, by a mount if `mount_from`,
    /// or the place that `store` remembers, is another repository of the same registry that has it, else by sending it,
    /// checked against its digest.
    ///
    /// # Errors
    /// [`RegistryError::Store`] if the store has no such blob or it was altered; those of network and disk.
    pub async fn push_blob(
        &self,
        name: &ImageName,
        wanted: &Descriptor,
        store: &Store,
        mount_from: Option<&ImageName>,
    ) -> Result<Pushed, RegistryError> {
        match self.site(name)? {
            Site::Registry(place) => {
                let mut from = Vec::new();
                for name in mount_from.into_iter().chain(&store.place(&wanted.digest)) {
                    if let Site::Registry(other) = self.site(name)? {
                        from.push(other);
                    }
                }
                let pushed = push::blob(&self.http, &self.uploads, &place, wanted, store, &from).await?;
                let _ = store.note_place(&wanted.digest, name); // Saves a transfer, no more.
                Ok(pushed)
            }
            Site::Layout(layout) => {
                let (wanted, store) = (wanted.clone(), store.clone());
                let sent = blocking(&layout.dir.clone(), move || layout.put(&wanted, &store)).await?;
                Ok(if sent { Pushed::Sent } else { Pushed::Existing })
            }
        }
    }

    /// Writes a manifest or index by its digest, without a tag. All it names must have been pushed before.
    ///
    /// # Errors
    /// [`RegistryError::Refused`], [`RegistryError::TooLarge`] past 4 MiB, [`RegistryError::Mismatch`] if the registry
    /// took it for another; those of network and disk.
    pub async fn push_manifest(
        &self,
        name: &ImageName,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<Descriptor, RegistryError> {
        let descriptor = Descriptor::of(media_type, bytes);
        match self.site(name)? {
            Site::Registry(place) => {
                let reference = descriptor.digest.to_string();
                push::manifest(&self.http, &place, &reference, media_type, bytes, None).await?;
            }
            Site::Layout(layout) => {
                let (digest, bytes) = (descriptor.digest, bytes.to_vec());
                blocking(&layout.dir.clone(), move || layout.put_manifest(&digest, &bytes)).await?;
            }
        }
        Ok(descriptor)
    }

    /// Writes a manifest or index and gives it the tag of `name` (`latest` if it has none). The last step of a push.
    ///
    /// # Errors
    /// Those of [`Registries::push_manifest`].
    pub async fn tag(&self, name: &ImageName, media_type: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let tag = name.selector.tag.clone().unwrap_or_else(|| "latest".to_owned());
        match self.site(name)? {
            Site::Registry(place) => {
                push::manifest(&self.http, &place, &tag, media_type, bytes, None).await?;
                Ok(())
            }
            Site::Layout(layout) => {
                let (image, bytes) = (Descriptor::of(media_type, bytes), bytes.to_vec());
                let dir = layout.dir.clone();
                let work = move || {
                    layout.put_manifest(&image.digest, &bytes)?;
                    layout.tag(&image, &tag)
                };
                blocking(&dir, work).await
            }
        }
    }

    /// [`Registries::referrers`] for somebody who is about to attach something to `subject`; kept until
    /// [`Registries::list_attachments`].
    ///
    /// # Errors
    /// Those of [`Registries::referrers`].
    pub async fn before_attaching(
        &self,
        name: &ImageName,
        subject: &Digest,
    ) -> Result<Before, RegistryError> {
        let neighbours = match self.site(name)? {
            Site::Registry(place) => Some(Neighbours::meet(&place, subject)),
            Site::Layout(_) => None,
        };
        let at = std::time::Instant::now();
        Ok(Before { entries: self.referrers(name, subject).await?, at, neighbours })
    }

    /// Writes `manifest_bytes`, an OCI manifest whose `subject` is `subject`, and sees to it that it is listed as
    /// referring to it, whatever others attach at the same time. Its blobs must have been pushed before. Doing it again
    /// changes nothing.
    ///
    /// # Errors
    /// [`RegistryError::Unlisted`] if it is pushed but not listed; those of [`Registries::push_manifest`].
    pub async fn attach(
        &self,
        name: &ImageName,
        subject: &Descriptor,
        manifest_bytes: &[u8],
        artifact_type: &str,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Attached, RegistryError> {
        let put = self.put_attachment(name, manifest_bytes, artifact_type, annotations).await?;
        match put.listed {
            Listed::FallbackTag => {
                let dropped =
                    self.list_attachments(name, subject, std::slice::from_ref(&put.descriptor), None).await?;
                Ok(Attached { dropped, ..put })
            }
            Listed::Api | Listed::Index => Ok(put),
        }
    }

    /// The first half of [`Registries::attach`]: what is to be listed by [`Listed::FallbackTag`] is not yet, and
    /// [`Registries::list_attachments`] does that for many at once.
    ///
    /// # Errors
    /// Those of [`Registries::push_manifest`].
    pub async fn put_attachment(
        &self,
        name: &ImageName,
        manifest_bytes: &[u8],
        artifact_type: &str,
        annotations: &BTreeMap<String, String>,
    ) -> Result<Attached, RegistryError> {
        let descriptor = Descriptor {
            artifact_type: Some(artifact_type.to_owned()),
            annotations: annotations.clone(),
            ..Descriptor::of(OCI_MANIFEST, manifest_bytes)
        };
        self.put_listed(name, descriptor, manifest_bytes).await
    }

    /// Sees to it that the fallback tag of `subject` lists `attachments`, whatever others attach at the same time; the
    /// dead entries dropped on the way.
    ///
    /// # Errors
    /// [`RegistryError::Unlisted`].
    pub async fn list_attachments(
        &self,
        name: &ImageName,
        subject: &Descriptor,
        attachments: &[Descriptor],
        before: Option<&Before>,
    ) -> Result<Vec<Digest>, RegistryError> {
        match self.site(name)? {
            Site::Registry(place) => {
                attach::list(&self.http, &place, &subject.digest, attachments, before).await
            }
            Site::Layout(_) => Ok(Vec::new()),
        }
    }

    fn site(&self, name: &ImageName) -> Result<Site, RegistryError> {
        match &name.location {
            Location::Registry { host, repository } => {
                self.place(&self.sources(name, host, repository, true)?.primary).map(Site::Registry)
            }
            Location::Layout(dir) => Ok(Site::Layout(Layout { dir: dir.clone() })),
        }
    }
}

/// Does `work` where waiting for the disk holds nobody up; `path` is what it works on.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(RegistryError::Layout { path: path.to_owned(), source: error.into() }),
        },
    }
}
