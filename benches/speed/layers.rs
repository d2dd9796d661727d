//! Layers: writing one big one against zlib-rs alone, and the memory that one of a million entries takes.

use std::{
    collections::BTreeSet,
    io::{self, Cursor, Read, Seek, SeekFrom},
    path::Path,
    process::Command,
};

use flate2::{Compress, Compression, FlushCompress};
use reprov::{
    layer::{self, Around, Entry, Layer, Lower, Profile},
    model::{ReadWriteSeek, Scratch},
};

use crate::{
    BELOW, MILLION,
    run::{peak, timed},
    table::{Row, Target},
};

pub(crate) fn rows() -> Vec<Row> {
    eprintln!("layers");
    vec![
        writing(),
        memory(MILLION, "peak memory, one layer of a million entries"),
        memory(BELOW, "peak memory, a small layer on a million entries"),
    ]
}

/// Nameless files in the directory for temporary ones, as the store has in its own.
#[derive(Debug)]
struct Disk;

impl Scratch for Disk {
    fn file(&self) -> io::Result<Box<dyn ReadWriteSeek>> {
        Ok(Box::new(tempfile::tempfile()?))
    }
}

fn writing() -> Row {
    let archive = debian();
    let layer = Layer::read(&archive[..], &Disk).unwrap();
    let ours = timed(|| {
        rayon::scope(|_| layer::write(&layer, &mut Cursor::new(&archive), i64::MAX, io::sink()).unwrap());
    });
    let peer = timed(|| deflate_on_all_cores(&archive));
    let (ours, peer) = (rate(archive.len(), ours), rate(archive.len(), peer));
    Row {
        what: "writing a layer (a Debian base); peer: zlib-rs level 6 on all cores",
        ours: format!("{ours:.0} MiB/s"),
        peer: format!("{peer:.0} MiB/s"),
        figure: ours / peer,
        unit: "",
        target: Target::AtLeast(0.8),
    }
}

/// One stream a core, of equal parts.
pub(crate) fn deflate_on_all_cores(bytes: &[u8]) {
    let cores = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| {
        for part in bytes.chunks(bytes.len().div_ceil(cores)) {
            scope.spawn(move || {
                let mut deflate = Compress::new(Compression::new(6), false);
                let mut out = Vec::with_capacity(part.len() + part.len() / 512 + 1024);
                deflate.compress_vec(part, &mut out, FlushCompress::Finish).unwrap();
                assert_eq!(deflate.total_in(), part.len() as u64);
            });
        }
    });
}

/// The layer of the fixtures' Debian base, inflated.
pub(crate) fn debian() -> Vec<u8> {
    let script = r#"for blob in "$("$0" debian)"/blobs/sha256/*; do gzip -tq "$blob" 2>/dev/null && gzip -dc <"$blob"; done; true"#;
    let make = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/base/make");
    let output = Command::new("bash").args(["-c", script]).arg(make).output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty());
    output.stdout
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub(crate) fn rate(size_bytes: usize, seconds: f64) -> f64 {
    size_bytes as f64 / f64::from(1 << 20) / seconds
}

/// In a process of its own, so that nothing else counts.
fn memory(which: &str, what: &'static str) -> Row {
    let output = Command::new(std::env::current_exe().unwrap()).arg(which).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kib: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    Row {
        what,
        ours: format!("{:.0} MiB", kib / 1024.0),
        peer: "-".to_owned(),
        figure: kib / 1024.0,
        unit: " MiB",
        target: Target::AtMost(128.0),
    }
}

/// Prints the peak memory, in KiB, of a process that puts a layer of a million entries on one of a thousand.
pub(crate) fn a_million_entries() {
    let mut lower = Lower::default();
    build(&mut lower, &Many::of(1000));
    build(&mut lower, &Many::of(1_000_000));
    println!("{}", peak("self"));
}

/// The same the other way round.
pub(crate) fn a_million_below() {
    let mut lower = Lower::default();
    lower.apply(&Layer::read(Many::of(1_000_000), &Disk).unwrap(), &Disk).unwrap();
    build(&mut lower, &Many::of(1000));
    println!("{}", peak("self"));
}

/// What a build does with a layer.
fn build(lower: &mut Lower, archive: &Many) {
    let layer = Layer::read(archive.clone(), &Disk).unwrap();
    let profile = Profile::named("default-2").unwrap();
    let mut open = |entry: &Entry| -> io::Result<Box<dyn Read>> {
        let mut at = archive.clone();
        at.seek(SeekFrom::Start(entry.offset))?;
        Ok(Box::new(at.take(entry.size_bytes)))
    };
    let none = BTreeSet::new();
    let around = Around { lower, mounts: &none, reached: &none, epoch_s: i64::MAX };
    let layer = profile.apply(layer, &around, &mut open, &Disk).unwrap().layer;
    let layer = lower.without_equal(layer, i64::MAX, &Disk).unwrap();
    let out = tempfile::tempfile().unwrap();
    rayon::scope(|_| layer::write(&layer, &mut archive.clone(), i64::MAX, out).unwrap());
    lower.apply(&layer, &Disk).unwrap();
}

const ENTRY: u64 = 1024;

/// An archive of files of 25 bytes each, made as it is read.
#[derive(Clone)]
struct Many {
    entries: u64,
    position: u64,
    /// The entry read last, and its bytes.
    last: Option<(u64, Vec<u8>)>,
}

impl Many {
    fn of(entries: u64) -> Self {
        Self { entries, position: 0, last: None }
    }

    fn entry(&self, number: u64) -> Vec<u8> {
        if number >= self.entries {
            return vec![0; 1024];
        }
        let mut header = tar::Header::new_ustar();
        let path = format!(
            "usr/lib/node_modules/{:03}/package-{:03}/file-{number}.js",
            number % 1000, // Not in order: an archive is in that of a directory's blocks.
            number / 1000
        );
        header.set_path(path).unwrap();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        let content = format!("exports.number = {:08}\n", number + self.entries);
        header.set_size(content.len() as u64);
        header.set_cksum();
        let mut bytes = [header.as_bytes(), content.as_bytes()].concat();
        bytes.resize(1024, 0);
        bytes
    }
}

impl Read for Many {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (number, offset) = (self.position / ENTRY, usize::try_from(self.position % ENTRY).unwrap());
        if number > self.entries {
            return Ok(0);
        }
        if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
            self.last = Some((number, self.entry(number)));
        }
        let (_, bytes) = self.last.as_ref().unwrap();
        let count = buffer.len().min(bytes.len() - offset);
        buffer[..count].copy_from_slice(&bytes[offset..offset + count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Many {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(position) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.position = position;
        Ok(position)
    }
}
