//! Reaching an address: the one place that opens sockets.
//!
//! Owns: [`Address`], the [`Dial`] trait and its TCP form. Everything above works on any [`Stream`],
//! so that tests run on pipes in memory with a paused clock, and simulations on their own network.
//! Must not know: TLS, SASL, Kafka.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::str::FromStr;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// A host and a port, written `host:port`; an IPv6 address stands in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

/// The text is no `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not host:port")]
pub struct NotAnAddress {
    text: String,
}

impl FromStr for Address {
    type Err = NotAnAddress;

    fn from_str(text: &str) -> Result<Self, NotAnAddress> {
        let refused = || NotAnAddress {
            text: text.to_owned(),
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(refused)?;
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let ambiguous = bare.is_none() && host.contains(':');
        let host = bare.unwrap_or(host);
        if host.is_empty() || ambiguous || host.contains(char::is_whitespace) {
            return Err(refused());
        }
        let port = port
            .parse()
            .ok()
            .filter(|&port| port > 0)
            .ok_or_else(refused)?;
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The reading half of a stream.
pub type ReadHalf = Box<dyn AsyncRead + Send + Unpin>;

/// The writing half of a stream.
pub type WriteHalf = Box<dyn AsyncWrite + Send + Unpin>;

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Splits it for two tasks, in the cheapest way it has.
    fn into_halves(self: Box<Self>) -> (ReadHalf, WriteHalf);
}

impl Stream for TcpStream {
    fn into_halves(self: Box<Self>) -> (ReadHalf, WriteHalf) {
        let (read, write) = self.into_split();
        (Box::new(read), Box::new(write))
    }
}

impl Stream for DuplexStream {
    fn into_halves(self: Box<Self>) -> (ReadHalf, WriteHalf) {
        let (read, write) = tokio::io::split(*self);
        (Box::new(read), Box::new(write))
    }
}

impl Stream for TlsStream<Box<dyn Stream>> {
    fn into_halves(self: Box<Self>) -> (ReadHalf, WriteHalf) {
        let (read, write) = tokio::io::split(*self);
        (Box::new(read), Box::new(write))
    }
}

/// A stream being opened.
pub type Dialing<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// Opens streams. The caller sets the deadline and drops the future when it passes.
pub trait Dial: fmt::Debug + Send + Sync + 'static {
    fn dial<'a>(&'a self, address: &'a Address) -> Dialing<'a>;
}

/// TCP without Nagle's delay: every frame is written whole. Every address of the name is tried.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpDialer;

impl Dial for TcpDialer {
    fn dial<'a>(&'a self, address: &'a Address) -> Dialing<'a> {
        Box::pin(async move {
            let stream = TcpStream::connect((address.host.as_str(), address.port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back() {
        for text in [
            "broker:9092",
            "127.0.0.1:1",
            "[::1]:9092",
            "b-1.example.org:65535",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        let refused = [
            "",
            "broker",
            "broker:",
            ":9092",
            "broker:0",
            "broker:65536",
            "::1:9092",
        ];
        for text in refused.into_iter().chain(["a b:1", "[]:1", "broker:-1"]) {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
