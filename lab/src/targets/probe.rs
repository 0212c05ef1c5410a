//! When a broker counts as started: when it has answered ApiVersions.
//!
//! Must not know: which broker it is. All are asked in the same way and equally often.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use isthmus_client::net::Address;
use isthmus_client::{ClientConfig, Connector, Deadline};

use super::StartError;
use crate::process::Process;

/// Time between two tries to connect. It is the error of every start-up time measured here; at
/// 2 ms it is small beside the fastest one, and costs a few hundredths of a core.
const TRY_EVERY: Duration = Duration::from_millis(2);

/// Waits until the process answers at the address, and tells how long that was from `began`.
pub(super) async fn first_answer(
    process: &mut Process,
    address: SocketAddr,
    began: Instant,
    within: Duration,
) -> Result<Duration, StartError> {
    let name = process.name().to_owned();
    let answered = tokio::select! {
        answered = tokio::time::timeout(within, answer(address)) => answered,
        status = process.wait() => return Err(ended(process, status)),
    };
    match answered {
        Ok(at) => Ok(at.duration_since(began)),
        Err(_) => Err(StartError::Silent {
            name,
            within,
            log: process.last_lines(),
        }),
    }
}

/// Waits until a line on stdout begins with `words`.
pub(crate) async fn line(
    process: &mut Process,
    words: &str,
    within: Duration,
) -> Result<String, StartError> {
    let until = Deadline::after(within);
    loop {
        let text = process.stdout().map_err(|cause| StartError::Wait {
            name: process.name().to_owned(),
            cause,
        })?;
        if let Some(line) = whole_lines(&text).find(|line| line.starts_with(words)) {
            return Ok(line.to_owned());
        }
        if until.has_passed() {
            return Err(StartError::Silent {
                name: process.name().to_owned(),
                within,
                log: process.last_lines(),
            });
        }
        tokio::select! {
            () = tokio::time::sleep(TRY_EVERY) => {}
            status = process.wait() => return Err(ended(process, status)),
        }
    }
}

/// Lines that were ended; the last one may still be on its way.
fn whole_lines(text: &str) -> impl Iterator<Item = &str> {
    let end = text.rfind('\n').unwrap_or(0);
    text[..end].lines()
}

fn ended(process: &Process, status: std::io::Result<std::process::ExitStatus>) -> StartError {
    let name = process.name().to_owned();
    match status {
        Ok(status) => StartError::Ended {
            name,
            status,
            log: process.last_lines(),
        },
        Err(cause) => StartError::Wait { name, cause },
    }
}

async fn answer(address: SocketAddr) -> Instant {
    let connector = Connector::new(&ClientConfig::new([address.to_string()]));
    let address = Address {
        host: address.ip().to_string(),
        port: address.port(),
    };
    loop {
        let within = Deadline::after(ClientConfig::new::<String>([]).connect_timeout);
        // Connecting includes the answer to ApiVersions.
        if let Ok(connection) = connector.connect(&address, within).await {
            let at = Instant::now();
            connection.close();
            return at;
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::free_address;
    use crate::process::program;

    fn shell(script: &str) -> std::process::Command {
        let mut command = program("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_program_that_ends_is_told_with_its_last_lines() {
        let logs = tempfile::tempdir().unwrap();
        let script = "echo no such disk >&2; exit 2";
        let mut process = Process::spawn("broker", shell(script), logs.path()).unwrap();
        let address = free_address().unwrap();
        let within = Duration::from_secs(60);
        let error = first_answer(&mut process, address, Instant::now(), within).await;
        let text = error.unwrap_err().to_string();
        let expected = "get an answer from broker: it ended with exit status: 2";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("  no such disk\n"), "{text}");
    }

    #[tokio::test]
    async fn a_program_that_stays_silent_is_given_up() {
        let logs = tempfile::tempdir().unwrap();
        let mut process = Process::spawn("mute", shell("sleep 1000"), logs.path()).unwrap();
        let address = free_address().unwrap();
        let within = Duration::from_millis(20);
        let error = first_answer(&mut process, address, Instant::now(), within).await;
        let text = error.unwrap_err().to_string();
        assert!(
            text.starts_with("get an answer from mute within 20ms"),
            "{text}"
        );
        let error = line(&mut process, "ready", within).await.unwrap_err();
        assert!(matches!(error, StartError::Silent { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_line_is_found_once_it_is_whole() {
        let logs = tempfile::tempdir().unwrap();
        let script = "echo other; printf 'ready '; echo now; sleep 1000";
        let mut process = Process::spawn("speaker", shell(script), logs.path()).unwrap();
        let found = line(&mut process, "ready", Duration::from_secs(60)).await;
        assert_eq!(found.unwrap(), "ready now");
        assert_eq!(whole_lines("a\nb").collect::<Vec<_>>(), ["a"]);
        assert_eq!(whole_lines("a").count(), 0);
    }
}
