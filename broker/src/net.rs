//! TCP as this shell uses it: where it listens and connects, and how bytes leave.
//!
//! A broker has the sockets of its machine. In the tests of this crate there are those of a network
//! that a story owns (`turmoil`): it delays, holds and cuts, and its clock stands still meanwhile.

pub(crate) use sockets::{
    OwnedReadHalf, OwnedWriteHalf, TcpListener, TcpStream, end_after_silence, end_in_silence,
    send_some, write_some,
};

#[cfg(not(test))]
mod sockets {
    use isthmus_wire::FileRegion;
    use rustix::net::sockopt;
    use std::io::{self, IoSlice};
    use std::time::Duration;
    use tokio::io::Interest;
    pub(crate) use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
    pub(crate) use tokio::net::{TcpListener, TcpStream};

    /// Of a silence that is borne, after which part of it the other machine is asked whether it is there,
    /// and how often then; TCP knows whole seconds.
    const ASKS: u32 = 3;

    /// Between nodes: for how long nothing may come of what was sent or asked.
    const SILENCE_MAX: Duration = Duration::from_secs(3);

    /// Has a connection end when the machine at its other end is silent.
    pub(crate) fn end_in_silence(stream: &TcpStream) -> io::Result<()> {
        end_after_silence(stream, SILENCE_MAX)
    }

    /// The same after a silence of that length, three seconds at least. By itself TCP sends again for a
    /// quarter of an hour, ever more rarely, and who only waits for an answer is never told. A machine that
    /// answers and takes nothing is silent, too.
    pub(crate) fn end_after_silence(stream: &TcpStream, silence: Duration) -> io::Result<()> {
        let ask_every = Duration::from_secs((silence / ASKS).as_secs().max(1));
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, ask_every)?;
        sockopt::set_tcp_keepintvl(stream, ask_every)?;
        let silence_ms = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
        sockopt::set_tcp_user_timeout(stream, silence_ms)?;
        Ok(())
    }

    /// Writes what the socket takes at once, waiting until it takes something; how much that was.
    pub(crate) async fn write_some(
        socket: &mut OwnedWriteHalf,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        let stream: &TcpStream = socket.as_ref();
        loop {
            match stream.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    stream.writable().await?;
                }
                done => return done,
            }
        }
    }

    /// The same for a file from `position` to the region's end, which does not pass through this
    /// process.
    pub(crate) async fn send_some(
        socket: &mut OwnedWriteHalf,
        region: &FileRegion,
        position: u64,
    ) -> io::Result<usize> {
        let stream: &TcpStream = socket.as_ref();
        let left = region.position + region.len as u64 - position;
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        loop {
            let sent = stream.try_io(Interest::WRITABLE, || {
                let mut offset = position;
                rustix::fs::sendfile(stream, &*region.file, Some(&mut offset), left)
                    .map_err(io::Error::from)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    stream.writable().await?;
                }
                done => return done,
            }
        }
    }
}

#[cfg(test)]
mod sockets {
    use isthmus_wire::FileRegion;
    use std::io::{self, IoSlice};
    use std::os::unix::fs::FileExt;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;
    pub(crate) use turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
    pub(crate) use turmoil::net::{TcpListener, TcpStream};

    /// The story's network knows no such thing.
    #[expect(clippy::unnecessary_wraps, reason = "a socket may refuse it")]
    pub(crate) fn end_in_silence(_: &TcpStream) -> io::Result<()> {
        Ok(())
    }

    #[expect(clippy::unnecessary_wraps, reason = "a socket may refuse it")]
    pub(crate) fn end_after_silence(_: &TcpStream, _: Duration) -> io::Result<()> {
        Ok(())
    }

    /// Most bytes of a file in one segment.
    const SEGMENT_MAX: usize = 64 << 10;

    pub(crate) async fn write_some(
        socket: &mut OwnedWriteHalf,
        slices: &[IoSlice<'_>],
    ) -> io::Result<usize> {
        socket.write_vectored(slices).await
    }

    pub(crate) async fn send_some(
        socket: &mut OwnedWriteHalf,
        region: &FileRegion,
        position: u64,
    ) -> io::Result<usize> {
        let left = region.position + region.len as u64 - position;
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let mut segment = vec![0; left.min(SEGMENT_MAX)];
        match region.file.read_at(&mut segment, position)? {
            0 => Ok(0),
            read => socket.write(&segment[..read]).await,
        }
    }
}
