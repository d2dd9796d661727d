//! Writing one layer in the canonical format, against `gzip -6` on the same archive: `make bench`.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench may fail by panicking, start programs, and print"
)]

use std::{
    fs::File,
    io,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const ROUNDS: usize = 3;

fn main() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let archive = dir.path().join("layer.tar");
    unpack(&archive);
    let size_bytes = archive.metadata().unwrap().len();
    let index = best(|| drop(reprov::layer::index(File::open(&archive).unwrap()).unwrap()));
    let entries = reprov::layer::index(File::open(&archive).unwrap()).unwrap();
    let write = best(|| {
        let mut content = File::open(&archive).unwrap();
        reprov::layer::write(&entries, &mut content, i64::MAX, io::sink()).unwrap();
    });
    let gzip = best(|| {
        let mut command = Command::new("gzip");
        command.args(["-6", "--stdout"]).stdin(File::open(&archive).unwrap()).stdout(Stdio::null());
        assert!(command.status().unwrap().success());
    });
    println!("a Debian base, {} entries, {} MiB, best of {ROUNDS}:", entries.len(), size_bytes >> 20);
    for (what, took) in [("index", index), ("write", write), ("gzip -6", gzip)] {
        println!("  {what:<8} {:6.2} s  {:.0} MiB/s", took.as_secs_f64(), rate(size_bytes, took));
    }
    println!("  write / gzip -6: {:.2}", write.as_secs_f64() / gzip.as_secs_f64());
}

/// Inflates the layer of the fixtures' Debian base.
fn unpack(to: &Path) {
    let script = r#"layout=$("$0" debian); for blob in "$layout"/blobs/sha256/*; do gzip -tq "$blob" 2>/dev/null && gzip -dc <"$blob" >"$1"; done; test -s "$1""#;
    let make = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/base/make");
    assert!(Command::new("bash").args(["-c", script]).arg(make).arg(to).status().unwrap().success());
}

fn best(mut work: impl FnMut()) -> Duration {
    let mut time = || {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    (0..ROUNDS).map(|_| time()).min().unwrap()
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(size_bytes: u64, took: Duration) -> f64 {
    size_bytes as f64 / f64::from(1 << 20) / took.as_secs_f64()
}
