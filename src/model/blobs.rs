//! The one capability pure code receives: bytes by digest.

use std::{
    fmt,
    io::{self, Read, Seek},
};

use super::Digest;

/// Something that can be read at any place.
pub trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// Where blobs come from: the store in a run, a map in tests.
pub trait Blobs: Send + Sync + fmt::Debug {
    /// Opens the blob `digest`, whose bytes were checked when they came in.
    ///
    /// # Errors
    /// `NotFound` if there is no such blob, else those of the medium.
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn ReadSeek>>;
}
