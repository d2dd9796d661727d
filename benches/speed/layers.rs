//! Layers: writing one big one against zlib-rs alone, and the memory that one of a million entries takes.

use std::{
    collections::BTreeSet,
    io::{self, Cursor, Read, Seek, SeekFrom},
    path::Path,
    process::Command,
};

use flate2::{Compress, Compression, FlushCompress};
use reprov::layer::{self, Entry, Lower, Profile};

use crate::{
    MILLION,
    run::{peak, timed},
    table::{Row, Target},
};

pub(crate) fn rows() -> Vec<Row> {
    eprintln!("layers");
    vec![writing(), memory()]
}

fn writing() -> Row {
    let archive = debian();
    let entries = layer::index(&archive[..]).unwrap();
    let ours = timed(|| {
        rayon::scope(|_| layer::write(&entries, &mut Cursor::new(&archive), i64::MAX, io::sink()).unwrap());
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
fn memory() -> Row {
    let output = Command::new(std::env::current_exe().unwrap()).arg(MILLION).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let kib: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
    Row {
        what: "peak memory, one layer of a million entries",
        ours: format!("{:.0} MiB", kib / 1024.0),
        peer: "-".to_owned(),
        figure: kib / 1024.0,
        unit: " MiB",
        target: Target::AtMost(128.0),
    }
}

/// What a build does with a layer; prints the peak of this process in KiB.
pub(crate) fn a_million_entries() {
    let entries = layer::index(Million::default()).unwrap();
    let profile = Profile::named("default-1").unwrap();
    let mut lower = Lower::default();
    let mut open = |entry: &Entry| -> io::Result<Box<dyn Read>> {
        let at = Million { position: entry.offset, ..Million::default() };
        Ok(Box::new(at.take(entry.size_bytes)))
    };
    let (entries, _) = profile.apply(entries, &BTreeSet::new(), &lower, &mut open).unwrap();
    let entries = lower.without_equal(entries, i64::MAX);
    layer::write(&entries, &mut Million::default(), i64::MAX, io::sink()).unwrap();
    lower.apply(&entries);
    println!("{}", peak("self"));
}

const ENTRIES: u64 = 1_000_000;
const ENTRY: u64 = 1024;

/// An archive of a million files of 25 bytes, made as it is read.
#[derive(Default)]
struct Million {
    position: u64,
    /// The entry read last, and its bytes.
    last: Option<(u64, Vec<u8>)>,
}

impl Million {
    fn entry(number: u64) -> Vec<u8> {
        if number >= ENTRIES {
            return vec![0; 1024];
        }
        let mut header = tar::Header::new_ustar();
        let path = format!(
            "usr/lib/node_modules/{:03}/package-{:03}/file-{number}.js",
            number / 1000,
            number % 1000
        );
        header.set_path(path).unwrap();
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        let content = format!("exports.number = {number:08}\n");
        header.set_size(content.len() as u64);
        header.set_cksum();
        let mut bytes = [header.as_bytes(), content.as_bytes()].concat();
        bytes.resize(1024, 0);
        bytes
    }
}

impl Read for Million {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (number, offset) = (self.position / ENTRY, usize::try_from(self.position % ENTRY).unwrap());
        if number > ENTRIES {
            return Ok(0);
        }
        if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
            self.last = Some((number, Self::entry(number)));
        }
        let (_, bytes) = self.last.as_ref().unwrap();
        let count = buffer.len().min(bytes.len() - offset);
        buffer[..count].copy_from_slice(&bytes[offset..offset + count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Million {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Start(position) = to else { return Err(io::ErrorKind::Unsupported.into()) };
        self.position = position;
        Ok(position)
    }
}
