//! The command line, defined once: parsing, help, man pages and completions all come from here.

#[cfg(feature = "bench")]
use crate::bench;
use crate::commands::{
    completions, del, demo, elect, get, health, keys, leader, lock, man, nodes, publish, set, stats, stream, subscribe,
    watch,
};
#[cfg(feature = "conformance")]
use crate::conformance;
use crate::exit::{self, Failure};
use crate::global::{Global, Options};
use clap::{ColorChoice, CommandFactory, FromArgMatches};
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

/// Locks, elections, messages, state and streams from a shell, over Redis, Valkey, NATS or Postgres
///
/// Every machine that names the same server takes part: name it with --url or, better, in LINCHPIN_URL. What one
/// program does with the linchpin library the others see here, and the other way round.
#[derive(Debug, clap::Parser)]
#[command(name = "linchpin", version, max_term_width = 100)]
#[command(after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  export LINCHPIN_URL=redis://localhost:6379
  linchpin lock nightly-report -- ./report.sh
  linchpin set greeting hello --ttl 1h
  linchpin get greeting
  linchpin sub 'orders:*'

`linchpin help lock` says more about a subcommand, `linchpin demo` shows what linchpin does.";

/// A module with `Args` and `run` per subcommand: this list is the only place that names them all.
macro_rules! subcommands {
    ($($Name:ident => $module:ident $(if $feature:literal)? $(#[$meta:meta])?),* $(,)?) => {
        #[derive(Debug, clap::Subcommand)]
        pub(crate) enum Command {
            $($(#[cfg(feature = $feature)])? $(#[$meta])? $Name($module::Args)),*
        }

        impl Command {
            pub(crate) async fn run(self, global: &Global) -> Result<ExitCode, Failure> {
                match self {
                    $($(#[cfg(feature = $feature)])? Self::$Name(args) => $module::run(global, args).await),*
                }
            }
        }
    };
}

subcommands! {
    Lock => lock,
    Elect => elect,
    Publish => publish #[command(name = "pub")],
    Subscribe => subscribe #[command(name = "sub")],
    Get => get,
    Set => set,
    Del => del,
    Keys => keys,
    Watch => watch,
    Nodes => nodes,
    Leader => leader,
    Stream => stream,
    Stats => stats,
    Health => health,
    Conformance => conformance if "conformance",
    Bench => bench if "bench",
    Demo => demo,
    Completions => completions,
    Man => man,
}

impl Cli {
    /// What this process was started with. Ends the process where that is not understood, or asks for help.
    pub(crate) fn of_this_process() -> Self {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let mut definition = Self::command().color(colour(&arguments));
        let parsed =
            definition.try_get_matches_from_mut(arguments).and_then(|matches| Self::from_arg_matches(&matches));
        parsed.unwrap_or_else(|error| error.with_cmd(&definition).exit())
    }
}

/// What `--color` says, before anything is parsed: help and errors of parsing are coloured too.
fn colour(arguments: &[OsString]) -> ColorChoice {
    let own = arguments.iter().map(OsString::as_os_str).take_while(|argument| *argument != "--");
    let mut said = None;
    let mut is_next = false;
    for argument in own {
        let value = argument.to_str().and_then(|argument| argument.strip_prefix("--color="));
        said = if is_next { argument.to_str() } else { value }.or(said);
        is_next = argument == OsStr::new("--color");
    }
    match said {
        Some("always") => ColorChoice::Always,
        Some("never") => ColorChoice::Never,
        _ => ColorChoice::Auto,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    /// The subcommands that do something, with what they are called.
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            let path = format!("{path} {}", sub.get_name());
            leaves(sub, &path, found);
            found.push((path, sub.clone()));
        }
    }

    /// What a shell makes of a line: up to a pipe, without redirections and comments.
    fn words(line: &str) -> Vec<String> {
        let words = shlex::split(line).unwrap_or_else(|| panic!("no shell understands {line}"));
        words
            .into_iter()
            .take_while(|word| !["|", "||", "&&", "&", ";", "#", ">", "<"].contains(&word.as_str()))
            .collect()
    }

    #[test]
    fn the_definitions_are_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_shows_an_example_and_every_example_parses() {
        let mut all = vec![("linchpin".to_owned(), Cli::command())];
        leaves(&Cli::command(), "linchpin", &mut all);
        assert!(all.len() > 20, "the walk found {}", all.len());
        for (path, mut command) in all {
            let help = command.render_long_help().to_string();
            let examples: Vec<_> = help.lines().map(str::trim).filter(|line| line.starts_with("linchpin ")).collect();
            let own = examples.iter().filter(|line| format!("{line} ").starts_with(&format!("{path} "))).count();
            assert!(own > 0, "`{path} --help` shows no example of its own:\n{help}");
            for line in examples {
                if let Err(error) = Cli::try_parse_from(words(line)) {
                    panic!("`{path} --help` shows {line:?}, but:\n{error}");
                }
            }
        }
    }

    #[test]
    fn every_subcommand_says_what_it_does_in_a_line() {
        let mut all = Vec::new();
        leaves(&Cli::command(), "linchpin", &mut all);
        for (path, command) in all {
            let about = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.contains('\n') && about.len() < 90, "{path}: {about:?}");
            let undescribed = command.get_arguments().find(|argument| argument.get_help().is_none());
            assert!(undescribed.is_none(), "{path}: {undescribed:?} is not described");
        }
    }

    #[test]
    fn the_colour_is_known_before_parsing() {
        let of = |line: &str| colour(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        assert_eq!(of("linchpin get k"), ColorChoice::Auto);
        assert_eq!(of("linchpin --color never get k"), ColorChoice::Never);
        assert_eq!(of("linchpin get k --color=always"), ColorChoice::Always);
        assert_eq!(of("linchpin lock l -- ls --color=always"), ColorChoice::Auto);
    }

    #[test]
    fn no_url_is_shown_in_help() {
        let help = Cli::command().render_long_help().to_string();
        assert!(help.contains("LINCHPIN_URL") && !help.contains("[env: LINCHPIN_URL="), "{help}");
    }
}
