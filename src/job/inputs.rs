//! What a build fetched: where it is kept, and how a rebuild finds it again (WIRE.md §4).

use std::{
    collections::BTreeMap,
    fmt,
    io::{Read, Write},
};

use super::{
    Ports,
    evidence::{EvidenceError, bytes, chain},
    publish::PublishError,
};
use crate::{
    compute,
    model::{Descriptor, Digest, ImageName, limits, names},
    oci::Manifest,
    report::size,
    store::{Store, StoreError},
};

/// Where recorded bodies are kept for rebuilds (`--inputs-to`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputsTo {
    /// Beside the image.
    Same,
    /// Nowhere but in this machine's store.
    Nowhere,
    /// In another repository.
    Place(ImageName),
}

/// Bodies by what becomes of them; digest and size in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bodies {
    /// Those that are pushed.
    pub pushed: BTreeMap<Digest, u64>,
    /// Those that stay in this machine's store.
    pub local: BTreeMap<Digest, u64>,
}

/// `12, 3.4 MiB; 2, 1.0 KiB stay here`, before they are pushed.
impl fmt::Display for Bodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            |bodies: &BTreeMap<Digest, u64>| format!("{}, {}", bodies.len(), size(bodies.values().sum()));
        f.write_str(&shown(&self.pushed))?;
        if self.local.is_empty() {
            Ok(())
        } else {
            write!(f, "; {} stay on this machine", shown(&self.local))
        }
    }
}

impl Bodies {
    /// Sorts `all`: with [`InputsTo::Nowhere`] every one stays, else those that are `private`.
    pub fn sort(all: BTreeMap<Digest, u64>, to: &InputsTo, private: impl Fn(&Digest) -> bool) -> Self {
        let (local, pushed) =
            all.into_iter().partition(|(digest, _)| *to == InputsTo::Nowhere || private(digest));
        Self { pushed, local }
    }
}

/// Packs of bodies, each at most [`limits::PACK_SIZE_BYTES_MAX`]: plain ustar, named by digest, sorted, mtime 0.
///
/// # Errors
/// [`PublishError::Store`] if a body is gone from the store or was altered there; [`PublishError::Pack`].
pub(super) fn pack(store: &Store, bodies: &[(Digest, u64)]) -> Result<Vec<Descriptor>, PublishError> {
    let mut packs = Vec::new();
    let mut at = 0;
    while at < bodies.len() {
        let mut builder = tar::Builder::new(store.writer()?);
        let mut size_bytes = 1024;
        while let Some((digest, size)) = bodies.get(at) {
            let entry_bytes = 512 + size.next_multiple_of(512);
            if size_bytes + entry_bytes > limits::PACK_SIZE_BYTES_MAX {
                break;
            }
            append(&mut builder, digest, &store.read(digest, *size)?).map_err(PublishError::Pack)?;
            size_bytes += entry_bytes;
            at += 1;
        }
        let mut writer = builder.into_inner().map_err(PublishError::Pack)?;
        writer.flush().map_err(PublishError::Pack)?;
        let (digest, size) = writer.finish()?;
        packs.push(Descriptor::new(names::PACK, digest, size));
    }
    Ok(packs)
}

fn append<W: Write>(builder: &mut tar::Builder<W>, digest: &Digest, body: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_path(digest.hex())?;
    header.set_size(body.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    builder.append(&header, body)
}

/// Bodies that are still to be found, each with the reason why it was not.
#[derive(Debug)]
pub(super) struct Missing(BTreeMap<Digest, String>);

const NOWHERE: &str = "no artifact beside the image holds it";

impl Missing {
    /// Which of `wanted` the store lacks or holds altered; each is read once, on all cores.
    pub(super) async fn of(store: &Store, wanted: &BTreeMap<Digest, u64>) -> Self {
        let store = store.clone();
        let wanted: Vec<_> = wanted.iter().map(|(digest, size)| (*digest, *size)).collect();
        let gone = compute::each(wanted, move |(digest, size)| {
            let gone = store.size(&digest) != Some(size) || store.check(&digest).is_err();
            gone.then(|| (digest, NOWHERE.to_owned()))
        });
        Self(gone.await.into_iter().flatten().collect())
    }

    /// Takes what an artifact of inputs at `place` holds, large bodies and packs.
    ///
    /// # Errors
    /// [`EvidenceError::Store`] if this machine's disk fails.
    pub(super) async fn take(
        &mut self,
        ports: &Ports,
        place: &ImageName,
        artifact: &Manifest,
    ) -> Result<(), EvidenceError> {
        let (packs, large): (Vec<_>, Vec<_>) =
            artifact.layers().iter().partition(|layer| layer.media_type == names::PACK);
        for layer in large {
            if self.0.contains_key(&layer.digest) {
                ports.store.remove(&layer.digest)?; // Whatever is there is not the bytes wanted.
                let fetched = ports.registries.fetch_blob(place, layer, &ports.store).await;
                self.settle(layer.digest, fetched.err().map(|error| chain(&error)));
            }
        }
        for pack in packs.into_iter().filter(|pack| pack.size <= limits::PACK_SIZE_BYTES_MAX) {
            if self.0.is_empty() {
                break;
            }
            match bytes(ports, place, pack).await {
                Ok(bytes) => self.unpack(&ports.store, &bytes)?,
                Err(error) => self.blame(&format!("pack {}: {}", pack.digest, chain(&error))),
            }
        }
        Ok(())
    }

    /// [`Missing::take`] of the artifact `name` (by digest), which the provenance says is kept elsewhere.
    ///
    /// # Errors
    /// [`EvidenceError::Store`] if this machine's disk fails.
    pub(super) async fn take_from(&mut self, ports: &Ports, name: &ImageName) -> Result<(), EvidenceError> {
        if self.0.is_empty() {
            return Ok(());
        }
        match artifact(ports, name).await {
            Ok(artifact) => self.take(ports, name, &artifact).await,
            Err(why) => {
                self.blame(&format!("kept at {name}: {why}"));
                Ok(())
            }
        }
    }

    /// Says `why` of every body that nothing better is known of.
    fn blame(&mut self, why: &str) {
        self.0.values_mut().filter(|said| *said == NOWHERE).for_each(|said| why.clone_into(said));
    }

    /// Notes that a body came, or why it did not.
    fn settle(&mut self, digest: Digest, why_not: Option<String>) {
        self.0.remove(&digest);
        self.0.extend(why_not.map(|why_not| (digest, why_not)));
    }

    /// Takes the wanted bodies out of a pack. What a pack holds beside them, or under a wrong name, is left alone; so is
    /// the rest of a stranger's pack that is none.
    fn unpack(&mut self, store: &Store, pack: &[u8]) -> Result<(), EvidenceError> {
        let mut archive = tar::Archive::new(pack);
        let Ok(entries) = archive.entries() else { return Ok(()) };
        for entry in entries.map_while(Result::ok) {
            let name = entry.path_bytes().into_owned();
            let Some(digest) = str::from_utf8(&name).ok().and_then(Digest::from_hex) else { continue };
            if self.0.contains_key(&digest) {
                let size = entry.size();
                match store.put_expected(digest, size, entry.take(size)) {
                    Err(error @ StoreError::Io { .. }) => return Err(error.into()),
                    put => self.settle(digest, put.err().map(|error| error.to_string())),
                }
            }
        }
        Ok(())
    }

    /// What is missing for good, and why.
    pub(super) fn left(self) -> Vec<(Digest, String)> {
        self.0.into_iter().collect()
    }
}

async fn artifact(ports: &Ports, name: &ImageName) -> Result<Manifest, String> {
    let (_, bytes) = ports.registries.manifest(name).await.map_err(|error| chain(&error))?;
    Manifest::parse(&bytes).map_err(|error| chain(&error))
}

#[cfg(test)]
#[path = "inputs_tests.rs"]
mod tests;
