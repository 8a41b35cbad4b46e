//! Where nobody answers.

use std::io;
use tokio::net::TcpSocket;

/// A port that refuses every connection while this is there: it is bound, so that no other server gets it, and nobody
/// listens.
#[derive(Debug)]
pub struct RefusingPort(TcpSocket);

impl RefusingPort {
    /// Takes a free port of the loopback device.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn bind() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        Ok(Self(socket))
    }

    /// Its number.
    ///
    /// # Errors
    ///
    /// If the system does not say it.
    pub fn number(&self) -> io::Result<u16> {
        Ok(self.0.local_addr()?.port())
    }
}
