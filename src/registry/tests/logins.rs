//! Who sees credentials, and who does not.

use std::path::Path;

use super::{
    server::{Reply, Request, Server, ok, status},
    *,
};

const MANIFEST: &[u8] = br#"{"schemaVersion":2,"layers":[]}"#;
/// base64 of `user:pass`.
const BASIC: &str = "dXNlcjpwYXNz";

fn logged_in(dir: &Path, host: &str, entry: &str) -> Registries {
    let path = dir.join("auth.json");
    std::fs::write(&path, format!(r#"{{"auths":{{"{host}":{entry}}}}}"#)).unwrap();
    with(Options { docker_config: vec![path], ..Options::default() })
}

fn basic(dir: &Path, host: &str) -> Registries {
    logged_in(dir, host, &format!(r#"{{"auth":"{BASIC}"}}"#))
}

fn challenge(text: &str) -> Reply {
    Reply::Full(401, format!("WWW-Authenticate: {text}\r\n"), Vec::new())
}

/// A registry that takes uploads, once `granted` says yes to the request.
fn takes_uploads(request: &Request) -> Reply {
    match request.line.split(['/', '?']).next().unwrap() {
        _ if request.line.starts_with("HEAD") => status(404),
        "POST " => Reply::Full(202, "Location: /v2/app/blobs/uploads/1?state=x\r\n".into(), Vec::new()),
        "PUT " if request.line.contains("state=x&digest=sha256%3A") && request.body == b"layer" => {
            Reply::Full(201, "Location: /v2/app/blobs/x\r\n".into(), Vec::new())
        }
        _ => ok("", MANIFEST),
    }
}

#[tokio::test]
async fn basic_for_reads_and_uploads() {
    let server = Server::start(|request, _| match request.header("authorization") {
        Some(value) if value == format!("Basic {BASIC}") => takes_uploads(request),
        _ => challenge("Basic realm=\"r\""),
    })
    .await;
    let (dir, store) = store();
    let image = name(format!("{}/app:v1", server.host));
    let registries = basic(dir.path(), &server.host);
    registries.manifest(&image).await.unwrap();
    let wanted = blob(&store, OCI_LAYER, b"layer");
    assert_eq!(registries.push_blob(&image, &wanted, &store, None).await.unwrap(), Pushed::Sent);
}

#[tokio::test]
async fn bearer_for_reads_and_uploads() {
    let token_service = Server::start(|request, before| {
        if request.header("authorization") != Some(&format!("Basic {BASIC}")) {
            return status(401);
        }
        let verbs = if request.line.contains("pull%2Cpush") { "push" } else { "pull" };
        assert!(request.line.contains("service=s") && request.line.contains("scope=repository%3Aapp%3Apull"));
        ok("", format!(r#"{{"access_token":"{verbs}-{before}"}}"#))
    })
    .await;
    let realm =
        format!("Bearer realm=\"http://{}/token\",service=\"s\",scope=\"ignored\"", token_service.host);
    // The first token for pushing has run out by the time of the upload.
    let server = Server::start(move |request, _| match request.header("authorization") {
        Some("Bearer pull-0" | "Bearer push-1") => takes_uploads(request),
        Some("Bearer push-0") if request.line.starts_with("POST") => takes_uploads(request),
        _ => challenge(&realm),
    })
    .await;
    let (dir, store) = store();
    let image = name(format!("{}/app:v1", server.host));
    let registries = basic(dir.path(), &server.host);
    registries.manifest(&image).await.unwrap();
    let wanted = blob(&store, OCI_LAYER, b"layer");
    assert_eq!(registries.push_blob(&image, &wanted, &store, None).await.unwrap(), Pushed::Sent);
    assert!(
        server
            .seen()
            .iter()
            .all(|request| request.header("authorization") != Some(&format!("Basic {BASIC}")))
    );
}

#[tokio::test]
async fn a_registry_that_wants_a_login_for_writing_only() {
    let server = Server::start(|request, _| {
        let reading = request.line.starts_with("GET") || request.line.starts_with("HEAD");
        if reading || request.header("authorization").is_some() {
            takes_uploads(request)
        } else {
            challenge("Basic realm=\"r\"")
        }
    })
    .await;
    let (dir, store) = store();
    let image = name(format!("{}/app:v1", server.host));
    let wanted = blob(&store, OCI_LAYER, b"layer");
    let sent = basic(dir.path(), &server.host).push_blob(&image, &wanted, &store, None).await.unwrap();
    assert_eq!(sent, Pushed::Sent);
    let refused = registries().push_blob(&image, &wanted, &store, None).await;
    assert!(matches!(refused, Err(RegistryError::Unauthorized { .. })), "{refused:?}");
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let token_service = Server::start(|request, _| {
        let form = String::from_utf8_lossy(&request.body);
        let good = form.contains("grant_type=refresh_token") && form.ends_with("refresh_token=R");
        if good { ok("", r#"{"access_token":"T"}"#) } else { status(400) }
    })
    .await;
    let realm = format!("Bearer realm=\"http://{}/token\"", token_service.host);
    let server = Server::start(move |request, _| match request.header("authorization") {
        Some("Bearer T") => ok("", MANIFEST),
        _ => challenge(&realm),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let registries = logged_in(dir.path(), &server.host, r#"{"identitytoken":"R"}"#);
    registries.manifest(&name(format!("{}/app", server.host))).await.unwrap();
}

#[tokio::test]
async fn a_redirect_elsewhere_takes_no_credentials_along() {
    let elsewhere = Server::start(|_, _| ok("", MANIFEST)).await;
    let target = format!("Location: http://{}/x\r\n", elsewhere.host);
    let server = Server::start(move |request, _| match request.header("authorization") {
        Some(_) => Reply::Full(307, target.clone(), Vec::new()),
        None => challenge("Basic realm=\"r\""),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    basic(dir.path(), &server.host).manifest(&name(format!("{}/app", server.host))).await.unwrap();
    assert_eq!(elsewhere.seen().len(), 1);
    assert_eq!(elsewhere.seen()[0].header("authorization"), None);
}

#[tokio::test]
async fn a_challenge_from_elsewhere_is_not_answered() {
    let thief = Server::start(|_, _| ok("", r#"{"token":"T"}"#)).await;
    let realm = format!("Bearer realm=\"http://{}/\"", thief.host);
    let elsewhere = Server::start(move |_, _| challenge(&realm)).await;
    let target = format!("Location: http://{}/x\r\n", elsewhere.host);
    let server = Server::start(move |_, _| Reply::Full(307, target.clone(), Vec::new())).await;
    let dir = tempfile::tempdir().unwrap();
    let refused = basic(dir.path(), &server.host).manifest(&name(format!("{}/app", server.host))).await;
    assert!(matches!(refused, Err(RegistryError::Unauthorized { .. })), "{refused:?}");
    assert_eq!((elsewhere.seen().len(), thief.seen().len()), (1, 0));
}

#[tokio::test]
async fn an_upload_elsewhere_takes_no_credentials_along() {
    let elsewhere = Server::start(|_, _| Reply::Full(201, "Location: /x\r\n".into(), Vec::new())).await;
    let target = format!("Location: http://{}/up?state=x\r\n", elsewhere.host);
    let server = Server::start(move |request, _| match request.header("authorization") {
        None => challenge("Basic realm=\"r\""),
        Some(_) if request.line.starts_with("POST") => Reply::Full(202, target.clone(), Vec::new()),
        Some(_) => takes_uploads(request),
    })
    .await;
    let (dir, store) = store();
    let wanted = blob(&store, OCI_LAYER, b"layer");
    let image = name(format!("{}/app", server.host));
    basic(dir.path(), &server.host).push_blob(&image, &wanted, &store, None).await.unwrap();
    assert_eq!(elsewhere.seen().len(), 1);
    assert_eq!(elsewhere.seen()[0].header("authorization"), None);
    assert_eq!(elsewhere.seen()[0].body, b"layer");
}

#[tokio::test]
async fn challenges_that_lead_nowhere() {
    let check = async |text: &str, expected: &str| {
        let text = text.to_owned();
        let server = Server::start(move |_, _| challenge(&text)).await;
        let dir = tempfile::tempdir().unwrap();
        let error = basic(dir.path(), &server.host).manifest(&name(format!("{}/app", server.host))).await;
        let error = format!("{:?}", error.unwrap_err());
        assert!(error.starts_with(expected), "{error} is not {expected}");
    };
    check("Bearer realm=\"file:///etc/passwd\"", "Answer").await;
    check("Bearer service=\"s\"", "Answer").await;
    check("Negotiate", "Unauthorized").await;
    check("Basic realm=\"wrong password\"", "Unauthorized").await;
    let endless = Server::start(|_, _| Reply::Endless(200)).await;
    check(&format!("Bearer realm=\"http://{}/\"", endless.host), "TooLarge").await;
    let empty = Server::start(|_, _| ok("", r#"{"token":""}"#)).await;
    check(&format!("Bearer realm=\"http://{}/\"", empty.host), "Answer").await;
    let broken = Server::start(|_, _| ok("", r#"{"token":"a\nb"}"#)).await;
    check(&format!("Bearer realm=\"http://{}/\"", broken.host), "Answer").await;
    let closed = Server::start(|_, _| status(403)).await;
    check(&format!("Bearer realm=\"http://{}/\"", closed.host), "Unauthorized").await;
}

#[tokio::test]
async fn the_remedy_names_a_credential_program() {
    let server = Server::start(|_, _| challenge("Basic realm=\"r\"")).await;
    let image = name(format!("{}/app", server.host));
    let error = registries().manifest(&image).await.unwrap_err().to_string();
    assert!(error.contains(&format!("run `docker login {}`", server.host)), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    std::fs::write(&path, r#"{"credsStore":"desktop"}"#).unwrap();
    let registries = with(Options { docker_config: vec![path], ..Options::default() });
    let error = registries.manifest(&image).await.unwrap_err();
    let said = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    assert!(said.contains("credential program `docker-credential-desktop`"), "{said}");
    assert!(said.contains("not installed"), "{said}");
}

/// Registries whose logins a program keeps that does what `script` says; `$host` is what it was asked for.
fn kept_by(dir: &Path, host: &str, script: &str) -> Registries {
    use std::os::unix::fs::PermissionsExt as _;
    let program = dir.join("docker-credential-fake");
    std::fs::write(
        &program,
        format!("#!/bin/sh\n[ \"$1\" = get ] && read -r host || [ -n \"$host\" ]\n{script}\n"),
    )
    .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.join("config.json");
    std::fs::write(&path, format!(r#"{{"auths":{{"{host}":{{}}}},"credHelpers":{{"{host}":"fake"}}}}"#))
        .unwrap();
    with(Options { docker_config: vec![path], programs: vec![dir.to_owned()], ..Options::default() })
}

#[tokio::test]
async fn a_credential_program_is_asked() {
    let server = Server::start(|request, _| match request.header("authorization") {
        Some(value) if value == format!("Basic {BASIC}") => takes_uploads(request),
        _ => challenge("Basic realm=\"r\""),
    })
    .await;
    let (dir, store) = store();
    let image = name(format!("{}/app:v1", server.host));
    let script = r#"echo "{\"ServerURL\":\"$host\",\"Username\":\"user\",\"Secret\":\"pass\"}"; echo "$host" >> "${0%/*}/asked""#;
    let registries = kept_by(dir.path(), &server.host, script);
    registries.manifest(&image).await.unwrap();
    let wanted = blob(&store, OCI_LAYER, b"layer");
    assert_eq!(registries.push_blob(&image, &wanted, &store, None).await.unwrap(), Pushed::Sent);
    let asked = std::fs::read_to_string(dir.path().join("asked")).unwrap();
    assert!(asked.lines().all(|line| line == server.host) && asked.lines().count() <= 2, "{asked}");
}

#[tokio::test]
async fn a_credential_program_may_keep_an_identity_token() {
    let token_service = Server::start(|request, _| {
        let form = String::from_utf8_lossy(&request.body);
        if form.ends_with("refresh_token=R") { ok("", r#"{"access_token":"T"}"#) } else { status(400) }
    })
    .await;
    let realm = format!("Bearer realm=\"http://{}/token\"", token_service.host);
    let server = Server::start(move |request, _| match request.header("authorization") {
        Some("Bearer T") => ok("", MANIFEST),
        _ => challenge(&realm),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let script = r#"echo '{"Username":"<token>","Secret":"R"}'"#;
    kept_by(dir.path(), &server.host, script).manifest(&name(format!("{}/app", server.host))).await.unwrap();
}

#[tokio::test]
async fn a_credential_program_that_fails_says_so_and_no_secret() {
    let server = Server::start(|_, _| challenge("Basic realm=\"r\"")).await;
    let image = name(format!("{}/app", server.host));
    for (script, expected) in [
        ("echo s3cret; exit 1", "it failed"),
        ("echo '{\"Username\":\"s3cret\"}'", "no user and secret"),
        ("echo 'credentials not found in native keychain'; exit 1", "run `docker login"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let error = kept_by(dir.path(), &server.host, script).manifest(&image).await.unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let said = format!("{error}: {cause}");
        assert!(said.contains(expected) && !said.contains("s3cret"), "{said}");
    }
}

#[tokio::test]
async fn what_anybody_may_read_needs_no_credential_program() {
    let token_service = Server::start(|_, _| ok("", r#"{"token":"T"}"#)).await;
    let realm = format!("Bearer realm=\"http://{}/token\"", token_service.host);
    let server = Server::start(move |request, _| match request.header("authorization") {
        Some("Bearer T") => ok("", MANIFEST),
        _ => challenge(&realm),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    kept_by(dir.path(), &server.host, "exit 1")
        .manifest(&name(format!("{}/app", server.host)))
        .await
        .unwrap();
}
