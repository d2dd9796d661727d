//! An image in a directory, rebuilt where there is no network at all.

use std::path::Path;

use super::packages;
use crate::support::{Image, Lab, Registry, root};

#[test]
fn a_layout_is_enough_without_any_network() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let layout = lab.path("layout");
    let to = format!("oci:{layout}:1");
    let built =
        lab.build(registry, &packages::source(&lab, "pip", &["apt", "pypi"]), &to, &[]).exits(0).json();
    let image = Image::in_layout(Path::new(&layout));
    assert_eq!(built["manifest"], image.digest.as_str());
    if !root() {
        return; // Only root can take away the network and still hand out subordinate ids.
    }
    let mut command = lab.command("unshare");
    let (store, key) = (lab.path("empty"), lab.path("signer.pub"));
    command.args([
        "--net",
        lab.program(),
        "rebuild",
        &to,
        "--store",
        &store,
        "--trust",
        &key,
        "--format",
        "json",
    ]);
    let answer = Lab::run(command).exits(0).json();
    let rebuilt = &answer["images"][0];
    assert_eq!(rebuilt["verdict"], "reproduced", "{answer:#}");
    assert_eq!(rebuilt["rebuilt"], image.digest.as_str());
    assert_eq!(rebuilt["upstream_requests"], 0);
}
