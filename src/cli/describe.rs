//! `reprov completions` and `reprov man`: the command line, described for shells and for man(1).

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use super::{
    Cli, Context,
    failure::{Exit, Failure},
};

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// Which shell's
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "reprov", &mut script);
        write_out(context, &script)
    }
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Whose page, for example `build` or `key generate`; without it, the program's
    #[arg(value_name = "COMMAND")]
    words: Vec<String>,
}

impl Man {
    pub(super) fn run(&self, context: &Context<'_>) -> Result<Exit, Failure> {
        let mut program = Cli::command();
        program.build(); // Gives every command the global flags.
        let mut command = &program;
        for word in &self.words {
            command = command.find_subcommand(word).ok_or_else(|| {
                Failure::usage_text(format!("there is no command `reprov {}`", self.words.join(" ")))
            })?;
        }
        let name = [&["reprov".to_owned()], &self.words[..]].concat().join("-");
        let mut page = Vec::new();
        let man = clap_mangen::Man::new(command.clone().display_name(name.clone())).title(name);
        let man = man.source(concat!("reprov ", env!("CARGO_PKG_VERSION")));
        man.render(&mut page).map_err(Failure::internal)?;
        write_out(context, &page)
    }
}

fn write_out(context: &Context<'_>, bytes: &[u8]) -> Result<Exit, Failure> {
    let written = context.console.apart(|| {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush())
    });
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::unavailable(error)),
        _ => Ok(Exit::Ok),
    }
}
