//! Images in one file: an OCI image layout in a tar archive, and what `docker save` writes. Unpacked into a layout that is gone
//! when it is dropped, so that all that reads layouts reads them.
#![expect(clippy::disallowed_methods, reason = "reads the archive and writes a layout")]

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
};

use bstr::{BStr, BString, ByteSlice as _};
use serde::Deserialize;
use serde_json::json;

use crate::{
    layer::{Archive, Compression, Kind, LayerError, Reading},
    model::{
        Descriptor, Digest, Hasher, ImageName, Location, Selector,
        limits::{ARCHIVE_FILES_MAX, MANIFEST_SIZE_BYTES_MAX},
        names,
        path::printable,
    },
    oci::manifest_bytes,
    store::Store,
};

/// How a file holds images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// An OCI image layout (image-spec, "Image Layout").
    Oci,
    /// `manifest.json` beside configs and layers (docker's image-spec v1.2, "Combined Image JSON + Filesystem Changeset Format").
    Docker,
}

/// A file that holds images, and which of them is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveName {
    /// How.
    pub form: Form,
    /// Where.
    pub file: PathBuf,
    /// A tag; of docker's also a whole reference.
    pub wanted: Option<String>,
}

impl ArchiveName {
    /// Reads `oci-archive:FILE[:TAG]` or `docker-archive:FILE[:REFERENCE]`; nothing if it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let forms = [("oci-archive:", Form::Oci), ("docker-archive:", Form::Docker)];
        let (form, rest) =
            forms.iter().find_map(|(prefix, form)| Some((*form, text.strip_prefix(prefix)?)))?;
        let (file, wanted) = rest.split_once(':').map_or((rest, None), |(file, wanted)| (file, Some(wanted)));
        (!file.is_empty()).then(|| Self { form, file: file.into(), wanted: wanted.map(str::to_owned) })
    }
}

/// Why an archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file cannot be read, or the layout not written.
    #[error("cannot unpack `{}`", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no archive.
    #[error("cannot read `{}` as an archive", path.display())]
    Tar {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: LayerError,
    },
    /// It holds no image, or not the one meant.
    #[error("`{}`: {problem}", path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What is wrong, a sentence.
        problem: String,
    },
}

/// An unpacked archive.
#[derive(Debug)]
pub struct Unpacked {
    dir: tempfile::TempDir,
    tag: Option<String>,
}

impl Unpacked {
    /// The image's name in the layout, as long as this lives.
    #[must_use]
    pub fn name(&self) -> ImageName {
        ImageName {
            location: Location::Layout(self.dir.path().to_owned()),
            selector: Selector { tag: self.tag.clone(), digest: None },
        }
    }
}

/// Unpacks the image that `name` means into a layout in the store's directory for temporary files. Blocking. Of an OCI layout,
/// what it holds is checked when it is fetched from there.
///
/// # Errors
/// [`ArchiveError`].
pub fn unpack(store: &Store, name: &ArchiveName) -> Result<Unpacked, ArchiveError> {
    let path = &name.file;
    let io = |source| ArchiveError::Io { path: path.clone(), source };
    let dir = tempfile::tempdir_in(store.tmp()).map_err(io)?;
    let blobs = dir.path().join("blobs/sha256");
    fs::create_dir_all(&blobs).map_err(io)?;
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(io)?);
    let compression = Compression::of_magic(reader.fill_buf().map_err(io)?);
    let tar = |source| ArchiveError::Tar { path: path.clone(), source };
    let reader = BufReader::with_capacity(1 << 20, compression.open(reader).map_err(tar)?);
    let mut archive = Archive::new(reader, Reading::Lenient);
    let mut files = Files::default();
    while let Some(entry) = archive.entry().map_err(tar)? {
        files.count += 1;
        if files.count > ARCHIVE_FILES_MAX {
            return Err(content(path, format!("it holds more than {ARCHIVE_FILES_MAX} files")));
        }
        match entry.kind {
            Kind::File if entry.size_bytes > 0 && entry.pax.contains_key(BStr::new("GNU.sparse.map")) => {
                return Err(content(
                    path,
                    format!("`{}` in it is a sparse file", printable(&entry.path.to_str_lossy())),
                ));
            }
            Kind::File => {
                let blob = write(&mut archive, &blobs).map_err(|failed| match failed {
                    Failed::Read(source) => tar(source),
                    Failed::Write(source) => io(source),
                })?;
                files.links.remove(&entry.path);
                files.blobs.insert(entry.path, blob);
            }
            Kind::Symlink | Kind::Hardlink => {
                let target = target(&entry.path, &entry.link, entry.kind);
                files.blobs.remove(&entry.path);
                files.links.insert(entry.path, target);
            }
            _ => {}
        }
    }
    let (index, tag) = match name.form {
        Form::Oci => {
            (files.small(&blobs, "index.json").map_err(|why| content(path, why))?, name.wanted.clone())
        }
        Form::Docker => {
            let image = docker(&files, &blobs, name.wanted.as_deref()).map_err(|why| content(path, why))?;
            let index = json!({"schemaVersion": 2, "mediaType": names::OCI_INDEX, "manifests": [image]});
            (index.to_string().into_bytes(), None)
        }
    };
    fs::write(dir.path().join("index.json"), index).map_err(io)?;
    fs::write(dir.path().join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).map_err(io)?;
    Ok(Unpacked { dir, tag })
}

fn content(path: &Path, problem: String) -> ArchiveError {
    ArchiveError::Content { path: path.to_owned(), problem }
}

/// What an archive holds, by path.
#[derive(Debug, Default)]
struct Files {
    /// Entries so far, those that come again too.
    count: usize,
    blobs: BTreeMap<BString, Blob>,
    links: BTreeMap<BString, BString>,
}

#[derive(Debug, Clone, Copy)]
struct Blob {
    digest: Digest,
    size_bytes: u64,
}

impl Files {
    /// The file at `path`, through a link if it is one.
    fn blob(&self, path: &str) -> Result<Blob, String> {
        let path = BString::from(path.trim_start_matches("./"));
        let end = self.links.get(&path).unwrap_or(&path);
        self.blobs.get(end).copied().ok_or_else(|| format!("it holds no `{path}`"))
    }

    /// All of a small file.
    fn small(&self, blobs: &Path, path: &str) -> Result<Vec<u8>, String> {
        let blob = self.blob(path)?;
        if blob.size_bytes > MANIFEST_SIZE_BYTES_MAX {
            return Err(format!("its `{path}` is larger than {MANIFEST_SIZE_BYTES_MAX} bytes"));
        }
        fs::read(blobs.join(blob.digest.hex())).map_err(|error| format!("its `{path}`: {error}"))
    }
}

enum Failed {
    Read(LayerError),
    Write(io::Error),
}

/// Writes the content at hand as a blob named by its digest.
fn write(archive: &mut Archive<impl io::BufRead>, blobs: &Path) -> Result<Blob, Failed> {
    let mut file = tempfile::NamedTempFile::new_in(blobs).map_err(Failed::Write)?;
    let mut hasher = Hasher::default();
    loop {
        let piece = archive.piece().map_err(Failed::Read)?;
        let count = piece.len();
        if count == 0 {
            break;
        }
        hasher.update(piece);
        file.write_all(piece).map_err(Failed::Write)?;
        archive.take(count);
    }
    let size_bytes = hasher.size_bytes();
    let digest = hasher.finish();
    file.persist(blobs.join(digest.hex())).map_err(|error| Failed::Write(error.error))?;
    Ok(Blob { digest, size_bytes })
}

/// Where a link leads, as a path in the archive.
fn target(path: &BString, link: &BString, kind: Kind) -> BString {
    let from = if kind == Kind::Hardlink { None } else { path.rsplit_once_str("/").map(|(above, _)| above) };
    let mut parts: Vec<&[u8]> = from.into_iter().flat_map(|above| above.split_str("/")).collect();
    for part in link.split_str("/") {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join(&b'/').into()
}

/// One of the images of a `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Writes the manifest of the image that is meant; its descriptor.
fn docker(files: &Files, blobs: &Path, wanted: Option<&str>) -> Result<Descriptor, String> {
    let bytes = files.small(blobs, "manifest.json")?;
    let items: Vec<Item> =
        serde_json::from_slice(&bytes).map_err(|error| format!("its `manifest.json`: {error}"))?;
    let named = |item: &&Item| {
        let tags = item.repo_tags.iter().flatten();
        wanted.is_none_or(|wanted| {
            tags.into_iter()
                .any(|tag| tag == wanted || tag.rsplit_once(':').is_some_and(|(_, tag)| tag == wanted))
        })
    };
    let found: Vec<_> = items.iter().filter(named).collect();
    let [item] = found.as_slice() else {
        let tags: Vec<_> = items.iter().flat_map(|item| item.repo_tags.iter().flatten()).cloned().collect();
        return Err(format!("it holds {} images of that name; it has {}", found.len(), tags.join(", ")));
    };
    let config = files.blob(&item.config)?;
    let descriptor = |blob: Blob, media_type: &str| Descriptor {
        digest: blob.digest,
        size: blob.size_bytes,
        ..Descriptor::of(media_type, b"")
    };
    let mut layers = Vec::new();
    for layer in &item.layers {
        let blob = files.blob(layer)?;
        let mut head = Vec::new();
        let file = File::open(blobs.join(blob.digest.hex())).map_err(|error| error.to_string())?;
        io::Read::read_to_end(&mut io::Read::take(file, 6), &mut head).map_err(|error| error.to_string())?;
        let media_type = match Compression::of_magic(&head) {
            Compression::Gzip => names::OCI_LAYER_GZIP,
            Compression::Zstd => names::OCI_LAYER_ZSTD,
            Compression::None | Compression::Xz => names::OCI_LAYER,
        };
        layers.push(descriptor(blob, media_type));
    }
    let manifest = manifest_bytes(&descriptor(config, names::OCI_CONFIG), &layers, &BTreeMap::new());
    let image = Descriptor::of(names::OCI_MANIFEST, &manifest);
    fs::write(blobs.join(image.digest.hex()), manifest).map_err(|error| error.to_string())?;
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_archives() {
        let parsed = |text: &str| {
            ArchiveName::parse(text).map(|name| (name.form, name.file.display().to_string(), name.wanted))
        };
        assert_eq!(parsed("oci-archive:a.tar"), Some((Form::Oci, "a.tar".into(), None)));
        assert_eq!(
            parsed("oci-archive:/x/a.tar:v1"),
            Some((Form::Oci, "/x/a.tar".into(), Some("v1".into())))
        );
        let whole = Some("localhost/a:1".to_owned());
        assert_eq!(parsed("docker-archive:a.tar:localhost/a:1"), Some((Form::Docker, "a.tar".into(), whole)));
        assert_eq!(parsed("docker-archive:"), None);
        assert_eq!(parsed("oci:dir"), None);
    }

    #[test]
    fn links_stay_inside() {
        let of = |path: &str, link: &str, kind| target(&path.into(), &link.into(), kind).to_string();
        assert_eq!(of("a/layer.tar", "../b/layer.tar", Kind::Symlink), "b/layer.tar");
        assert_eq!(of("a/layer.tar", "../../../etc/passwd", Kind::Symlink), "etc/passwd");
        assert_eq!(of("a/layer.tar", "b/layer.tar", Kind::Hardlink), "b/layer.tar");
    }
}
