//! `satchel`: arguments to a verb, a verb to an exit code.

mod arguments;
mod aside;
mod command;
mod failure;
mod interrupt;
mod log;
mod nearby;
mod output;
mod server;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use arguments::{Arguments, OutputArguments, Verb};
use command::{
    approve, collect, deltas, demo, device, engine, export, gate, inspect, keys, manual, mirror,
    publish, receipts, report, root, serve, steer, thinning,
};
use failure::{Exit, Failure};
use output::Output;

fn main() -> ExitCode {
    let exit = match Arguments::try_parse() {
        Ok(arguments) => {
            let output = Output::new(arguments.output);
            match log::begin(arguments.log_json.as_deref()) {
                Ok(log) => {
                    let exit = run(&arguments.verb, output).unwrap_or_else(|failure| {
                        tracing::error!(code = failure.code, "{}", failure.message);
                        output.fail(&failure)
                    });
                    if let Err(error) = log.end() {
                        output.warning(format!("the spans were not sent: {error}"));
                    }
                    exit
                }
                Err(failure) => output.fail(&failure),
            }
        }
        Err(error) => explain(&error),
    };
    ExitCode::from(exit as u8)
}

fn run(verb: &Verb, output: Output) -> Result<Exit, Failure> {
    match verb {
        Verb::Init(arguments) => publish::init(arguments, output),
        Verb::Publish(arguments) => publish::publish(arguments, output),
        Verb::List(arguments) => inspect::list(arguments, output),
        Verb::Show(arguments) => inspect::show(arguments, output),
        Verb::Audit(arguments) => inspect::audit(arguments, output),
        Verb::Report(arguments) => report::report(arguments, output),
        Verb::Lint(arguments) => publish::lint(arguments, output),
        Verb::Rollout(arguments) => steer::rollout(arguments, output),
        Verb::Promote(arguments) => steer::promote(arguments, output),
        Verb::Halt(arguments) => steer::halt(arguments, output),
        Verb::Withdraw(arguments) => steer::withdraw(arguments, output),
        Verb::Approval(verb) => approve::approval(verb, output),
        Verb::Guard(arguments) => approve::guard(arguments, output),
        Verb::Export(arguments) => export::export(arguments, output),
        Verb::PruneRepository(arguments) => thinning::prune(arguments, output),
        Verb::Deltas(verb) => deltas::deltas(verb, output),
        Verb::Keys(verb) => keys::keys(verb, output),
        Verb::Root(verb) => root::root(verb, output),
        Verb::Serve(arguments) => serve::serve(arguments, output),
        Verb::Mirror(arguments) => mirror::mirror(arguments, output),
        Verb::Collect(arguments) => collect::collect(arguments, output),
        Verb::Gate(arguments) => gate::gate(arguments, output),
        Verb::Enroll(arguments) => device::enroll(arguments, output),
        Verb::Label(arguments) => device::label(arguments, output),
        Verb::Check(arguments) => device::check(arguments, output),
        Verb::Update(arguments) => device::update(arguments, output),
        Verb::Status(arguments) => device::status(arguments, output),
        Verb::Notes(arguments) => device::notes(arguments, output),
        Verb::Path(arguments) => device::path(arguments, output),
        Verb::Open(arguments) => device::open(arguments, output),
        Verb::Confirm(arguments) => device::confirm(arguments, output),
        Verb::Fail(arguments) => device::fail(arguments, output),
        Verb::Revert(arguments) => device::revert(arguments, output),
        Verb::Verify(arguments) => device::verify(arguments, output),
        Verb::Heal(arguments) => device::heal(arguments, output),
        Verb::Hold(arguments) => device::hold(arguments, output),
        Verb::Unhold(arguments) => device::unhold(arguments, output),
        Verb::Pin(arguments) => device::pin(arguments, output),
        Verb::Unpin(arguments) => device::unpin(arguments, output),
        Verb::Prune(arguments) => device::prune(arguments, output),
        Verb::Receipts(verb) => receipts::receipts(verb, output),
        Verb::Demo(arguments) => demo::demo(arguments, output),
        Verb::Diff(arguments) => engine::diff(arguments, output),
        Verb::Apply(arguments) => engine::apply(arguments, output),
        Verb::Completions(arguments) => manual::completions(arguments, output),
        Verb::Man(arguments) => manual::man(arguments, output),
        Verb::Reference => manual::reference(output),
    }
}

/// Prints the help or the version that was asked for, or what is wrong with the arguments.
fn explain(error: &clap::Error) -> Exit {
    let is_wanted = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    if !is_wanted && std::env::args_os().any(|argument| argument == "--json") {
        let output = Output::new(OutputArguments {
            json: true,
            ..OutputArguments::default()
        });
        let text = error.to_string();
        let message = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("error: ");
        let failure = Failure::new(Exit::Usage, "usage", message)
            .with_remedy("`satchel VERB --help` shows the arguments of a verb.");
        return output.fail(&failure);
    }
    // Nobody is left to tell when this cannot be printed; the exit code still says it.
    let _ = error.print();
    if is_wanted { Exit::Done } else { Exit::Usage }
}
