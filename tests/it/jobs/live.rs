//! `rebuild --inputs live`, against repositories that really change between build and rebuild; and drift that is followed
//! into the stage where it begins.

use std::{fs, path::PathBuf};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{
    Lab, Mirror, Ran, Registry,
    repositories::{Served, Signer, apt_of},
};

use super::packages;

/// What stands in the Dockerfiles; the recipe answers for it.
const URL: &str = "http://files.example.org";

/// A lab, and a server of files that the builds in it may fetch.
struct Setting {
    lab: Lab,
    served: Served,
    to: String,
}

impl Setting {
    /// Serves `files`, and has built `dockerfile`.
    fn built(name: &str, dockerfile: &str, files: &[(&str, &str)], more: &str) -> Self {
        let setting = Self { lab: Lab::new(), served: Served::start(), to: Registry::shared().name(name) };
        for (path, text) in files {
            setting.serve(path, text);
        }
        setting.build(dockerfile, "generic", more);
        setting
    }

    fn build(&self, dockerfile: &str, kind: &str, more: &str) {
        let table = format!(
            "{more}[[repository]]\nname = \"files\"\nkind = \"{kind}\"\nurl = \"{}\"\nreplace = [\"{URL}\"]\n",
            self.served.url
        );
        let source = self.lab.source("app", &[("Dockerfile", dockerfile), ("reprov.toml", &table)]);
        self.lab.build(Registry::shared(), &source, &self.to, &[]).exits(0);
    }

    fn serve(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    fn path(&self, path: &str) -> PathBuf {
        self.served.dir.path().join(path)
    }

    fn live(&self, more: &[&str], exit: i32) -> Ran {
        self.lab.rebuild(&self.to, &[&["--inputs", "live"], more].concat()).exits(exit)
    }
}

/// The one image of an answer.
#[track_caller]
fn image(ran: &Ran) -> Value {
    ran.json()["images"][0].clone()
}

/// The answer for people, without the line breaks of its 80 columns.
#[track_caller]
fn reads(ran: &Ran, words: &str) {
    let text = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(words), "does not say `{words}`: {ran}");
}

/// Cause, confidence and origin of the drift at `path`.
#[track_caller]
fn drift(image: &Value, path: &str) -> [String; 3] {
    let found = image["drifts"].as_array().unwrap().iter().find(|drift| drift["path"] == path);
    let found = found.unwrap_or_else(|| panic!("no drift at {path}: {image:#}"));
    ["cause", "confidence", "origin"].map(|field| found[field].as_str().unwrap_or_default().to_owned())
}

/// The predicate that was attached.
fn statement(image: &Value) -> Value {
    let registry = Registry::shared();
    let digest = |of: &Value| of.as_str().unwrap().to_owned();
    let bundle = registry
        .blob_json(&digest(&registry.blob_json(&digest(&image["attestation"]))["layers"][0]["digest"]));
    let payload = STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    serde_json::from_slice::<Value>(&payload).unwrap()["predicate"].clone()
}

#[test]
fn a_package_that_moves_is_named_and_the_recorded_inputs_still_reproduce() {
    let setting =
        Setting { lab: Lab::new(), served: Served::start(), to: Registry::shared().name("live-apt") };
    let (signer, debian) = (Signer::generate(), setting.path("debian"));
    apt_of(&debian, &signer, "old", "1+1");
    let sources = format!("deb [trusted=yes] {URL}/debian stable main");
    let dockerfile = format!(
        "FROM base.example/debian:bookworm\nRUN rm -r /etc/apt/sources.list* && echo '{sources}' > /etc/apt/sources.list\n\
         RUN apt-get update && apt-get install -y greeting && rm -rf /var/lib/apt/lists/*\n"
    );
    setting.build(&dockerfile, "apt", "");

    let key = setting.lab.path("signer.key");
    let same = image(&setting.live(&["--key", &key], 0));
    assert_eq!(same["verdict"], "reproduced", "{same:#}");
    assert!(same["upstream_requests"].as_u64().unwrap() > 0, "{same:#}");
    let compared = &same["inputs_compared"];
    let counts =
        json!({"added": 0, "removed": 0, "changed": 0, "packages": 0, "same": compared["counts"]["same"]});
    assert_eq!(compared["counts"], counts, "{same:#}");
    assert!(compared["replay_verdict"].is_null() && compared["drifts"].is_null(), "{same:#}");
    assert!(same["attestation"].is_string(), "{same:#}");

    apt_of(&debian, &signer, "new", "2+1");
    let moved = setting.live(&["--key", &key], 1);
    let answer = image(&moved);
    assert_eq!(answer["verdict"], "explained", "{moved}");
    let compared = &answer["inputs_compared"];
    let package = json!({"kind": "deb", "name": "greeting", "from": "1+1", "to": "2+1"});
    assert_eq!(compared["packages"], json!([package]), "{moved}");
    let dated = &compared["index_dates"][0];
    assert_eq!(
        (&dated["field"], &dated["url"]),
        (&"Date".into(), &format!("{URL}/debian/dists/stable/InRelease").into()),
        "{moved}"
    );
    assert_eq!(
        (&compared["replay_verdict"], &compared["third_verdict"]),
        (&"reproduced".into(), &Value::Null)
    );
    let count = answer["drifts"].as_array().unwrap().len();
    assert_eq!(compared["drifts"], json!({"inputs": count, "build": 0}), "{moved}");
    assert_eq!(drift(&answer, "usr/share/greeting/word"), ["package-version", "likely", "inputs"], "{moved}");
    setting
        .live(&["--format", "text"], 1)
        .says("  live      1 package moved; with the recorded inputs the image still reproduces")
        .says("  moved     greeting 1+1 → 2+1 (deb)");
    let said = statement(&answer);
    assert_eq!((&said["inputs"], &said["verdict"]), (&"live".into(), &"explained".into()), "{said:#}");
    let compared = &said["inputsCompared"];
    assert_eq!((&compared["packages"], &compared["replay"]), (&1.into(), &"reproduced".into()), "{said:#}");
    assert_eq!(said["upstreamRequests"], answer["upstream_requests"], "{said:#}");
    let replay = image(&setting.lab.rebuild(&setting.to, &["--inputs", "replay"]).exits(0));
    assert_eq!((&replay["verdict"], &replay["inputs_compared"]), (&"reproduced".into(), &Value::Null));
    assert_eq!(setting.lab.leftovers(), [""; 0]);
}

#[test]
fn drift_of_inputs_and_of_the_build_are_told_apart() {
    let dockerfile = format!(
        "FROM base.example/tiny:1\nRUN wget -q -O /data {URL}/data\nRUN wget -q -O - {URL}/list | sort -r > /made\n\
         RUN od -An -N16 -tx8 /dev/urandom > /token\nRUN wget -q -O /same {URL}/same\n"
    );
    let files = [("data", "first\n"), ("list", "a\nb\n"), ("same", "same\n")];
    let setting = Setting::built("live-both", &dockerfile, &files, "");
    let own = image(&setting.live(&[], 1));
    assert_eq!(drift(&own, "token"), ["random-token", "likely", "build"], "{own:#}");
    let compared = &own["inputs_compared"];
    assert_eq!(compared["drifts"], json!({"inputs": 0, "build": 1}), "{own:#}");
    assert!(compared["replay_verdict"].is_null(), "equal inputs need no replay: {own:#}");

    setting.serve("data", "second\n");
    setting.serve("list", "b\nc\n");
    let ran = setting.live(&[], 1);
    let both = image(&ran);
    assert_eq!(both["verdict"], "explained", "{ran}");
    assert_eq!(drift(&both, "data"), ["input-changed", "certain", "inputs"], "{ran}");
    assert_eq!(drift(&both, "made"), ["input-changed", "likely", "inputs"], "{ran}");
    assert_eq!(drift(&both, "token"), ["random-token", "likely", "build"], "{ran}");
    let compared = &both["inputs_compared"];
    assert_eq!(compared["drifts"], json!({"inputs": 2, "build": 1}), "{ran}");
    assert_eq!(
        (&compared["replay_verdict"], &compared["third_verdict"]),
        (&"explained".into(), &"explained".into()),
        "{ran}"
    );
    let changed = &compared["changed"][0];
    assert_eq!(
        (&changed["url"], &changed["from"]["size"], &changed["to"]["size"]),
        (&format!("{URL}/data").into(), &6.into(), &7.into()),
        "{ran}"
    );
    assert_eq!(
        compared["counts"],
        json!({"added": 0, "removed": 0, "changed": 2, "same": 1, "packages": 0}),
        "{ran}"
    );
    let text = setting.live(&["--format", "text"], 1);
    reads(&text, "2 answers are others; with the recorded inputs the verdict is explained");
    reads(&text, "origin 2 drift(s) from inputs, 1 of the build's own");
    assert_eq!(setting.lab.leftovers(), [""; 0]);
}

#[test]
fn what_today_refuses_or_lacks_says_nothing_of_the_recorded_inputs() {
    let dockerfile = format!("FROM base.example/tiny:1\nRUN wget -q -O /data $(wget -q -O - {URL}/next)\n");
    let next = format!("{URL}/data");
    let setting = Setting::built("live-refused", &dockerfile, &[("next", &next), ("data", "1\n")], "");
    setting.serve("next", "http://elsewhere.example.org/data");
    let ran = setting.live(&[], 1);
    let refused = image(&ran);
    assert_eq!((&refused["verdict"], &refused["refused"]), (&"unbuildable".into(), &1.into()), "{ran}");
    assert_eq!(refused["inputs_compared"]["replay_verdict"], "reproduced", "{ran}");

    fs::remove_file(setting.path("next")).unwrap();
    let ran = setting.live(&[], 3);
    let gone = image(&ran);
    assert_eq!((&gone["verdict"], &gone["refused"]), (&"unbuildable".into(), &0.into()), "{ran}");
    let changed = &gone["inputs_compared"]["changed"][0];
    assert_eq!((&changed["from"]["status"], &changed["to"]["status"]), (&200.into(), &404.into()), "{ran}");
    let text = setting.live(&["--format", "text"], 3);
    reads(&text, "with the recorded inputs the image still reproduces");
    let vary = setting.live(&["--vary", "all"], 2);
    vary.says("--inputs live cannot be used with --vary");
    setting.live(&["--try", "clock=commit"], 2).says("--inputs live cannot be used with --try");
}

#[test]
fn credentials_are_given_to_a_recipe_that_somebody_vouches_for() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let private = Mirror::private("live", "Basic dXNlcjpwYXNzd29yZA==");
    let dockerfile = format!("FROM base.example/tiny:1\nRUN wget -q -O /greeting {}/greeting\n", private.url);
    let recipe = format!(
        "[[repository]]\nname = \"private\"\nkind = \"generic\"\nurl = \"{}\"\nauth = \"env:LOGIN\"\nkeep = true\n",
        private.url
    );
    let source = lab.source("app", &[("Dockerfile", &dockerfile), ("reprov.toml", &recipe)]);
    let to = registry.name("live-private");
    let mut building = lab.building(registry, &source, &to, &[]);
    building.env("LOGIN", "user:password");
    Lab::run(building).exits(0);
    let live = |more: &[&str]| {
        let (store, key) = (lab.path("fresh"), lab.path("signer.pub"));
        let mut command = lab.command(lab.program());
        command.args(["rebuild", &to, "--inputs", "live", "--format", "json", "--store", &store]).args(more);
        if more.is_empty() {
            command.args(["--trust", &key]);
        }
        command
    };
    Lab::run(live(&[])).exits(3).says("auth is `env:LOGIN`, and LOGIN is not set");
    let mut given = live(&[]);
    given.env("LOGIN", "user:password");
    assert_eq!(image(&Lab::run(given).exits(0))["verdict"], "reproduced");
    let mut anybody = live(&["--insecure-skip-verify"]);
    anybody.env("LOGIN", "user:password");
    Lab::run(anybody).exits(3).says("nobody vouches for where its credential would go");
}

#[test]
fn drift_behind_a_copy_is_followed_to_where_it_begins() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/tiny:1 AS deps
RUN echo same > /same
RUN od -An -N16 -tx8 /dev/urandom > /token
FROM base.example/tiny:1 AS builder
ARG FROM=deps
COPY --from=$FROM /token /token
RUN cat /token > /out
FROM base.example/tiny:1 AS twin
RUN echo same > /same
RUN od -An -N16 -tx8 /dev/urandom > /token
RUN echo more > /more
FROM base.example/tiny:1
COPY --from=twin /more /more
COPY --from=0 /same /same
RUN od -An -N16 -tx8 /dev/urandom > /own
COPY --from=builder /out /opt/out
";
    let to = registry.name("stages");
    lab.build(registry, &lab.source("stages", &[("Dockerfile", dockerfile)]), &to, &[]).exits(0);
    let ran = lab.rebuild(&to, &[]).exits(1);
    let answer = image(&ran);
    let from: Vec<_> = answer["drifts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|drift| (drift["path"].clone(), drift["from"].clone()))
        .collect();
    let text = "RUN od -An -N16 -tx8 /dev/urandom > /token";
    let begins = json!({"stage": 0, "name": "deps", "instruction": {"line": 3, "text": text}});
    assert_eq!(from, [("own".into(), Value::Null), ("opt/out".into(), begins)], "{ran}");
    let said = lab.rebuild(&to, &["--format", "text"]).exits(1);
    reads(&said, &format!("begins in stage `deps`, line 3: {text}"));
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
#[ignore = "slow: make acceptance"]
fn the_machines_own_mirror_is_asked_again() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let to = registry.name("live-mirror");
    lab.build(registry, &packages::source(&lab, "pip", &["apt", "pypi"]), &to, &[]).exits(0);
    let ran = lab.rebuild(&to, &["--inputs", "live", "--accept", "explained"]).exits(0);
    let answer = image(&ran);
    assert!(answer["upstream_requests"].as_u64().unwrap() > 0, "{ran}");
    let counts = &answer["inputs_compared"]["counts"];
    assert!(counts["same"].as_u64().unwrap() > 0, "minutes later hardly all is another: {ran}");
}
