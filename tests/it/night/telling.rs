//! `reprov notify`: real receivers on loopback.

use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Nights, rebuilt, receiver::Receiver};
use crate::support::{Answer, Asked, Lab, Ran, must, schemas};

const SECRET: &str = "a secret of this test";

fn hook(receiver: &Receiver) -> String {
    format!(
        "[[notify]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{}\"\nsecret = \"env:HOOK_SECRET\"\n",
        receiver.url("/hook")
    )
}

impl Nights {
    fn notifying(&self, inventory: &str, more: &[&str]) -> Command {
        let mut command = self.lab.command(self.lab.program());
        command.args(["notify", inventory, "--format", "json", "--ledger", &self.ledger()]);
        command.args(["--store", &self.lab.path("store")]).args(more);
        command.env("HOOK_SECRET", SECRET).env("TOKEN", "t0ken");
        command
    }

    fn notify(&self, inventory: &str) -> Ran {
        Lab::run(self.notifying(inventory, &[]))
    }

    /// One good night, and one in which something drifts.
    fn drifting() -> Self {
        let nights = Self::new();
        nights.run(0, &[rebuilt("1", "reproduced", &[]), rebuilt("2", "reproduced", &[])]);
        nights
    }

    /// Makes all claims run out, as half a minute does.
    fn forget_claims(&self) {
        let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('DELETE FROM reprov_claims'); c.commit()";
        let mut python = self.lab.command("python3");
        python.args(["-c", script, &self.ledger()]);
        Lab::run(python).exits(0);
    }

    /// Makes what waits due, as an hour does.
    fn an_hour_later(&self) {
        let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('UPDATE reprov_outbox SET due_s = 0'); c.commit()";
        let mut python = self.lab.command("python3");
        python.args(["-c", script, &self.ledger()]);
        Lab::run(python).exits(0);
    }
}

/// As [`Nights::an_hour_later`].
pub(super) fn later(nights: &Nights) {
    nights.an_hour_later();
}

fn drift() -> [reprov::entry::Entry; 2] {
    [rebuilt("1", "explained", &["clock-in-text"]), rebuilt("2", "reproduced", &[])]
}

/// The changes of a body that a webhook was sent: code and image.
fn changes(body: &Value) -> Vec<(&str, &str)> {
    assert_eq!(schemas::violations(body), [""; 0]);
    body["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| (change["code"].as_str().unwrap(), change["image"].as_str().unwrap()))
        .collect()
}

#[test]
fn each_change_is_told_once() {
    let nights = Nights::drifting();
    let receiver = Receiver::answering(&[204]);
    let inventory = nights.inventory(&format!("{}on = [\"all\"]\n", hook(&receiver)));
    let dry = Lab::run(nights.notifying(&inventory, &["--dry-run"])).exits(0).json();
    assert_eq!((dry["changes"].as_array().unwrap().len(), receiver.asked().len()), (2, 0));
    nights.notify(&inventory).exits(0);
    nights.run(1, &drift());
    let told = nights.notify(&inventory).exits(0).json();
    assert_eq!(told["messages"][0]["delivered"], true);
    nights.run(2, &drift());
    assert_eq!(nights.notify(&inventory).exits(0).json()["messages"], Value::Array(Vec::new()));
    assert_eq!(nights.notify(&inventory).exits(0).json()["changes"], Value::Array(Vec::new()));
    nights.run(3, &[rebuilt("1", "reproduced", &[])]);
    nights.notify(&inventory).exits(0);
    let app = |tag: &str| format!("registry.example.org/app:{tag}");
    let bodies = receiver.bodies();
    let all: Vec<_> = bodies.iter().map(changes).collect();
    assert_eq!(all[0], [("new-image", app("1").as_str()), ("new-image", app("2").as_str())]);
    assert_eq!(all[1], [("drift", app("1").as_str())]);
    assert_eq!(all[2], [("cured", app("1").as_str())]);
    assert_eq!(all.len(), 3);
    assert_eq!(bodies[1]["owner"], "base-team");
}

#[test]
fn a_body_is_signed_as_openssl_signs_it() {
    let nights = Nights::drifting();
    let receiver = Receiver::answering(&[200]);
    let inventory = nights.inventory(&format!("{}on = [\"new-image\"]\n", hook(&receiver)));
    nights.notify(&inventory).exits(0);
    let asked = receiver.asked();
    let body = nights.lab.path("body");
    fs::write(&body, &asked[0].body).unwrap();
    let said = must(Command::new("openssl").args(["dgst", "-sha256", "-hmac", SECRET, &body]));
    let digest = said.trim().rsplit(' ').next().unwrap();
    assert_eq!(asked[0].header("x-reprov-signature-256"), Some(format!("sha256={digest}").as_str()));
    assert_eq!(asked[0].header("content-type"), Some("application/json"));
    // The ledger has neither secret nor signature.
    let ledger = fs::read(nights.ledger()).unwrap();
    assert!(!ledger.windows(SECRET.len()).any(|bytes| bytes == SECRET.as_bytes()));
}

#[test]
fn a_receiver_that_fails_is_tried_again_with_the_same_delivery() {
    let nights = Nights::drifting();
    let receiver = Receiver::answering(&[500, 200]);
    let inventory = nights.inventory(&format!("{}on = [\"new-image\"]\n", hook(&receiver)));
    nights.notify(&inventory).exits(0);
    let asked = receiver.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].header("x-reprov-delivery"), asked[1].header("x-reprov-delivery"));
    assert_eq!(asked[0].body, asked[1].body);
    // One that refuses for good is not asked again, and what it was to get waits.
    let refusing = Receiver::on("127.0.0.1:0", |_, _| Answer::new(403).body("go away"));
    let inventory = nights.inventory(&format!("{}on = [\"new-image\"]\n", hook(&refusing)));
    nights.run(1, &[rebuilt("3", "reproduced", &[])]);
    nights.notify(&inventory).exits(3).says("403: go away");
    assert_eq!(refusing.asked().len(), 1);
    let inventory = nights.inventory(&format!("{}on = [\"new-image\"]\n", hook(&receiver)));
    nights.an_hour_later();
    nights.notify(&inventory).exits(0);
    assert_eq!(changes(&receiver.bodies()[2]), [("new-image", "registry.example.org/app:3")]);
}

#[test]
fn what_waits_is_said_as_long_as_it_waits() {
    let nights = Nights::drifting();
    let receiver = Receiver::answering(&[403, 200]);
    let inventory = nights.inventory(&format!("{}on = [\"all\"]\n", hook(&receiver)));
    nights.notify(&inventory).exits(3);
    // Within the minute it is not tried again, and not forgotten either.
    let again = nights.notify(&inventory).exits(3).json();
    assert_eq!((&again["messages"], receiver.asked().len()), (&Value::Array(Vec::new()), 1));
    assert_eq!((&again["undelivered"]["waiting"], &again["undelivered"]["claimed"]), (&1.into(), &0.into()));
    assert!(again["undelivered"]["due"].as_str().unwrap().ends_with('Z'), "{again:#}");
    assert_eq!(schemas::violations(&again), [""; 0]);
    let text = nights.reprov(&["notify", &inventory]).exits(3);
    assert!(text.out.contains("1 message waits undelivered, the first of them until 20"), "{text}");
    Lab::run(nights.notifying(&inventory, &["--dry-run"])).exits(0);
    // Another inventory's messages are its own business.
    let other = nights.lab.path("other.toml");
    fs::copy(&inventory, &other).unwrap();
    let others = nights.notify(&other).exits(0).json();
    assert_eq!(others["undelivered"]["waiting"], 0, "{others:#}");
    nights.an_hour_later();
    let late = nights.notify(&inventory).exits(0).json();
    assert_eq!(
        (&late["messages"][0]["delivered"], &late["undelivered"]["waiting"]),
        (&true.into(), &0.into())
    );
    nights.notify(&inventory).exits(0);
}

#[test]
fn what_is_too_large_for_one_message_is_told_in_several() {
    let nights = Nights::new();
    let tags: Vec<String> = (0..30).map(|tag| tag.to_string()).collect();
    let found = |outcome: &str, code: &str| -> Vec<_> {
        tags.iter().map(|tag| rebuilt(tag, outcome, &[code])).collect()
    };
    nights.run(0, &found("reproduced", "none"));
    let receiver = Receiver::answering(&[200]);
    let inventory = nights.inventory(&format!("{}on = [\"drift\"]\n", hook(&receiver)));
    nights.notify(&inventory).exits(0);
    nights.run(1, &found("explained", &"x".repeat(200 << 10)));
    nights.notify(&inventory).exits(0);
    let asked = receiver.asked();
    let sizes: Vec<usize> = asked.iter().map(|asked| asked.body.len()).collect();
    assert!(sizes.len() > 1 && sizes.iter().all(|bytes| *bytes < (4 << 20) + 1000), "{sizes:?}");
    let bodies = receiver.bodies();
    let told: BTreeSet<_> = bodies.iter().flat_map(changes).collect();
    assert_eq!(told.len(), 30);
    nights.notify(&inventory).exits(0);
    assert_eq!(receiver.asked().len(), asked.len());
}

#[test]
fn nothing_is_sent_where_a_redirect_leads() {
    let nights = Nights::drifting();
    let elsewhere = Receiver::answering(&[200]);
    for status in [301, 302, 307, 308] {
        let to = elsewhere.url("/stolen");
        let receiver =
            Receiver::on("127.0.0.1:0", move |_, _| Answer::new(status).header("Location", to.clone()));
        let inventory = nights.inventory(&format!("{}on = [\"all\"]\n", hook(&receiver)));
        nights.an_hour_later();
        nights.notify(&inventory).exits(3).says("redirects are not followed");
        assert_eq!(receiver.asked().len(), 1);
    }
    assert_eq!(elsewhere.asked().len(), 0);
}

#[test]
fn one_that_is_down_or_silent_holds_up_nobody_and_loses_nothing() {
    let nights = Nights::drifting();
    let silent = Receiver::on("127.0.0.1:0", |number, _| {
        if number == 0 {
            std::thread::sleep(Duration::from_secs(40));
        }
        Answer::new(200)
    });
    let quick = Receiver::answering(&[200]);
    // A port where nobody listens any more.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let notify = format!(
        "[[notify]]\nname = \"silent\"\nkind = \"webhook\"\nurl = \"{}\"\non = [\"all\"]\n\
         [[notify]]\nname = \"closed\"\nkind = \"webhook\"\nurl = \"http://{closed}/\"\non = [\"all\"]\n\
         [[notify]]\nname = \"quick\"\nkind = \"webhook\"\nurl = \"{}\"\non = [\"all\"]\n",
        silent.url("/"),
        quick.url("/"),
    );
    let inventory = nights.inventory(&notify);
    let begun = Instant::now();
    let first = nights.notify(&inventory).exits(3).json();
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    let of = |answer: &Value, name: &str| -> Value {
        let messages = answer["messages"].as_array().unwrap();
        messages.iter().find(|message| message["receiver"] == name).cloned().unwrap_or_default()
    };
    assert_eq!(of(&first, "quick")["delivered"], true, "{first:#}");
    assert_eq!(of(&first, "silent")["error"], "no answer within 15 s");
    assert!(of(&first, "closed")["error"].as_str().unwrap().contains("cannot be reached"));
    // The next night they are there.
    let opened = Receiver::on(&closed.to_string(), |_, _| Answer::new(200));
    nights.an_hour_later();
    let second = nights.notify(&inventory).exits(0).json();
    for name in ["silent", "closed"] {
        assert_eq!(of(&second, name)["delivered"], true, "{second:#}");
    }
    assert_eq!((quick.asked().len(), opened.asked().len(), silent.asked().len()), (1, 1, 2));
    assert_eq!(changes(&opened.bodies()[0]).len(), 2);
}

#[test]
fn who_is_killed_loses_no_message() {
    let nights = Nights::drifting();
    let receiver = Receiver::on("127.0.0.1:0", |number, _| {
        if number == 0 {
            std::thread::sleep(Duration::from_secs(40));
        }
        Answer::new(200)
    });
    let inventory = nights.inventory(&format!("{}on = [\"all\"]\n", hook(&receiver)));
    let mut command = nights.notifying(&inventory, &[]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while receiver.asked().is_empty() {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // As long as it may still be on its way, nobody else sends it.
    assert_eq!(nights.notify(&inventory).exits(0).json()["messages"], Value::Array(Vec::new()));
    nights.forget_claims();
    nights.notify(&inventory).exits(0);
    let asked = receiver.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0].header("x-reprov-delivery"), asked[1].header("x-reprov-delivery"));
    nights.notify(&inventory).exits(0);
    assert_eq!(receiver.asked().len(), 2);
}

#[test]
fn several_who_tell_at_once_tell_once() {
    let nights = Nights::drifting();
    let receiver = Receiver::on("127.0.0.1:0", |_, _| {
        std::thread::sleep(Duration::from_millis(300));
        Answer::new(200)
    });
    let inventory = nights.inventory(&format!("{}on = [\"all\"]\n", hook(&receiver)));
    let run = || nights.notifying(&inventory, &[]).stdout(Stdio::null()).spawn().unwrap();
    let mut children = [run(), run(), run(), run()];
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(receiver.asked().len(), 1);
}

#[test]
fn chat_and_trackers_get_what_they_take() {
    let nights = Nights::drifting();
    let receiver = Receiver::answering(&[201]);
    let api = receiver.url("/api/v4/");
    let notify = format!(
        "[[group]]\nname = \"others\"\nimages = [\"registry.example.org/other:1\"]\nowner = \"another-team\"\n\
         [[notify]]\nname = \"chat\"\nkind = \"slack\"\nurl = \"{}\"\n\
         [[notify]]\nname = \"hub\"\nkind = \"github\"\nurl = \"{}\"\nrepository = \"team/images\"\ntoken = \"env:TOKEN\"\n\
         labels = [\"drift\", \"night\"]\n\
         [[notify]]\nname = \"lab\"\nkind = \"gitlab\"\nurl = \"{api}\"\nproject = \"team/images\"\ntoken = \"env:TOKEN\"\n\
         labels = [\"drift\", \"night\"]\n\
         [[notify]]\nname = \"others\"\nkind = \"slack\"\nurl = \"{}\"\nowners = [\"another-team\"]\n",
        receiver.url("/services/x"),
        receiver.url(""),
        receiver.url("/never"),
    );
    let inventory = nights.inventory(&notify);
    nights.notify(&inventory).exits(0); // What is new is not told unless somebody asks.
    assert_eq!(receiver.asked().len(), 0);
    nights.run(1, &drift());
    nights.notify(&inventory).exits(0);
    let asked = receiver.asked();
    let at = |path: &str| -> (&Asked, Value) {
        let asked =
            asked.iter().find(|asked| asked.path == path).unwrap_or_else(|| panic!("{path}: {asked:#?}"));
        (asked, serde_json::from_slice(&asked.body).unwrap())
    };
    let (_, chat) = at("/services/x");
    assert!(chat["text"].as_str().unwrap().contains("drift `registry.example.org/app:1`"), "{chat}");
    let (hub, issue) = at("/repos/team/images/issues");
    assert_eq!(hub.header("authorization"), Some("Bearer t0ken"));
    assert_eq!(issue["title"], "reprov: registry.example.org/app:1: drift (base-team)");
    assert_eq!(issue["labels"], serde_json::json!(["drift", "night"]));
    assert!(issue["body"].as_str().unwrap().contains("**drift** `registry.example.org/app:1`"), "{issue}");
    let (lab, issue) = at("/api/v4/projects/team%2Fimages/issues");
    assert_eq!((lab.header("private-token"), &issue["labels"]), (Some("t0ken"), &"drift,night".into()));
    assert_eq!(asked.len(), 3);
}

#[test]
fn mistakes_are_said_before_anybody_is_told() {
    let nights = Nights::drifting();
    let receiver = Receiver::answering(&[200]);
    let wrong = nights.inventory(&format!("{}on = [\"drifts\"]\n", hook(&receiver)));
    nights
        .notify(&wrong)
        .exits(2)
        .says("[[notify]] 1: `on`: there is no change `drifts`; did you mean `drift`?");
    let misspelt = nights.inventory(&format!("{}groups = [\"bsae\"]\n", hook(&receiver)));
    nights
        .notify(&misspelt)
        .exits(2)
        .says("line 11: `groups = \"bsae\"`: no group is called so; did you mean `base`?");
    let mut command =
        nights.notifying(&nights.inventory(&format!("{}on = [\"all\"]\n", hook(&receiver))), &[]);
    command.env_remove("HOOK_SECRET");
    Lab::run(command).exits(3).says("`HOOK_SECRET` is not set");
    assert_eq!(receiver.asked().len(), 0);
    nights.lab.reprov(&["notify", &nights.lab.path("none.toml")]).exits(2);
}
