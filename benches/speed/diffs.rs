//! Comparing two images, against what two cores need to inflate and hash the layers that differ.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use reprov::{
    diff, drift,
    model::{Blobs, Descriptor, Digest, Hasher, ReadSeek, ReadWriteSeek, Scratch, names},
    oci::{Image, manifest_bytes},
};

use crate::{
    DIFF, layers,
    run::{median, peak},
    table::{Row, Target},
};

/// Blobs as files named by their hex.
#[derive(Debug)]
struct Dir(PathBuf);

impl Scratch for Dir {
    fn file(&self) -> io::Result<Box<dyn ReadWriteSeek>> {
        Ok(Box::new(tempfile::tempfile_in(&self.0)?))
    }
}

impl Blobs for Dir {
    fn open(&self, digest: &Digest) -> io::Result<Box<dyn ReadSeek>> {
        Ok(Box::new(File::open(self.0.join(digest.hex()))?))
    }
}

/// A pair to compare.
struct Case {
    what: &'static str,
    memory: &'static str,
    most_mib: f64,
    target: Target,
    /// The layers of both images, uncompressed; one that both have is given once.
    layers: Vec<Pair>,
}

enum Pair {
    Same(Vec<u8>),
    Drifted(Vec<u8>, Vec<u8>),
}

pub(crate) fn rows() -> Vec<Row> {
    eprintln!("diffs");
    cases().iter().flat_map(measure).collect()
}

fn cases() -> Vec<Case> {
    let debian = layers::debian();
    let five = drifted(&debian, 5, |_| true);
    let many = small_files(200_000);
    let ten = drifted(&many, 10, |_| true);
    let sixty = |at: usize| small_files(2_000 + at);
    let mut stack: Vec<Pair> = (0..59).map(|at| Pair::Same(sixty(at))).collect();
    let one = sixty(500_000 / 10);
    stack.insert(30, Pair::Drifted(one.clone(), drifted(&one, 1, |_| true)));
    let large = Archive::default().file("large", &vec![7; 1 << 30]).end();
    let sixteen = {
        let mut bytes = large.clone();
        bytes[700_000_000..700_000_016].fill(8);
        bytes
    };
    let pyc = pycs(1_000);
    let later = drifted(&pyc, 1_000, |content| content.starts_with(&PYC));
    let mebibytes = large_pycs(200);
    let turned = drifted(&mebibytes, 200, |content| content.starts_with(&PYC));
    let limit = |factor| Target::AtMost(factor);
    vec![
        Case {
            what: "comparing and explaining a Debian base that drifted in 5 files; peer: two cores inflate and hash what differs",
            memory: "peak memory of that",
            most_mib: 32.0,
            target: limit(1.3),
            layers: vec![Pair::Drifted(debian, five)],
        },
        Case {
            what: "the same, a layer of 200,000 small files, 10 drifted",
            memory: "peak memory of that",
            most_mib: 128.0,
            target: limit(1.5),
            layers: vec![Pair::Drifted(many, ten)],
        },
        Case {
            what: "the same, 60 layers of some 50,000 small files, 1 drifted",
            memory: "peak memory of that",
            most_mib: 64.0,
            target: limit(1.3),
            layers: stack,
        },
        Case {
            what: "the same, a file of 1 GiB, 16 bytes changed",
            memory: "peak memory of that",
            most_mib: 64.0,
            target: limit(1.3),
            layers: vec![Pair::Drifted(large, sixteen)],
        },
        Case {
            what: "the same, 1,000 drifted .pyc: time over inflating and hashing",
            memory: "peak memory of that",
            most_mib: 64.0,
            target: limit(0.0),
            layers: vec![Pair::Drifted(pyc, later)],
        },
        Case {
            what: "the same, 200 drifted .pyc of 1 MiB each: time over inflating and hashing",
            memory: "peak memory of that",
            most_mib: 64.0,
            target: limit(0.0),
            layers: vec![Pair::Drifted(mebibytes, turned)],
        },
    ]
}

fn measure(case: &Case) -> Vec<Row> {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path();
    let differing = lay_out(dir, &case.layers);
    let seconds = |text: &str| text.split(' ').next().unwrap().parse::<f64>().unwrap();
    let (mut ours, mut peer, mut peak_mib) = (Vec::new(), Vec::new(), 0_f64);
    for _ in 0..crate::run::ROUNDS {
        let output = Command::new(std::env::current_exe().unwrap()).arg(DIFF).arg(dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ours.push(seconds(&text));
        let kib: f64 = text.trim().split(' ').nth(1).unwrap().parse().unwrap();
        peak_mib = peak_mib.max(kib / 1024.0);
        peer.push(inflate_and_hash(dir, &differing));
    }
    let (ours, peer) = (median(ours), median(peer));
    let over = matches!(case.target, Target::AtMost(most) if most == 0.0);
    let (figure, unit, target) =
        if over { (ours - peer, " s", Target::AtMost(2.0)) } else { (ours / peer, "", case.target) };
    vec![
        Row {
            what: case.what,
            ours: format!("{ours:.2} s"),
            peer: format!("{peer:.2} s"),
            figure,
            unit,
            target,
        },
        Row {
            what: case.memory,
            ours: format!("{peak_mib:.0} MiB"),
            peer: "-".to_owned(),
            figure: peak_mib,
            unit: " MiB",
            target: Target::AtMost(case.most_mib),
        },
    ]
}

/// Writes both images into `dir`; the blobs that differ.
fn lay_out(dir: &Path, layers: &[Pair]) -> Vec<Digest> {
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(dir.join(digest.hex()), bytes).unwrap();
        digest
    };
    let blob = |tar: &[u8]| {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::new(6));
        gzip.write_all(tar).unwrap();
        let bytes = gzip.finish().unwrap();
        put(&bytes);
        (Descriptor::of(names::OCI_LAYER_GZIP, &bytes), Digest::of(tar))
    };
    let mut images = [Vec::new(), Vec::new()];
    let mut differing = Vec::new();
    for pair in layers {
        let both = match pair {
            Pair::Same(tar) => {
                let layer = blob(tar);
                [layer.clone(), layer]
            }
            Pair::Drifted(a, b) => {
                let both = [blob(a), blob(b)];
                differing.extend(both.iter().map(|(layer, _)| layer.digest));
                both
            }
        };
        for (image, layer) in images.iter_mut().zip(both) {
            image.push(layer);
        }
    }
    for (name, image) in ["a", "b"].into_iter().zip(images) {
        let ids: Vec<_> = image.iter().map(|(_, id)| id.to_string()).collect();
        let config = serde_json::json!({"os": "linux", "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": ids}});
        let config = config.to_string().into_bytes();
        let layers: Vec<_> = image.into_iter().map(|(layer, _)| layer).collect();
        let config_of = Descriptor::of(names::OCI_CONFIG, &config);
        fs::write(dir.join(format!("{name}.config")), &config).unwrap();
        let manifest = manifest_bytes(&config_of, &layers, &BTreeMap::new());
        fs::write(dir.join(format!("{name}.manifest")), manifest).unwrap();
    }
    differing
}

/// In a process of its own: compares and explains, and prints seconds and peak memory in KiB.
pub(crate) fn compare() {
    let dir = PathBuf::from(std::env::args().nth(2).unwrap());
    let image = |name: &str| {
        let read = |kind: &str| fs::read(dir.join(format!("{name}.{kind}"))).unwrap();
        Image::parse(&read("manifest"), &read("config")).unwrap()
    };
    let (a, b) = (image("a"), image("b"));
    let start = Instant::now();
    let comparison = diff::images(&Dir(dir.clone()), &a, &b).unwrap();
    let explained = drift::explain(&comparison, &drift::Context::default()).unwrap();
    assert!(!explained.drifts.is_empty());
    println!("{} {}", start.elapsed().as_secs_f64(), peak("self"));
}

/// Seconds that the cores need for no more than this, a blob each.
fn inflate_and_hash(dir: &Path, blobs: &[Digest]) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for blob in blobs {
            scope.spawn(move || {
                let file = File::open(dir.join(blob.hex())).unwrap();
                let mut inflate = MultiGzDecoder::new(BufReader::with_capacity(256 << 10, file));
                let (mut hasher, mut buffer) = (Hasher::default(), vec![0; 256 << 10]);
                while let count @ 1.. = inflate.read(&mut buffer).unwrap() {
                    hasher.update(&buffer[..count]);
                }
                hasher.finish()
            });
        }
    });
    start.elapsed().as_secs_f64()
}

/// A tar archive in the making.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn file(mut self, path: &str, content: &[u8]) -> Self {
        let mut header = tar::Header::new_ustar();
        header.set_path(path).unwrap();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

fn small_files(count: usize) -> Vec<u8> {
    let file = |archive: Archive, at: usize| {
        let digest = Digest::of(&at.to_le_bytes()).hex();
        let content = digest.repeat(1 + at % 12);
        archive.file(&format!("usr/lib/{:03}/{at:06}.js", at / 1000), content.as_bytes())
    };
    (0..count).fold(Archive::default(), file).end()
}

/// Magic and flags of Python 3.11's with a time.
const PYC: [u8; 8] = [0xa7, 0x0d, 0x0d, 0x0a, 0, 0, 0, 0];

fn pycs(count: usize) -> Vec<u8> {
    let file = |archive: Archive, at: usize| {
        let content =
            [&PYC[..], &[1; 4], &Digest::of(&at.to_le_bytes()).hex().repeat(150).into_bytes()].concat();
        archive.file(&format!("usr/lib/python3/{at:06}.pyc"), &content)
    };
    (0..count).fold(Archive::default(), file).end()
}

/// As large as the word says that counts them.
fn large_pycs(count: usize) -> Vec<u8> {
    let file = |archive: Archive, at: usize| {
        let mut content = [&PYC[..], &[1; 4], &Digest::of(&at.to_le_bytes()).hex().into_bytes()].concat();
        content.resize(1 << 20, 7);
        archive.file(&format!("usr/lib/python3/{at:06}.pyc"), &content)
    };
    (0..count).fold(Archive::default(), file).end()
}

/// The archive with byte 8 to 11 of `count` files, evenly spread among those that are `like` that, turned.
fn drifted(archive: &[u8], count: usize, like: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut places = Vec::new();
    let mut entries = tar::Archive::new(archive);
    for entry in entries.entries().unwrap() {
        let entry = entry.unwrap();
        let (at, size) =
            (usize::try_from(entry.raw_file_position()).unwrap(), entry.header().size().unwrap());
        let plain = entry.header().entry_type().is_file() && size > 64;
        if plain && like(&archive[at..at + 64]) {
            places.push(at);
        }
    }
    let mut out = archive.to_vec();
    let step = places.len() / count;
    for at in places.into_iter().step_by(step).take(count) {
        out[at + 8..at + 12].iter_mut().for_each(|byte| *byte ^= 3);
    }
    out
}
