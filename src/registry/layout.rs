//! Images in a directory: the OCI image layout (image-spec, "Image Layout"). Blocking; knows no network.
//!
//! `index.json` is changed under a lock on the directory, by temporary name and rename.
#![expect(clippy::disallowed_methods, reason = "an edge: reads and writes layouts")]

use std::{
    collections::BTreeSet,
    fs::{self, File, Permissions},
    io::{self, Read, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value, json};

use super::{
    RegistryError,
    error::Cause,
    manifest::{self, digest_of, entries},
    pull::{self, checked},
};
use crate::{
    model::{
        Descriptor, Digest, Hasher, Selector, json,
        limits::{LAYOUT_BLOBS_MAX, MANIFEST_SIZE_BYTES_MAX, REFERRERS_MAX, read_bounded},
        names::OCI_INDEX,
    },
    store::Store,
};

const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A directory in OCI image layout, whether it exists yet or not.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub dir: PathBuf,
}

impl Layout {
    /// The manifest `selector` means: by digest from the blobs, by tag from `index.json`; without either `latest`, or
    /// the only image there.
    pub(super) fn manifest(&self, selector: &Selector) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        let digest = match selector.digest {
            Some(digest) => digest,
            None => self.named(selector.tag.as_deref())?,
        };
        self.manifest_blob(&digest)
    }

    fn manifest_blob(&self, digest: &Digest) -> Result<(Descriptor, Vec<u8>), RegistryError> {
        let what = self.what(digest);
        let file = self.open(digest)?;
        let bytes = read_bounded(file, MANIFEST_SIZE_BYTES_MAX, "manifest").map_err(|e| self.fail(e))?;
        pull::matches(&what, &digest.to_string(), Digest::of(&bytes))?;
        let (media_type, _) = manifest::read(&what, &bytes, None)?;
        Ok((Descriptor::of(&media_type, &bytes), bytes))
    }

    fn named(&self, tag: Option<&str>) -> Result<Digest, RegistryError> {
        let index = self.index()?;
        let entries = entries(&index);
        let with = |tag: &str| entries.iter().find(|entry| ref_name(entry) == Some(tag)).and_then(digest_of);
        if let Some(digest) = with(tag.unwrap_or("latest")) {
            return Ok(digest);
        }
        let named: Vec<_> = entries.iter().filter(|entry| ref_name(entry).is_some()).collect();
        let images = if named.is_empty() {
            entries.iter().filter(|entry| entry.get("artifactType").is_none()).collect()
        } else {
            named
        };
        match (tag, images.as_slice()) {
            (None, [only]) => digest_of(only).ok_or_else(|| self.fail("its only image has no sha256 digest")),
            (None, []) => Err(RegistryError::NotFound { what: format!("an image in {}", self.name()) }),
            (None, _) => Err(self.fail(format!("it holds several images: name one of {}", tags(entries)))),
            (Some(tag), _) => {
                let what = format!("tag {tag} in {} (it has {})", self.name(), tags(entries));
                Err(RegistryError::NotFound { what })
            }
        }
    }

    /// Whether the blob `digest` is here.
    pub(super) fn has_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        match self.open(digest) {
            Ok(_) => Ok(true),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The bytes of the blob `wanted`, checked.
    pub(super) fn read(&self, wanted: &Descriptor) -> Result<Vec<u8>, RegistryError> {
        let file = self.open(&wanted.digest)?;
        let what = self.what(&wanted.digest);
        if file.metadata().map_err(|error| self.fail(error))?.len() != wanted.size {
            return Err(RegistryError::answer(
                &what,
                format!("it has not the {} bytes it should", wanted.size),
            ));
        }
        let bytes = read_bounded(file, wanted.size, "blob").map_err(|error| self.fail(error))?;
        pull::matches(&what, &wanted.digest.to_string(), Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// The bytes of the blob `digest`, at most so many, checked.
    pub(super) fn read_named(&self, digest: &Digest, size_bytes_max: u64) -> Result<Vec<u8>, RegistryError> {
        let file = self.open(digest)?;
        let bytes = read_bounded(file, size_bytes_max, "blob").map_err(|error| self.fail(error))?;
        pull::matches(&self.what(digest), &digest.to_string(), Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// Holds the blob `digest` against its digest; its size.
    pub(super) fn check(&self, digest: &Digest, size_bytes_max: u64) -> Result<u64, RegistryError> {
        let file = self.open(digest)?;
        let what = self.what(digest);
        let size_bytes = file.metadata().map_err(|error| self.fail(error))?.len();
        if size_bytes > size_bytes_max {
            return Err(RegistryError::TooLarge { what, most: size_bytes_max, unit: "bytes" });
        }
        let actual = Digest::of_reader(file).map_err(|error| self.fail(error))?;
        pull::matches(&what, &digest.to_string(), actual)?;
        Ok(size_bytes)
    }

    /// Whether the blob `wanted` is here, by its name and size.
    pub(super) fn holds(&self, wanted: &Descriptor) -> bool {
        let here = self.open(&wanted.digest).ok().and_then(|file| file.metadata().ok());
        here.is_some_and(|metadata| metadata.len() == wanted.size)
    }

    /// All names that are given here.
    pub(super) fn tags(&self) -> Result<BTreeSet<String>, RegistryError> {
        let index = self.index()?;
        Ok(entries(&index).iter().filter_map(ref_name).map(ToOwned::to_owned).collect())
    }

    /// What has exactly the name `tag`.
    pub(super) fn tagged(&self, tag: &str) -> Result<Digest, RegistryError> {
        let index = self.index()?;
        let named = entries(&index).iter().find(|entry| ref_name(entry) == Some(tag)).and_then(digest_of);
        named.ok_or_else(|| RegistryError::NotFound { what: format!("tag {tag} in {}", self.name()) })
    }

    /// Copies the blob `wanted` into `store`, checking it.
    pub(super) fn fetch(&self, wanted: &Descriptor, store: &Store) -> Result<(), RegistryError> {
        let file = self.open(&wanted.digest)?;
        let put = store.put_expected(wanted.digest, wanted.size, file);
        put.map_err(|error| checked(&self.what(&wanted.digest), error))
    }

    /// Copies the blob `wanted` out of `store`, checking it; false if it is here already. Never a link: a layout is
    /// given away, the store is not.
    pub(super) fn put(&self, wanted: &Descriptor, store: &Store) -> Result<bool, RegistryError> {
        self.create()?;
        if self.holds(wanted) {
            return Ok(false);
        }
        let path = store.path(&wanted.digest);
        let file = File::open(&path).map_err(|source| crate::store::StoreError::Io {
            action: "read",
            path,
            source,
        })?;
        self.write_blob(&wanted.digest, wanted.size, file)?;
        Ok(true)
    }

    /// Writes a manifest as a blob; no list names it yet.
    pub(super) fn put_manifest(&self, digest: &Digest, bytes: &[u8]) -> Result<(), RegistryError> {
        self.create()?;
        self.write_blob(digest, bytes.len() as u64, bytes)
    }

    /// Gives `image` the name `tag`; whatever had it keeps its place without a name.
    pub(super) fn tag(&self, image: &Descriptor, tag: &str) -> Result<(), RegistryError> {
        self.edit(|entries| {
            for entry in entries.iter_mut().filter(|entry| ref_name(entry) == Some(tag)) {
                annotations_mut(entry).remove(REF_NAME);
            }
            let nameless =
                |entry: &Value| digest_of(entry) == Some(image.digest) && ref_name(entry).is_none();
            let place = entries.iter().position(nameless).unwrap_or_else(|| {
                entries.push(serde_json::to_value(image).unwrap_or_default()); // A descriptor is always JSON.
                entries.len() - 1
            });
            annotations_mut(&mut entries[place]).insert(REF_NAME.to_owned(), tag.into());
        })
    }

    /// Lists `attachment`, without a name.
    pub(super) fn list(&self, attachment: &Descriptor) -> Result<(), RegistryError> {
        self.edit(|entries| {
            if entries.iter().all(|entry| digest_of(entry) != Some(attachment.digest)) {
                entries.push(serde_json::to_value(attachment).unwrap_or_default());
            }
        })
    }

    /// All that is about `subject`: first what `index.json` lists, then the other manifests among the blobs.
    pub(super) fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, RegistryError> {
        let index = self.index()?;
        let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
        for digest in entries(&index).iter().filter(|entry| is_manifest(entry)).filter_map(digest_of) {
            if seen.insert(digest) {
                found.extend(self.about(subject, &digest)?);
            }
        }
        for digest in self.small_blobs()?.into_iter().filter(|digest| !seen.contains(digest)) {
            // Nobody said that this is a manifest, so it need not be one.
            found.extend(self.about(subject, &digest).ok().flatten());
        }
        if found.len() > REFERRERS_MAX {
            let what = format!("referrers of {subject} in {}", self.name());
            return Err(RegistryError::TooLarge { what, most: REFERRERS_MAX as u64, unit: "entries" });
        }
        Ok(found)
    }

    /// The manifest `digest` as it is listed, if it is about `subject`.
    fn about(&self, subject: &Digest, digest: &Digest) -> Result<Option<Descriptor>, RegistryError> {
        let (descriptor, bytes) = self.manifest_blob(digest)?;
        let (_, object) = manifest::read(&self.what(digest), &bytes, None)?;
        let about = manifest::subject(&object) == Some(*subject);
        Ok(about.then(|| manifest::listed(&descriptor.media_type, &bytes, &object)))
    }

    /// The blobs that could be manifests by their size and first byte, sorted.
    fn small_blobs(&self) -> Result<Vec<Digest>, RegistryError> {
        let mut found = Vec::new();
        let files = fs::read_dir(self.dir.join("blobs/sha256")).map_err(|error| self.fail(error))?;
        for (count, file) in files.enumerate() {
            if count == LAYOUT_BLOBS_MAX {
                let what = format!("blobs in {}", self.name());
                return Err(RegistryError::TooLarge { what, most: LAYOUT_BLOBS_MAX as u64, unit: "blobs" });
            }
            let name = file.map_err(|error| self.fail(error))?.file_name();
            let Some(digest) = name.to_str().and_then(Digest::from_hex) else { continue };
            let Ok(mut blob) = self.open(&digest) else { continue };
            let small = blob.metadata().is_ok_and(|metadata| metadata.len() <= MANIFEST_SIZE_BYTES_MAX);
            let mut first = [0];
            if small && blob.read_exact(&mut first).is_ok() && first == *b"{" {
                found.push(digest);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Opens a blob: a regular file that lies, links followed, within this layout's `blobs`.
    fn open(&self, digest: &Digest) -> Result<File, RegistryError> {
        let blobs = self.dir.join("blobs");
        let path = blobs.join("sha256").join(digest.hex());
        let real = match path.canonicalize() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RegistryError::NotFound { what: self.what(digest) });
            }
            real => real.map_err(|error| self.fail(error))?,
        };
        let home = fs::canonicalize(&self.dir).map_err(|error| self.fail(error))?.join("blobs");
        let regular = fs::metadata(&real).map_err(|error| self.fail(error))?.is_file();
        if !regular || !real.starts_with(&home) {
            return Err(self.fail_at(path, "not a regular file within the layout's blobs"));
        }
        File::open(&real).map_err(|error| self.fail(error))
    }

    fn index(&self) -> Result<Map<String, Value>, RegistryError> {
        let path = self.dir.join("index.json");
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(RegistryError::NotFound { what: self.name() });
            }
            Ok(metadata) if !metadata.is_file() => return Err(self.fail_at(path, "not a regular file")),
            _ => {}
        }
        let file = File::open(&path).map_err(|error| self.fail(error))?;
        let bytes = read_bounded(file, MANIFEST_SIZE_BYTES_MAX, "index.json").map_err(|e| self.fail(e))?;
        match json::parse(&bytes) {
            Ok(Value::Object(index)) => Ok(index),
            Ok(_) => Err(self.fail("index.json is not an object")),
            Err(error) => Err(self.fail(error)),
        }
    }

    /// Makes the directory a layout if it is none yet.
    fn create(&self) -> Result<(), RegistryError> {
        fs::create_dir_all(self.dir.join("blobs/sha256")).map_err(|error| self.fail(error))?;
        if self.dir.join("index.json").exists() {
            return Ok(());
        }
        let _lock = self.lock()?;
        self.write("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        if self.dir.join("index.json").exists() {
            return Ok(()); // Somebody else was faster.
        }
        let empty = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
        self.write("index.json", empty.to_string().as_bytes())
    }

    fn edit(&self, change: impl FnOnce(&mut Vec<Value>)) -> Result<(), RegistryError> {
        self.create()?;
        let _lock = self.lock()?;
        let mut index = self.index()?;
        let manifests = index.entry("manifests").or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(manifests) = manifests else {
            return Err(self.fail("`manifests` in index.json is not an array"));
        };
        change(manifests);
        let bytes = serde_json::to_vec(&index).map_err(|error| self.fail(error))?;
        if bytes.len() as u64 > MANIFEST_SIZE_BYTES_MAX {
            let what = format!("index.json of {}", self.name());
            return Err(RegistryError::TooLarge { what, most: MANIFEST_SIZE_BYTES_MAX, unit: "bytes" });
        }
        self.write("index.json", &bytes)
    }

    /// Waits until nobody else changes this layout; held until dropped. The directory itself carries the lock, so that
    /// no file of ours is left in it.
    fn lock(&self) -> Result<File, RegistryError> {
        let dir = File::open(&self.dir).map_err(|error| self.fail(error))?;
        dir.lock().map_err(|error| self.fail(error))?;
        Ok(dir)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RegistryError> {
        let mut file = temporary(&self.dir).map_err(|error| self.fail(error))?;
        file.write_all(bytes).map_err(|error| self.fail(error))?;
        file.persist(self.dir.join(name)).map_err(|error| self.fail(error.error))?;
        Ok(())
    }

    fn write_blob(&self, digest: &Digest, size_bytes: u64, reader: impl Read) -> Result<(), RegistryError> {
        let blobs = self.dir.join("blobs/sha256");
        let mut file = temporary(&blobs).map_err(|error| self.fail(error))?;
        let mut hasher = Hasher::default();
        let mut reader = reader.take(size_bytes.saturating_add(1));
        let mut buffer = vec![0; 128 << 10];
        loop {
            let count = reader.read(&mut buffer).map_err(|error| self.fail(error))?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            file.write_all(&buffer[..count]).map_err(|error| self.fail(error))?;
        }
        if hasher.size_bytes() != size_bytes {
            let problem = format!("{} bytes instead of {size_bytes}", hasher.size_bytes());
            return Err(RegistryError::answer(&digest.to_string(), problem));
        }
        pull::matches(&self.what(digest), &digest.to_string(), hasher.finish())?;
        file.persist(blobs.join(digest.hex())).map_err(|error| self.fail(error.error))?;
        Ok(())
    }

    fn name(&self) -> String {
        format!("oci:{}", self.dir.display())
    }

    fn what(&self, digest: &Digest) -> String {
        format!("blob {digest} in {}", self.name())
    }

    fn fail(&self, source: impl Into<Cause>) -> RegistryError {
        self.fail_at(self.dir.clone(), source)
    }

    #[expect(clippy::unused_self, reason = "reads as `fail` does")]
    fn fail_at(&self, path: PathBuf, source: impl Into<Cause>) -> RegistryError {
        RegistryError::Layout { path, source: source.into() }
    }
}

/// A file that others may read once it has its name.
fn temporary(dir: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(".reprov-").permissions(Permissions::from_mode(0o644)).tempfile_in(dir)
}

fn is_manifest(entry: &Value) -> bool {
    let media_type = entry.get("mediaType").and_then(Value::as_str).unwrap_or_default();
    manifest::is_manifest(media_type) || manifest::is_index(media_type)
}

/// The annotations of an entry, made if need be.
fn annotations_mut(entry: &mut Value) -> &mut Map<String, Value> {
    if !entry.is_object() {
        *entry = Value::Object(Map::new());
    }
    let Value::Object(entry) = entry else { unreachable!("made an object just now") };
    let annotations = entry.entry("annotations").or_insert(Value::Null);
    if !annotations.is_object() {
        *annotations = Value::Object(Map::new());
    }
    let Value::Object(annotations) = annotations else { unreachable!("made an object just now") };
    annotations
}

fn ref_name(entry: &Value) -> Option<&str> {
    entry.get("annotations")?.get(REF_NAME)?.as_str()
}

fn tags(entries: &[Value]) -> String {
    let names: Vec<_> = entries.iter().filter_map(ref_name).take(20).collect();
    if names.is_empty() { "no tags".to_owned() } else { crate::model::path::printable(&names.join(", ")) }
}
