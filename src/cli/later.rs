//! Arguments that are described to clap once their command is the one that was asked for: describing all of them takes
//! longer than a short command has.

use std::ops::Deref;

use clap::{ArgMatches, Args, Command, FromArgMatches, builder::Resettable, error::Error};

/// The flags of a command without subcommands: `reprov help` and completions list the subcommands of commands that
/// were not asked for.
#[derive(Debug)]
pub(super) struct Later<T>(Box<T>);

impl<T> Deref for Later<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: FromArgMatches> FromArgMatches for Later<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(|parsed| Self(Box::new(parsed)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Later<T> {
    fn augment_args(command: Command) -> Command {
        command.defer(|command| described(command, T::augment_args))
    }

    fn augment_args_for_update(command: Command) -> Command {
        command.defer(|command| described(command, T::augment_args_for_update))
    }
}

/// Keeps what the command says itself: `T`'s own first sentence is for who reads the source. And its order in the help:
/// what clap gave it already, the flags of every command, comes after its own.
fn described(command: Command, augment: fn(Command) -> Command) -> Command {
    let (about, long) = (command.get_about().cloned(), command.get_long_about().cloned());
    let of_every = command.get_arguments().count();
    let command = augment(command).about(Resettable::from(about)).long_about(Resettable::from(long));
    let mut args: Vec<_> = command.get_arguments().cloned().collect();
    args.rotate_left(of_every);
    let mut args = args.into_iter();
    command.mut_args(|arg| args.next().unwrap_or(arg))
}
