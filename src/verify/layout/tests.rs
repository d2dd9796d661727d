//! What the reference implementation made, and what it says of it (`fixtures/in-toto/make.py`).

use super::*;
use crate::attest::PublicKey;

const NOW_S: i64 = 1_800_000_000;

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    exit: i32,
    files: BTreeMap<String, String>,
}

fn cases() -> Vec<Case> {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/in-toto/cases.json"));
    serde_json::from_str(text).unwrap()
}

fn named(name: &str) -> Case {
    cases().into_iter().find(|case| case.name == name).unwrap()
}

impl Case {
    fn owners(&self) -> Vec<Functionary> {
        let names: &[&str] =
            if self.name == "good-two-owners" { &["owner.pub", "second.pub"] } else { &["owner.pub"] };
        names.iter().map(|name| Functionary::of(PublicKey::from_pem(&self.files[*name]).unwrap())).collect()
    }

    fn links(&self) -> LinkFiles {
        let links = self.files.iter().filter(|(name, _)| name.ends_with(".link"));
        links.map(|(name, text)| (name.clone(), text.clone().into_bytes())).collect()
    }

    fn judged(&self) -> Judged {
        judge(self.files["root.layout"].as_bytes(), &self.owners(), &self.links(), NOW_S)
    }
}

fn codes(judged: &Judged) -> Vec<&'static str> {
    judged.findings.iter().map(|finding| finding.code.name()).collect()
}

#[test]
fn answers_are_those_of_the_reference() {
    let all = cases();
    assert!(all.len() >= 60);
    for case in all.iter().filter(|case| !case.name.starts_with("inspection-")) {
        let judged = case.judged();
        let stricter = case.name.starts_with("stricter-");
        assert_eq!(judged.refused(), case.exit != 0 || stricter, "{}: {:?}", case.name, judged.findings);
        assert!(!stricter || case.exit == 0, "{}: the reference has become stricter too", case.name);
    }
}

#[track_caller]
fn check(name: &str, expected: &[&str]) {
    let judged = named(name).judged();
    assert_eq!(codes(&judged), expected, "{name}: {:?}", judged.findings);
}

/// Where no good link vouches for a step's products, the rules after it find them foreign too.
#[test]
fn each_failure_has_its_code() {
    check("good", &[]);
    check("good-dsse", &[]);
    check("good-other-command", &["step-command"]);
    check("good-broken-link-beside", &["link-signature"]);
    check("good-differing-links-threshold-one", &["links-differ-one"]);
    check("bad-expired", &["layout-expired"]);
    check("bad-owner", &["layout-signature"]);
    check("bad-layout-tampered", &["layout-signature"]);
    check("bad-layout-unsigned", &["layout-signature"]);
    check("bad-layout-field", &["layout-unreadable"]);
    check("bad-missing-link", &["link-missing"]);
    check("bad-tampered-link", &["link-signature", "link-threshold", "artifact-rule"]);
    check("bad-link-with-more", &["link-unreadable", "link-threshold", "artifact-rule"]);
    check("bad-link-unreadable", &["link-unreadable", "link-threshold", "artifact-rule"]);
    check("bad-functionary", &["link-functionary", "link-missing"]);
    check("bad-functionary-of-another-step", &["link-functionary", "link-missing"]);
    check("bad-functionary-in-disguise", &["link-functionary", "link-threshold"]);
    check("bad-threshold", &["link-missing", "artifact-rule"]);
    check("bad-threshold-tampered", &["link-signature", "link-threshold", "artifact-rule"]);
    check("bad-threshold-differs", &["links-differ", "artifact-rule"]);
    check("bad-disallow", &["artifact-rule"]);
    check("bad-sublayout-expired", &["layout-expired", "link-threshold", "artifact-rule"]);
    check("stricter-one-key-twice", &["link-threshold", "artifact-rule"]);
    check("stricter-parameter", &["layout-parameter"]);
    check("stricter-link-of-another-step", &["link-name", "link-threshold"]);
}

#[test]
fn a_refused_rule_names_the_files() {
    let judged = named("bad-material").judged();
    assert_eq!(judged.findings[0].message, "materials: DISALLOW * matches `/etc/passwd`");
    assert_eq!(judged.findings[0].item, "build");
}

#[test]
fn whoever_signed_is_named() {
    let judged = named("good-threshold").judged();
    let steps: Vec<_> = judged.functionaries.iter().map(|(step, _)| step.as_str()).collect();
    assert_eq!(steps, ["build", "build", "pack"]);
    assert!(named("bad-owner").judged().functionaries.is_empty());
}

#[test]
fn an_image_is_a_product_of_the_last_step() {
    let judged = named("good").judged();
    let product: Digest = format!("sha256:{}", "c".repeat(64)).parse().unwrap();
    assert_eq!(judged.product(&product), None);
    let material: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    assert_eq!(judged.product(&material).unwrap().code, LayoutCode::ImageNotProduct);
}

#[test]
fn inspections_are_held_against_rules() {
    let case = named("inspection-good");
    let judged = case.judged();
    assert!(!judged.refused());
    let artifact = |name: &str| (name.to_owned(), BTreeMap::from([("sha256".to_owned(), "aa".to_owned())]));
    let mut link = Link { name: "look".into(), ..Link::default() };
    link.materials = [artifact("root.layout")].into();
    link.products = [artifact("root.layout"), artifact("copied")].into();
    let inspect = |link: &Link| {
        let recorded = BTreeMap::from([("look".to_owned(), link.clone())]);
        inspected(&judged.inspections, &recorded, &judged.links)
    };
    assert_eq!(inspect(&link), []);
    link.products.extend([artifact("more")]);
    let found = inspect(&link);
    assert_eq!(found[0].message, "products: DISALLOW * matches `more`");
}

#[test]
fn no_change_of_a_byte_is_believed() {
    let case = named("good");
    for name in case.files.keys().filter(|name| !name.ends_with(".pub")) {
        for at in 0..case.files[name].len() {
            let mut changed = named_with(&case, name, at);
            changed.name.clone_from(&case.name);
            // Bytes outside what is signed may change nothing; what is said must not.
            let judged = changed.judged();
            if !judged.refused() {
                assert_eq!(judged.links, case.judged().links, "{name} byte {at}");
            }
        }
    }
}

fn named_with(case: &Case, name: &str, at: usize) -> Case {
    let mut files = case.files.clone();
    let mut bytes = files[name].clone().into_bytes();
    bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
    files.insert(name.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
    Case { name: String::new(), exit: 0, files }
}

#[test]
fn hostile_bytes_are_unreadable() {
    let case = named("good");
    for bytes in
        [&b""[..], b"{}", b"[]", b"\xff", b"{\"signed\":{},\"signatures\":[]}", &b"[".repeat(200_000)]
    {
        let judged = judge(bytes, &case.owners(), &case.links(), NOW_S);
        assert_eq!(codes(&judged), ["layout-unreadable"]);
    }
}

#[test]
fn what_is_written_is_read() {
    use crate::attest::Form;
    let link = Link { name: "build".into(), command: vec!["é\"\\\n".into()], ..Link::default() };
    for form in [Form::Classic, Form::Dsse] {
        let read = Metadata::parse(&link.file(form, "abcd", b"sig")).unwrap();
        assert_eq!((read.body, read.form), (Body::Link(link.clone()), form));
        assert!(!link.signed_bytes(form).unwrap().is_empty());
    }
}
