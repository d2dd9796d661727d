//! What a failed build left, found again: pushed, or in files; its statement believed or not, log and events held
//! against the digests in it.

#![expect(clippy::disallowed_methods, reason = "reads the files of --log-dir")]

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use super::{
    Ports,
    evidence::{Trust, bytes, chain, whole},
    publish::failed_tags,
};
use crate::{
    attest::{Bundle, Failed, Statement},
    model::{Digest, ImageName, limits, names},
    oci::Manifest,
    registry::RegistryError,
    store::{LogDir, Store, StoreError},
};

/// A failed build.
#[derive(Debug)]
pub struct Remains {
    /// Where it was found.
    pub place: String,
    /// What is said about it.
    pub failed: Failed,
    /// The statement's digest.
    pub statement: Digest,
    /// Whether it is signed, by whomever.
    pub signed: bool,
    /// Whether a trusted key signed it.
    pub verified: bool,
    /// The log, whole in the store.
    pub log: Digest,
    /// The events, whole in the store.
    pub events: Digest,
}

/// Why nothing is known of a failed build.
#[derive(Debug, thiserror::Error)]
pub enum RemainsError {
    /// The registry.
    #[error("cannot read what failed builds left at `{name}`")]
    Registry {
        /// Where.
        name: String,
        /// Why not.
        source: RegistryError,
    },
    /// Something else.
    #[error("`{0}` is not what a failed build left (`build --push-log` pushes that)")]
    Other(String),
    /// It is not believed, or was altered.
    #[error("`{place}`: {why}")]
    Refused {
        /// Where.
        place: String,
        /// Why.
        why: String,
    },
    /// A file.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where the latest failed build to `name` is; `name` itself, if it has a digest.
#[must_use]
pub fn latest(name: &ImageName) -> ImageName {
    let mut latest = name.clone();
    if latest.selector.digest.is_none() {
        let [tag, _] = failed_tags(name, "");
        latest.selector.tag = Some(tag);
    }
    latest
}

/// What the artifact `name` says.
///
/// # Errors
/// [`RemainsError`].
pub async fn pushed(ports: &Ports, name: &ImageName, trust: &Trust) -> Result<Remains, RemainsError> {
    let failed = |source| RemainsError::Registry { name: name.to_string(), source };
    let (descriptor, found) = ports.registries.manifest(name).await.map_err(failed)?;
    let manifest = Manifest::parse(&found).ok();
    let manifest = manifest.filter(|manifest| manifest.artifact_type() == Some(names::FAILURE));
    let manifest = manifest.ok_or_else(|| RemainsError::Other(name.to_string()))?;
    let at = name.at(descriptor.digest);
    let place = at.to_string();
    let refused = |why: &str| RemainsError::Refused { place: place.clone(), why: why.to_owned() };
    let said = |media_type: &str| matches!(media_type, names::BUNDLE | names::IN_TOTO_JSON);
    let layer = manifest.layers().iter().find(|layer| said(&layer.media_type));
    let layer = layer.filter(|layer| layer.size <= limits::BUNDLE_SIZE_BYTES_MAX);
    let layer = layer.ok_or_else(|| refused("it has no statement"))?;
    let statement = bytes(ports, &at, layer).await.map_err(failed)?;
    let remains = believed(&place, &statement, layer.media_type == names::BUNDLE, trust)?;
    for digest in [remains.log, remains.events] {
        let layer = manifest.layers().iter().find(|layer| layer.digest == digest);
        let layer =
            layer.ok_or_else(|| refused(&format!("{digest}, which the statement names, is not in it")))?;
        whole(ports, &at, layer).await.map_err(failed)?;
    }
    Ok(remains)
}

/// What the statement in the file `path` says, the log and the events beside it, as a failed build left them.
///
/// # Errors
/// [`RemainsError`].
pub fn in_files(store: &Store, path: &Path, trust: &Trust) -> Result<Remains, RemainsError> {
    let place = path.display().to_string();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ends = [(LogDir::UNSIGNED, false), (LogDir::STATEMENT, true)];
    let found = ends.iter().find_map(|(end, signed)| Some((name.strip_suffix(end)?, *signed)));
    let (stem, signed) = found.ok_or_else(|| RemainsError::Other(place.clone()))?;
    let statement = open(path, limits::BUNDLE_SIZE_BYTES_MAX)?;
    let remains = believed(&place, &statement, signed, trust)?;
    let beside = match stem {
        "" => [LogDir::LOG.to_owned(), LogDir::EVENTS.to_owned()],
        stem => [format!("{stem}log"), format!("{stem}events.jsonl")],
    };
    for (digest, name) in [remains.log, remains.events].iter().zip(beside) {
        let path = path.with_file_name(&name);
        let read = |source| RemainsError::Read { path: path.clone(), source };
        let file = File::open(&path).map_err(read)?;
        let size = file.metadata().map_err(read)?.len();
        match store.put_expected(*digest, size, file) {
            Err(error @ StoreError::Mismatch { .. }) => {
                let why = format!("`{name}` beside it was altered: {}", chain(&error));
                return Err(RemainsError::Refused { place, why });
            }
            put => put?,
        }
    }
    Ok(remains)
}

fn open(path: &Path, size_bytes_max: u64) -> Result<Vec<u8>, RemainsError> {
    let read = File::open(path).and_then(|file| limits::read_bounded(file, size_bytes_max, "statement"));
    read.map_err(|source| RemainsError::Read { path: path.to_owned(), source })
}

/// Signature, then shape and subjects.
fn believed(place: &str, bytes: &[u8], signed: bool, trust: &Trust) -> Result<Remains, RemainsError> {
    let refused = |why: String| RemainsError::Refused { place: place.to_owned(), why };
    let statement = if signed {
        let bundle = Bundle::parse(bytes).map_err(|error| refused(chain(&error)))?;
        if let Some(keys) = trust.keys()
            && bundle.envelope.verified_by(&keys).is_none()
        {
            return Err(refused("no signature by a trusted key".to_owned()));
        }
        bundle.envelope.statement().map_err(|error| refused(chain(&error)))?
    } else if trust.is_particular() {
        return Err(refused("its statement is not signed".to_owned()));
    } else {
        Statement::parse(bytes).map_err(|error| refused(chain(&error)))?
    };
    let failed = Failed::read(&statement).map_err(|error| refused(chain(&error)))?;
    let digest = |name| failed.digest(&statement, name).map_err(|error| refused(chain(&error)));
    let (log, events) = (digest("log")?, digest("events")?);
    let (statement, verified) = (Digest::of(&statement.to_bytes()), trust.is_particular());
    Ok(Remains { place: place.to_owned(), failed, statement, signed, verified, log, events })
}
