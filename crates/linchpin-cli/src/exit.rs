//! How a command ends: the one table of exit codes, and which error comes to which.

use linchpin::{Error, ErrorKind};
use rustix::process::Signal;
use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;
use std::process::ExitStatus;

/// What was asked for is not there, or not so.
pub(crate) const ABSENT: u8 = 1;
/// An argument, name or URL that is not allowed.
pub(crate) const INVALID: u8 = 64;
/// What is stored stands in the way.
pub(crate) const CONFLICT: u8 = 65;
/// The backend cannot be reached, or does not answer.
pub(crate) const UNAVAILABLE: u8 = 69;
/// Something that should not happen.
pub(crate) const SOFTWARE: u8 = 70;
/// Reading the input or writing the output failed.
pub(crate) const IO: u8 = 74;
/// Taken, or nobody there, as the backend says.
pub(crate) const TEMPORARY: u8 = 75;
/// The backend refused the credentials.
pub(crate) const DENIED: u8 = 77;
/// The backend does not offer it.
pub(crate) const UNSUPPORTED: u8 = 78;
/// A lock or leadership was lost, or about to be.
pub(crate) const LOST: u8 = 79;
/// The command to run is there, but cannot be run.
pub(crate) const NOT_RUNNABLE: u8 = 126;
/// There is no such command to run.
pub(crate) const NOT_FOUND: u8 = 127;
/// A signal's number is added to it.
const SIGNAL: u8 = 128;

/// Every exit code, for the help and the man page. Those of `lock` and `elect` are the command's own besides.
pub(crate) const HELP: &str = "\
Exit codes:
  0      done
  1      not there, or not so: no such key, nobody leads, nothing to claim, a stale receipt, not healthy
  2      the command line was not understood
  64     an argument, a name or the URL is not allowed; nothing was sent
  65     what is stored stands in the way
  69     the backend cannot be reached, does not answer in time, or is full
  70     the backend answered something that it should not have, or a bug
  74     the input could not be read, or the output not written
  75     not in time, and the backend answers: the lock was not free, nobody acknowledged, too few came; try again later
  77     the backend refused the user, the password or the permission
  78     the backend does not offer this
  79     the lock or leadership was lost or about to be, and the command was ended for it
  126    the command to run cannot be run
  127    the command to run was not found
  128+N  ended by signal N, or the command was: 130 after Ctrl-C, 143 after SIGTERM
`lock` and `elect` end with the exit code of the command that they ran. A reader that goes away, as in `| head -1`, \
is no error.";

/// Why a command ends without having done its work.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    /// One line, and lines for its causes; empty if there is nothing to say.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(INVALID, message)
    }

    /// Nothing went wrong, but nothing is left to do: the reader of the output has gone.
    pub(crate) fn nobody_reads() -> Self {
        Self::new(0, "")
    }

    pub(crate) fn of_signal(signal: Signal) -> Self {
        Self::new(code_of_signal(signal.as_raw()), "")
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = match error.kind() {
            ErrorKind::InvalidArgument => INVALID,
            ErrorKind::Conflict => CONFLICT,
            ErrorKind::Unavailable | ErrorKind::ResourceExhausted | ErrorKind::Closed | ErrorKind::Timeout => {
                UNAVAILABLE
            }
            ErrorKind::NoSubscribers => TEMPORARY,
            ErrorKind::Unauthorized => DENIED,
            ErrorKind::Unsupported => UNSUPPORTED,
            ErrorKind::Lost => LOST,
            _ => SOFTWARE,
        };
        let mut message = error.to_string();
        let mut causes: Vec<String> =
            std::iter::successors(error.source(), |&cause| cause.source()).map(ToString::to_string).collect();
        // Some wrap another and say the same.
        causes.dedup();
        for cause in causes {
            let _ = write!(message, "\n  caused by: {cause}");
        }
        Self { code, message }
    }
}

impl From<io::Error> for Failure {
    /// An error of writing to the standard output.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::nobody_reads(),
            _ => Self::new(IO, format!("cannot write the output: {error}")),
        }
    }
}

/// A command's exit code, as a shell tells it.
pub(crate) fn code_of(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, signal) => code_of_signal(signal.unwrap_or_default()),
    }
}

fn code_of_signal(signal: i32) -> u8 {
    SIGNAL.saturating_add(u8::try_from(signal).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    #[test]
    fn every_code_is_in_the_table() {
        for code in [
            ABSENT,
            INVALID,
            CONFLICT,
            UNAVAILABLE,
            SOFTWARE,
            IO,
            TEMPORARY,
            DENIED,
            UNSUPPORTED,
            LOST,
            NOT_RUNNABLE,
            NOT_FOUND,
        ] {
            assert!(HELP.lines().any(|line| line.starts_with(&format!("  {code:<7}"))), "{code}");
        }
    }

    #[test]
    fn a_command_ends_as_a_shell_tells_it() {
        assert_eq!(code_of(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code_of(ExitStatus::from_raw(15)), 143);
        assert_eq!(Failure::of_signal(Signal::INT).code, 130);
    }

    #[test]
    fn an_error_says_its_causes() {
        let error = Error::new(ErrorKind::Unavailable, "connect", "no").with_source(io::Error::other("refused"));
        let failure = Failure::from(error);
        assert_eq!((failure.code, failure.message.as_str()), (UNAVAILABLE, "connect: no\n  caused by: refused"));
        assert_eq!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).code, 0);
    }
}
