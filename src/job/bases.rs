//! Base images: resolved to digests outside the cage, kept in the store, handed to the engine under local names.
#![expect(
    clippy::disallowed_methods,
    reason = "reads layers in the store and lays out directories for the engine"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::BufReader,
    os::unix::fs::symlink,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bstr::ByteSlice as _;

use super::Ports;
use crate::{
    buildroot::{BuildrootError, Ended, IDS, Workspace},
    dockerfile::BaseConfig,
    engine::Engine,
    layer::{Entry, Index, LayerError, Lower, Reading, inflate, walk},
    model::{Descriptor, Digest, ImageName, limits, path::printable},
    oci::{Image, OciError},
    registry::RegistryError,
    store::{Store, StoreError},
};

/// Why a base cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// Its name.
    #[error(transparent)]
    Name(#[from] crate::model::ReferenceError),
    /// A short name that `registries.conf` completes in more than one way.
    #[error(
        "`{name}` could be any of {candidates}; write the whole name, or map it with `[from]` in reprov.toml or `--from {name}=HOST/REPOSITORY@sha256:...`"
    )]
    Ambiguous {
        /// As written.
        name: String,
        /// What it may stand for.
        candidates: String,
    },
    /// It cannot be fetched.
    #[error("cannot fetch image `{name}`")]
    Fetch {
        /// Which.
        name: String,
        /// Why not.
        source: RegistryError,
    },
    /// It is not an image.
    #[error("`{name}` is not an image that can be used")]
    Image {
        /// Which.
        name: String,
        /// Why not.
        source: OciError,
    },
    /// A layer of it cannot be read.
    #[error("cannot read layer {layer} of image `{name}`")]
    Layer {
        /// Which.
        name: String,
        /// Which layer.
        layer: Digest,
        /// Why not.
        source: crate::layer::LayerError,
    },
    /// The cache was altered.
    #[error("a cached layer of image `{name}` was altered and has been removed; run again")]
    Damaged {
        /// Which image.
        name: String,
        /// What is there.
        source: StoreError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of it belongs to nobody in the buildroot.
    #[error(
        "`{name}` cannot be a base here: `{path}` in layer {layer} belongs to {whose} {id}, and a buildroot has only the ids 0 to {last}; give its files lower ids, or take another base",
        last = IDS - 1
    )]
    Ids {
        /// Which image.
        name: String,
        /// The first such file, printable.
        path: String,
        /// Its layer.
        layer: Digest,
        /// `user` or `group`.
        whose: &'static str,
        /// The id.
        id: u64,
    },
    /// The engine could not load it.
    #[error("the engine cannot load base image `{name}` into the store `{}`: {tail}", store.display())]
    Load {
        /// Which.
        name: String,
        /// Where to.
        store: std::path::PathBuf,
        /// The last it said.
        tail: String,
    },
    /// The user's ctrl-c.
    #[error("cancelled")]
    Cancelled,
    /// The cage.
    #[error(transparent)]
    Buildroot(#[from] BuildrootError),
}

/// A base image, whole in the store.
#[derive(Debug, Clone)]
pub struct Base {
    /// Where it was found, by digest.
    pub name: ImageName,
    /// Descriptor of its manifest.
    pub manifest: Descriptor,
    /// Manifest and config.
    pub image: Image,
    contents: Arc<Mutex<Option<Arc<Contents>>>>,
}

/// What the layers of a base hold.
#[derive(Debug)]
pub struct Contents {
    /// All layers merged.
    pub lower: Lower,
    /// The package managers' configuration: path and bytes.
    pub repository_files: Vec<(String, Vec<u8>)>,
}

impl Base {
    /// An image whose layers are in the store.
    #[must_use]
    pub fn at_hand(name: ImageName, manifest: Descriptor, image: Image) -> Self {
        Self { name, manifest, image, contents: Arc::default() }
    }

    /// Reads every layer in the store; once, whoever asks how often.
    ///
    /// # Errors
    /// [`BaseError::Layer`].
    pub fn contents(&self, store: &Store) -> Result<Arc<Contents>, BaseError> {
        let mut known = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(contents) = &*known {
            return Ok(Arc::clone(contents));
        }
        let mut contents = Contents { lower: Lower::default(), repository_files: Vec::new() };
        let mut files = BTreeMap::new();
        for layer in self.image.manifest.layers() {
            let merged = merge(store, layer, &mut contents.lower, &mut files);
            merged.map_err(|source| BaseError::Layer {
                name: self.name.to_string(),
                layer: layer.digest,
                source,
            })?;
        }
        contents.repository_files = files.into_iter().collect();
        Ok(Arc::clone(known.insert(Arc::new(contents))))
    }

    /// Its name in the engine's base store.
    #[must_use]
    pub fn local(&self) -> String {
        format!("localhost/reprov-base:{}", self.manifest.digest.hex())
    }

    /// What its config says to the Dockerfile.
    #[must_use]
    pub fn config(&self) -> BaseConfig {
        let config = &self.image.config;
        let env = config.env().into_iter().filter_map(|line| line.split_once('='));
        let shell: Vec<String> = config.shell().into_iter().map(str::to_owned).collect();
        BaseConfig {
            env: env.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            shell: (!shell.is_empty()).then_some(shell),
            onbuild: config.onbuild().into_iter().map(str::to_owned).collect(),
            working_dir: config.working_dir().to_owned(),
        }
    }
}

/// Fetches the image `name` (the manifest of `platform`, if it names an index) into the store.
///
/// # Errors
/// [`BaseError::Fetch`], [`BaseError::Image`].
pub async fn fetch(ports: &Ports, name: &ImageName, platform: &str) -> Result<Base, BaseError> {
    let failed = |source| BaseError::Fetch { name: name.to_string(), source };
    let (manifest, bytes) = ports.registries.platform_manifest(name, platform).await.map_err(failed)?;
    let found = name.at(manifest.digest);
    let base = complete(ports, &found, manifest, &bytes, true).await?;
    ports.store.put(&bytes)?;
    Ok(base)
}

/// Fetches config and layers of a manifest that is at hand from `place`.
///
/// # Errors
/// [`BaseError::Fetch`], [`BaseError::Image`].
pub async fn complete(
    ports: &Ports,
    place: &ImageName,
    manifest: Descriptor,
    bytes: &[u8],
    layers: bool,
) -> Result<Base, BaseError> {
    let failed = |source| BaseError::Fetch { name: place.to_string(), source };
    let odd = |source| BaseError::Image { name: place.to_string(), source };
    let parsed = crate::oci::Manifest::parse(bytes).map_err(odd)?;
    if parsed.config().size > limits::CONFIG_SIZE_BYTES_MAX {
        let what = format!("config of {place}");
        return Err(failed(RegistryError::TooLarge {
            what,
            most: limits::CONFIG_SIZE_BYTES_MAX,
            unit: "bytes",
        }));
    }
    let config = super::evidence::bytes(ports, place, parsed.config()).await.map_err(failed)?;
    let image = Image::parse(bytes, &config).map_err(odd)?;
    if layers {
        for layer in image.manifest.layers() {
            ports.registries.fetch_blob(place, layer, &ports.store).await.map_err(failed)?;
        }
    }
    Ok(Base { name: place.clone(), manifest, image, contents: Arc::default() })
}

/// Loads into the engine's shared base store what is not there yet.
///
/// # Errors
/// [`BaseError::Load`] with the engine's last words.
pub async fn load(
    ports: &Ports,
    workspace: &Workspace,
    engine: &dyn Engine,
    bases: &[Base],
) -> Result<(), BaseError> {
    let missing = |base: &&Base| !workspace.has_base(&base.local());
    if !bases.iter().any(|base| missing(&base)) {
        return Ok(());
    }
    let _lock = workspace.lock_bases().await?;
    let missing: Vec<_> = bases.iter().filter(missing).collect();
    let name = |base: &Base| format!("base-{}", base.manifest.digest.hex());
    // All before an engine runs, which may leave links where the next would be written.
    for base in &missing {
        check_layers(&ports.store, base).await?;
        lay_out(&workspace.dir().join(name(base)), workspace, base).map_err(|source| BuildrootError::Io {
            action: "lay out a base in",
            path: workspace.dir().into(),
            source,
        })?;
    }
    workspace.hand_over()?;
    for base in missing {
        let dir = format!("{}/build/{}", workspace.root(), name(base));
        let plan = engine.load(&dir, &base.image.manifest.config().digest.hex(), &base.local());
        let mut tail = Tail::default();
        let manifest = &base.image.manifest;
        let blobs: BTreeSet<_> =
            manifest.layers().iter().chain([manifest.config()]).map(|blob| blob.digest).collect();
        let blobs: Vec<_> = blobs.into_iter().collect();
        let ended = workspace.run(&plan, &blobs, &ports.cancel, |line| {
            tail.push(line);
            Ok(())
        });
        match ended.await? {
            Ended::Exited(0) => {}
            Ended::Cancelled => return Err(BaseError::Cancelled),
            ended => {
                let tail = match ended {
                    Ended::Exceeded(exceeded) if exceeded.limit.is_of_disk() => {
                        format!("no space left on device: {exceeded}")
                    }
                    Ended::Exceeded(exceeded) => exceeded.to_string(),
                    _ => tail.text(),
                };
                let (name, store) = (base.name.to_string(), ports.store.root().to_owned());
                return Err(BaseError::Load { name, store, tail });
            }
        }
        workspace.note_base(&base.local())?;
    }
    Ok(())
}

/// Reads every layer once before the engine does: its words for an altered one name no digest, and its words for an id
/// that it cannot give name no image. What is altered is removed, so that the next run fetches it.
pub(super) async fn check_layers(store: &Store, base: &Base) -> Result<(), BaseError> {
    let (store, layers) = (store.clone(), base.image.manifest.layers().to_vec());
    let checked = crate::compute::each(layers, move |layer| {
        let whole = store.check(&layer.digest);
        whole.or_else(|error| store.remove(&layer.digest).and(Err(error)))?;
        Ok(stranger(&store, &layer).map(|entry| (layer.digest, entry)))
    });
    let damaged = |source| BaseError::Damaged { name: base.name.to_string(), source };
    for found in checked.await {
        if let Some((layer, entry)) = found.map_err(damaged)? {
            let (whose, id) = if has(entry.uid) { ("group", entry.gid) } else { ("user", entry.uid) };
            let (name, path) = (base.name.to_string(), printable(&entry.path.to_str_lossy()));
            return Err(BaseError::Ids { name, path, layer, whose, id });
        }
    }
    Ok(())
}

/// Whether a buildroot has that user or group.
fn has(id: u64) -> bool {
    id < u64::from(IDS)
}

/// The first file of a layer whose owner no buildroot has. A layer that cannot be read is the engine's to judge.
fn stranger(store: &Store, layer: &Descriptor) -> Option<Entry> {
    let file = fs::File::open(store.path(&layer.digest)).ok()?;
    let tar = inflate(&layer.media_type, BufReader::with_capacity(1 << 20, file)).ok()?;
    let mut found = None;
    let walked = walk(
        tar,
        Reading::Strict,
        |_, _| {},
        |entry| {
            if found.is_none() && !(has(entry.uid) && has(entry.gid)) {
                found = Some(entry);
            }
            Ok(())
        },
    );
    walked.ok().and(found)
}

/// A directory in the `dir:` transport's form whose blobs are links into the cage's view of the store.
fn lay_out(dir: &Path, workspace: &Workspace, base: &Base) -> std::io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::write(dir.join("version"), "Directory Transport Version: 1.1\n")?;
    fs::write(dir.join("manifest.json"), base.image.manifest.bytes())?;
    let layers = base.image.manifest.layers().iter();
    for blob in layers.chain([base.image.manifest.config()]) {
        let link = dir.join(blob.digest.hex());
        if fs::symlink_metadata(&link).is_err() {
            symlink(workspace.blob(&blob.digest), &link)?;
        }
    }
    Ok(())
}

/// The last few KiB of some output.
#[derive(Debug, Default, Clone)]
pub struct Tail(Vec<u8>);

impl Tail {
    const SIZE_BYTES_MAX: usize = 8 << 10;

    /// Adds a line.
    pub fn push(&mut self, line: &[u8]) {
        self.0.extend_from_slice(line);
        let over = self.0.len().saturating_sub(Self::SIZE_BYTES_MAX);
        self.0.drain(..over);
    }

    /// What is left, as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).trim().to_owned()
    }
}

/// Largest configuration file of a package manager that is read.
const SOURCES_SIZE_BYTES_MAX: u64 = 1 << 20;

/// Whether a path in an image configures where packages come from.
fn names_repositories(path: &[u8]) -> bool {
    let Ok(path) = str::from_utf8(path) else { return false };
    path == "etc/apt/sources.list"
        || path.strip_prefix("etc/apt/sources.list.d/").is_some_and(|name| !name.contains('/'))
        || path.strip_prefix("etc/yum.repos.d/").is_some_and(|name| !name.contains('/'))
        || path == "etc/yum.conf"
        || path == "etc/dnf/dnf.conf"
}

/// Puts one layer on top of what is known of the layers below.
fn merge(
    store: &Store,
    layer: &Descriptor,
    lower: &mut Lower,
    files: &mut BTreeMap<String, Vec<u8>>,
) -> Result<(), LayerError> {
    let file = fs::File::open(store.path(&layer.digest)).map_err(LayerError::Read)?;
    let archive = inflate(&layer.media_type, BufReader::with_capacity(1 << 20, file))?;
    let mut read: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let index = Index::read(archive, store, |entry, chunk| {
        if entry.size_bytes <= SOURCES_SIZE_BYTES_MAX && names_repositories(&entry.path) {
            read.entry(entry.path.to_string()).or_default().extend_from_slice(chunk);
        }
    })?;
    for entry in index.entries()? {
        let entry = entry?;
        if entry.is_whiteout() {
            files.remove(&entry.path.to_string().replace(".wh.", ""));
        }
    }
    files.extend(read);
    lower.apply(&index.canonical(store)?, store)
}
