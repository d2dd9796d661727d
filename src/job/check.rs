//! Whether a definition can be run at all: it may come from a stranger's provenance, and its words become files and
//! arguments.

use crate::{
    attest::{BuildDefinition, BuildrootMode},
    model::{
        limits::{SECRET_ID_SIZE_BYTES_MAX, SECRETS_MAX},
        path::printable,
    },
};

/// Latest epoch: the end of the year 9999, the last that RFC 3339 can write.
const EPOCH_S_MAX: i64 = 253_402_207_199;

/// Why a definition is not run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// A word that would be something else to a program or a file.
    #[error("the build definition's {what} `{value}` is refused: {reason}")]
    Word {
        /// Which field.
        what: &'static str,
        /// Made fit for a terminal.
        value: String,
        /// Why.
        reason: &'static str,
    },
}

/// Checks all of `definition` that is handed to a program or written to a file.
///
/// # Errors
/// [`DefinitionError`].
pub fn check(definition: &BuildDefinition) -> Result<(), DefinitionError> {
    let (external, internal) = (&definition.external, &definition.internal);
    let buildroots = definition.role("buildroot").filter(|named| named.sha256().is_some()).count();
    let expected = usize::from(internal.mode == BuildrootMode::Image);
    refuse(
        buildroots != expected,
        "list of buildroots",
        &buildroots.to_string(),
        "the mode asks for another number",
    )?;
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let is_name = |text: &str| !text.is_empty() && text.chars().all(in_name);
    for (key, value) in &internal.env {
        refuse(!is_name(key), "environment variable", key, "a name has letters, digits, `_`, `-` and `.`")?;
        refuse(value.contains(char::is_control), "environment value", value, "it has a control character")?;
    }
    for (name, value) in &external.build_args {
        refuse(!is_name(name), "build argument", name, "a name has letters, digits, `_`, `-` and `.`")?;
        refuse(value.contains('\0'), "build argument's value", value, "it has a NUL byte")?;
    }
    let too_many = external.secrets.len() > SECRETS_MAX;
    refuse(too_many, "list of secrets", &external.secrets.len().to_string(), "it is too long")?;
    for id in &external.secrets {
        let is_id = is_name(id) && !id.starts_with(['.', '-']) && id.len() <= SECRET_ID_SIZE_BYTES_MAX;
        refuse(!is_id, "secret's id", id, "an id has letters, digits, `_`, `-` and `.`")?;
    }
    for repository in external.repositories.iter().filter(|repository| repository.configure) {
        // Both are written into a file that a step reads.
        let (name, url) = (&repository.name, &repository.url);
        refuse(!is_name(name), "repository", name, "a name has letters, digits, `_`, `-` and `.`")?;
        let plain = |c: char| !c.is_control() && !c.is_whitespace();
        refuse(!url.chars().all(plain), "repository's url", url, "it is none")?;
    }
    let target = external.target.as_deref();
    refuse(
        target.is_some_and(|target| !is_name(target)),
        "target",
        target.unwrap_or_default(),
        "no stage has such a name",
    )?;
    let platform = &external.platform;
    let is_platform =
        platform.contains('/') && platform.split('/').all(|part| is_name(part) && !part.starts_with('-'));
    refuse(!is_platform, "platform", platform, "write os/architecture")?;
    let epoch = internal.epoch;
    refuse(!(0..=EPOCH_S_MAX).contains(&epoch), "epoch", &epoch.to_string(), "it is no time of a commit")
}

fn refuse(
    refused: bool,
    what: &'static str,
    value: &str,
    reason: &'static str,
) -> Result<(), DefinitionError> {
    if !refused {
        return Ok(());
    }
    let value = printable(&value.chars().take(100).collect::<String>());
    Err(DefinitionError::Word { what, value, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        attest::{Provenance, Statement},
        model::{Repository, RepositoryKind},
    };

    fn sample() -> BuildDefinition {
        const EXAMPLE: &str =
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/attestations/build/v1/example.json"));
        let statement = Statement::parse(EXAMPLE.as_bytes()).unwrap();
        Provenance::read(&statement).unwrap().definition
    }

    #[test]
    fn a_sound_definition_passes() {
        assert_eq!(check(&sample()), Ok(()));
    }

    #[test]
    fn refuses_what_would_be_something_else_to_a_program() {
        fn check_refused(change: impl FnOnce(&mut BuildDefinition), expected: &str) {
            let mut definition = sample();
            change(&mut definition);
            let said = check(&definition).unwrap_err().to_string();
            assert!(said.contains(expected) && !said.contains(['\n', '\0']), "{said}");
        }
        let env = |key: &str, value: &str| {
            let pair = (key.to_owned(), value.to_owned());
            move |definition: &mut BuildDefinition| definition.internal.env.extend([pair])
        };
        check_refused(env("A", "x\nLD_PRELOAD=/x"), "environment value `x\\u{a}LD_PRELOAD");
        check_refused(env("A", "x\0"), "control character");
        check_refused(env("A\nB", "x"), "environment variable");
        check_refused(env("A=B", "x"), "environment variable");
        check_refused(env("", "x"), "environment variable");
        let configured = |name: &str, url: &str| {
            let repository = Repository::plain(name.to_owned(), RepositoryKind::Yum, url.to_owned());
            let repository = Repository { configure: true, ..repository };
            move |definition: &mut BuildDefinition| definition.external.repositories.push(repository)
        };
        check_refused(configured("a]\n[b", "http://m.example.org"), "repository `a]");
        check_refused(configured("a/../b", "http://m.example.org"), "repository `a/../b`");
        check_refused(configured("a", "http://m.example.org\ngpgcheck=0"), "repository's url");
        let argument = |name: &str, value: &str| {
            let pair = (name.to_owned(), value.to_owned());
            move |definition: &mut BuildDefinition| definition.external.build_args.extend([pair])
        };
        check_refused(argument("A", "x\0\0touch\0/x"), "NUL");
        check_refused(argument("A\n--x", "x"), "build argument");
        check_refused(|definition| definition.external.target = Some(String::new()), "target");
        check_refused(|definition| definition.external.target = Some("a\0\0rm".into()), "target");
        check_refused(|definition| definition.external.platform = "--help".into(), "platform");
        check_refused(|definition| definition.external.platform = "linux/amd64\0\0x".into(), "platform");
        check_refused(|definition| definition.internal.epoch = i64::MAX, "epoch");
        check_refused(|definition| definition.internal.epoch = -1, "epoch");
        for id in ["", "a,src=/etc/shadow", "../x", "..", "-x", "a/b", &"a".repeat(129)] {
            check_refused(|definition| definition.external.secrets.push(id.into()), "secret's id");
        }
        check_refused(|definition| definition.external.secrets = vec!["a".into(); 65], "too long");
        check_refused(|definition| definition.internal.mode = BuildrootMode::Host, "list of buildroots `1`");
        check_refused(
            |definition| definition.dependencies.retain(|named| named.role() != "buildroot"),
            "list of buildroots `0`",
        );
    }
}
