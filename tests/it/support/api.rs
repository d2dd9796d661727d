//! A small honest registry with the referrers API (distribution-spec 1.1): Debian has none. All in memory.

use std::{
    collections::BTreeMap,
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
};

use serde_json::{Value, json};

use super::{
    Serves,
    http::{Answer, Asked},
    sha256,
};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A registry of its own; serves until the tests end.
#[derive(Debug)]
pub(crate) struct ApiRegistry {
    host: String,
    shared: Arc<Mutex<State>>,
}

/// How it is to behave; the default is as the specification wants it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    /// Entries on a page of referrers; none: all on one.
    page: Option<usize>,
    /// It refuses to delete and write: 403.
    read_only: bool,
    /// From so many manifests of a repository on, a further one is 403.
    manifests_max: Option<usize>,
    /// User and password that its token service wants.
    login: Option<(String, String)>,
    /// The referrers API answers 404, as if there were none.
    apiless: bool,
}

#[derive(Debug, Default)]
struct State {
    settings: Settings,
    blobs: BTreeMap<String, Vec<u8>>,
    repositories: BTreeMap<String, Repository>,
    uploads: BTreeMap<String, Vec<u8>>,
    begun: usize,
    log: Vec<String>,
}

#[derive(Debug, Default)]
struct Repository {
    /// Digests of the blobs it may give.
    blobs: Vec<String>,
    /// Media type and bytes by digest, in the order they came.
    manifests: Vec<(String, String, Vec<u8>)>,
    tags: BTreeMap<String, String>,
}

impl Settings {
    /// At most so many entries on one page of referrers, then a `Link`.
    pub(crate) fn page(self, entries: usize) -> Self {
        Self { page: Some(entries), ..self }
    }

    /// Everything that writes is 403.
    pub(crate) fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// From so many manifests on, a further one is 403.
    pub(crate) fn manifests_max(self, count: usize) -> Self {
        Self { manifests_max: Some(count), ..self }
    }

    /// Wants a token, which its service gives for user and password.
    pub(crate) fn login(self, user: &str, password: &str) -> Self {
        Self { login: Some((user.to_owned(), password.to_owned())), ..self }
    }

    /// Has no referrers API after all.
    pub(crate) fn apiless(self) -> Self {
        Self { apiless: true, ..self }
    }

    /// Starts it.
    pub(crate) fn start(self) -> ApiRegistry {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Mutex::new(State { settings: self, ..State::default() }));
        let (state, own) = (Arc::clone(&shared), host.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, own) = (Arc::clone(&state), own.clone());
                thread::spawn(move || serve(&stream, &own, &state));
            }
        });
        ApiRegistry { host, shared }
    }
}

impl Serves for ApiRegistry {
    fn host(&self) -> &str {
        &self.host
    }
}

impl ApiRegistry {
    /// One that does all the specification says.
    pub(crate) fn start() -> Self {
        Settings::default().start()
    }

    /// `HOST:PORT/REPOSITORY:1`
    pub(crate) fn name(&self, repository: &str) -> String {
        format!("{}/{repository}:1", self.host)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap()
    }

    /// Whether it has no referrers API.
    pub(crate) fn is_apiless(&self) -> bool {
        self.state().settings.apiless
    }

    /// From now on it behaves so.
    pub(crate) fn set(&self, settings: Settings) {
        self.state().settings = settings;
    }

    /// Every request so far that concerns `repository`, as `METHOD PATH[?QUERY]`.
    pub(crate) fn requests(&self, repository: &str) -> Vec<String> {
        let ours = format!("/v2/{repository}/");
        self.state().log.iter().filter(|line| line.contains(&ours)).cloned().collect()
    }

    /// All requests so far are forgotten.
    pub(crate) fn forget_requests(&self) {
        self.state().log.clear();
    }

    /// The digest behind a tag, if there is one.
    pub(crate) fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        self.state().repositories.get(repository)?.tags.get(tag).cloned()
    }

    /// All tags.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        let state = self.state();
        state.repositories.get(repository).map_or(Vec::new(), |found| found.tags.keys().cloned().collect())
    }

    /// The bytes of a blob.
    pub(crate) fn blob(&self, digest: &str) -> Option<Vec<u8>> {
        self.state().blobs.get(digest).cloned()
    }

    /// Whether the repository may give the blob.
    pub(crate) fn has_blob(&self, repository: &str, digest: &str) -> bool {
        let state = self.state();
        state.repositories.get(repository).is_some_and(|found| found.blobs.iter().any(|blob| blob == digest))
    }

    /// Media type and bytes of a manifest.
    pub(crate) fn manifest(&self, repository: &str, digest: &str) -> Option<(String, Vec<u8>)> {
        self.state().repositories.get(repository)?.manifest(digest)
    }

    /// What refers to `subject`, as (artifact type, digest).
    pub(crate) fn referrers(&self, repository: &str, subject: &str) -> Vec<(String, String)> {
        let state = self.state();
        let entries = state.repositories.get(repository).map_or(Vec::new(), |found| found.referrers(subject));
        let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        entries.iter().map(|entry| (text(entry, "artifactType"), text(entry, "digest"))).collect()
    }

    /// Stores a blob; its digest.
    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        let mut state = self.state();
        state.blobs.insert(digest.clone(), bytes.to_vec());
        state.repository(repository).blobs.push(digest.clone());
        digest
    }

    /// Stores bytes under a digest that is not theirs.
    pub(crate) fn put_blob_as(&self, repository: &str, digest: &str, bytes: &[u8]) {
        let mut state = self.state();
        state.blobs.insert(digest.to_owned(), bytes.to_vec());
        state.repository(repository).blobs.push(digest.to_owned());
    }

    /// Stores a manifest under a digest that is not its own.
    pub(crate) fn put_manifest_as(&self, repository: &str, digest: &str, media_type: &str, bytes: &[u8]) {
        let entry = (digest.to_owned(), media_type.to_owned(), bytes.to_vec());
        self.state().repository(repository).manifests.push(entry);
    }

    /// Stores a manifest, without asking whether what it names is there; its digest.
    pub(crate) fn put_manifest(&self, repository: &str, manifest: &Value) -> String {
        let media_type = manifest["mediaType"].as_str().unwrap_or(INDEX).to_owned();
        self.state().repository(repository).keep(media_type, manifest.to_string().into_bytes())
    }

    /// Points a tag somewhere.
    pub(crate) fn set_tag(&self, repository: &str, tag: &str, digest: &str) {
        self.state().repository(repository).tags.insert(tag.to_owned(), digest.to_owned());
    }
}

impl State {
    fn repository(&mut self, name: &str) -> &mut Repository {
        self.repositories.entry(name.to_owned()).or_default()
    }

    fn answer(&mut self, host: &str, asked: &Asked) -> Answer {
        if let Some((user, password)) = self.settings.login.clone() {
            let basic = base64(&format!("{user}:{password}"));
            let shown = asked.header("authorization").unwrap_or_default();
            if asked.path == "/token" {
                let good = shown == format!("Basic {basic}");
                let token =
                    Answer::new(200).body(json!({"token": "let-me-in", "expires_in": 60}).to_string());
                return if good { token } else { Answer::error(401, "UNAUTHORIZED") };
            }
            if shown != "Bearer let-me-in" {
                let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"{host}\"");
                return Answer::error(401, "UNAUTHORIZED").header("WWW-Authenticate", challenge);
            }
        }
        let Some(rest) = asked.path.strip_prefix("/v2/") else { return Answer::error(404, "NOT_FOUND") };
        if rest.is_empty() {
            return Answer::new(200);
        }
        let writes = !matches!(asked.method.as_str(), "GET" | "HEAD");
        if writes && self.settings.read_only {
            return Answer::error(403, "DENIED");
        }
        for (part, handle) in [
            ("/blobs/uploads/", Self::upload as fn(&mut Self, &Asked, &str, &str) -> Answer),
            ("/blobs/", Self::read_blob),
            ("/manifests/", Self::at_manifest),
            ("/referrers/", Self::list_referrers),
            ("/tags/", Self::list_tags),
        ] {
            if let Some((repository, reference)) = rest.split_once(part) {
                return handle(self, asked, repository, reference);
            }
        }
        Answer::error(404, "NOT_FOUND")
    }

    fn read_blob(&mut self, asked: &Asked, repository: &str, digest: &str) -> Answer {
        let known = self.repository(repository).blobs.iter().any(|blob| blob == digest);
        let Some(bytes) = self.blobs.get(digest).filter(|_| known) else {
            return Answer::error(404, "BLOB_UNKNOWN");
        };
        let from = asked
            .header("range")
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        match from.filter(|from| *from < bytes.len()) {
            Some(from) => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                Answer::new(206).header("Content-Range", range).body(bytes[from..].to_vec())
            }
            None => Answer::new(200).header("Docker-Content-Digest", digest).body(bytes.clone()),
        }
    }

    /// Uploads: a mount, all at once, in pieces, or in one piece (distribution-spec, "Push").
    fn upload(&mut self, asked: &Asked, repository: &str, id: &str) -> Answer {
        let place = |id: &str| format!("/v2/{repository}/blobs/uploads/{id}?state=kept");
        match asked.method.as_str() {
            "POST" => {
                if let (Some(digest), Some(from)) = (asked.parameter("mount"), asked.parameter("from")) {
                    let there = self.repository(from).blobs.iter().any(|blob| blob == digest);
                    if there {
                        self.repository(repository).blobs.push(digest.to_owned());
                        return created(repository, "blobs", digest);
                    }
                } else if let Some(digest) = asked.parameter("digest") {
                    return self.close(repository, digest, asked.body.clone());
                }
                self.begun += 1;
                let id = self.begun.to_string();
                self.uploads.insert(id.clone(), Vec::new());
                Answer::new(202).header("Location", place(&id)).header("Range", "0-0")
            }
            "PATCH" => {
                let Some(upload) = self.uploads.get_mut(id) else {
                    return Answer::error(404, "BLOB_UPLOAD_UNKNOWN");
                };
                upload.extend_from_slice(&asked.body);
                let range = format!("0-{}", upload.len().saturating_sub(1));
                Answer::new(202).header("Location", place(id)).header("Range", range)
            }
            "PUT" => {
                let Some(mut bytes) = self.uploads.remove(id) else {
                    return Answer::error(404, "BLOB_UPLOAD_UNKNOWN");
                };
                bytes.extend_from_slice(&asked.body);
                let digest = asked.parameter("digest").unwrap_or_default();
                self.close(repository, digest, bytes)
            }
            "GET" if self.uploads.contains_key(id) => {
                let range = format!("0-{}", self.uploads[id].len().saturating_sub(1));
                Answer::new(204).header("Location", place(id)).header("Range", range)
            }
            "DELETE" if self.uploads.remove(id).is_some() => Answer::new(204),
            _ => Answer::error(404, "BLOB_UPLOAD_UNKNOWN"),
        }
    }

    fn close(&mut self, repository: &str, digest: &str, bytes: Vec<u8>) -> Answer {
        if sha256(&bytes) != digest {
            return Answer::error(400, "DIGEST_INVALID");
        }
        self.blobs.insert(digest.to_owned(), bytes);
        self.repository(repository).blobs.push(digest.to_owned());
        created(repository, "blobs", digest)
    }

    fn at_manifest(&mut self, asked: &Asked, repository: &str, reference: &str) -> Answer {
        let settings = self.settings.clone();
        let found = self.repository(repository);
        let digest = found.tags.get(reference).cloned().unwrap_or_else(|| reference.to_owned());
        match asked.method.as_str() {
            "GET" | "HEAD" => match found.manifest(&digest) {
                Some((media_type, bytes)) => Answer::new(200)
                    .header("Content-Type", media_type)
                    .header("Docker-Content-Digest", &digest)
                    .header("ETag", format!("\"{digest}\""))
                    .body(bytes),
                None => Answer::error(404, "MANIFEST_UNKNOWN"),
            },
            "DELETE" => {
                let before = found.manifests.len();
                found.manifests.retain(|(own, ..)| *own != digest);
                found.tags.retain(|_, own| *own != digest);
                Answer::new(if found.manifests.len() < before { 202 } else { 404 })
            }
            "PUT" => {
                let etag = asked.header("if-match").map(|etag| etag.trim_matches('"').to_owned());
                if etag.is_some_and(|etag| found.tags.get(reference) != Some(&etag)) {
                    return Answer::error(412, "PRECONDITION_FAILED");
                }
                if settings.manifests_max.is_some_and(|most| found.manifests.len() >= most) {
                    return Answer::error(403, "DENIED");
                }
                let Ok(manifest) = serde_json::from_slice::<Value>(&asked.body) else {
                    return Answer::error(400, "MANIFEST_INVALID");
                };
                if !found.has_all(&manifest) {
                    return Answer::error(400, "MANIFEST_BLOB_UNKNOWN");
                }
                let digest = sha256(&asked.body);
                if reference.starts_with("sha256:") && reference != digest {
                    return Answer::error(400, "DIGEST_INVALID");
                }
                let media_type = asked.header("content-type").unwrap_or_default().to_owned();
                found.keep(media_type, asked.body.clone());
                if !reference.starts_with("sha256:") {
                    found.tags.insert(reference.to_owned(), digest.clone());
                }
                let answer = created(repository, "manifests", &digest);
                match manifest["subject"]["digest"].as_str() {
                    Some(subject) if !settings.apiless => answer.header("OCI-Subject", subject),
                    _ => answer,
                }
            }
            _ => Answer::error(405, "UNSUPPORTED"),
        }
    }

    /// By pages, and filtered by artifact type if asked to, saying so (distribution-spec, "Listing Referrers").
    fn list_referrers(&mut self, asked: &Asked, repository: &str, subject: &str) -> Answer {
        if self.settings.apiless {
            return Answer::new(404).header("Content-Type", "text/plain").body("404 page not found");
        }
        let mut entries = self.repository(repository).referrers(subject);
        let mut answer = Answer::new(200).header("Content-Type", INDEX);
        if let Some(wanted) = asked.parameter("artifactType") {
            entries.retain(|entry| entry["artifactType"] == wanted);
            answer = answer.header("OCI-Filters-Applied", "artifactType");
        }
        let from: usize = asked.parameter("from").and_then(|from| from.parse().ok()).unwrap_or(0);
        let page = self.settings.page.unwrap_or(usize::MAX);
        let end = from.saturating_add(page).min(entries.len());
        if end < entries.len() {
            let next = format!("</v2/{repository}/referrers/{subject}?from={end}>; rel=\"next\"");
            answer = answer.header("Link", next);
        }
        let entries = entries.get(from..end).unwrap_or_default();
        answer.body(json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).to_string())
    }

    fn list_tags(&mut self, asked: &Asked, repository: &str, _: &str) -> Answer {
        let most: usize = asked.parameter("n").and_then(|n| n.parse().ok()).unwrap_or(100);
        let last = asked.parameter("last").unwrap_or_default().to_owned();
        let found = self.repository(repository);
        let after: Vec<&String> = found.tags.keys().filter(|tag| **tag > last).collect();
        let shown = &after[..most.min(after.len())];
        let answer = Answer::new(200).header("Content-Type", "application/json");
        let answer = match shown.last() {
            Some(last) if shown.len() < after.len() => answer
                .header("Link", format!("</v2/{repository}/tags/list?n={most}&last={last}>; rel=\"next\"")),
            _ => answer,
        };
        answer.body(json!({"name": repository, "tags": shown}).to_string())
    }
}

impl Repository {
    fn manifest(&self, digest: &str) -> Option<(String, Vec<u8>)> {
        let found = self.manifests.iter().find(|(own, ..)| own == digest)?;
        Some((found.1.clone(), found.2.clone()))
    }

    fn keep(&mut self, media_type: String, bytes: Vec<u8>) -> String {
        let digest = sha256(&bytes);
        if self.manifest(&digest).is_none() {
            self.manifests.push((digest.clone(), media_type, bytes));
        }
        digest
    }

    /// Whether all it names is here; what it refers to need not be.
    fn has_all(&self, manifest: &Value) -> bool {
        let list = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
        let foreign = |layer: &Value| layer["urls"].is_array();
        let blob = |one: &Value| {
            one["digest"].is_null() || foreign(one) || self.blobs.iter().any(|own| one["digest"] == *own)
        };
        let child = |one: &Value| self.manifests.iter().any(|(own, ..)| one["digest"] == *own);
        blob(&manifest["config"]) && list("layers").iter().all(blob) && list("manifests").iter().all(child)
    }

    fn referrers(&self, subject: &str) -> Vec<Value> {
        let mut found = Vec::new();
        for (digest, media_type, bytes) in &self.manifests {
            let manifest: Value = serde_json::from_slice(bytes).unwrap_or_default();
            if manifest["subject"]["digest"] != subject {
                continue;
            }
            let artifact_type = match &manifest["artifactType"] {
                Value::Null => &manifest["config"]["mediaType"],
                named => named,
            };
            found.push(json!({"mediaType": media_type, "digest": digest, "size": bytes.len(),
                "artifactType": artifact_type, "annotations": manifest["annotations"]}));
        }
        for entry in &mut found {
            entry.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        found
    }
}

fn created(repository: &str, kind: &str, digest: &str) -> Answer {
    let location = format!("/v2/{repository}/{kind}/{digest}");
    Answer::new(201).header("Location", location).header("Docker-Content-Digest", digest)
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn serve(stream: &TcpStream, host: &str, state: &Mutex<State>) {
    let Some(asked) = Asked::read(stream) else { return };
    let answer = {
        let mut state = state.lock().unwrap();
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&asked.query).finish();
        let mark = if query.is_empty() { "" } else { "?" };
        state.log.push(format!("{} {}{mark}{query}", asked.method, asked.path));
        state.answer(host, &asked)
    };
    answer.send(stream, asked.method == "HEAD");
}
