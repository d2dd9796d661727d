//! `test`: what a file or a recipe says of an image, tried in it, and the result beside it.

mod files;
mod run;
mod source;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;

pub(in crate::job) use self::source::described;
pub use self::source::{Given, SourceOfTests, given, of_recipe};
use super::{
    Ports,
    bases::{Base, BaseError},
    builder::BuilderError,
    evidence::EvidenceError,
    publish::{PublishError, Publisher},
};
use crate::{
    attest::{Subject, TestResult},
    buildroot::{BuildrootError, Tools},
    entry::Entry,
    host,
    layer::LayerError,
    model::{Digest, ImageName, ResourceDescriptor},
    oci::Config,
    progress::Update,
    recipe::exam::{Miss, Seen, Settings, Test, judge},
    signing::Signer,
    store::StoreError,
    verify::{Placed, RootSigner, remembered, signer_id},
};

/// Why it could not be told whether an image passes.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// The image.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// A layer of it.
    #[error("cannot read the files of `{image}`")]
    Layer {
        /// Of which image.
        image: String,
        /// Why not.
        source: LayerError,
    },
    /// Its programs are for other machines.
    #[error("`{image}` is for {platform}, and this machine is {machine}: its commands cannot be run here")]
    Platform {
        /// Which image.
        image: String,
        /// Whose programs it holds.
        platform: String,
        /// What runs here.
        machine: String,
    },
    /// The engine could not prepare a test.
    #[error("the engine could not run test `{test}`: {said}")]
    Engine {
        /// Which test.
        test: String,
        /// The last it said.
        said: String,
    },
    /// The cage.
    #[error(transparent)]
    Buildroot(#[from] BuildrootError),
    /// What it is run with.
    #[error(transparent)]
    Builder(#[from] BuilderError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What stands beside the image.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// The result is not attached.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The user's ctrl-c.
    #[error("cancelled")]
    Cancelled,
}

/// What came of one test.
#[derive(Debug, Clone)]
pub struct Tested {
    /// What it is called.
    pub name: String,
    /// What is not as it must be; nothing: it passed.
    pub misses: Vec<Miss>,
    /// How long it took.
    pub took: Duration,
}

/// Tests, and the files that they stand in.
#[derive(Debug, Clone, Default)]
pub struct Suite {
    /// In their order.
    pub tests: Vec<Test>,
    /// The files, by digest.
    pub configuration: Vec<ResourceDescriptor>,
}

/// What came of all of them.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// In their order.
    pub tests: Vec<Tested>,
    /// The files that they stand in.
    pub configuration: Vec<ResourceDescriptor>,
    /// When the first one began, seconds since 1970.
    pub started_s: i64,
    /// When the last one ended, seconds since 1970.
    pub finished_s: i64,
    /// Referrer manifest of the attached result.
    pub attestation: Option<Digest>,
}

impl Outcome {
    /// Whether all passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.tests.iter().all(|test| test.misses.is_empty())
    }

    /// The result as it is signed; `tester` is who tested.
    #[must_use]
    pub fn result(&self, tester: &str) -> TestResult {
        let names = |passed: bool| {
            let of = self.tests.iter().filter(|test| test.misses.is_empty() == passed);
            of.map(|test| test.name.clone()).collect()
        };
        TestResult {
            configuration: self.configuration.clone(),
            passed_tests: names(true),
            failed_tests: names(false),
            tester: tester.to_owned(),
            started_on_s: self.started_s,
            finished_on_s: self.finished_s,
        }
    }

    /// What the ledger remembers of it; of what was signed the entry that `ledger rebuild` arrives at.
    #[must_use]
    pub fn entry(&self, base: &Base, tester: &str, key: Option<&Signer>) -> Option<Entry> {
        let repository = base.name.repository();
        let statement = self.result(tester).statement(Subject::new(&repository, &base.manifest.digest));
        let signer = key.filter(|_| self.attestation.is_some());
        let signer = signer.map(|key| signer_id(&RootSigner::Key(key.public())));
        let image = base.manifest.digest;
        let evidence = self.attestation.unwrap_or(image);
        let entry = remembered(&statement, &Placed { repository: &repository, image, evidence, signer })?;
        Some(Entry { evidence: self.attestation, ..entry })
    }

    /// Signs the result, whatever it is, and attaches it to the image.
    ///
    /// # Errors
    /// [`TestError::Publish`].
    pub async fn attach(
        &mut self,
        ports: &Ports,
        base: &Base,
        tester: &str,
        key: &Signer,
    ) -> Result<(), TestError> {
        let subject = Subject::new(base.name.repository(), &base.manifest.digest);
        let publisher = Publisher::new(ports, &base.name, base.manifest.clone());
        let attached = publisher.statement(&self.result(tester).statement(subject), Some(key)).await?;
        self.attestation = Some(attached.digest);
        Ok(())
    }
}

/// Tries every test of `suite` in the image, each in a root file system of its own; one that fails stops no other.
///
/// # Errors
/// [`TestError`] if it could not be told whether one passes.
pub async fn test(ports: &Ports, base: &Base, suite: &Suite, tools: &Tools) -> Result<Outcome, TestError> {
    let (started_s, settings) = (host::now_s(), settings(&base.image.config));
    let tests: Vec<_> = suite.tests.iter().map(|test| test.expanded(&settings.env)).collect();
    let platform = base.image.config.platform();
    let (machine, runs) = (host::platform(), tests.iter().any(|test| test.run.is_some()));
    if runs && platform.split('/').take(2).ne(machine.split('/')) {
        return Err(TestError::Platform { image: base.name.to_string(), platform, machine });
    }
    if runs {
        ports.progress.update(Update::Phase("image", &base.name.to_string()));
        run::load(ports, base, tools).await?;
    }
    let paths = tests.iter().filter(|test| test.run.is_none()).flat_map(|test| &test.expect.files);
    let paths: Vec<_> = paths.map(|file| file.path.clone()).collect();
    let files = if paths.is_empty() { BTreeMap::new() } else { files::look(ports, base, paths).await? };
    let mut tested = Vec::with_capacity(tests.len());
    for test in &tests {
        if ports.cancel.is_cancelled() {
            return Err(TestError::Cancelled);
        }
        ports.progress.update(Update::Phase("test", &test.name));
        let began = Instant::now();
        let mut seen = Seen { settings: settings.clone(), ..Seen::default() };
        match &test.run {
            Some(command) => {
                let (ran, files) = run::run(ports, base, tools, (test, command)).await?;
                (seen.ran, seen.files) = (Some(ran), files);
            }
            None => seen.files.clone_from(&files),
        }
        tested.push(Tested { name: test.name.clone(), misses: judge(test, &seen), took: began.elapsed() });
    }
    Ok(Outcome {
        tests: tested,
        configuration: suite.configuration.clone(),
        started_s,
        finished_s: host::now_s(),
        attestation: None,
    })
}

/// What a config says, for those who judge it.
fn settings(config: &Config) -> Settings {
    let inner = config.raw().get("config").unwrap_or(&Value::Null);
    let text = |key: &str| inner.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let list = |key: &str| -> Vec<String> {
        let items = inner.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let keys = |key: &str| -> Vec<String> {
        inner.get(key).and_then(Value::as_object).into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    let labels = inner.get("Labels").and_then(Value::as_object).into_iter().flatten();
    let label = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    let env = config.env().into_iter().filter_map(|line| line.split_once('='));
    Settings {
        user: text("User"),
        workdir: text("WorkingDir"),
        entrypoint: list("Entrypoint"),
        cmd: list("Cmd"),
        env: env.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        labels: labels.filter_map(label).collect(),
        ports: keys("ExposedPorts"),
        volumes: keys("Volumes"),
    }
}

/// The image that is tested, by digest, with its layers in the store.
///
/// # Errors
/// [`TestError::Base`].
pub async fn image(ports: &Ports, name: &ImageName, platform: &str) -> Result<Base, TestError> {
    ports.progress.update(Update::Phase("fetch", &name.to_string()));
    Ok(super::bases::fetch(ports, name, platform).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_read_as_it_is() {
        let config = Config::parse(
            br#"{"rootfs":{"diff_ids":[]},"config":{"User":"app","WorkingDir":"/w","Entrypoint":["/e"],"Cmd":null,
                "Env":["A=1=2","B"],"Labels":{"l":"v"},"ExposedPorts":{"80/tcp":{}},"Volumes":{"/v":{}}}}"#,
        );
        let found = settings(&config.unwrap());
        assert_eq!((found.user.as_str(), found.workdir.as_str()), ("app", "/w"));
        assert_eq!((found.entrypoint, found.cmd), (vec!["/e".to_owned()], Vec::new()));
        assert_eq!(found.env, [("A".to_owned(), "1=2".to_owned())].into());
        assert_eq!((found.ports, found.volumes), (vec!["80/tcp".to_owned()], vec!["/v".to_owned()]));
        assert_eq!(found.labels["l"], "v");
    }
}
