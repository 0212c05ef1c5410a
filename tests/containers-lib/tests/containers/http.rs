//! A page of a program in a container.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A page answers long before this.
const LIMIT: Duration = Duration::from_secs(30);

/// The status line of a GET.
pub(crate) fn status(address: &str, path: &str) -> String {
    let text = get(address, path);
    text.lines().next().unwrap_or_default().to_owned()
}

/// Everything that a GET gives.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}
