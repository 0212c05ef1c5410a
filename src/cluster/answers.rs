//! How a command on a cluster answers, and asks whether it was meant.

use crate::options::{ANSWER_IS_NO, UNKNOWN_OUTCOME, UNREACHABLE, refuse};
use isthmus_client::RequestError;
use std::fmt::Display;
use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

/// Prints a command's answer.
#[expect(clippy::print_stdout, reason = "the answer of a command")]
pub(crate) fn say(text: &dyn Display) {
    println!("{text}");
}

/// Says something on stderr before the answer.
#[expect(clippy::print_stderr, reason = "what an act is about to do")]
pub(crate) fn tell(text: &dyn Display) {
    eprintln!("{text}");
}

/// Says on stderr that the answer is no.
#[expect(clippy::print_stderr, reason = "the answer to what cannot be")]
pub(crate) fn say_no(what: &dyn Display) -> ExitCode {
    eprintln!("{what}");
    ExitCode::from(ANSWER_IS_NO)
}

/// Says on stderr that the cluster, or a node of it, did not answer; nothing was changed.
#[expect(clippy::print_stderr, reason = "the answer of a failed command")]
pub(crate) fn unreachable(what: &str, error: &RequestError) -> ExitCode {
    eprintln!("could not {what}: {error}; nothing was changed");
    ExitCode::from(UNREACHABLE)
}

/// Says on stderr what is not known, and how to learn it.
#[expect(
    clippy::print_stderr,
    reason = "the answer of a command whose outcome is not known"
)]
pub(crate) fn outcome_unknown(what: &dyn Display) -> ExitCode {
    eprintln!("{what}");
    ExitCode::from(UNKNOWN_OUTCOME)
}

/// Asks whoever sits at the terminal; without one, `--yes` must have been given.
#[expect(clippy::print_stderr, reason = "the question of an act")]
pub(crate) fn consent(is_given: bool, plan: &str) -> Result<(), ExitCode> {
    if is_given {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let what = format!("would {plan}; give --yes to do it, or --dry-run to only look");
        return Err(refuse(&what));
    }
    eprint!("This will {plan}. Type yes to go on: ");
    std::io::stderr().flush().ok();
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    match read {
        Ok(_) if line.trim() == "yes" => Ok(()),
        Ok(_) | Err(_) => Err(refuse(&"not confirmed; nothing was changed")),
    }
}
