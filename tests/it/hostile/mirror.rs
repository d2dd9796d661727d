//! A mirror that gives half a file: the build fails, or its record says what happened; never is the half taken for the
//! whole. All other faults of mirrors are tried at the gateway itself (`src/gateway/tests/faults.rs`).

use crate::support::{Lab, Mirror, Ran, Registry};

fn build(lab: &Lab, repository: &str, step: &str) -> Ran {
    let (mirror, registry) = (Mirror::start(repository), Registry::shared());
    let dockerfile = format!("FROM base.example/tiny:1\nARG MIRROR\nRUN {step}\n");
    let source = lab.source("app", &[("Dockerfile", &dockerfile)]);
    let (arg, allow) = (format!("MIRROR={}", mirror.url), format!("local={}", mirror.url));
    let more = ["--build-arg", &arg, "--allow", &allow];
    lab.build(registry, &source, &registry.name(repository), &more)
}

#[test]
fn half_a_file_fails_the_build() {
    let lab = Lab::new();
    let ran = build(&lab, "mirror-half", "wget -q -O /half $MIRROR/short").exits(1).says("at line 3");
    assert_eq!(ran.json()["inputs"]["count"], 0, "{ran}");
    assert_eq!(ran.json()["inputs"]["tainted"], true, "{ran}");
    assert_eq!(Registry::shared().tag("mirror-half", "1"), None);
}

#[test]
fn half_a_file_that_a_step_accepts_taints_the_record() {
    let lab = Lab::new();
    let ran = build(&lab, "mirror-accepted", "wget -q -O /half $MIRROR/short || echo none > /half").exits(0);
    assert_eq!(ran.json()["inputs"]["count"], 0, "{ran}");
    assert_eq!(ran.json()["inputs"]["tainted"], true, "{ran}");
}
