use std::fmt::Write as _;
use std::{fs, io};

use clap::builder::PossibleValue;
use clap::{Arg, Command, CommandFactory};

use crate::arguments::{Arguments, CompletionsArguments, EXIT_CODES, ManArguments};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Prints the completions of one shell.
pub(crate) fn completions(
    arguments: &CompletionsArguments,
    output: Output,
) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Arguments::command(),
        "satchel",
        &mut script,
    );
    output.text(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Writes a man page of the program and one of each verb.
pub(crate) fn man(arguments: &ManArguments, output: Output) -> Result<Exit, Failure> {
    let written = |error: io::Error| Failure::io("write man pages to", &arguments.dir, &error);
    fs::create_dir_all(&arguments.dir).map_err(written)?;
    clap_mangen::generate_to(Arguments::command(), &arguments.dir).map_err(written)?;
    output.message(format!("man pages are in {}", arguments.dir.display()));
    Ok(Exit::Done)
}

/// Prints the reference that the book includes.
pub(crate) fn reference(output: Output) -> Result<Exit, Failure> {
    output.text(&reference_text())?;
    Ok(Exit::Done)
}

fn reference_text() -> String {
    let mut command = Arguments::command();
    command.build();
    let mut text = String::from(PREFACE);
    let verbs = verbs_of(&command, "");
    text.push_str("| verb | does |\n|---|---|\n");
    for (name, verb) in &verbs {
        let anchor = name.replace(' ', "-");
        let about = verb
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        // Writing to a text cannot fail.
        let _ = writeln!(text, "| [`{name}`](#{anchor}) | {about} |");
    }
    text.push_str("\n## Flags of every verb\n\n");
    let globals: Vec<_> = command
        .get_arguments()
        .filter(|arg| arg.is_global_set())
        .collect();
    arguments_table(&mut text, &globals);
    for (name, verb) in &verbs {
        verb_section(&mut text, name, verb);
    }
    text.push_str("\n## Exit codes\n\n");
    for line in EXIT_CODES.lines().skip(1) {
        let (code, meaning) = line.trim().split_once("  ").unwrap_or((line, ""));
        let _ = writeln!(text, "- `{code}` {}", meaning.trim());
    }
    text
}

/// Returns the verbs that are shown, those within a verb behind its name.
fn verbs_of<'a>(command: &'a Command, prefix: &str) -> Vec<(String, &'a Command)> {
    let mut verbs = Vec::new();
    for verb in command.get_subcommands() {
        if verb.is_hide_set() || verb.get_name() == "help" {
            continue;
        }
        let name = format!("{prefix}{}", verb.get_name());
        if verb.has_subcommands() {
            verbs.extend(verbs_of(verb, &format!("{name} ")));
        } else {
            verbs.push((name, verb));
        }
    }
    verbs
}

fn verb_section(text: &mut String, name: &str, verb: &Command) {
    let told = verb
        .get_long_about()
        .or(verb.get_about())
        .map(ToString::to_string);
    let _ = write!(text, "\n## {name}\n\n```text\nsatchel {name}");
    let arguments: Vec<_> = verb
        .get_arguments()
        .filter(|arg| !arg.is_global_set() && !["help", "version"].contains(&arg.get_id().as_str()))
        .collect();
    for argument in arguments.iter().filter(|argument| argument.is_positional()) {
        let _ = write!(text, " {}", spelled(argument));
    }
    for argument in arguments
        .iter()
        .filter(|argument| !argument.is_positional())
    {
        let _ = write!(text, " {}", spelled(argument));
    }
    let told = told.unwrap_or_default().replacen("\n\n", ".\n\n", 1);
    let _ = writeln!(text, "\n```\n\n{}.", told.trim_end_matches('.'));
    if !arguments.is_empty() {
        text.push('\n');
        arguments_table(text, &arguments);
    }
}

fn arguments_table(text: &mut String, arguments: &[&Arg]) {
    text.push_str("| argument | meaning |\n|---|---|\n");
    for argument in arguments {
        let mut meaning = argument
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let values: Vec<PossibleValue> = argument.get_possible_values();
        if argument.get_action().takes_values() && !values.is_empty() {
            let names: Vec<_> = values
                .iter()
                .map(|value| format!("`{}`", value.get_name()))
                .collect();
            let _ = write!(meaning, ": {}", names.join(", "));
        }
        let defaults = argument.get_default_values();
        if argument.get_action().takes_values() && !defaults.is_empty() {
            let defaults: Vec<_> = defaults
                .iter()
                .map(|value| value.to_string_lossy())
                .collect();
            let _ = write!(meaning, " (default `{}`)", defaults.join(" "));
        }
        let short = argument
            .get_short()
            .map(|short| format!("`-{short}`, "))
            .unwrap_or_default();
        let name = plain(argument).replace('|', "\\|");
        let _ = writeln!(
            text,
            "| {short}`{name}` | {} |",
            meaning.replace('|', "\\|")
        );
    }
}

/// Returns the argument as it stands in a line of usage.
fn spelled(argument: &Arg) -> String {
    let many = if argument.is_positional()
        && argument.get_action().takes_values()
        && argument
            .get_num_args()
            .is_some_and(|range| range.max_values() > 1)
    {
        "..."
    } else {
        ""
    };
    let plain = plain(argument);
    if argument.is_required_set() {
        format!("{plain}{many}")
    } else {
        format!("[{plain}{many}]")
    }
}

/// Returns the argument's flag and value, or its value alone where it is known by its place.
fn plain(argument: &Arg) -> String {
    let value = argument.get_value_names().and_then(|names| names.first());
    let value = value.map(ToString::to_string).unwrap_or_default();
    match argument.get_long() {
        Some(long) if argument.get_action().takes_values() => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
        None => value,
    }
}

const PREFACE: &str = "\
# The command line

<!-- Printed by `satchel reference`; a test fails when this page is stale. -->

`satchel VERB ...` prints data on stdout, messages and progress on stderr. With `--json` every verb \
prints one object (one a line for streams) with `\"schema\": 1`; a failure is an object too, \
`{\"schema\": 1, \"error\": {\"code\", \"message\", \"remedy\"}}`, and the exit code says its kind ([all keys](json.md)). Colours \
follow `NO_COLOR`. Verbs, flags, codes and keys are stable: scripts may rely on them, and new ones may \
join.

";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_in_the_book_is_the_one_that_the_program_prints() {
        let page = include_str!("../../../../docs/src/cli.md").replace("\r\n", "\n");
        let stale = "docs/src/cli.md is stale: satchel reference > docs/src/cli.md";
        assert!(page == reference_text(), "{stale}");
    }

    #[test]
    fn every_shell_gets_completions() {
        use clap::ValueEnum;
        for shell in clap_complete::Shell::value_variants() {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Arguments::command(), "satchel", &mut script);
            assert!(
                String::from_utf8(script).unwrap().contains("enroll"),
                "{shell}"
            );
        }
    }
}
