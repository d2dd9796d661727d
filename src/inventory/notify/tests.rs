//! What `[[notify]]` may say.

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct File {
    notify: Vec<toml::Table>,
}

fn read(text: &str) -> Result<Vec<Receiver>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    receivers(&file.notify).map_err(|error| error.to_string())
}

#[test]
fn every_kind_is_read() {
    let all = read(
        r#"
        [[notify]]
        name = "hook"
        kind = "webhook"
        url = "https://hooks.example.org/reprov"
        secret = "env:HOOK_SECRET"
        on = ["drift", "failed"]
        owners = ["base-team"]
        [[notify]]
        name = "chat"
        kind = "slack"
        url = "env:CHAT_URL"
        on = ["all"]
        [[notify]]
        name = "mail"
        kind = "email"
        server = "mail.example.org"
        from = "reprov@example.org"
        to = ["team@example.org"]
        user = "reprov"
        password = "env:MAIL_PASSWORD"
        [[notify]]
        name = "hub"
        kind = "github"
        url = "https://git.example.org/api/v3"
        repository = "team/images"
        token = "env:HUB_TOKEN"
        labels = ["drift"]
        [[notify]]
        name = "lab"
        kind = "gitlab"
        project = "team/images"
        token = "env:LAB_TOKEN"
        groups = ["base"]
        "#,
    )
    .unwrap();
    let names: Vec<_> =
        all.iter().flat_map(Receiver::variables).map(|variable| variable.0.as_str()).collect();
    assert_eq!(names, ["HOOK_SECRET", "CHAT_URL", "MAIL_PASSWORD", "HUB_TOKEN", "LAB_TOKEN"]);
    assert!(all[0].wants(Turn::Drift, Some("base-team"), None) && !all[0].wants(Turn::Drift, None, None));
    assert!(!all[0].wants(Turn::Cured, Some("base-team"), None) && all[1].wants(Turn::NewImage, None, None));
    assert!(
        all[4].wants(Turn::Cured, None, Some("base")) && !all[4].wants(Turn::NewImage, None, Some("base"))
    );
    assert!(matches!(&all[2].way, Way::Email { port: 587, tls: Tls::Starttls, .. }));
}

#[test]
fn what_means_nothing_is_refused() {
    let hook = "[[notify]]\nname = \"a\"\nkind = \"webhook\"\nurl = \"https://h.example\"\n";
    let mail =
        "[[notify]]\nname = \"a\"\nkind = \"email\"\nserver = \"mail.example\"\nfrom = \"a@b.example\"\n";
    let refused = |text: &str, words: &str| {
        let error = read(text).unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    };
    refused(&format!("{hook}ur1 = \"x\"\n"), "[[notify]] 1: unknown key `ur1`; did you mean `url`?");
    refused(&format!("{hook}secret = \"s3cret\"\n"), "[[notify]] 1: `secret`: a secret stands in no file");
    refused(&format!("{hook}token = \"env:A\"\n"), "a webhook has none; it has url, secret");
    refused(&format!("{hook}on = [\"drifts\"]\n"), "did you mean `drift`?");
    refused(&format!("{hook}on = []\n"), "tells nobody");
    refused(&format!("{hook}owners = []\n"), "1 to 1000 names");
    refused(&format!("{hook}{hook}"), "[[notify]] 2: `name`: `a` is the name of another one");
    refused(&hook.replace("https", "http"), "write an https URL");
    refused(&hook.replace("https://", "https://u:p@"), "a login stands in no file");
    refused(&hook.replace("webhook", "webhok"), "did you mean `webhook`?");
    refused(&hook.replace("\"a\"", "\"a b\""), "`name`");
    refused(&format!("{mail}to = [\"x\"]\n"), "`x` is no address");
    refused(&format!("{mail}to = [\"a@b.example>\"]\n"), "is no address");
    refused(mail, "`to`: 1 to 1000 addresses");
    refused(&format!("{mail}to = [\"a@b.example\"]\ntls = \"none\"\n"), "this machine's own address");
    refused(&format!("{mail}to = [\"a@b.example\"]\nuser = \"u\"\n"), "come together");
    assert!(read(&hook.replace("https://h.example", "http://127.0.0.1:1/x")).is_ok());
    assert!(read(&hook.replace("https://h.example", "http://[::1]:1/x")).is_ok());
}
