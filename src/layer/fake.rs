//! Archives made to measure, and scratch files in memory, for the tests of this and later rows.

use std::io::{self, Cursor};

use super::{Entry, Layer, index, pax};
use crate::model::{ReadWriteSeek, Scratch, limits::SORT_RUN_SIZE_BYTES};

/// Scratch files in memory.
#[derive(Debug)]
pub(crate) struct Heap {
    pub(crate) run_size_bytes: usize,
}

impl Default for Heap {
    fn default() -> Self {
        Self { run_size_bytes: SORT_RUN_SIZE_BYTES }
    }
}

impl Scratch for Heap {
    fn file(&self) -> io::Result<Box<dyn ReadWriteSeek>> {
        Ok(Box::new(Cursor::new(Vec::new())))
    }

    fn run_size_bytes(&self) -> usize {
        self.run_size_bytes
    }
}

/// Scratch files that cannot be read.
#[derive(Debug)]
pub(crate) struct Lossy;

struct Lost;

impl Scratch for Lossy {
    fn file(&self) -> io::Result<Box<dyn ReadWriteSeek>> {
        Ok(Box::new(Lost))
    }
}

impl io::Read for Lost {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the disk is gone"))
    }
}

impl io::Write for Lost {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl io::Seek for Lost {
    fn seek(&mut self, _: io::SeekFrom) -> io::Result<u64> {
        Ok(0)
    }
}

/// A layer in the making: `FakeLayer::default().file("etc/motd", b"hi").at(1)`.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeLayer {
    parts: Vec<(Vec<u8>, Vec<u8>)>,
}

impl FakeLayer {
    /// Adds an entry with typeflag `flag`.
    pub(crate) fn entry(mut self, flag: u8, path: &str, link: &str, content: &[u8]) -> Self {
        let mut block = vec![0; 512];
        block[..path.len()].copy_from_slice(path.as_bytes());
        block[100..107].copy_from_slice(if flag == b'5' { b"0000755" } else { b"0000644" });
        block[108..115].copy_from_slice(b"0000000");
        block[116..123].copy_from_slice(b"0000000");
        block[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        block[136..147].copy_from_slice(b"00000000000");
        block[156] = flag;
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        block[257..265].copy_from_slice(b"ustar\x0000");
        self.parts.push((block, content.to_vec()));
        self
    }

    pub(crate) fn file(self, path: &str, content: &[u8]) -> Self {
        self.entry(b'0', path, "", content)
    }

    pub(crate) fn dir(self, path: &str) -> Self {
        self.entry(b'5', path, "", b"")
    }

    pub(crate) fn hardlink(self, path: &str, target: &str) -> Self {
        self.entry(b'1', path, target, b"")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path, target, b"")
    }

    /// Puts a PAX header before the last entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let records = records.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.to_vec())).collect();
        self.extension(b'x', &pax::write(&records))
    }

    /// Puts an extension header before the last entry.
    pub(crate) fn extension(mut self, flag: u8, bytes: &[u8]) -> Self {
        let last = self.parts.pop().unwrap();
        self = self.entry(flag, "ext", "", bytes);
        self.parts.push(last);
        self
    }

    /// Overwrites bytes of the last header.
    pub(crate) fn put(mut self, at: usize, bytes: &[u8]) -> Self {
        self.parts.last_mut().unwrap().0[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    /// The last entry's mode.
    pub(crate) fn mode(self, mode: u32) -> Self {
        self.put(100, format!("{mode:07o}").as_bytes())
    }

    /// The last entry's owner.
    pub(crate) fn owner(self, uid: u32) -> Self {
        self.put(108, format!("{uid:07o}").as_bytes())
    }

    /// The last entry's time.
    pub(crate) fn at(self, mtime_s: u64) -> Self {
        self.put(136, format!("{mtime_s:011o}").as_bytes())
    }

    /// The archive without its end mark.
    pub(crate) fn open_end(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (header, content) in &self.parts {
            let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum::<u32>() + 8 * 32;
            let mut header = header.clone();
            header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            out.extend_from_slice(&header);
            out.extend_from_slice(content);
            out.resize(out.len().next_multiple_of(512), 0);
        }
        out
    }

    /// The archive.
    pub(crate) fn tar(&self) -> Vec<u8> {
        let mut out = self.open_end();
        out.resize(out.len() + 1024, 0);
        out
    }

    /// Its index.
    pub(crate) fn index(&self) -> Vec<Entry> {
        index(Cursor::new(self.tar())).unwrap()
    }

    /// The layer it is.
    pub(crate) fn layer(&self) -> Layer {
        Layer::read(&self.tar()[..], &Heap::default()).unwrap()
    }
}
