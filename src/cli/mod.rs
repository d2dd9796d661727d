//! argv → request, outcome → bytes and exit code. The only place that reads the environment and prints.
#![expect(
    clippy::disallowed_methods,
    reason = "the edge that reads environment, files named by flags and the terminal"
)]

mod attest;
mod audit;
mod build;
mod built;
mod bundle;
mod claim;
mod console;
mod copy;
mod credentials;
mod describe;
mod diff;
mod doctor;
mod evidence;
mod explain;
mod failed;
mod failure;
mod follow;
mod global;
mod history;
mod ignore;
mod import;
mod key;
mod koji;
mod later;
mod layout;
mod ledger;
mod link;
mod live;
mod log;
mod network;
mod night;
mod notify;
mod policy;
mod promote;
mod rebuild;
mod report;
mod sign;
mod size;
mod store;
mod test;
mod trace;
mod verify;

use std::{ffi::OsString, mem::ManuallyDrop, pin::Pin, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use console::Console;
use failure::{Exit, Failure};
use global::{Format, Global};
use later::Later;

/// Builds container images from git in a sealed, recorded buildroot, attests how, rebuilds them from that record, and
/// explains what does not match.
#[derive(Debug, Parser)]
#[command(name = "reprov", version, propagate_version = true, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds an image from a git commit, attests and pushes it
    Build(Later<build::Args>),
    /// Rebuilds images from their provenance by replay and confirms their layer digests
    Rebuild(Later<rebuild::Args>),
    /// Makes a base image of a root file system, attests and pushes it
    Import(Later<import::Args>),
    /// Copies an image with all that refers to it; the tag is written last
    Copy(Later<copy::Args>),
    /// Attests an image built elsewhere: signs a statement, or makes one from evidence
    Attest(Later<attest::Args>),
    /// Compares two images: layers, paths, fields, config
    Diff(Later<diff::Args>),
    /// Says whether images are what a policy wants, and by whose word
    Verify(Later<verify::Args>),
    /// Moves a tag to an image that a policy lets through, with its evidence
    Promote(Later<promote::Args>),
    /// Verifies and rebuilds the images of an inventory that are due, and remembers it
    Audit(Later<audit::Args>),
    /// Says what changed since the last audit, and how all images stand
    Report(Later<night::Args>),
    /// Tells people what changed: webhooks, mail, chat, issues
    Notify(Later<notify::Args>),
    /// Runs tests in an image, each in a root file system of its own, without a network
    Test(Later<test::Args>),
    /// Checks a policy, and prints the ones that are built in
    #[command(subcommand)]
    Policy(policy::Command),
    /// Says where an image came from: commit, buildroot, repositories, bases, log
    Trace(Later<trace::Args>),
    /// Packs all that an image is judged by into one archive, and judges it again
    Evidence(Box<evidence::Args>),
    /// Tells the life of an image, and of its tag, as the ledger knows it
    History(Later<history::Args>),
    /// Checks the ledger, and makes it again from the registries
    #[command(subcommand)]
    Ledger(ledger::Command),
    /// Makes and shows signing keys
    #[command(subcommand)]
    Key(key::Command),
    /// Says whether this machine can build, need by need
    Doctor,
    /// Measures, cleans and removes the cache
    #[command(subcommand)]
    Store(store::Command),
    /// Says what a code of an answer means
    Explain(Later<explain::Args>),
    /// Prints a shell's completions of this command line
    Completions(Later<describe::Completions>),
    /// Prints a manual page, in roff
    Man(Later<describe::Man>),
}

/// What every command is given.
struct Context<'a> {
    global: &'a Global,
    console: &'a Console,
    cancel: CancellationToken,
}

/// Runs the command line; never panics on bad input.
#[must_use]
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = test::own_config(args.into_iter().collect(), valued);
    let cli = match parsed(&args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &args),
    };
    // Both reqwest and the gateway's TLS may ask rustls for the process's provider: there is one, and it is this.
    let _ = tokio_rustls::rustls::crypto::aws_lc_rs::default_provider().install_default();
    let console = Console::new(&cli.global);
    let outcome = runtime(&cli.command).enable_all().build().map_err(Failure::internal).and_then(|runtime| {
        let outcome = runtime.block_on(dispatch(&cli, &console));
        runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        outcome
    });
    console.finish();
    let exit = outcome.unwrap_or_else(|failure| console.failure(&failure));
    ExitCode::from(exit.code())
}

/// The command line as it was written; its description is needed no more and left to the end of the process.
fn parsed(args: &[OsString]) -> Result<Cli, clap::Error> {
    let mut described = ManuallyDrop::new(Cli::command());
    let mut matches = described.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut Cli::command()))
}

/// `verify` waits for a few answers, or has threads of its own for many images; more of them would only wake each other.
fn runtime(command: &Command) -> tokio::runtime::Builder {
    match command {
        Command::Verify(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    }
}

/// The flags of every command that take a value.
fn valued() -> Vec<String> {
    let command = Cli::command();
    let valued = command.get_arguments().filter(|arg| arg.get_action().takes_values());
    valued.filter_map(|arg| arg.get_long().map(|long| format!("--{long}"))).collect()
}

/// clap's own sentence, but as our error object where JSON was asked for.
fn usage(error: &clap::Error, args: &[OsString]) -> ExitCode {
    let _ = error.print(); // Nothing is left to do if the terminal is gone.
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    let json = args.windows(2).any(|pair| pair[0] == "--format" && pair[1] == "json")
        || args.iter().any(|arg| arg == "--format=json");
    if json {
        let message =
            error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        console::print(&Failure::usage_text(message).json());
    }
    ExitCode::from(Exit::Usage.code())
}

/// Refuses a format that the command does not have.
fn fits(format: Format, command: &Command) -> Result<(), Failure> {
    let drawn = matches!(command, Command::Trace(args) if args.drawn());
    let (fits, whose) = match format {
        Format::Text | Format::Json => (true, ""),
        Format::Dot | Format::Svg | Format::Koji => {
            (drawn, "dot, svg and koji are for the answer of `trace`")
        }
        Format::Html => {
            let fits = drawn || matches!(command, Command::Report(_));
            (fits, "html is for the answers of `trace` and `report`")
        }
        Format::Markdown | Format::Junit | Format::Sarif => {
            let fits = matches!(command, Command::Report(_));
            (fits, "markdown, junit and sarif are for the answer of `report`")
        }
    };
    if fits { Ok(()) } else { Err(Failure::usage_text(format!("--format {whose}"))) }
}

/// A command, on the heap and made in a frame of its own: one frame for all of them would be touched page by page.
#[inline(never)]
fn apart<'a, Running: Future<Output = Result<Exit, Failure>> + 'a>(
    command: impl FnOnce() -> Running,
) -> Pin<Box<dyn Future<Output = Running::Output> + 'a>> {
    Box::pin(command())
}

async fn dispatch(cli: &Cli, console: &Console) -> Result<Exit, Failure> {
    fits(cli.global.format, &cli.command)?;
    let (cancel, at_once) = (CancellationToken::new(), CancellationToken::new());
    let stops = [cancel.clone(), at_once.clone()];
    let watching = tokio::spawn(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut interrupt), Ok(mut terminate)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        else {
            return;
        };
        for stop in stops {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            stop.cancel();
        }
    });
    let context = Context { global: &cli.global, console, cancel: cancel.clone() };
    let command = match &cli.command {
        Command::Build(args) => apart(|| args.run(&context)),
        Command::Rebuild(args) => apart(|| args.run(&context)),
        Command::Import(args) => apart(|| args.run(&context)),
        Command::Copy(args) => apart(|| args.run(&context)),
        Command::Attest(args) => apart(|| args.run(&context)),
        Command::Diff(args) => apart(|| args.run(&context)),
        Command::Verify(args) => apart(|| args.run(&context)),
        Command::Promote(args) => apart(|| args.run(&context)),
        Command::Audit(args) => apart(|| args.run(&context)),
        Command::Test(args) => apart(|| args.run(&context)),
        Command::Policy(command) => apart(async || command.run(&context)),
        Command::Trace(args) => apart(|| args.run(&context)),
        Command::Report(args) => apart(|| args.run(&context)),
        Command::Notify(args) => apart(|| args.run(&context)),
        Command::Evidence(args) => apart(|| args.run(&context)),
        Command::History(args) => apart(|| args.run(&context)),
        Command::Ledger(command) => apart(|| command.run(&context)),
        Command::Key(command) => apart(async || command.run(&context)),
        Command::Doctor => apart(|| doctor::run(&context)),
        Command::Store(command) => apart(|| command.run(&context)),
        Command::Explain(args) => apart(async || args.run(&context)),
        Command::Completions(args) => apart(async || args.run(&context)),
        Command::Man(args) => apart(async || args.run(&context)),
    };
    // A job that builds ends by itself, having cleaned up; a download just stops after a moment, or at the second ctrl-c.
    let outcome = tokio::select! {
        outcome = command => outcome,
        () = async {
            cancel.cancelled().await;
            console.say("stopping; once more stops at once");
            tokio::select! {
                () = tokio::time::sleep(std::time::Duration::from_secs(10)) => {}
                () = at_once.cancelled() => {}
            }
        } => Err(Failure::cancelled()),
    };
    watching.abort();
    outcome
}
