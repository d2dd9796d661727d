//! An image, opened with other code than the program's own.

use std::{collections::BTreeMap, io::Read, os::unix::ffi::OsStrExt, path::Path};

use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Manifest, config, and what each layer holds.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) digest: String,
    pub(crate) manifest: Value,
    pub(crate) config: Value,
    pub(crate) layers: Vec<BTreeMap<String, Entry>>,
}

/// A file in a layer, times aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: tar::EntryType,
    pub(crate) mode: u32,
    pub(crate) owner: (u64, u64),
    pub(crate) link: Option<String>,
    pub(crate) bytes: Vec<u8>,
}

impl Image {
    /// Opens the manifest with that digest; its digests and those of the layers' contents are checked on the way.
    #[track_caller]
    pub(crate) fn open(digest: &str, blob: impl Fn(&str) -> Vec<u8>) -> Self {
        let json = |digest: &str| -> Value {
            let bytes = blob(digest);
            assert_eq!(sha256(&bytes), digest);
            serde_json::from_slice(&bytes).unwrap()
        };
        let manifest = json(digest);
        let config = json(manifest["config"]["digest"].as_str().unwrap());
        let mut layers = Vec::new();
        for (layer, diff_id) in
            digests(&manifest["layers"]).iter().zip(config["rootfs"]["diff_ids"].as_array().unwrap())
        {
            let mut plain = Vec::new();
            GzDecoder::new(blob(layer).as_slice()).read_to_end(&mut plain).unwrap();
            assert_eq!(&sha256(&plain), diff_id.as_str().unwrap());
            layers.push(entries(&plain));
        }
        Self { digest: digest.to_owned(), manifest, config, layers }
    }

    /// Opens `oci:DIRECTORY` tagged 1.
    pub(crate) fn in_layout(directory: &Path) -> Self {
        Self::in_layout_if(directory, |tag| tag == "1")
    }

    /// Opens the only image of the layout that `--keep` made.
    pub(crate) fn kept(directory: &str) -> Self {
        Self::in_layout_if(Path::new(directory), |_| true)
    }

    fn in_layout_if(directory: &Path, wanted: impl Fn(&Value) -> bool) -> Self {
        let index: Value =
            serde_json::from_slice(&std::fs::read(directory.join("index.json")).unwrap()).unwrap();
        let tagged = |entry: &&Value| wanted(&entry["annotations"]["org.opencontainers.image.ref.name"]);
        let entry = index["manifests"].as_array().unwrap().iter().find(tagged).unwrap().clone();
        Self::open(entry["digest"].as_str().unwrap(), |digest| {
            std::fs::read(directory.join("blobs").join(digest.replace(':', "/"))).unwrap()
        })
    }

    pub(crate) fn layer_digests(&self) -> Vec<String> {
        digests(&self.manifest["layers"])
    }

    /// The topmost file of that path, if a layer has one.
    pub(crate) fn find(&self, path: &str) -> Option<&Entry> {
        self.layers.iter().rev().find_map(|layer| layer.get(path))
    }

    /// The topmost file of that path.
    #[track_caller]
    pub(crate) fn entry(&self, path: &str) -> &Entry {
        self.find(path).unwrap_or_else(|| panic!("no layer has {path}"))
    }

    /// The text of the topmost file of that path.
    #[track_caller]
    pub(crate) fn text(&self, path: &str) -> String {
        String::from_utf8(self.entry(path).bytes.clone()).unwrap()
    }
}

fn digests(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|entry| entry["digest"].as_str().unwrap().to_owned()).collect()
}

/// `sha256:…` of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// By path without leading `./` and trailing `/`; bytes that are not UTF-8 as `\xNN`.
fn entries(plain: &[u8]) -> BTreeMap<String, Entry> {
    let mut archive = tar::Archive::new(plain);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().as_os_str().as_bytes().escape_ascii().to_string();
        let link = entry.link_name().unwrap().map(|link| link.to_string_lossy().into_owned());
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let header = entry.header();
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        let (kind, mode) = (header.entry_type(), header.mode().unwrap() & 0o7777);
        (
            path.trim_start_matches("./").trim_end_matches('/').to_owned(),
            Entry { kind, mode, owner, link, bytes },
        )
    };
    archive.entries().unwrap().map(read).collect()
}
