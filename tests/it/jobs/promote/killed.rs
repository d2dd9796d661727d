//! Killed anywhere, the tag is old, or new with all its evidence.

use std::{process::Stdio, thread, time::Duration};

use super::stand::{HEAD, Staged, arguments, only, promote, statement};
use crate::{
    jobs::copy::Shelf,
    support::{ApiRegistry, Fault, Faulty, Lab, Registry},
    verify::stand::{PROMOTION, PROVENANCE},
};

/// Kills promotions after each of these times, on a registry that answers slowly; then each is finished.
fn kill(shelf: &'static dyn Shelf, slow: &Faulty, name: &str, waits: &[u64]) {
    let lab = Lab::new();
    let from = format!("{name}-from");
    let mut moments = (0, 0);
    for (number, wait) in waits.iter().enumerate() {
        let to = format!("{name}-to-{number}");
        let old = Staged::new(shelf, &to, "old").digest();
        let staged = Staged::new(shelf, &from, &format!("layer {number}"));
        staged.built(1, 2);
        let target = format!("{}/{to}:1", slow.host);
        let args = arguments(&lab, &[&slow.name(&from), &target], HEAD, &[]);
        let mut command = lab.command(lab.program());
        command.args(args).stderr(Stdio::null()).stdout(Stdio::null());
        let mut run = command.spawn().unwrap();
        thread::sleep(Duration::from_millis(*wait));
        let killed = run.try_wait().unwrap().is_none();
        run.kill().unwrap();
        run.wait().unwrap();
        match shelf.tag(&to, "1") {
            Some(tag) if tag == old => moments.0 += usize::from(killed),
            tag => {
                assert_eq!(tag, Some(staged.digest()));
                evident(shelf, &to, &staged.digest());
                moments.1 += 1;
            }
        }
        let ran = promote(&lab, &slow.name(&from), &target, HEAD, &[]).exits(0);
        assert!(["promoted", "unchanged"].contains(&only(&ran)["outcome"].as_str().unwrap()), "{ran}");
        evident(shelf, &to, &staged.digest());
    }
    println!("{name}: {} killed before the tag, {} with it", moments.0, moments.1);
}

/// Everything that the image was let through on is beside it, and so is the word that it was.
#[track_caller]
fn evident(shelf: &dyn Shelf, repository: &str, digest: &str) {
    let referrers = shelf.referrers(repository, digest);
    let kinds: Vec<String> = referrers
        .iter()
        .map(|one| statement(shelf, repository, one)["predicateType"].as_str().unwrap().to_owned())
        .collect();
    for kind in [PROVENANCE, PROMOTION] {
        assert!(kinds.iter().any(|found| found == kind), "{repository}: {kinds:?}");
    }
}

fn slow(registry: &impl crate::support::Serves) -> Faulty {
    Faulty::before(registry, |_, _| Fault::Slow(1, Duration::from_millis(10)))
}

#[test]
fn a_run_that_is_killed_leaves_the_old_tag_or_the_new_one() {
    let api: &'static ApiRegistry = Box::leak(Box::new(ApiRegistry::start()));
    kill(api, &slow(api), "app", &[60, 200, 350, 500]);
}

#[test]
#[ignore = "twenty kills on two registries take a minute: make acceptance"]
fn twenty_kills() {
    let api: &'static ApiRegistry = Box::leak(Box::new(ApiRegistry::start()));
    let waits: Vec<u64> = (0..20).map(|number| 30 + number * 40).collect();
    kill(api, &slow(api), "app", &waits);
    let docker = Registry::shared();
    let waits: Vec<u64> = (0..20).map(|number| 50 + number * 120).collect();
    kill(docker, &slow(docker), "promote-killed", &waits);
}
