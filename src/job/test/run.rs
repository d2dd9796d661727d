//! A command in an image: the engine makes root file system and rules of a step, the shim runs the test in the step's
//! place, and the cage takes everything with it.

use std::{collections::BTreeMap, time::Duration};

use super::{Base, BuildrootError, Ports, TestError};
use crate::{
    buildroot::{self, Ended, Exam, Examined, Ids, Profile, Tools, Workspace},
    engine::{Buildah, Engine as _},
    job::{bases, evidence::chain},
    model::Maxima,
    progress::Update,
    recipe::exam::{Found, How, Kept, Ran, Run, Test},
};

/// What engines say of a user that an image does not have.
const NO_USER: [&str; 4] =
    ["determining run uid", "unable to find user", "unable to find group", "unknown user"];

async fn workspace(ports: &Ports, tools: &Tools) -> Result<Workspace, BuildrootError> {
    let root = ports.store.root().to_owned();
    let ids = Ids::find(&root)?;
    Workspace::create(&root, root.join("blobs/sha256"), ids, tools.clone()).await
}

fn engine(workspace: &Workspace) -> Buildah {
    Buildah { program: workspace.engine_program(), root: workspace.root() }
}

async fn remove(ports: &Ports, workspace: Workspace) {
    if let Err(error) = workspace.remove().await {
        let text = format!("the test's directory is still there: {}", chain(&error));
        ports.progress.update(Update::Warning(&text));
    }
}

/// Loads the image into the engine's shared store, once for all of its tests.
pub(super) async fn load(ports: &Ports, base: &Base, tools: &Tools) -> Result<(), TestError> {
    let workspace = workspace(ports, tools).await?;
    workspace.write_profile(&Profile::default())?;
    workspace.hand_over()?;
    let loaded = bases::load(ports, &workspace, &engine(&workspace), std::slice::from_ref(base)).await;
    remove(ports, workspace).await;
    Ok(loaded?)
}

/// Runs the commands of one test; what came of the judged one, and what is at the paths afterwards.
pub(super) async fn run(
    ports: &Ports,
    base: &Base,
    tools: &Tools,
    (test, run): (&Test, &Run),
) -> Result<(Ran, BTreeMap<String, Found>), TestError> {
    let maxima = Maxima { memory_bytes: run.memory_bytes, ..Maxima::default() };
    let allowance = buildroot::allowance(ports.store.root(), &maxima)?;
    let workspace = workspace(ports, tools).await?.within(&allowance);
    let mut commands = run.before.clone();
    commands.push(run.command.clone());
    commands.extend(run.after.iter().cloned());
    let exam = Exam {
        commands,
        judged: run.before.len(),
        env: run.env.clone(),
        ports: test.expect.ports.clone(),
        until_listening: !test.expect.ports.is_empty() && test.expect.exit.is_none(),
        files: test.expect.files.iter().map(|file| file.path.clone()).collect(),
    };
    let plan = engine(&workspace).step(&base.local(), run.user.as_deref(), run.workdir.as_deref());
    let timeout = Duration::from_secs(run.timeout_s);
    let examined = workspace.examine(&exam, &plan, timeout, &ports.cancel).await;
    remove(ports, workspace).await;
    told(examined?, test, (run, &exam))
}

/// What came of it, or that nobody can tell.
fn told(
    examined: Examined,
    test: &Test,
    (run, exam): (&Run, &Exam),
) -> Result<(Ran, BTreeMap<String, Found>), TestError> {
    let Examined { ended, done, said, ran, unstarted, files } = examined;
    let unstarted_as = |why: &str| Ran {
        ended: How::Unstarted,
        stdout: Kept::default(),
        stderr: Kept { bytes: why.as_bytes().to_vec(), whole_bytes: why.len() as u64 },
        ports: Vec::new(),
    };
    let cut = match ended {
        Ended::Cancelled => return Err(TestError::Cancelled),
        Ended::TimedOut => Some(How::TimedOut(run.timeout_s)),
        Ended::Exceeded(exceeded) => {
            let text = exceeded.to_string(); // Behind the semicolon is what a build can do about it.
            Some(How::Exceeded(text.split(';').next().unwrap_or_default().to_owned()))
        }
        Ended::Exited(_) => None,
    };
    if let Some(ended) = cut {
        return Ok((Ran { ended, ..ran.unwrap_or_else(|| unstarted_as("")) }, files));
    }
    if let Some((index, why)) = unstarted.filter(|(index, _)| *index < exam.judged) {
        let words = exam.commands.get(index).map(|words| words.join(" ")).unwrap_or_default();
        return Ok((unstarted_as(&format!("setup `{words}`: {why}")), files));
    }
    match ran {
        Some(ran) if done => Ok((ran, files)),
        _ if NO_USER.iter().any(|words| said.contains(words)) => Ok((unstarted_as(said.trim()), files)),
        _ => Err(TestError::Engine { test: test.name.clone(), said: said.trim().to_owned() }),
    }
}
