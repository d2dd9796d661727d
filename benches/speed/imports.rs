//! Importing a root file system, against what deflating its bytes takes at least.

use std::{fs, io::Read as _, path::Path};

use tar::{Archive, Builder, EntryType};

use crate::{
    layers::{debian, deflate_on_all_cores, rate},
    run::{ROUNDS, median, run, timed},
    table::{Row, Target},
};

const REPROV: &str = env!("CARGO_BIN_EXE_reprov");

pub(crate) fn rows() -> Vec<Row> {
    eprintln!("imports");
    let dir = tempfile::Builder::new().prefix("reprov-bench-").tempdir_in("/var/tmp").unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let archive = twice(&debian());
    fs::write(at("root.tar"), &archive).unwrap();
    run(&[REPROV, "key", "generate", "--out", &at("key")]);
    let import = |round: usize| {
        let (tar, tag, key) =
            (at("root.tar"), format!("oci:{}:1", at(&format!("image-{round}"))), at("key.key"));
        run(&[
            REPROV,
            "import",
            &tar,
            "--tag",
            &tag,
            "--key",
            &key,
            "--store",
            &at(&format!("store-{round}")),
        ])
    };
    let costs: Vec<_> = (0..ROUNDS).map(import).collect();
    let ours_s = median(costs.iter().map(|cost| cost.wall_s));
    let peer_s = timed(|| deflate_on_all_cores(&archive));
    let (ours, peer) = (rate(archive.len(), ours_s), rate(archive.len(), peer_s));
    let peak_mib = costs.iter().map(|cost| cost.peak_mib).fold(0.0, f64::max);
    vec![
        Row {
            what: "`reprov import` of a root file system (330 MiB); peer: zlib-rs level 6 on all cores",
            ours: format!("{ours:.0} MiB/s"),
            peer: format!("{peer:.0} MiB/s"),
            figure: ours / peer,
            unit: "",
            target: Target::AtLeast(0.8),
        },
        Row {
            what: "peak memory of that",
            ours: format!("{peak_mib:.0} MiB"),
            peer: "-".to_owned(),
            figure: peak_mib,
            unit: " MiB",
            target: Target::AtMost(128.0),
        },
    ]
}

/// `archive`, and once more the same below `copy/`: about as large as a root file system that does something.
fn twice(archive: &[u8]) -> Vec<u8> {
    let mut out = Builder::new(Vec::new());
    for below in ["", "copy"] {
        for entry in Archive::new(archive).entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut header = entry.header().clone();
            let path = Path::new(below).join(entry.path().unwrap());
            let link = entry.link_name().unwrap().map(std::borrow::Cow::into_owned);
            match (header.entry_type(), link) {
                (EntryType::Char | EntryType::Block, _) => continue, // None outside of dev/.
                (EntryType::Link, Some(link)) => {
                    out.append_link(&mut header, path, Path::new(below).join(link))
                }
                (EntryType::Symlink, Some(link)) => out.append_link(&mut header, path, link),
                _ => {
                    let mut bytes = Vec::new();
                    entry.read_to_end(&mut bytes).unwrap();
                    out.append_data(&mut header, path, bytes.as_slice())
                }
            }
            .unwrap();
        }
    }
    out.into_inner().unwrap()
}
