//! `import`: from a composed root file system to a pushed, attested base image.
//!
//! The image depends on the root file system, the platform and the epoch alone: no clock, name of a file or machine.

mod inside;
mod packages;
mod take;
mod walk;

use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub use self::packages::{Package, Packages};
use self::{inside::Inside, take::Taken};
use super::{
    Ports,
    execute::Kept,
    publish::{PublishError, Publisher},
};
use crate::{
    attest::{
        ImportInternals, ImportParameters, Imported, RunDetails, Subject,
        imported::{self},
    },
    compute, host,
    layer::{Archived, Index, LayerError, Root, RuleCount, whole, write},
    model::{Descriptor, Digest, ImageName, ResourceDescriptor, json::canonical, names, rfc3339},
    oci::{Image, OciError, manifest_bytes},
    progress::Update,
    signing::Signer,
    store::{Store, StoreError, Writer},
};

/// What base images have where nobody says otherwise.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What to import, as the caller chose it.
#[derive(Debug)]
pub struct Request {
    /// A tar archive, compressed or not, or a directory.
    pub rootfs: PathBuf,
    /// `--source`, `--platform`, `--epoch`.
    pub external: ImportParameters,
    /// Where the image goes; has a tag.
    pub to: ImageName,
    /// Signs the provenance; none only with `--no-sign`.
    pub key: Option<Signer>,
    /// `builder.id`.
    pub builder_id: String,
}

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It is not there, or a disk failed.
    #[error("cannot read and copy `{}`", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no root file system that an image could hold.
    #[error("`{}` cannot become a base image", path.display())]
    Refused {
        /// What.
        path: PathBuf,
        /// Why not.
        source: LayerError,
    },
    /// Something in a directory that no archive of it would have told.
    #[error("`{}` cannot become a base image: `{entry}` {why}", path.display())]
    Entry {
        /// The directory.
        path: PathBuf,
        /// Where in it, printable.
        entry: String,
        /// What is wrong there, and what to do.
        why: &'static str,
    },
    /// Nothing in it tells.
    #[error("no program in `{}` tells its platform; say it with --platform linux/ARCH", .0.display())]
    NoPlatform(PathBuf),
    /// It is for another platform than the caller said.
    #[error("--platform {given}: the programs in `{}` are for {found}", path.display())]
    OtherPlatform {
        /// What.
        path: PathBuf,
        /// By the caller.
        given: String,
        /// By its programs.
        found: String,
    },
    /// The user's ctrl-c.
    #[error("cancelled")]
    Cancelled,
    /// What was made is no image: a bug.
    #[error("the imported image cannot be read back")]
    Image(#[from] OciError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The registry, or the layout.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// No random bytes.
    #[error("cannot make an invocation id")]
    Random(#[source] io::Error),
}

impl ImportError {
    /// A failing disk is no fault of what lies on it.
    fn of(path: &Path, error: LayerError) -> Self {
        let path = path.to_owned();
        match error {
            LayerError::Read(source) | LayerError::Write(source) | LayerError::Sort(source)
                if source.raw_os_error().is_some() =>
            {
                Self::Read { path, source }
            }
            source => Self::Refused { path, source },
        }
    }
}

/// What was imported, all of it in the store.
#[derive(Debug)]
pub struct Made {
    /// The image.
    pub image: Image,
    /// Descriptor of its manifest.
    pub manifest: Descriptor,
    /// Its layer, compressed.
    pub layer: Descriptor,
    /// And not compressed.
    pub archive: Archived,
    /// How many entries that has.
    pub entries: u64,
    /// `os/arch[/variant]`.
    pub platform: String,
    /// Its time, seconds since 1970.
    pub epoch_s: i64,
    /// What was left out, by reason.
    pub dropped: Vec<RuleCount>,
    /// What is installed in it.
    pub packages: Packages,
    /// Digest of the file, or of the layer's archive for a directory.
    pub rootfs: Digest,
    /// Bytes of the file, or of that archive.
    pub rootfs_bytes: u64,
    /// `tar` or `directory`.
    pub form: &'static str,
    /// `none`, `gzip`, `zstd` or `xz`.
    pub compression: &'static str,
    /// Owner of a directory's top, if that is not root: then the image has the ids of whoever made the directory.
    pub owner: Option<u32>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The image.
    pub made: Made,
    /// The list of packages.
    pub packages: Kept,
    /// Referrer manifest of the provenance, and the statement's digest.
    pub provenance: (Digest, Digest),
    /// Seconds since 1970.
    pub started_s: i64,
    /// Seconds since 1970.
    pub finished_s: i64,
}

/// Imports, pushes, attests; tags last.
///
/// # Errors
/// [`ImportError`]; the tag then stays where it was.
pub async fn import(ports: &Ports, request: &Request) -> Result<Outcome, ImportError> {
    let started_s = host::now_s();
    let (store, cancel) = (ports.store.clone(), ports.cancel.clone());
    let (path, external) = (request.rootfs.clone(), request.external.clone());
    ports.progress.update(Update::Phase("read", &path.to_string_lossy()));
    let reading = compute::run(move || Reading::begin(&store, &cancel, path, external));
    let reading = stopped(ports, reading.await)?;
    ports.progress.update(Update::Phase("layer", ""));
    let made = stopped(ports, compute::run(move || reading.make()).await)?;
    ports.progress.update(Update::Phase("push", &request.to.to_string()));
    publish(ports, request, made, started_s).await
}

/// A stop shows as an error of whoever was reading or writing then.
fn stopped<T>(ports: &Ports, done: Result<T, ImportError>) -> Result<T, ImportError> {
    done.map_err(|error| if ports.cancel.is_cancelled() { ImportError::Cancelled } else { error })
}

/// A root file system that was read and judged.
struct Reading {
    store: Store,
    cancel: CancellationToken,
    path: PathBuf,
    external: ImportParameters,
    taken: Taken,
    root: Root,
}

impl Reading {
    fn begin(
        store: &Store,
        cancel: &CancellationToken,
        path: PathBuf,
        external: ImportParameters,
    ) -> Result<Self, ImportError> {
        let mut taken = take::take(&path, &store.tmp(), cancel)?;
        let whole = whole(std::mem::take(&mut taken.entries));
        let mut root = whole.map_err(|error| ImportError::of(&path, error))?;
        if taken.sockets > 0 {
            root.dropped.push(RuleCount { rule: "socket".to_owned(), entries: taken.sockets });
        }
        Ok(Self { store: store.clone(), cancel: cancel.clone(), path, external, taken, root })
    }

    fn make(mut self) -> Result<Made, ImportError> {
        let inside = Inside::new(&self.root.entries);
        let failed = |source| ImportError::Read { path: self.path.clone(), source };
        let packages = packages::read(&inside, &mut self.taken.content).map_err(failed)?;
        let platform = self.platform(&inside, &packages)?;
        let shell = inside.find(b"bin/sh").is_some();
        let newest_s = self.root.entries.iter().map(|entry| entry.mtime_s).max().unwrap_or_default();
        let epoch_s = self.external.epoch.unwrap_or(newest_s.max(0));
        let (layer, archive) = self.layer(epoch_s)?;
        let config = canonical(&config(&platform, shell, &archive, epoch_s));
        let descriptor = Descriptor::of(names::OCI_CONFIG, &config);
        let manifest = manifest_bytes(&descriptor, std::slice::from_ref(&layer), &BTreeMap::new());
        self.store.put(&config)?;
        self.store.put(&manifest)?;
        let (rootfs, rootfs_bytes) = self.taken.file.unwrap_or((archive.diff_id.0, archive.size_bytes));
        Ok(Made {
            image: Image::parse(&manifest, &config)?,
            manifest: Descriptor::of(names::OCI_MANIFEST, &manifest),
            layer,
            archive,
            entries: self.root.entries.len() as u64,
            platform,
            epoch_s,
            dropped: self.root.dropped,
            packages,
            rootfs,
            rootfs_bytes,
            form: self.taken.form.name(),
            compression: self.taken.form.compression(),
            owner: self.taken.owner.filter(|owner| *owner != 0),
        })
    }

    fn platform(&self, inside: &Inside<'_>, packages: &Packages) -> Result<String, ImportError> {
        let found =
            inside.architecture().map(|found| match packages.arm_variant().filter(|_| found == "arm") {
                Some(variant) => format!("linux/{found}/{variant}"),
                None => format!("linux/{found}"),
            });
        let path = self.path.clone();
        match (&self.external.platform, found) {
            (None, found) => found.ok_or(ImportError::NoPlatform(path)),
            (Some(given), Some(found)) if given.split('/').nth(1) != found.split('/').nth(1) => {
                Err(ImportError::OtherPlatform { path, given: given.clone(), found })
            }
            (Some(given), _) => Ok(given.clone()),
        }
    }

    fn layer(&mut self, epoch_s: i64) -> Result<(Descriptor, Archived), ImportError> {
        let mut out = Stopping { out: self.store.writer()?, cancel: self.cancel.clone() };
        let layer = Index::of(&self.root.entries, &self.store).and_then(|index| index.canonical(&self.store));
        let archived = layer.and_then(|layer| write(&layer, &mut self.taken.content, epoch_s, &mut out));
        let archived = archived.map_err(|error| ImportError::of(&self.path, error))?;
        let (digest, size_bytes) = out.out.finish()?;
        Ok((Descriptor::new(names::OCI_LAYER_GZIP, digest, size_bytes), archived))
    }
}

/// Fails once the user has had enough.
struct Stopping {
    out: Writer,
    cancel: CancellationToken,
}

impl Write for Stopping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        self.out.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The image's config.
fn config(platform: &str, shell: bool, layer: &Archived, epoch_s: i64) -> Value {
    let mut parts = platform.split('/');
    let (os, architecture) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let created = rfc3339(epoch_s);
    let mut config = json!({
        "architecture": architecture,
        "os": os,
        "config": {"Env": [PATH]},
        "created": created,
        "history": [{"created": created, "created_by": "reprov import"}],
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
    });
    if let Some(variant) = parts.next() {
        config["variant"] = variant.into();
    }
    if shell {
        config["config"]["Cmd"] = json!(["/bin/sh"]);
    }
    config
}

async fn publish(
    ports: &Ports,
    request: &Request,
    made: Made,
    started_s: i64,
) -> Result<Outcome, ImportError> {
    let list = made.packages.to_bytes();
    let packages = Kept { digest: ports.store.put(&list)?, size: list.len() as u64 };
    let publisher = Publisher::new(ports, &request.to, made.manifest.clone());
    publisher.image(&made.image, None).await?;
    publisher.kept(LIST, packages).await?;
    let finished_s = host::now_s();
    let statement = Imported {
        external: request.external.clone(),
        internal: ImportInternals {
            reprov: env!("CARGO_PKG_VERSION").to_owned(),
            writer: names::WRITER.to_owned(),
            platform: made.platform.clone(),
            epoch: made.epoch_s,
            dropped: made.dropped.iter().map(|count| (count.rule.clone(), count.entries)).collect(),
        },
        rootfs: imported::rootfs(
            &made.rootfs,
            made.form,
            made.compression,
            request.external.source.as_deref(),
        ),
        run: RunDetails {
            builder_id: request.builder_id.clone(),
            reprov_version: env!("CARGO_PKG_VERSION").to_owned(),
            invocation_id: host::random_id().map_err(ImportError::Random)?,
            started_on_s: started_s,
            finished_on_s: finished_s,
            inputs: Vec::new(),
            byproducts: vec![byproduct(&made.packages, packages)],
            tainted: Vec::new(),
        },
    };
    let statement = statement.statement(Subject::new(request.to.repository(), &made.manifest.digest));
    let attached = publisher.statement(&statement, request.key.as_ref()).await?;
    publisher.tag(&request.to, &made.image).await?;
    let provenance = (attached.digest, Digest::of(&statement.to_bytes()));
    Ok(Outcome { made, packages, provenance, started_s, finished_s })
}

/// Media type of the list of packages.
const LIST: &str = "application/json";

fn byproduct(packages: &Packages, kept: Kept) -> ResourceDescriptor {
    let mut annotations = serde_json::Map::from_iter([("count".to_owned(), packages.list.len().into())]);
    if !packages.unread.is_empty() {
        annotations.insert("unread".to_owned(), json!(packages.unread));
    }
    ResourceDescriptor {
        name: "packages".to_owned(),
        media_type: LIST.to_owned(),
        digest: [("sha256".to_owned(), kept.digest.hex())].into(),
        annotations,
        ..ResourceDescriptor::default()
    }
}
