//! Layers: a strict reader, one canonical writer (`tar1.gzip1`), the merged view of many, and the rules that
//! drop noise (WIRE.md §6, BUILDROOT.md §4).
//!
//! Works on streams; never unpacks, and knows no file system, image or Dockerfile. A layer's entries, and what is where
//! after some layers, are sequences in the order of paths, and all that is asked of them is asked in passes over them: a
//! sort holds `SORT_RUN_SIZE_BYTES` in memory and puts the rest into a scratch file that the caller hands in. Beside
//! that, a byte an entry tells which are left out, and the names of one file (hard links) are held while they are looked
//! at. [`index`] and [`whole`] hold all entries.

mod archive;
mod capability;
mod clamp;
mod code;
mod entry;
mod equal;
mod glob;
mod gzip;
mod header;
mod inflate;
mod links;
mod listing;
mod lower;
mod number;
mod order;
mod pax;
mod read;
mod records;
mod root;
mod rules;
mod shape;
mod sparse;
mod sqlite;
mod twins;
mod union;
mod write;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod stack_tests;

pub use archive::{Archive, Beside, Reading};
pub use capability::capability;
pub use entry::{Entry, Kind, is_attribute_record};
pub use glob::matches;
pub use gzip::Gzip1;
pub use inflate::{Compression, inflate};
pub use listing::{Entries, Index, Layer};
pub use lower::Lower;
pub use order::compare as compare_paths;
pub use read::{PEEK_SIZE_BYTES, bounds, index, walk};
pub use root::{Root, whole};
pub use rules::{Applied, Around, Open, Patched, Patches, Profile, RuleCount, drop_rule};
pub use shape::{BLOB_HEAD_BYTES, Shape, compressed};
pub use sqlite::varint as sqlite_varint;
pub use twins::pass_twins;
pub use union::{Placed, Union};
pub use write::{Archived, write};

use std::io;

/// Why a layer cannot be read, normalised or written.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// A media type that is no layer's.
    #[error("`{0}` is not the media type of a layer; known are tar, tar+gzip and tar+zstd")]
    MediaType(String),
    /// The stream ended badly or the medium failed.
    #[error("cannot read the layer")]
    Read(#[source] io::Error),
    /// The output failed.
    #[error("cannot write the layer")]
    Write(#[source] io::Error),
    /// The scratch file failed.
    #[error("cannot sort the layer's entries through a temporary file")]
    Sort(#[source] io::Error),
    /// The scratch file for contents failed.
    #[error("cannot put what differs into a temporary file")]
    Keep(#[source] io::Error),
    /// The archive ends before its end mark.
    #[error("the tar archive is cut off: {0}")]
    Truncated(&'static str),
    /// Bytes after the end mark.
    #[error("the tar archive goes on after its end mark, {0} bytes in")]
    Trailing(u64),
    /// Something a careful reader must not guess about.
    #[error("entry `{path}` of the archive is refused: {why}")]
    Refused {
        /// Which entry, printable.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A sparse file.
    #[error("entry `{0}` of the archive is a sparse file, which is not supported")]
    Sparse(String),
    /// One path twice: which one counts would be a guess.
    #[error("the archive holds `{0}` more than once")]
    Duplicate(String),
    /// Over a bound of `model::limits`.
    #[error("the archive has more than {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many may be.
        max: u64,
    },
    /// No such rules profile.
    #[error("there is no rules profile `{0}`; known are `default-2`, `default-1` and `none`")]
    Profile(String),
}
