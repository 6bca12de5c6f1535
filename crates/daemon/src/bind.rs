//! From an address to a socket that accepts connections.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::address::ListenAddress;

/// Connections that the kernel holds for us until we accept them. The kernel cuts it to
/// `net.core.somaxconn`, which is 4096 by default since Linux 5.4.
pub const BACKLOG: u32 = 4096;

impl ListenAddress {
    /// Opens the port and begins to listen; the socket is non-blocking and ready for
    /// `tokio::net::TcpListener::from_std`.
    ///
    /// Any device is one socket for IPv6 and IPv4, so that IPv4 peers show as `::ffff:a.b.c.d`: use
    /// [`std::net::IpAddr::to_canonical`] on the addresses of peers. On a host without IPv6 it is IPv4 alone.
    ///
    /// # Errors
    /// [`BindError`], whose text tells the operator what to do.
    pub fn bind(&self, backlog: u32) -> Result<TcpListener, BindError> {
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        let bound = match self.ip {
            Some(ip) => listen(SocketAddr::new(ip, self.port), backlog),
            None => match listen((Ipv6Addr::UNSPECIFIED, self.port).into(), backlog) {
                Err(error) if says_no_ipv6(&error) => {
                    listen((Ipv4Addr::UNSPECIFIED, self.port).into(), backlog)
                }
                other => other,
            },
        };
        bound.map_err(|source| BindError { address: *self, source })
    }
}

/// Why a port could not be opened.
#[derive(Debug)]
pub struct BindError {
    /// What was to be opened.
    pub address: ListenAddress,
    /// What the system said.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot listen on {}: ", self.address.shown())?;
        match self.source.kind() {
            io::ErrorKind::AddrInUse => {
                f.write_str("address already in use: another process holds it; see `ss -ltnp`")
            }
            io::ErrorKind::AddrNotAvailable => {
                f.write_str("no device of this host has this address; see `ip address`")
            }
            io::ErrorKind::PermissionDenied => {
                f.write_str("permission denied: a port below 1024 needs root or CAP_NET_BIND_SERVICE")
            }
            _ => write!(f, "{}", self.source),
        }
    }
}

impl std::error::Error for BindError {}

fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // A device's own IPv6 address is that alone; only "any device" is both families.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    // So that a restart need not wait for the connections of the last run to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// IPv6 is not compiled in, or switched off by `net.ipv6.conf.all.disable_ipv6`.
fn says_no_ipv6(error: &io::Error) -> bool {
    let unsupported = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.raw_os_error() == Some(unsupported) || error.kind() == io::ErrorKind::AddrNotAvailable
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn any_device_answers_on_ipv4() {
        let listener = ListenAddress::any(0).bind(BACKLOG).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    }

    #[test]
    fn a_port_that_is_taken_is_explained() {
        let first = ListenAddress::any(0).bind(BACKLOG).unwrap();
        let port = first.local_addr().unwrap().port();
        let error = ListenAddress::any(port).bind(BACKLOG).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on 0.0.0.0:{port}: address already in use: another process holds it; see `ss -ltnp`"
            )
        );
    }

    #[test]
    fn a_foreign_address_is_explained() {
        // TEST-NET-1 (RFC 5737) belongs to no host.
        let error = "192.0.2.1:0".parse::<ListenAddress>().unwrap().bind(BACKLOG).unwrap_err();
        assert!(error.to_string().contains("no device of this host has this address"), "{error}");
    }
}
