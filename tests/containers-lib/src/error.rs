//! What can go wrong, to be read after "could not".

use std::time::Duration;

use testcontainers::TestcontainersError;
use testcontainers::core::client::ClientError;
use testcontainers::core::error::WaitContainerError;
use testcontainers::core::logs::WaitLogError;

/// Why a container that was running could not be worked with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the container engine refused: {0}")]
    Engine(#[from] TestcontainersError),
    #[error("it ended before it was ready again; its last lines:\n{log}")]
    Ended { log: String },
    #[error("it was not ready again within {limit:?}; its last lines:\n{log}")]
    NotReady { limit: Duration, log: String },
    #[error("a command in the container had not ended after {limit:?}")]
    TooLong { limit: Duration },
}

/// Why a container did not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "there is no image {image}, and it could not be pulled ({error}); make it with `cargo xtask image`, or name another one by ISTHMUS_TEST_IMAGE"
    )]
    NoImage { image: String, error: String },
    #[error("the container engine refused: {0}")]
    Engine(TestcontainersError),
    /// A wrong setting ends like this: the lines name it.
    #[error("it ended before it was ready; its last lines:\n{log}")]
    Ended { log: String },
    #[error("no port of this machine is free: {0}")]
    NoPort(std::io::Error),
    #[error("other programs took the chosen ports {tries} times in a row")]
    PortsTaken { tries: u32 },
}

/// The last lines that are shown.
const LINES_SHOWN: usize = 30;

impl From<TestcontainersError> for StartError {
    fn from(error: TestcontainersError) -> Self {
        match error {
            TestcontainersError::Client(ClientError::PullImage { descriptor, err }) => {
                Self::NoImage {
                    image: descriptor,
                    error: err.to_string(),
                }
            }
            TestcontainersError::WaitContainer(WaitContainerError::WaitLog(
                WaitLogError::EndOfStream(said),
            )) => Self::Ended {
                log: last_lines(&said.concat()),
            },
            other => Self::Engine(other),
        }
    }
}

impl From<ClientError> for StartError {
    fn from(error: ClientError) -> Self {
        TestcontainersError::from(error).into()
    }
}

impl StartError {
    /// Whether another program was faster; the engine says it in words only.
    pub(crate) fn is_port_taken(&self) -> bool {
        match self {
            Self::Engine(error) => {
                let text = error.to_string();
                text.contains("port is already allocated")
                    || text.contains("address already in use")
            }
            Self::NoImage { .. }
            | Self::Ended { .. }
            | Self::NoPort(_)
            | Self::PortsTaken { .. } => false,
        }
    }
}

/// The end of what a program said.
pub(crate) fn last_lines(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_told_from_other_refusals() {
        let refused = |text: &str| StartError::from(TestcontainersError::other(text.to_owned()));
        for (text, taken) in [
            (
                "Bind for 127.0.0.1:4242 failed: port is already allocated",
                true,
            ),
            (
                "listen tcp4 127.0.0.1:4242: bind: address already in use",
                true,
            ),
            ("no space left on device", false),
        ] {
            assert_eq!(refused(text).is_port_taken(), taken, "{text}");
        }
    }

    #[test]
    fn the_end_of_a_log_is_shown() {
        assert_eq!(last_lines(b"one\ntwo\n"), "one\ntwo");
        let many: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let shown = last_lines(many.as_bytes());
        assert!(
            shown.starts_with("line 70\n") && shown.ends_with("line 99"),
            "{shown}"
        );
    }
}
