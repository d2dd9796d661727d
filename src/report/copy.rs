//! `reprov.copy/v1`.

use std::fmt::Write as _;

use serde::Serialize;

use super::size;
use crate::model::{Digest, path::printable};

/// The answer of `copy`.
#[derive(Debug, Default, Serialize)]
pub struct Copy {
    /// `reprov.copy/v1`.
    pub schema: &'static str,
    /// The image as it was asked for.
    pub from: String,
    /// Where it is now: the target with the digest; none if it was not copied.
    pub image: Option<String>,
    /// Its manifest's or index's digest, which is the same on both sides.
    pub digest: Option<Digest>,
    /// What that is.
    pub media_type: Option<String>,
    /// Manifests and indexes: the image's, and of all that belongs to it.
    pub manifests: u64,
    /// What refers to the image, to its parts, and to what refers to those.
    pub referrers: Vec<Referrer>,
    /// Tags where cosign keeps what it attached.
    pub tags: Vec<String>,
    /// Configs and layers of all of them.
    pub blobs: Blobs,
    /// What is listed beside the image at the source but could not be copied.
    pub left: Vec<Left>,
    /// What the target's tag named before, if that was another image.
    pub replaced: Option<Digest>,
    /// Why nothing was tagged.
    pub error: Option<String>,
    /// How long it took.
    pub seconds: i64,
}

/// Something about something.
#[derive(Debug, Serialize)]
pub struct Referrer {
    /// Its manifest.
    pub digest: Digest,
    /// What it is about.
    pub subject: Digest,
}

/// Blobs by how they came to the target; with other numbers than [`Blobs::count`] only where both are one place.
#[derive(Debug, Default, Serialize)]
pub struct Blobs {
    /// All.
    pub count: u64,
    /// The target had them.
    pub existing: u64,
    /// The target took them over from another of its repositories.
    pub mounted: u64,
    /// They were read and sent.
    pub sent: u64,
    /// Bytes of those.
    pub sent_bytes: u64,
}

/// Something that stays behind.
#[derive(Debug, Serialize)]
pub struct Left {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

impl Copy {
    /// The answer where nothing was tagged.
    #[must_use]
    pub fn failed(from: String, reason: String) -> Self {
        Self { schema: "reprov.copy/v1", from, error: Some(reason), ..Self::default() }
    }

    /// The answer for people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let mut row = |name: &str, value: String| {
            let _ = writeln!(out, "{name:<11} {value}");
        };
        let Some(image) = &self.image else { return out };
        row("copied", printable(image));
        if let Some(replaced) = &self.replaced {
            row("replaced", format!("{replaced}, which the tag named before"));
        }
        let referrers = self.referrers.len();
        row("manifests", format!("{}, {referrers} of them referring to something", self.manifests));
        for tag in &self.tags {
            row("tag", printable(tag));
        }
        let Blobs { count, existing, mounted, sent, sent_bytes } = self.blobs;
        let sent = format!("{sent} sent ({})", size(sent_bytes));
        row("blobs", format!("{count}: {existing} there already, {mounted} mounted, {sent}"));
        for left in &self.left {
            row("left behind", format!("{}: {}", printable(&left.what), printable(&left.why)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(Copy::failed("a".into(), "b".into()).text(), "");
        let digest = Digest::of(b"");
        let copy = Copy {
            schema: "reprov.copy/v1",
            image: Some("registry.example.org/app:1@sha256:…".into()),
            manifests: 3,
            referrers: vec![Referrer { digest, subject: digest }],
            tags: vec!["sha256-….att".into()],
            blobs: Blobs { count: 4, existing: 1, mounted: 1, sent: 2, sent_bytes: 2048 },
            left: vec![Left { what: "x\u{1b}".into(), why: "it is not there".into() }],
            ..Copy::default()
        };
        insta::assert_snapshot!(copy.text(), @r"
        copied      registry.example.org/app:1@sha256:…
        manifests   3, 1 of them referring to something
        tag         sha256-….att
        blobs       4: 1 there already, 1 mounted, 2 sent (2.0 KiB)
        left behind x\u{1b}: it is not there
        ");
    }
}
