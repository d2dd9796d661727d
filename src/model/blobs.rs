//! The capabilities pure code receives: bytes by digest, and room for what memory should not hold.

use std::{
    fmt,
    io::{self, Read, Seek, Write},
};

use super::{Digest, limits::SORT_RUN_SIZE_BYTES};

/// Something that can be read at any place.
pub trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// Something that can be written and read at any place.
pub trait ReadWriteSeek: Read + Write + Seek + Send {}
impl<T: Read + Write + Seek + Send> ReadWriteSeek for T {}

/// Where sorting puts what it does not hold in memory: nameless files of the store in a run, memory in tests.
pub trait Scratch: Send + Sync + fmt::Debug {
    /// Makes an empty file that is gone once it is dropped.
    ///
    /// # Errors
    /// Those of the medium.
    fn file(&self) -> io::Result<Box<dyn ReadWriteSeek>>;

    /// Bytes that one sort holds in memory before it asks for a file.
    fn run_size_bytes(&self) -> usize {
        SORT_RUN_SIZE_BYTES
    }
}

/// Where blobs come from: the store in a run, a map in tests.
pub trait Blobs: Scratch {
    /// Opens the blob `digest`, whose bytes were checked when they came in.
    ///
    /// # Errors
    /// `NotFound` if there is no such blob, else those of the medium.
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn ReadSeek>>;
}
