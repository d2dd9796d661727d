//! `reprov.import/v1`.

use std::{collections::BTreeMap, fmt::Write as _};

use serde::Serialize;

use super::{
    Named,
    build::{Normalized, Provenance},
    size,
};
use crate::model::{DiffId, Digest, path::printable};

/// The answer of `import`.
#[derive(Debug, Default, Serialize)]
pub struct Import {
    /// `reprov.import/v1`.
    pub schema: &'static str,
    /// The pushed image, by digest; none if nothing was imported.
    pub image: Option<String>,
    /// Its manifest's digest.
    pub manifest: Option<Digest>,
    /// Its config's digest.
    pub config: Option<Digest>,
    /// Its one layer.
    pub layer: Option<Layer>,
    /// `os/arch[/variant]`.
    pub platform: Option<String>,
    /// The image's time, RFC 3339; no file is younger.
    pub created: Option<String>,
    /// What was imported.
    pub rootfs: Option<Rootfs>,
    /// Entries left out, by reason.
    pub dropped: Vec<Normalized>,
    /// What is installed in it.
    pub packages: Option<Packages>,
    /// The attached provenance.
    pub provenance: Option<Provenance>,
    /// The statement in it.
    pub statement: Option<Named>,
    /// Why there is no image.
    pub error: Option<String>,
    /// Whole seconds from start to end.
    pub seconds: i64,
}

/// The layer.
#[derive(Debug, Serialize)]
pub struct Layer {
    /// Of the blob.
    pub digest: Digest,
    /// Of what is in it.
    pub diff_id: DiffId,
    /// In bytes.
    pub size: u64,
    /// Files, directories, links in it.
    pub entries: u64,
}

/// A root file system.
#[derive(Debug, Serialize)]
pub struct Rootfs {
    /// Of the file as given; of a directory, of its canonical archive.
    pub digest: Option<Digest>,
    /// Its bytes, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// `tar` or `directory`.
    pub form: String,
    /// `none`, `gzip`, `zstd`, `xz`.
    pub compression: String,
    /// Where it is said to come from; nobody looked.
    pub source: Option<String>,
}

impl Rootfs {
    /// `sha256:… (tar, xz)`.
    #[must_use]
    pub fn shown(&self) -> String {
        let digest = self.digest.map(|digest| digest.to_string()).unwrap_or_default();
        let mut words = vec![printable(&self.form)];
        if self.compression != "none" {
            words.push(printable(&self.compression));
        }
        words.extend(self.size.map(size));
        format!("{digest} ({})", words.join(", "))
    }

    /// The URL, and how much it is worth.
    #[must_use]
    pub fn origin(&self) -> String {
        match &self.source {
            Some(source) => format!("{} (claimed; nobody looked)", printable(source)),
            None => "not said".to_owned(),
        }
    }
}

/// What is installed.
#[derive(Debug, Serialize)]
pub struct Packages {
    /// How many.
    pub count: u64,
    /// How many of each kind.
    pub kinds: BTreeMap<String, u64>,
    /// Databases that are there but were not read.
    pub unread: Vec<String>,
    /// Of the list kept beside the image.
    pub digest: Digest,
}

impl Import {
    /// The answer where nothing was imported.
    #[must_use]
    pub fn failed(reason: String) -> Self {
        Self { schema: "reprov.import/v1", error: Some(reason), ..Self::default() }
    }

    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let mut row = |name: &str, value: String| {
            let _ = writeln!(out, "{name:<11} {value}");
        };
        let (Some(image), Some(layer), Some(rootfs)) = (&self.image, &self.layer, &self.rootfs) else {
            return out;
        };
        row("imported", printable(image));
        row("rootfs", rootfs.shown());
        row("origin", rootfs.origin());
        row("layer", format!("{} ({}, {} entries)", layer.digest, size(layer.size), layer.entries));
        row("platform", self.platform.clone().unwrap_or_default());
        row("created", self.created.clone().unwrap_or_default());
        if let Some(packages) = &self.packages {
            let kinds: Vec<_> =
                packages.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            row("packages", if kinds.is_empty() { "none found".to_owned() } else { kinds.join(", ") });
            for unread in &packages.unread {
                row("not read", format!("{} (its packages are not in the list)", printable(unread)));
            }
        }
        for count in &self.dropped {
            row("left out", format!("{} ({} entries)", printable(&count.rule), count.entries));
        }
        if let Some(provenance) = &self.provenance {
            let how = if provenance.signed { "signed" } else { "NOT SIGNED" };
            row("attested", format!("{} ({how})", provenance.digest));
        }
        out
    }
}
