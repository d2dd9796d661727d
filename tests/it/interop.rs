//! The tools of others against reprov and the other way round (`make interop`): each cell is tried, a tampered twin of
//! each is refused, and the matrix is what was seen.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use serde_json::{Value, json};

use crate::{
    jobs::copy::{Shelf, bundle_manifest, manifest},
    support::{ApiRegistry, Lab, Registry, fixtures, must, sha256},
};

const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const SUMMARY: &str = "https://slsa.dev/verification_summary/v1";
const OWN: &str = "https://example.org/own/v1";

/// The tools, the registries, the keys.
struct Stand {
    lab: Lab,
    tools: PathBuf,
    docker: Registry,
    api: ApiRegistry,
    rows: Vec<Row>,
}

/// One cell of the matrix.
struct Row {
    what: String,
    by: String,
    wanted: bool,
    got: bool,
    said: String,
}

impl Stand {
    fn new() -> Self {
        let tools = PathBuf::from(
            must(&mut Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/interop"))).trim(),
        );
        let lab = Lab::new();
        let stand =
            Self { lab, tools, docker: Registry::start(&[]), api: ApiRegistry::start(), rows: Vec::new() };
        for (key, tool) in [("c3", "cosign3"), ("c2", "cosign2")] {
            let prefix = stand.lab.path(key);
            assert!(stand.tool(tool, &["generate-key-pair", "--output-key-prefix", &prefix]).0);
        }
        for (name, words) in [
            ("ed", ["-algorithm", "ed25519"].as_slice()),
            ("rsa", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]),
        ] {
            let pem = stand.lab.path(&format!("{name}.pem"));
            must(Command::new("openssl").arg("genpkey").args(words).args(["-out", &pem]));
            let import = ["import-key-pair", "--key", &pem, "--output-key-prefix", &stand.lab.path(name)];
            assert!(stand.tool("cosign3", &import).0);
        }
        stand.write("policy.toml", "builders = [\"*\"]\n");
        stand.write("own.json", "{\"checked\":\"yes\"}");
        stand.write(
            "stub.json",
            "{\"mediaType\":\"application/vnd.dev.sigstore.trustedroot+json;version=0.1\"}",
        );
        stand
            .lab
            .reprov(&["key", "generate", "--type", "ed25519", "--out", &stand.lab.path("ours-ed")])
            .exits(0);
        stand
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.lab.path(name), text).unwrap();
    }

    /// Runs one of the tools: whether it exits with 0, and what it says.
    fn tool(&self, name: &str, args: &[&str]) -> (bool, String) {
        let mut command = self.lab.command(self.tools.join(name).to_str().unwrap());
        command.args(args).env("COSIGN_PASSWORD", "test-only").env("TUF_ROOT", self.lab.path("tuf"));
        let ran = Lab::run(command);
        (ran.code == Some(0), format!("{}{}", ran.out, ran.err))
    }

    fn shelves(&self) -> [(&'static str, &dyn Shelf); 2] {
        [("fallback tag", &self.docker), ("API", &self.api)]
    }

    /// An image that no other has, in each registry.
    fn image(&self, repository: &str) {
        for (_, shelf) in self.shelves() {
            let image = manifest(shelf, repository, &[repository.as_bytes()]);
            shelf.set_tag(repository, "1", image["digest"].as_str().unwrap());
        }
    }

    fn note(&mut self, what: impl Into<String>, by: &str, wanted: bool, (got, said): (bool, String)) {
        let what = what.into();
        println!("{} {what} | {by}", if got == wanted { "as expected:" } else { "UNEXPECTED:" });
        self.rows.push(Row { what, by: by.to_owned(), wanted, got, said });
    }

    fn attest(&self, image: &str, key: &str, statement: &str, predicate_type: &str, more: &[&str]) {
        let store = self.lab.path("store");
        let key = self.lab.path(key);
        let mut args =
            vec!["attest", image, "--key", &key, "--statement", statement, "--type", predicate_type];
        args.extend(["--store", &store]);
        args.extend(more);
        self.lab.reprov(&args).exits(0);
    }

    fn cosign(
        &self,
        tool: &str,
        image: &str,
        key: &str,
        predicate_type: &str,
        more: &[&str],
    ) -> (bool, String) {
        let key = self.lab.path(key);
        let mut args = vec!["verify-attestation", "--key", &key, "--type", predicate_type];
        args.extend(["--insecure-ignore-tlog"]);
        args.extend(more);
        args.push(image);
        self.tool(tool, &args)
    }

    /// Whether we believe what is beside the image.
    fn verify(&self, image: &str, key: &str, more: &[&str]) -> (bool, String) {
        let (key, store) = (self.lab.path(key), self.lab.path("verifying"));
        let mut args = vec!["verify", image, "--trust", &key, "--store", &store];
        args.extend(more);
        let ran = self.lab.reprov(&args);
        (ran.code == Some(0), ran.to_string())
    }

    /// The same image in another repository, with one byte more in what is said beside it.
    fn twin(shelf: &dyn Shelf, repository: &str) -> String {
        let to = format!("{repository}-twin");
        let digest = shelf.tag(repository, "1").unwrap();
        let image = manifest(shelf, &to, &[repository.as_bytes()]);
        assert_eq!(image["digest"], digest.as_str());
        shelf.set_tag(&to, "1", &digest);
        let mut entries = Vec::new();
        for referrer in shelf.referrers(repository, &digest) {
            let mut manifest = shelf.opened(repository, &referrer);
            let blob = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
            let mut bundle: Value = serde_json::from_slice(&shelf.blob(&blob)).unwrap();
            let Some(payload) = bundle["dsseEnvelope"]["payload"].as_str().map(tampered) else { continue };
            bundle["dsseEnvelope"]["payload"] = payload.into();
            let bytes = bundle.to_string();
            shelf.put_blob(&to, bytes.as_bytes());
            shelf.put_blob(&to, b"{}");
            manifest["layers"][0]["digest"] = sha256(bytes.as_bytes()).into();
            manifest["layers"][0]["size"] = bytes.len().into();
            entries.push(bundle_manifest(shelf, &to, &manifest));
        }
        if !entries.is_empty() {
            crate::jobs::copy::list(shelf, &to, &digest, &entries);
        }
        let tag = format!("{}.att", digest.replace(':', "-"));
        if let Some(attachment) = shelf.tag(repository, &tag) {
            let mut manifest = shelf.opened(repository, &attachment);
            shelf.put_blob(&to, &shelf.blob(manifest["config"]["digest"].as_str().unwrap()));
            for layer in manifest["layers"].as_array_mut().unwrap() {
                let mut envelope: Value =
                    serde_json::from_slice(&shelf.blob(layer["digest"].as_str().unwrap())).unwrap();
                envelope["payload"] = tampered(envelope["payload"].as_str().unwrap()).into();
                let bytes = envelope.to_string();
                shelf.put_blob(&to, bytes.as_bytes());
                layer["digest"] = sha256(bytes.as_bytes()).into();
                layer["size"] = bytes.len().into();
            }
            let digest = shelf.put_manifest(&to, &manifest);
            shelf.set_tag(&to, &tag, &digest);
        }
        shelf.name(&to)
    }

    /// What we write, through the tools of others.
    fn ours(&mut self) {
        let predicate = fixtures("interop/provenance-predicate.json").to_str().unwrap().to_owned();
        let own = self.lab.path("own.json");
        for (repository, key, public, statement, kind, more) in [
            ("ours-bundle", "signer.key", "signer.pub", &predicate, PROVENANCE, [].as_slice()),
            ("ours-both", "signer.key", "signer.pub", &predicate, PROVENANCE, &["--legacy"]),
            ("ours-ed", "ours-ed.key", "ours-ed.pub", &predicate, PROVENANCE, &[]),
            ("ours-own", "signer.key", "signer.pub", &own, OWN, &["--legacy"]),
        ] {
            self.image(repository);
            for number in 0..2 {
                let (registry, image, twin) = {
                    let (registry, shelf) = self.shelves()[number];
                    let image = shelf.name(repository);
                    self.attest(&image, key, statement, kind, more);
                    (registry, image, Self::twin(shelf, repository))
                };
                let legacy = !more.is_empty();
                let what = format!("{}, {registry}", named(repository));
                let new = ["--new-bundle-format", "--trusted-root", &self.lab.path("stub.json")];
                for (by, tool, flags, wanted) in [
                    ("cosign 3 verify-attestation", "cosign3", [].as_slice(), true),
                    ("cosign 2 verify-attestation", "cosign2", &[], legacy),
                    ("cosign 2 verify-attestation --new-bundle-format", "cosign2", &new, true),
                ] {
                    let seen = self.cosign(tool, &image, public, kind, flags);
                    self.note(&what, by, wanted, seen);
                    let seen = self.cosign(tool, &twin, public, kind, flags);
                    self.note(format!("tampered: {what}"), by, false, seen);
                }
                let discovered = self.tool("oras", &["discover", "--plain-http", "--format", "json", &image]);
                let lists = discovered.1.contains("application/vnd.dev.sigstore.bundle.v0.3+json");
                self.note(&what, "oras discover", true, (discovered.0 && lists, discovered.1.clone()));
                let referrer =
                    discovered.1.split('"').find(|word| word.contains("@sha256:")).unwrap_or_default();
                let dir = self.lab.path(&format!("pulled-{repository}-{number}"));
                let pulled = self.tool("oras", &["pull", "--plain-http", "-o", &dir, referrer]);
                self.note(&what, "oras pull", true, pulled);
                let seen = self.verify(&image, public, &[]);
                self.note(&what, "reprov verify", kind == PROVENANCE, seen);
            }
        }
        self.attachment_alone();
        self.summary();
        self.bundle_in_a_file(&predicate);
    }

    /// Only what cosign 2 reads, moved to a repository of its own.
    fn attachment_alone(&mut self) {
        for number in 0..2 {
            let (registry, image) = {
                let (registry, shelf) = self.shelves()[number];
                let digest = shelf.tag("ours-both", "1").unwrap();
                let tag = format!("{}.att", digest.replace(':', "-"));
                let attachment = shelf.opened("ours-both", &shelf.tag("ours-both", &tag).unwrap());
                manifest(shelf, "ours-att", &[b"ours-both"]);
                shelf.set_tag("ours-att", "1", &digest);
                for part in attachment["layers"].as_array().unwrap().iter().chain([&attachment["config"]]) {
                    shelf.put_blob("ours-att", &shelf.blob(part["digest"].as_str().unwrap()));
                }
                let attached = shelf.put_manifest("ours-att", &attachment);
                shelf.set_tag("ours-att", &tag, &attached);
                (registry, shelf.name("ours-att"))
            };
            let what = format!(".att alone, {registry}");
            let seen = [
                (
                    "cosign 3 verify-attestation",
                    self.cosign("cosign3", &image, "signer.pub", PROVENANCE, &[]),
                ),
                (
                    "cosign 2 verify-attestation",
                    self.cosign("cosign2", &image, "signer.pub", PROVENANCE, &[]),
                ),
                ("reprov verify", self.verify(&image, "signer.pub", &[])),
            ];
            for (by, seen) in seen {
                self.note(&what, by, true, seen);
            }
        }
    }

    /// A verification summary, found by its URI.
    fn summary(&mut self) {
        for number in 0..2 {
            let (registry, shelf) = self.shelves()[number];
            let image = shelf.name("ours-bundle");
            let [key, policy] = ["signer.key", "policy.toml"].map(|name| self.lab.path(name));
            let written = self.verify(&image, "signer.pub", &["--key", &key, "--policy", &policy]);
            self.note(format!("summary (VSA), {registry}"), "reprov verify --key", true, written);
            let seen = self.cosign("cosign3", &image, "signer.pub", SUMMARY, &[]);
            self.note(
                format!("summary (VSA), {registry}"),
                "cosign 3 verify-attestation --type URI",
                true,
                seen,
            );
            let seen = self.cosign("cosign3", &image, "signer.pub", PROVENANCE, &[]);
            self.note(
                format!("provenance beside a summary, {registry}"),
                "cosign 3 verify-attestation",
                true,
                seen,
            );
        }
    }

    fn bundle_in_a_file(&mut self, predicate: &str) {
        let image = Shelf::name(&self.docker, "ours-bundle");
        let file = self.lab.path("bundle.json");
        self.attest(&image, "signer.key", predicate, PROVENANCE, &["--out", &file]);
        let hex = Shelf::tag(&self.docker, "ours-bundle", "1").unwrap().replace("sha256:", "");
        let mut bundle: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        for (what, wanted) in [("a bundle in a file", true), ("tampered: a bundle in a file", false)] {
            let (key, kind) = (self.lab.path("signer.pub"), PROVENANCE);
            let args = [
                "verify-blob-attestation",
                "--key",
                &key,
                "--bundle",
                &file,
                "--type",
                kind,
                "--insecure-ignore-tlog",
                "--digest",
                &hex,
                "--digestAlg",
                "sha256",
            ];
            let seen = self.tool("cosign3", &args);
            self.note(what, "cosign 3 verify-blob-attestation", wanted, seen);
            let payload = tampered(bundle["dsseEnvelope"]["payload"].as_str().unwrap());
            bundle["dsseEnvelope"]["payload"] = payload.into();
            fs::write(&file, bundle.to_string()).unwrap();
        }
    }

    /// What others write, through us.
    fn theirs(&mut self) {
        let predicate = fixtures("interop/provenance-predicate.json").to_str().unwrap().to_owned();
        let offline: &[&str] = &["--use-signing-config=false", "--tlog-upload=false"];
        let quiet: &[&str] = &["--tlog-upload=false"];
        let old: &[&str] =
            &["--use-signing-config=false", "--tlog-upload=false", "--new-bundle-format=false"];
        let new: &[&str] = &["--tlog-upload=false", "--new-bundle-format"];
        for (repository, tool, key, flags, by) in [
            ("c3-bundle", "cosign3", "c3", offline, "cosign 3 attest, P-256"),
            ("c3-att", "cosign3", "c3", old, "cosign 3 attest --new-bundle-format=false"),
            ("c3-ed", "cosign3", "ed", offline, "cosign 3 attest, Ed25519 (it signs Ed25519ph)"),
            ("c3-rsa", "cosign3", "rsa", offline, "cosign 3 attest, RSA-2048"),
            ("c2-att", "cosign2", "c2", quiet, "cosign 2 attest (.att)"),
            ("c2-bundle", "cosign2", "c2", new, "cosign 2 attest --new-bundle-format"),
        ] {
            self.image(repository);
            for number in 0..2 {
                let (registry, image) = {
                    let (registry, shelf) = self.shelves()[number];
                    (registry, shelf.name(repository))
                };
                let private = self.lab.path(&format!("{key}.key"));
                let mut args = vec!["attest", "--key", &private, "--predicate", &predicate];
                args.extend(["--type", "slsaprovenance1", "-y"]);
                args.extend(flags);
                args.push(&image);
                let written = self.tool(tool, &args);
                assert!(written.0, "{by}: {}", written.1);
                let public = format!("{key}.pub");
                let seen = self.verify(&image, &public, &[]);
                self.note(format!("{by}, {registry}"), "reprov verify", true, seen);
                let seen = self.verify(&image, "signer.pub", &[]);
                self.note(format!("by a stranger: {by}, {registry}"), "reprov verify", false, seen);
                let twin = Self::twin(self.shelves()[number].1, repository);
                let seen = self.verify(&twin, &public, &[]);
                self.note(format!("tampered: {by}, {registry}"), "reprov verify", false, seen);
            }
        }
        for (layout, key, by) in [
            (
                "cosign3-layout",
                "p256-v3",
                "kept artifact of cosign 3.1.1, copied by oras 1.3.3 to a directory",
            ),
            ("cosign2-layout", "p256-v2", "kept artifact of cosign 2.5.0, in a directory"),
        ] {
            let image = format!("oci:{}:1", fixtures(&format!("interop/{layout}")).display());
            let public = fixtures(&format!("interop/keys/TEST-ONLY-{key}.pub"));
            fs::copy(public, self.lab.path("kept.pub")).unwrap();
            let seen = self.verify(&image, "kept.pub", &[]);
            self.note(by, "reprov verify", true, seen);
        }
    }

    /// Links that in-toto-run makes, for a layout that in-toto made.
    fn links(&mut self) {
        for (form, layout, flags) in
            [("classic", "root.layout", [].as_slice()), ("DSSE", "root-dsse.layout", &["--use-dsse"])]
        {
            let dir = self.lab.path(&format!("links-{form}"));
            must(Command::new("cp").arg("-rT").arg(fixtures("interop/in-toto")).arg(&dir));
            must(
                Command::new("sh")
                    .args(["-c", "rm -rf *.link links-dsse image.*; chmod 600 *.key"])
                    .current_dir(&dir),
            );
            for (step, key, from, to) in [
                ("build", "builder.key", "source.txt", "image.txt"),
                ("pack", "packer.key", "image.txt", "image.out"),
            ] {
                let mut run = self.lab.command(self.tools.join("in-toto-run").to_str().unwrap());
                run.args(["-n", step, "--signing-key", key, "-m", from, "-p", from, to]).args(flags);
                run.args(["--", "cp", from, to]).current_dir(&dir);
                Lab::run(run).exits(0);
            }
            let judged = |stand: &Self| {
                let mut theirs = stand.lab.command(stand.tools.join("in-toto-verify").to_str().unwrap());
                theirs.args(["-l", layout, "--verification-keys", "owner.pub"]);
                let mut ours = stand.lab.command(stand.lab.program());
                ours.args(["verify", "--layout", layout, "--layout-key", "owner.pub", "--run-inspections"]);
                [("in-toto-verify", theirs), ("reprov verify --layout", ours)].map(|(by, mut command)| {
                    let ran = Lab::run({
                        command.current_dir(&dir);
                        command
                    });
                    (by, (ran.code == Some(0), ran.to_string()))
                })
            };
            let what = format!("links of in-toto-run, {form}");
            for (by, seen) in judged(self) {
                self.note(&what, by, true, seen);
            }
            let mut link = fs::read_dir(&dir).unwrap().flatten().map(|entry| entry.path());
            let link = link.find(|path| path.to_string_lossy().contains("/pack.")).unwrap();
            let text = fs::read_to_string(&link).unwrap();
            let changed = if form == "DSSE" {
                let mut envelope: Value = serde_json::from_str(&text).unwrap();
                envelope["payload"] = tampered(envelope["payload"].as_str().unwrap()).into();
                envelope.to_string()
            } else {
                text.replacen("image.out", "image.OUT", 1)
            };
            assert_ne!(changed, text);
            fs::write(&link, changed).unwrap();
            for (by, seen) in judged(self) {
                self.note(format!("tampered: {what}"), by, false, seen);
            }
        }
    }

    /// Images that reprov and oras copied, with what is beside them.
    fn copies(&mut self) {
        let store = self.lab.path("store");
        for (from, to) in [(0, 1), (1, 0)] {
            let [source, target] = [from, to].map(|number| self.shelves()[number].1.name("ours-both"));
            let copied = target.replace("ours-both", "ours-both-copied");
            let ran = self.lab.reprov(&["copy", &source, &copied, "--store", &store]);
            let what = format!("reprov copy, {} to {}", self.shelves()[from].0, self.shelves()[to].0);
            self.note(&what, "reprov copy", true, (ran.code == Some(0), ran.to_string()));
            for (by, seen) in [
                (
                    "cosign 3 verify-attestation",
                    self.cosign("cosign3", &copied, "signer.pub", PROVENANCE, &[]),
                ),
                (
                    "cosign 2 verify-attestation",
                    self.cosign("cosign2", &copied, "signer.pub", PROVENANCE, &[]),
                ),
                ("reprov verify", self.verify(&copied, "signer.pub", &[])),
            ] {
                self.note(&what, by, true, seen);
            }
            let by_oras = target.replace("ours-both", "ours-both-oras");
            let plain = ["cp", "-r", "--from-plain-http", "--to-plain-http", &source, &by_oras];
            assert!(self.tool("oras", &plain).0);
            let seen = self.verify(&by_oras, "signer.pub", &[]);
            let what = format!("oras cp -r, {} to {}", self.shelves()[from].0, self.shelves()[to].0);
            self.note(what, "reprov verify", true, seen);
        }
    }

    /// The matrix, as docs/interop.md has it.
    fn matrix(&self) -> String {
        let mut out = String::from("| what | judged by | answer |\n|---|---|---|\n");
        for row in &self.rows {
            let answer = if row.got { "yes" } else { "no" };
            let answer = if row.got == row.wanted { answer.to_owned() } else { format!("**{answer}**") };
            out.push_str(&format!("| {} | {} | {answer} |\n", row.what, row.by));
        }
        out
    }
}

fn named(repository: &str) -> &'static str {
    match repository {
        "ours-bundle" => "bundle, P-256",
        "ours-both" => "bundle and .att, P-256",
        "ours-ed" => "bundle, Ed25519",
        _ => "own predicate by URI, bundle and .att",
    }
}

/// A payload of one byte more.
fn tampered(payload: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = String::from_utf8(STANDARD.decode(payload).unwrap()).unwrap();
    // One space more says the same, and is signed by nobody.
    STANDARD.encode(text.replacen('{', "{ ", 1))
}

#[test]
#[ignore = "installs the tools of others: make interop"]
fn matrix() {
    let mut stand = Stand::new();
    stand.ours();
    stand.theirs();
    stand.links();
    stand.copies();
    let versions = fs::read_to_string(stand.tools.join("../versions")).unwrap();
    let versions: Vec<&str> = versions.lines().collect();
    let matrix = stand.matrix();
    println!("\n{}\n\n{matrix}", versions.join(", "));
    let wrong: Vec<_> = stand.rows.iter().filter(|row| row.got != row.wanted).collect();
    for row in &wrong {
        println!("--- {} | {}\n{}", row.what, row.by, row.said);
    }
    if std::env::var_os("REPROV_WRITE_INTEROP").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/interop.md");
        let text = fs::read_to_string(&path).unwrap();
        let (before, _) = text.split_once("<!-- matrix -->").unwrap();
        let table = format!("{before}<!-- matrix -->\n\nWith {}.\n\n{matrix}", versions.join(", "));
        fs::write(&path, table).unwrap();
    }
    assert!(wrong.is_empty(), "{} of {} are not as expected", wrong.len(), stand.rows.len());
}

/// Six writers at once; how many of the six are found afterwards.
fn six(stand: &Stand, shelf: &dyn Shelf, repository: &str, theirs: usize) -> usize {
    stand.image(repository);
    let image = shelf.name(repository);
    let predicate = fixtures("interop/provenance-predicate.json").to_str().unwrap().to_owned();
    let mut runs = Vec::new();
    for number in 0..6 {
        let store = stand.lab.path(&format!("store-{number}"));
        let mut command = if number < theirs {
            let mut command = stand.lab.command(stand.tools.join("cosign3").to_str().unwrap());
            command.args(["attest", "--key", &stand.lab.path("c3.key"), "--predicate", &predicate]);
            command.args([
                "--type",
                "slsaprovenance1",
                "-y",
                "--use-signing-config=false",
                "--tlog-upload=false",
            ]);
            command.env("COSIGN_PASSWORD", "test-only");
            command
        } else {
            let own = stand.lab.path(&format!("own-{number}.json"));
            fs::write(&own, json!({"number": number}).to_string()).unwrap();
            let mut command = stand.lab.command(stand.lab.program());
            command.args([
                "attest",
                "--key",
                &stand.lab.path("signer.key"),
                "--type",
                OWN,
                "--store",
                &store,
            ]);
            command.args(["--statement", &own, "-q"]);
            command
        };
        command.arg(&image);
        runs.push(command);
    }
    let started: Vec<_> = runs.into_iter().map(|command| thread::spawn(move || Lab::run(command))).collect();
    for (number, run) in started.into_iter().enumerate() {
        let ran = run.join().unwrap();
        assert_eq!(ran.code, Some(0), "writer {number}: {ran}");
    }
    shelf.referrers(repository, &shelf.tag(repository, "1").unwrap()).len()
}

#[test]
#[ignore = "installs the tools of others: make interop"]
fn six_at_once_twenty_times() {
    let stand = Stand::new();
    let mut found: BTreeMap<(&str, usize), Vec<usize>> = BTreeMap::new();
    for round in 0..20 {
        for (registry, shelf) in stand.shelves() {
            for theirs in [0, 1] {
                let repository = format!("six-{theirs}-{round}");
                found.entry((registry, theirs)).or_default().push(six(&stand, shelf, &repository, theirs));
            }
        }
    }
    for ((registry, theirs), found) in &found {
        println!("{registry}, {theirs} of the six are cosign 3: found {found:?}");
    }
    for ((registry, theirs), found) in found {
        assert!(found.iter().all(|count| *count == 6), "{registry}, {theirs}: {found:?}");
    }
}

/// What `promote` brings, through the tools of others: the image, its provenance and the word that it was promoted.
#[test]
#[ignore = "installs the tools of others: make interop"]
fn a_promoted_image_is_there_for_cosign_and_oras() {
    const PROMOTION: &str = "https://reprov.example/promotion/v1";
    let stand = Stand::new();
    let predicate = fixtures("interop/provenance-predicate.json").to_str().unwrap().to_owned();
    stand.image("promote-from");
    let [policy, key, public, store] =
        ["policy.toml", "signer.key", "signer.pub", "store"].map(|name| stand.lab.path(name));
    for (registry, shelf) in stand.shelves() {
        let (from, to) = (shelf.name("promote-from"), shelf.name("promote-to"));
        stand.attest(&from, "signer.key", &predicate, PROVENANCE, &["--legacy"]);
        let args = ["promote", &from, &to, "--policy", &policy, "--trust", &public, "--key", &key];
        stand.lab.reprov(&[&args[..], &["--store", &store]].concat()).exits(0);
        assert_eq!(shelf.tag("promote-to", "1"), shelf.tag("promote-from", "1"));
        for kind in [PROVENANCE, PROMOTION] {
            let (good, said) = stand.cosign("cosign3", &to, "signer.pub", kind, &[]);
            assert!(good, "{registry}, {kind}: {said}");
        }
        let (good, said) = stand.cosign("cosign2", &to, "signer.pub", PROVENANCE, &[]);
        assert!(good, "{registry}, cosign 2's attachment: {said}");
        let (good, said) = stand.cosign("cosign3", &from, "signer.pub", PROMOTION, &[]);
        assert!(!good, "{registry}: {said}");
        let (good, said) = stand.tool("oras", &["discover", "--plain-http", "--format", "json", &to]);
        let bundles = said.matches("\"artifactType\": \"application/vnd.dev.sigstore.bundle").count();
        assert!(good && bundles == 2, "{registry}: {said}");
        let digest = shelf.tag("promote-to", "1").unwrap();
        let (good, said) = stand.tool("oras", &["manifest", "fetch", "--plain-http", "--descriptor", &to]);
        assert!(good && said.contains(&digest), "{registry}: {said}");
    }
}
