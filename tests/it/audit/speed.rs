//! Two thousand images of which nothing is due: what an audit costs beside its work.

use std::{
    fs,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use super::stand::{Night, bare};
use crate::support::Registry;

const IMAGES: usize = 2000;
const SECONDS_MAX: f64 = 10.0;
const PEAK_MIB_MAX: u64 = 128;
const BOOKKEEPING_MAX: Duration = Duration::from_millis(20);

/// Peak memory of a process that runs, in KiB.
fn peak_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
#[ignore = "slow: make acceptance"]
fn two_thousand_images_of_which_nothing_is_due() {
    let (night, registry) = (Night::new(), Registry::start(&[]));
    let mut names = Vec::new();
    for index in 0..IMAGES {
        let (repository, tag) = (format!("many/{}", index % 20), format!("t{index}"));
        bare(&registry, &repository, &tag, &index.to_string());
        names.push(format!("{}/{repository}:{tag}", registry.host()));
    }
    let repositories: Vec<_> = (0..20).map(|index| format!("\"{}/many/{index}\"", registry.host())).collect();
    night.inventory(&format!(
        "[[group]]\nname = \"many\"\nrepository = [{}]\ntags = \"t*\"\nrebuild = \"none\"\n",
        repositories.join(", ")
    ));
    // The work itself: the same images, as many at once, without a ledger.
    let (key, store) = (night.lab.path("signer.pub"), night.lab.path("store"));
    let begun = Instant::now();
    let mut words = vec!["verify", "--trust", &key, "--store", &store, "--format", "json"];
    words.extend(names.iter().map(String::as_str));
    night.lab.reprov(&words).exits(1);
    let work = begun.elapsed();
    let begun = Instant::now();
    let ran = night.audit(&[]).exits(1);
    let whole = begun.elapsed();
    assert_eq!(ran.json()["summary"]["failed"], IMAGES, "{}", ran.err);
    let each = whole.saturating_sub(work) / u32::try_from(IMAGES).unwrap();
    println!("{IMAGES} images: verified in {work:.1?}, audited in {whole:.1?}: {each:.2?} more for each");

    let mut child = night.auditing(&["-q"]).stdout(Stdio::null()).spawn().unwrap();
    let (begun, mut peak) = (Instant::now(), 0);
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_kib(child.id()).unwrap_or_default());
        thread::sleep(Duration::from_millis(2));
    }
    let (seconds, mib) = (begun.elapsed().as_secs_f64(), peak >> 10);
    println!("{IMAGES} images of which nothing is due: {seconds:.1} s, {mib} MiB");
    assert!(seconds <= SECONDS_MAX && mib <= PEAK_MIB_MAX, "{seconds:.1} s, {mib} MiB");
    assert!(each <= BOOKKEEPING_MAX, "{each:?} an image");
    assert_eq!(night.entries().len(), IMAGES);
}
