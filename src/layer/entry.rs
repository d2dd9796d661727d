//! One entry of a layer.

use std::collections::BTreeMap;

use bstr::BString;

use crate::model::Digest;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file, whiteouts included.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// Another name of a file of this layer or below.
    Hardlink,
    /// A character device.
    Char,
    /// A block device.
    Block,
    /// A named pipe.
    Fifo,
}

impl Kind {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symlink",
            Self::Hardlink => "hardlink",
            Self::Char => "character-device",
            Self::Block => "block-device",
            Self::Fifo => "fifo",
        }
    }
}

/// One entry as the archive holds it; paths have no leading `./` or `/` and no trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where in the image.
    pub path: BString,
    /// What it is.
    pub kind: Kind,
    /// Permission bits, `mode & 07777`.
    pub mode: u32,
    /// What else the header's mode field holds: file-type bits of some builders.
    pub raw_mode_type: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Owner's name as the header says; no file system keeps it.
    pub uname: BString,
    /// Group's name, likewise.
    pub gname: BString,
    /// Modification time, seconds since 1970, floored.
    pub mtime_s: i64,
    /// What flooring took away, in nanoseconds.
    pub mtime_rest_ns: u32,
    /// Size of the content in bytes.
    pub size_bytes: u64,
    /// Target of a symbolic or hard link; for a file, whatever the header's link field holds.
    pub link: BString,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Extended attributes.
    pub xattrs: BTreeMap<BString, Vec<u8>>,
    /// PAX records that are none of the above (`atime`, `comment`, …).
    pub pax: BTreeMap<BString, Vec<u8>>,
    /// SHA-256 of a file's content. In a [`Layer`](super::Layer) also that of its other names, as is what follows.
    pub content: Option<Digest>,
    /// Where the content starts in the uncompressed archive.
    pub offset: u64,
    /// The first 64 bytes of the content, for format checks.
    pub peek: Vec<u8>,
}

impl Entry {
    /// An entry without content, for what a builder lost and the caller adds.
    #[must_use]
    pub fn new(path: impl Into<BString>, kind: Kind, mode: u32, mtime_s: i64) -> Self {
        Self {
            path: path.into(),
            kind,
            mode,
            raw_mode_type: 0,
            uid: 0,
            gid: 0,
            uname: BString::default(),
            gname: BString::default(),
            mtime_s,
            mtime_rest_ns: 0,
            size_bytes: 0,
            link: BString::default(),
            device: (0, 0),
            xattrs: BTreeMap::new(),
            pax: BTreeMap::new(),
            content: None,
            offset: 0,
            peek: Vec::new(),
        }
    }

    /// The last component of its path.
    pub fn name(&self) -> &[u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// Bytes of its names and attributes.
    pub fn held_bytes(&self) -> u64 {
        let records = self.xattrs.iter().chain(&self.pax).map(|(key, value)| key.len() + value.len());
        let names = self.path.len() + self.link.len() + self.uname.len() + self.gname.len();
        (names + records.sum::<usize>()) as u64
    }

    /// PAX records that are attributes of the file under another tool's name.
    pub fn attribute_records(&self) -> impl Iterator<Item = (&BString, &Vec<u8>)> {
        self.pax.iter().filter(|(name, _)| is_attribute_record(name))
    }

    /// Whether it hides something of the layers below (OCI image-spec, "Whiteouts").
    pub fn is_whiteout(&self) -> bool {
        self.name().starts_with(b".wh.")
    }
}

/// Whether the PAX record `name` is an attribute of a file as libarchive, star or Red Hat's tar write one: access lists,
/// labels, flags.
pub fn is_attribute_record(name: &[u8]) -> bool {
    [&b"LIBARCHIVE.xattr."[..], b"SCHILY.acl.", b"SCHILY.fflags", b"RHT.security."]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}
