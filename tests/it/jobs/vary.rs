//! `rebuild --vary`: what arrives in a step, what is found to change an image, what is said of the rest.

use std::{fs, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::support::{Image, Lab, Ran, Registry, root};

/// Every variation but the date, each in a file of its own. Static busybox: none of them is a preload's.
const EACH: &str = "FROM base.example/tiny:1
RUN hostname > /hostname; cat /etc/hostname /etc/hosts >> /hostname; echo $HOSTNAME >> /hostname
RUN nproc > /cpus; grep -c ^processor /proc/cpuinfo >> /cpus; grep -c ^cpu[0-9] /proc/stat >> /cpus; cat /sys/devices/system/cpu/online >> /cpus
RUN cat /proc/self/uid_map > /uid
RUN echo $LANG > /locale
RUN grep -o 'upperdir=/[^/]*' /proc/self/mountinfo | sort -u > /path
RUN mkdir /d && touch /d/a /d/b /d/c /d/d /d/e && find /d > /order
RUN uname -r > /kernel; uname -v >> /kernel
RUN cat /proc/self/personality > /aslr; for i in 1 2 3; do grep 'stack' /proc/self/maps; done | cut -d- -f1 | sort -u | wc -l >> /aslr
RUN echo word > /word
";
const NAMES: [&str; 8] = ["hostname", "cpus", "uid", "locale", "path", "order", "kernel", "aslr"];

/// Nothing that any variation changes.
const CLEAN: &str = "FROM base.example/debian:bookworm
RUN mkdir /d && for i in 9 3 7 1; do echo $i > /d/$i; done && cat $(ls /d/* | sort) > /all && chmod 640 /all && chown 7:8 /all
RUN perl -e 'print join(\",\", sort qw(b a c))' > /perl
";

/// The only image of a rebuild's answer.
#[track_caller]
fn image(ran: &Ran) -> Value {
    ran.json()["images"][0].clone()
}

/// `who: places` of all that is blamed, sorted.
#[track_caller]
fn blamed(image: &Value) -> Vec<String> {
    let text = |list: &Value| {
        let words: Vec<_> = list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        words.join(" ")
    };
    let told = |blame: &Value| {
        assert_eq!(blame["certainty"], "narrowed", "{image:#}");
        format!("{}: {}", text(&blame["together"]), text(&blame["places"]))
    };
    let mut all: Vec<_> = image["variations"]["blamed"].as_array().unwrap().iter().map(told).collect();
    all.sort();
    all
}

/// The predicate of the signed statement in the referrer `digest`.
fn predicate(registry: &Registry, digest: &str) -> Value {
    let manifest = registry.blob_json(digest);
    let bundle = registry.blob_json(manifest["layers"][0]["digest"].as_str().unwrap());
    let payload = STANDARD.decode(bundle["dsseEnvelope"]["payload"].as_str().unwrap()).unwrap();
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(statement["predicateType"], "https://reprov.example/rebuild/v1");
    statement["predicate"].clone()
}

/// `command` as arguments of the words before it.
fn wrapped(words: &[&str], command: &Command) -> Command {
    let mut wrapped = Command::new(words[0]);
    wrapped.args(&words[1..]).arg(command.get_program()).args(command.get_args()).env_clear();
    wrapped.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    wrapped
}

fn many_processors() -> bool {
    std::thread::available_parallelism().unwrap().get() > 1
}

#[test]
fn each_variation_arrives_and_is_told_from_the_others() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let to = registry.name("vary-each");
    lab.build(registry, &lab.source("each", &[("Dockerfile", EACH)]), &to, &[]).exits(0);
    let (key, kept) = (lab.path("signer.key"), lab.path("kept"));
    let ran = lab.rebuild(&to, &["--vary", "all", "--key", &key, "--keep", &kept]).exits(1);
    let found = image(&ran);
    let mut expected = Vec::new();
    for (line, name) in (2..).zip(NAMES) {
        if name != "cpus" || many_processors() {
            expected.push(format!("{name}: line {line}: {name}"));
        }
    }
    expected.sort();
    assert_eq!(blamed(&found), expected, "{ran}");
    assert_eq!(found["variations"]["control"], "reproduced", "{ran}");
    let on = found["variations"]["on"].as_array().unwrap();
    assert_eq!(on[0]["written"], "time=+400d", "{ran}");
    assert!(ran.err.contains("vary replay 3, varied: "), "each replay is told: {ran}");

    let varied = Image::kept(&kept);
    assert_eq!(varied.text("hostname"), "elsewhere\nelsewhere\n127.0.0.1\tlocalhost elsewhere\nelsewhere\n");
    if many_processors() {
        let cpus = varied.text("cpus");
        assert!(cpus.starts_with("1\n1\n1\n") && cpus[6..].trim().parse::<usize>().is_ok(), "{cpus}");
    }
    assert_eq!(varied.text("locale"), "fr_FR.UTF-8\n");
    assert_eq!(varied.text("path"), "upperdir=/.reprov-elsewhere\n");
    assert!(varied.text("kernel").starts_with("77.7.7-elsewhere\n#7 SMP"));
    assert_eq!(varied.text("aslr"), "00040000\n1\n");
    let plain = registry.image("vary-each");
    assert_eq!(plain.text("aslr"), "00000000\n3\n");
    let (mut there, mut back) = (plain.text("order"), varied.text("order"));
    assert_ne!(there, back);
    let sorted = |text: &mut String| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        *text = lines.join("\n");
    };
    sorted(&mut there);
    sorted(&mut back);
    assert_eq!(there, back, "the same names");

    let predicate = predicate(registry, found["attestation"].as_str().unwrap());
    assert_eq!(predicate["varied"][0], "time=+400d", "{predicate:#}");
    assert_eq!(predicate["variations"]["control"], "reproduced", "{predicate:#}");
    assert_eq!(predicate["variations"]["blamed"].as_array().unwrap().len(), expected.len(), "{predicate:#}");
}

#[test]
fn a_clean_image_is_the_same_under_all_of_them() {
    let registry = Registry::shared();
    for (lab, name, lacks) in
        [(Lab::new(), "vary-clean", None), (Lab::ordinary(), "vary-clean-user", Some("uid"))]
    {
        let to = registry.name(name);
        lab.build(registry, &lab.source("clean", &[("Dockerfile", CLEAN)]), &to, &[]).exits(0);
        let ran = lab.rebuild(&to, &["--vary", "all"]).exits(0);
        let found = image(&ran);
        assert_eq!(found["verdict"], "reproduced", "{ran}");
        let (varied, not) = (&found["variations"], &found["variations"]["not_possible"]);
        assert_eq!((&varied["control"], &varied["blamed"]), (&Value::Null, &json!([])), "one replay: {ran}");
        assert_eq!(varied["replays"].as_array().unwrap().len(), 1, "{ran}");
        for not in not.as_array().unwrap() {
            let name = not["name"].as_str().unwrap();
            assert!(Some(name) == lacks || (name == "cpus" && !many_processors()), "{ran}");
        }
        if let Some(lacks) = lacks {
            let words =
                "this user has one block of 65,536 subordinate ids; give it another: usermod --add-subuids";
            let text =
                lab.rebuild(&to, &["--vary", &format!("{lacks},hostname"), "--format", "text"]).exits(0);
            let text = text.says("not varied  uid: ").says(words).says("varied    hostname (1 replay(s))");
            assert!(text.err.contains("warning: not varied: uid: "), "{text}");
            lab.rebuild(&to, &["--vary", lacks])
                .exits(3)
                .says("nothing of --vary is possible here: uid: this user");
        }
        assert_eq!(lab.leftovers(), [""; 0]);
    }
}

#[test]
fn the_date_arrives_in_steps() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let dockerfile = "FROM base.example/debian:bookworm
RUN date > /date; perl -e 'print +(localtime)[5] + 1900' > /perl
RUN hostname > /hostname
";
    let to = registry.name("vary-date");
    let source = lab.source("date", &[("Dockerfile", dockerfile)]);
    lab.build(registry, &source, &to, &[]).exits(0);
    let kept = lab.path("kept");
    let store = lab.path("replays");
    let ran = lab.rebuild(&to, &["--vary", "time=-800d,locale", "--keep", &kept, "--store", &store]).exits(1);
    assert_eq!(blamed(&image(&ran)), ["time=-800d: line 2: perl"], "{ran}");
    // The hour is another in any replay, and known for a clock's also when it is two years away.
    assert_eq!(image(&ran)["variations"]["control"], "explained", "{ran}");
    let drift = image(&ran)["drifts"][0].clone();
    assert_eq!((&drift["path"], &drift["cause"]), (&json!("date"), &json!("clock-in-text")), "{ran}");
    let then: i32 = Image::kept(&kept).text("perl").parse().unwrap();
    let now: i32 = registry.image("vary-date").text("perl").parse().unwrap();
    assert!([2, 3].contains(&(now - then)), "{now} {then}");

    // A clock that stands at the commit does not move with the date.
    lab.build(registry, &source, &to, &["--clock", "commit"]).exits(0);
    let stands = "time=+400d: the build's clock stands at its commit";
    lab.rebuild(&to, &["--vary", "time", "--store", &store]).exits(3).says(stands);
    let ran = lab.rebuild(&to, &["--vary", "time,hostname", "--store", &store, "--format", "text"]).exits(1);
    ran.says("not varied  time: the build's clock").says("changed   by hostname: line 3: hostname");
}

#[test]
fn what_needs_two_and_what_fails_and_what_differs_anyhow() {
    let (lab, registry) = (Lab::new(), Registry::shared());
    let store = lab.path("replays");
    let build = |name: &str, steps: &str| {
        let dockerfile = format!("FROM base.example/tiny:1\n{steps}");
        let to = registry.name(name);
        lab.build(registry, &lab.source(name, &[("Dockerfile", &dockerfile)]), &to, &[]).exits(0);
        to
    };
    let rebuild = |to: &str, vary: &str| lab.rebuild(to, &["--vary", vary, "--store", &store]);

    let both = "RUN if [ $(hostname) = elsewhere ] && [ $LANG = fr_FR.UTF-8 ]; then echo x > /both; fi\n";
    let to = build("vary-both", both);
    let ran = rebuild(&to, "hostname,locale,kernel").exits(1);
    assert_eq!(blamed(&image(&ran)), ["hostname locale: line 2: both"], "{ran}");
    rebuild(&to, "hostname,kernel").exits(0);
    let mut command = lab.command(lab.program());
    command.args(["rebuild", &to, "--vary", "cpus", "--store", &store, "--trust", &lab.path("signer.pub")]);
    let one = Lab::run(wrapped(&["taskset", "-c", "0"], &command)).exits(3);
    one.says("nothing of --vary is possible here: cpus: this machine has one processor");

    let to = build("vary-fails", "RUN [ $(hostname) = reprov ]\nRUN echo $LANG > /lang\n");
    let ran = rebuild(&to, "hostname,locale").exits(1);
    assert_eq!(image(&ran)["verdict"], "unbuildable", "{ran}");
    assert_eq!(blamed(&image(&ran)), ["hostname: unbuildable", "locale: line 3: lang"], "{ran}");

    let to = build("vary-anyhow", "RUN cat /proc/sys/kernel/random/uuid > /id\nRUN hostname > /hostname\n");
    let ran = rebuild(&to, "hostname,locale").exits(1);
    assert_eq!(image(&ran)["variations"]["control"], "explained", "{ran}");
    assert_eq!(blamed(&image(&ran)), ["hostname: line 3: hostname"], "{ran}");
    let ran = lab.rebuild(&to, &["--vary", "locale", "--store", &store, "--format", "text"]).exits(1);
    ran.says("control   explained: the plain replay differs too; no variation is to blame");
    assert_eq!(lab.leftovers(), [""; 0]);
    assert!(fs::read_dir(format!("{store}/engine/builds")).unwrap().next().is_none());
}

#[test]
fn what_is_no_variation_is_refused_before_anything_runs() {
    let lab = Lab::new();
    let refused = |list: &str, words: &str| {
        let ran = lab.reprov(&["rebuild", "oci:none:1", "--insecure-skip-verify", "--vary", list]);
        ran.exits(2).says(words);
    };
    refused(
        "hostnam",
        "unknown variation `hostnam`; did you mean `hostname`? There are time, hostname, cpus, uid",
    );
    refused("", "it names nothing");
    refused("cpus=2", "`cpus` takes no value");
    refused("time=400", "write a sign, a number and `d` or `h`");
    refused("time=+9999d", "at most 3650 days");
}

/// An ordinary user with two blocks of subordinate ids: for one run only, in a mount namespace of its own.
#[test]
fn a_user_with_a_second_block_varies_ids_and_leaves_nothing() {
    if !root() {
        println!("skipped: only root can give somebody a second block");
        return;
    }
    let (lab, registry) = (Lab::ordinary(), Registry::shared());
    let steps =
        "RUN mkdir -m 0700 /d && echo x > /d/x && chown -R 7:8 /d\nRUN cat /proc/self/uid_map > /map\n";
    let dockerfile = format!("FROM base.example/tiny:1\n{steps}");
    let to = registry.name("vary-block");
    lab.build(registry, &lab.source("block", &[("Dockerfile", &dockerfile)]), &to, &[]).exits(0);
    let (store, key) = (lab.path("second"), lab.path("signer.pub"));
    fs::create_dir(&store).unwrap();
    lab.give(store.as_ref());
    for file in ["subuid", "subgid"] {
        let text = fs::read_to_string(format!("/etc/{file}")).unwrap();
        let user = lab.user_name();
        fs::write(lab.path(file), format!("{text}{user}:1900000000:65536\n")).unwrap();
    }
    let script = "mount --bind \"$1\" /etc/subuid; mount --bind \"$2\" /etc/subgid; shift 2; exec \"$@\"";
    let run = |args: &[&str]| {
        let mut command = lab.command(lab.program());
        command.args(args).args(["--store", &store, "--format", "json"]);
        let files = [lab.path("subuid"), lab.path("subgid")];
        let words = ["unshare", "--mount", "sh", "-ec", script, "sh", &files[0], &files[1]];
        Lab::run(wrapped(&words, &command))
    };
    let ran = run(&["rebuild", &to, "--trust", &key, "--vary", "uid,hostname"]).exits(1);
    assert_eq!(blamed(&image(&ran)), ["uid: line 3: map"], "{ran}");
    assert!(fs::read_dir(format!("{store}/engine/builds")).unwrap().next().is_none());
    let measured = run(&["store", "du"]).exits(0).json();
    let bases = measured["kinds"].as_array().unwrap().iter().find(|kind| kind["kind"] == "bases").unwrap();
    assert_eq!(bases["count"], 2, "one for each block: {measured:#}");
    run(&["store", "rm"]).exits(0);
    assert!(!std::path::Path::new(&store).join("engine").exists());
}
