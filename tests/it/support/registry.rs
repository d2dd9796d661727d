//! Debian's docker-registry on loopback. What it stores is read and changed in its directory, behind its back.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, OnceLock},
};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Image, fixtures, must};

/// A registry of its own; ends with the value, or with the test program.
#[derive(Debug)]
pub(crate) struct Registry {
    host: String,
    files: PathBuf,
    child: Child,
}

/// A base image that a registry starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Base {
    Debian,
    Tiny,
}

impl Base {
    pub(crate) const ALL: [Self; 2] = [Self::Debian, Self::Tiny];

    /// The name in the fixtures' Dockerfiles, which no registry has.
    pub(crate) fn written(self) -> &'static str {
        match self {
            Self::Debian => "base.example/debian:bookworm",
            Self::Tiny => "base.example/tiny:1",
        }
    }

    /// The name in a registry of the tests.
    pub(crate) fn used(self, registry: &Registry) -> String {
        self.written().replace("base.example", &format!("{}/base", registry.host))
    }

    /// The archive of its root file system, as it was composed (gzip).
    pub(crate) fn rootfs(self) -> PathBuf {
        let layout = Path::new(self.layout());
        let blob = |digest: &str| layout.join("blobs").join(digest.replace(':', "/"));
        let json = |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
        let index = json(layout.join("index.json"));
        let manifest = json(blob(index["manifests"][0]["digest"].as_str().unwrap()));
        blob(manifest["layers"][0]["digest"].as_str().unwrap())
    }

    /// The OCI layout that has it under `latest`.
    pub(crate) fn layout(self) -> &'static str {
        static DEBIAN: LazyLock<String> = LazyLock::new(|| make("debian"));
        static TINY: LazyLock<String> = LazyLock::new(|| make("tiny"));
        match self {
            Self::Debian => &DEBIAN,
            Self::Tiny => &TINY,
        }
    }
}

fn make(kind: &str) -> String {
    must(Command::new(fixtures("base/make")).arg(kind)).trim().to_owned()
}

impl Registry {
    /// Who may read and write in a registry that asks.
    pub(crate) const LOGIN: (&str, &str) = ("builder", "canary-password");

    /// Starts one that has `bases`.
    pub(crate) fn start(bases: &[Base]) -> Self {
        let registry = Self::run(Command::new(fixtures("registry")));
        for base in bases {
            let (from, to) = (format!("oci:{}:latest", base.layout()), base.used(&registry));
            must(
                Command::new("skopeo")
                    .args(["copy", "--quiet", "--dest-tls-verify=false", &from])
                    .arg(format!("docker://{to}")),
            );
        }
        registry
    }

    /// Starts one that asks for [`Self::LOGIN`]; `command` is `fixtures/registry`, or what runs it.
    pub(crate) fn private(mut command: Command) -> Self {
        command.env("REGISTRY_AUTH", "htpasswd").env("REGISTRY_AUTH_HTPASSWD_REALM", "tests");
        command.env("REGISTRY_AUTH_HTPASSWD_PATH", fixtures("htpasswd"));
        Self::run(command)
    }

    fn run(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (host, files) = line.trim().split_once(' ').expect("fixtures/registry prints host and directory");
        let files = PathBuf::from(files).join("docker/registry/v2");
        Self { host: host.to_owned(), files, child }
    }

    /// The one that most tests share, with all bases; each test has repositories of its own there.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Registry> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(&Base::ALL))
    }

    /// `HOST:PORT`
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The process that was started, in whose namespaces it runs.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `HOST:PORT/REPOSITORY:1`
    pub(crate) fn name(&self, repository: &str) -> String {
        format!("{}/{repository}:1", self.host)
    }

    /// Every request so far that concerns `repository`, as `METHOD PATH`.
    pub(crate) fn requests(&self, repository: &str) -> Vec<String> {
        let log = fs::read_to_string(self.files.join("../../../log")).unwrap();
        let requests = log.lines().filter_map(|line| line.split('"').nth(1)?.strip_suffix(" HTTP/1.1"));
        let ours = format!("/v2/{repository}/");
        requests.filter(|request| request.contains(&ours)).map(str::to_owned).collect()
    }

    /// Where the bytes of a blob or manifest lie.
    pub(crate) fn blob_path(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.files.join("blobs/sha256").join(&hex[..2]).join(hex).join("data")
    }

    pub(crate) fn blob(&self, digest: &str) -> Vec<u8> {
        let path = self.blob_path(digest);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Whether `repository` has the blob, and may give it.
    pub(crate) fn has_blob(&self, repository: &str, digest: &str) -> bool {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let link = self.repository(repository).join("_layers/sha256").join(hex).join("link");
        link.exists() && self.blob_path(digest).exists()
    }

    /// Whether `repository` has the manifest, and may give it.
    pub(crate) fn has_manifest(&self, repository: &str, digest: &str) -> bool {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let link = self.repository(repository).join("_manifests/revisions/sha256").join(hex).join("link");
        link.exists() && self.blob_path(digest).exists()
    }

    pub(crate) fn blob_json(&self, digest: &str) -> Value {
        serde_json::from_slice(&self.blob(digest)).unwrap()
    }

    /// The directory with all that it stores.
    pub(crate) fn files(&self) -> &Path {
        &self.files
    }

    fn repository(&self, repository: &str) -> PathBuf {
        self.files.join("repositories").join(repository)
    }

    /// The digest behind a tag, if there is one.
    pub(crate) fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        let link = self.repository(repository).join("_manifests/tags").join(tag).join("current/link");
        fs::read_to_string(link).ok()
    }

    /// The image behind tag 1.
    #[track_caller]
    pub(crate) fn image(&self, repository: &str) -> Image {
        self.image_at(repository, "1")
    }

    #[track_caller]
    pub(crate) fn image_at(&self, repository: &str, tag: &str) -> Image {
        let digest = self.tag(repository, tag).unwrap_or_else(|| panic!("{repository}:{tag} is not there"));
        Image::open(&digest, |digest| self.blob(digest))
    }

    /// From now on `repository` answers 404 for the layer.
    pub(crate) fn forget_layer(&self, repository: &str, digest: &str) {
        let hex = digest.strip_prefix("sha256:").unwrap();
        fs::remove_file(self.repository(repository).join("_layers/sha256").join(hex).join("link")).unwrap();
        let url = format!("http://{}/v2/{repository}/blobs/{digest}", self.host);
        let status =
            must(Command::new("curl").args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--head", &url]));
        assert_eq!(status, "404", "{url}");
    }

    /// Referrers of `subject` (from the fallback tag), as (artifact type, manifest digest).
    pub(crate) fn referrers(&self, repository: &str, subject: &str) -> Vec<(String, String)> {
        let list = self.tag(repository, &subject.replace(':', "-")).expect("the fallback tag is there");
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let entries = self.blob_json(&list)["manifests"].as_array().unwrap().clone();
        entries.iter().map(|entry| (text(entry, "artifactType"), text(entry, "digest"))).collect()
    }

    /// The only referrer of a type whose name contains `kind`.
    #[track_caller]
    pub(crate) fn referrer(&self, repository: &str, subject: &str, kind: &str) -> String {
        let all = self.referrers(repository, subject);
        let mut found = all.iter().filter(|(artifact_type, _)| artifact_type.contains(kind));
        match (found.next(), found.next()) {
            (Some((_, digest)), None) => digest.clone(),
            _ => panic!("not one referrer of type {kind}: {all:?}"),
        }
    }

    /// Changes the byte in the middle of a blob, behind the registry's back.
    pub(crate) fn spoil(&self, digest: &str) {
        let mut bytes = self.blob(digest);
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(self.blob_path(digest), bytes).unwrap();
    }

    /// Stores a blob in `repository`; its digest.
    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = self.put(bytes);
        self.link(repository, "_layers", &digest);
        digest
    }

    /// Stores a manifest in `repository`; its digest.
    pub(crate) fn put_manifest(&self, repository: &str, manifest: &Value) -> String {
        let digest = self.put(manifest.to_string().as_bytes());
        self.link(repository, "_manifests/revisions", &digest);
        digest
    }

    /// Points a tag elsewhere.
    pub(crate) fn set_tag(&self, repository: &str, tag: &str, digest: &str) {
        let link = self.repository(repository).join("_manifests/tags").join(tag).join("current/link");
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        fs::write(link, digest).unwrap();
    }

    fn put(&self, bytes: &[u8]) -> String {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = format!("sha256:{hex}");
        let path = self.blob_path(&digest);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        digest
    }

    fn link(&self, repository: &str, kind: &str, digest: &str) {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let dir = self.repository(repository).join(kind).join("sha256").join(hex);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("link"), digest).unwrap();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
