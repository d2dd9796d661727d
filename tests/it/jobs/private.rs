//! A repository with a password, and secrets of steps: used, and then nowhere to be found.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bstr::ByteSlice as _;
use serde_json::{Value, json};

use crate::support::{Base, Lab, Mirror, Ran, Registry};

/// Of the repository, the mounted secret, a URL's userinfo, and a password that is wrong.
const CANARIES: [&str; 4] = ["canary-repository", "canary-secret", "canary-userinfo", "canary-wrong"];
/// `builder:canary-repository`
const AUTHORIZATION: &str = "Basic YnVpbGRlcjpjYW5hcnktcmVwb3NpdG9yeQ==";

const DOCKERFILE: &str = "FROM base.example/tiny:1
ARG PRIVATE
ARG PUBLIC
RUN wget -q -O /package \"$PRIVATE/greeting\" && ! env | grep canary
RUN --mount=type=secret,id=token wget -q -O /large --header \"X-Token: $(cat /run/secrets/token)\" \"$PRIVATE/large\"
RUN --mount=type=secret,id=login,target=/root/login wget -q -O /other \"http://$(cat /root/login)@${PUBLIC#http://}/greeting\"
RUN --mount=type=secret,id=token echo \"a step says $(cat /run/secrets/token)\"
RUN test ! -e /run/secrets/token && test ! -e /root/login
";

struct Setting {
    lab: Lab,
    registry: Registry,
    private: Mirror,
    public: Mirror,
    said: String,
}

impl Setting {
    fn new(lab: Lab) -> Self {
        fs::write(lab.path("token"), CANARIES[1]).unwrap();
        fs::write(lab.path("login"), format!("user:{}", CANARIES[2])).unwrap();
        let (private, public) = (Mirror::private("private", AUTHORIZATION), Mirror::start("public"));
        Self { lab, registry: Registry::start(&[Base::Tiny]), private, public, said: String::new() }
    }

    fn source(&self, name: &str, access: &str) -> std::path::PathBuf {
        let table = |name: &str, url: &str| {
            format!("[[repository]]\nname = \"{name}\"\nkind = \"generic\"\nurl = \"{url}\"\n")
        };
        let recipe = [&table("private", &self.private.url), access, &table("public", &self.public.url)];
        self.lab.source(name, &[("Dockerfile", DOCKERFILE), ("reprov.toml", &recipe.concat())])
    }

    fn secrets(&self) -> [String; 4] {
        let (token, login) = (self.lab.path("token"), self.lab.path("login"));
        [
            "--secret".into(),
            format!("id=token,src={token}"),
            "--secret".into(),
            format!("id=login,src={login}"),
        ]
    }

    fn build(&mut self, source: &Path, to: &str, more: &[&str], password: Option<&str>) -> Ran {
        let urls = [format!("PRIVATE={}", self.private.url), format!("PUBLIC={}", self.public.url)];
        let secrets = self.secrets();
        let mut args = vec!["--build-arg", &urls[0], "--build-arg", &urls[1]];
        args.extend(secrets.iter().map(String::as_str));
        args.extend(more);
        let mut command = self.lab.building(&self.registry, source, to, &args);
        command.envs(password.map(|password| ("PASSWORD", format!("builder:{password}"))));
        let ran = Lab::run(command);
        self.said.push_str(&format!("{}{}", ran.out, ran.err));
        ran
    }

    fn rebuild(&mut self, to: &str, more: &[&str]) -> Ran {
        let ran = self.lab.rebuild(to, more);
        self.said.push_str(&format!("{}{}", ran.out, ran.err));
        ran
    }

    /// Everything that was written or said, as bytes that can be searched: layers unpacked, statements decoded.
    fn everything(&self, repositories: &[&str]) -> Vec<(String, Vec<u8>)> {
        let mut all = vec![("what was said".to_owned(), self.said.clone().into_bytes())];
        files(Path::new(&self.lab.path("store")), &mut all);
        files(self.registry.files(), &mut all);
        let statements: Vec<_> =
            all.iter().filter_map(|(name, bytes)| Some((name.clone(), payload(bytes)?))).collect();
        assert!(!statements.is_empty());
        all.extend(statements);
        for repository in repositories {
            for layer in self.registry.image(repository).layers {
                all.extend(layer.into_iter().map(|(path, entry)| (path, entry.bytes)));
            }
        }
        all
    }

    #[track_caller]
    fn no_canary(&self, repositories: &[&str]) {
        let all = self.everything(repositories);
        assert!(
            ["hello from private", "a step says ***"]
                .iter()
                .all(|words| all.iter().any(|(_, bytes)| bytes.contains_str(words))),
            "the search finds nothing"
        );
        for (name, bytes) in all {
            for canary in CANARIES {
                let pairs = ["builder", "user"].map(|user| STANDARD.encode(format!("{user}:{canary}")));
                for word in pairs.iter().map(String::as_str).chain([canary]) {
                    assert!(!bytes.contains_str(word), "{name} has {word}");
                }
            }
        }
    }
}

fn files(dir: &Path, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            files(&path, into);
        } else if path.is_file() {
            into.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
}

/// The statement in a bundle.
fn payload(bytes: &[u8]) -> Option<Vec<u8>> {
    let bundle: Value = serde_json::from_slice(bytes).ok()?;
    STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str()?).ok()
}

#[test]
fn credentials_and_secrets_are_used_and_nowhere_to_be_found() {
    let mut setting = Setting::new(Lab::new());
    let source = setting.source("private", "auth = \"env:PASSWORD\"\n");
    let to = setting.registry.name("private");
    let built = setting.build(&source, &to, &[], Some(CANARIES[0])).exits(0).json();
    assert_eq!(built["inputs"]["refused"], json!([]), "{built:#}");
    let image = setting.registry.image("private");
    assert_eq!(image.text("package"), "hello from private\n");
    assert_eq!(image.text("other"), "hello from public\n");
    let traces = |layer: &std::collections::BTreeMap<String, _>| {
        layer.keys().any(|path| path.starts_with("run/secrets") || path == "root/login")
    };
    assert!(!image.layers.iter().any(traces));

    // Elsewhere what credentials fetched is missing; at the builder nothing is, and no secret is needed.
    setting
        .rebuild(&to, &[])
        .exits(3)
        .says("inputs-missing")
        .says("the first sha256:")
        .says("it was kept at the builder alone");
    let asked = setting.private.asked().len();
    let store = setting.lab.path("store");
    let here = setting.rebuild(&to, &["--store", &store]).exits(0).json();
    assert_eq!(here["images"][0]["verdict"], "reproduced", "{here:#}");
    assert_eq!(here["images"][0]["secrets_missing"], json!(["login", "token"]));
    let secrets = setting.secrets();
    let mut with = vec!["--store", store.as_str(), "--format", "text"];
    setting.rebuild(&to, &with).exits(0).says("secrets   not given, so a dummy: login, token (--secret)");
    with.extend(secrets.iter().map(String::as_str));
    let given = setting.rebuild(&to, &with).exits(0);
    assert!(!given.out.contains("dummy"), "{given}");
    assert_eq!(setting.private.asked().len(), asked, "a rebuild asked the repository");

    let log = setting.lab.path("logs");
    setting.build(&source, &setting.registry.name("wrong"), &["--log-dir", &log], Some(CANARIES[3])).exits(1);
    setting.build(&source, &setting.registry.name("none"), &[], None).exits(2).says("PASSWORD is not set");
    setting.no_canary(&["private"]);
    assert_eq!(setting.lab.leftovers(), Vec::<String>::new());
}

#[test]
fn what_may_be_kept_is_rebuilt_anywhere() {
    let mut setting = Setting::new(Lab::ordinary());
    let netrc = format!("machine 127.0.0.1 login builder password {}\n", CANARIES[0]);
    fs::write(setting.lab.path(".netrc"), netrc).unwrap();
    let public = setting.public.url.clone();
    let recipe = format!("auth = \"netrc\"\nkeep = true\nreplace = [\"{public}/kept\"]\n");
    let source = setting.lab.source(
        "kept",
        &[
            ("Dockerfile", "FROM base.example/tiny:1\nARG PUBLIC\nRUN --mount=type=secret,id=token wget -q -O /package \"$PUBLIC/kept/greeting\" && echo \"a step says $(cat /run/secrets/token)\"\n"),
            ("reprov.toml", &format!("[[repository]]\nname = \"private\"\nkind = \"generic\"\nurl = \"{}\"\n{recipe}", setting.private.url)),
        ],
    );
    let to = setting.registry.name("kept");
    setting.build(&source, &to, &["--profile", "none"], None).exits(0);
    let image = setting.registry.image("kept");
    assert_eq!(image.text("package"), "hello from private\n");
    assert!(!image.layers.iter().any(|layer| layer.keys().any(|path| path.starts_with("run/secrets"))));
    setting.rebuild(&to, &[]).exits(0).says("reproduced");
    setting.no_canary(&["kept"]);
}
