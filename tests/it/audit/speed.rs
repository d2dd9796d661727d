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
    for index in 0..IMAGES {
        bare(&registry, &format!("many/{}", index % 20), &format!("t{index}"), &index.to_string());
    }
    let repositories: Vec<_> = (0..20).map(|index| format!("\"{}/many/{index}\"", registry.host())).collect();
    night.inventory(&format!(
        "[[group]]\nname = \"many\"\nrepository = [{}]\ntags = \"t*\"\nrebuild = \"none\"\n",
        repositories.join(", ")
    ));
    let begun = Instant::now();
    let ran = night.audit(&[]).exits(1);
    let whole = begun.elapsed();
    assert_eq!(ran.json()["summary"]["failed"], IMAGES, "{}", ran.err);
    let each = whole / u32::try_from(IMAGES).unwrap();
    println!("{IMAGES} images verified in {whole:.1?}, {each:.2?} each, the verifying included");

    let mut child = night.auditing(&["-q"]).stdout(Stdio::null()).spawn().unwrap();
    let (begun, mut peak) = (Instant::now(), 0);
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_kib(child.id()).unwrap_or_default());
        thread::sleep(Duration::from_millis(2));
    }
    let (seconds, mib) = (begun.elapsed().as_secs_f64(), peak >> 10);
    println!("{IMAGES} images of which nothing is due: {seconds:.1} s, {mib} MiB");
    assert!(seconds <= SECONDS_MAX && mib <= PEAK_MIB_MAX, "{seconds:.1} s, {mib} MiB");
    assert!(each <= BOOKKEEPING_MAX, "{each:?} an image, with its verifying");
    assert_eq!(night.entries().len(), IMAGES);
}
