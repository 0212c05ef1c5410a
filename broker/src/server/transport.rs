//! The bytes of a connection: plain, or under TLS.

use crate::net::{OwnedReadHalf, OwnedWriteHalf, TcpStream};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf, ReadHalf, WriteHalf};
use tokio_rustls::server::TlsStream;

/// A connection whose handshake, if it had one, is over.
pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

pub(super) enum ReadSide {
    Plain(OwnedReadHalf),
    Tls(ReadHalf<TlsStream<TcpStream>>),
}

pub(super) enum WriteSide {
    Plain(OwnedWriteHalf),
    Tls(WriteHalf<TlsStream<TcpStream>>),
}

impl Transport {
    /// Both sides; one task owns them, so that the halves of TLS never wait for each other.
    pub(super) fn split(self) -> (ReadSide, WriteSide) {
        match self {
            Self::Plain(stream) => {
                let (read, write) = stream.into_split();
                (ReadSide::Plain(read), WriteSide::Plain(write))
            }
            Self::Tls(stream) => {
                let (read, write) = tokio::io::split(*stream);
                (ReadSide::Tls(read), WriteSide::Tls(write))
            }
        }
    }
}

impl AsyncRead for ReadSide {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(side) => Pin::new(side).poll_read(context, buffer),
            Self::Tls(side) => Pin::new(side).poll_read(context, buffer),
        }
    }
}
