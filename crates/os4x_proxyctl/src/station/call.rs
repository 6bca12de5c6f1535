//! One call to a station: connected, with TLS if need be, and what to say when it fails.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use daemon::address::{Host, HostPort};
use oftp::command::EndReason;
use oftp::tls::{self, Trust};
use oftp::{Event, FileToSend, LinkFault, OftpError, PeerFault, SessionReport, Settings};
use relay::ConnectError;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_socks::tcp::Socks5Stream;

/// Whom to call, and how.
#[derive(Clone)]
pub struct Callee {
    /// The station, or the external port that leads to it.
    pub at: HostPort,
    /// The SOCKS5 port through which it is called: `-Q` of os4x_proxyclient.
    pub via: Option<HostPort>,
    /// With TLS, and whom it has to be.
    pub trust: Option<Trust>,
    /// How long to wait for the connection and for the TLS handshake.
    pub wait: Duration,
}

/// A session that ended in order.
#[derive(Debug)]
pub struct Called {
    /// This end of the connection, which the daemons' logs call the partner.
    pub local: SocketAddr,
    /// What happened.
    pub report: SessionReport,
}

/// Why a call failed. Shows as a sentence that says what is wrong and what to do.
#[derive(Debug)]
pub struct CallError {
    at: HostPort,
    via: Option<HostPort>,
    is_tls: bool,
    fault: CallFault,
}

/// What failed.
#[derive(Debug)]
pub enum CallFault {
    /// There was no connection, to the station or to the SOCKS5 port.
    Connect(ConnectError),
    /// The SOCKS5 port does not connect to it.
    Socks(tokio_socks::Error),
    /// The session or its TLS handshake.
    Session(OftpError),
}

impl Callee {
    /// Sends files in one session.
    ///
    /// # Errors
    /// When the session did not end in order. A file that was refused is no error, but is in the report.
    pub async fn send<F>(
        &self,
        settings: &Settings,
        files: &[FileToSend],
        on_event: F,
    ) -> Result<Called, CallError>
    where
        F: FnMut(Event) + Send,
    {
        let (stream, local) = self.connect().await?;
        let report = match &self.trust {
            None => oftp::send_files(stream, settings, files, on_event).await,
            Some(trust) => {
                let stream = tls::connect(stream, trust, &self.host(), self.wait).await;
                let stream = stream.map_err(|error| self.failed(CallFault::Session(error)))?;
                oftp::send_files(stream, settings, files, on_event).await
            }
        };
        let report = report.map_err(|error| self.failed(CallFault::Session(error)))?;
        Ok(Called { local, report })
    }

    /// Waits for the ready message of the station and hangs up.
    ///
    /// # Errors
    /// When it does not come.
    pub async fn probe(&self) -> Result<String, CallError> {
        let (stream, _) = self.connect().await?;
        let ready = oftp::probe(stream, self.wait).await;
        ready.map_err(|error| self.failed(CallFault::Session(error)))
    }

    async fn connect(&self) -> Result<(TcpStream, SocketAddr), CallError> {
        let failed = |error| self.failed(CallFault::Connect(error));
        let first = self.via.as_ref().unwrap_or(&self.at);
        let stream = relay::connect(&host_of(first), first.port, self.wait).await.map_err(failed)?;
        let local = stream.set_nodelay(true).and_then(|()| stream.local_addr());
        let local = local.map_err(|error| failed(ConnectError::HostUnreachable(error)))?;
        if self.via.is_none() {
            return Ok((stream, local));
        }
        let host = self.host();
        let asked = Socks5Stream::connect_with_socket(stream, (host.as_str(), self.at.port));
        let late = || tokio_socks::Error::Io(io::ErrorKind::TimedOut.into());
        match timeout(self.wait, asked).await.unwrap_or_else(|_| Err(late())) {
            Ok(stream) => Ok((stream.into_inner(), local)),
            Err(error) => Err(self.failed(CallFault::Socks(error))),
        }
    }

    fn host(&self) -> String {
        host_of(&self.at)
    }

    fn failed(&self, fault: CallFault) -> CallError {
        CallError { at: self.at.clone(), via: self.via.clone(), is_tls: self.trust.is_some(), fault }
    }
}

impl CallError {
    /// What failed.
    pub fn fault(&self) -> &CallFault {
        &self.fault
    }

    /// What to do about it, where that is known.
    fn advice(&self) -> Option<&'static str> {
        match &self.fault {
            CallFault::Connect(error) => Some(match error {
                ConnectError::UnknownName(_) => "check the spelling and the name service",
                ConnectError::Refused => {
                    "nothing listens there: check the port and that the station runs; an external port of \
                     os4x_proxy is open only while a client is attached"
                }
                ConnectError::NetworkUnreachable(_) | ConnectError::HostUnreachable(_) => {
                    "check the address and the route to it"
                }
                ConnectError::TimedOut(_) => "check the address, and firewalls on the way",
                ConnectError::Exhausted(_) => "see `ulimit -n` and `ss -s`",
                // Nothing here restricts what is dialled, or from where.
                ConnectError::Forbidden | ConnectError::NoSource | ConnectError::WrongSource(..) => {
                    return None;
                }
            }),
            CallFault::Socks(tokio_socks::Error::ConnectionNotAllowedByRuleset) => {
                Some("see [outgoing] allow of os4x_proxy, and of os4x_proxyclient if it has one")
            }
            CallFault::Socks(tokio_socks::Error::GeneralSocksServerFailure) => {
                Some("is os4x_proxyclient attached? its log has the reason of the call")
            }
            CallFault::Socks(_) => Some("both daemons' logs have the reason of the call"),
            CallFault::Session(OftpError::Link(fault)) => self.link_advice(fault),
            CallFault::Session(OftpError::Peer(PeerFault::EndedSession { reason, .. })) => match *reason {
                EndReason::USER_CODE_NOT_KNOWN => {
                    Some("agree with the partner on the code of this station and give it with --code")
                }
                EndReason::INVALID_PASSWORD => {
                    Some("agree with the partner on the password of this station and give it with --password")
                }
                _ => None,
            },
            CallFault::Session(OftpError::Peer(PeerFault::Buffer(_))) if !self.is_tls => {
                Some("this may be no OFTP station, or one that wants --tls")
            }
            CallFault::Session(_) => None,
        }
    }

    fn link_advice(&self, fault: &LinkFault) -> Option<&'static str> {
        match fault {
            LinkFault::Closed { awaiting } | LinkFault::TimedOut { awaiting, .. }
                if awaiting.contains("ready message") =>
            {
                Some(match (fault, self.is_tls) {
                    (LinkFault::Closed { .. }, _) => {
                        "the station is not there or turns this caller away; if this is an external port of \
                         os4x_proxy, both daemons' logs have the reason of the call"
                    }
                    (_, false) => "a port for TLS says nothing to a plain caller: try --tls",
                    (_, true) => "check that an OFTP station is there",
                })
            }
            LinkFault::Handshake(error) if is_about_certificate(error) => {
                Some("the station shows another certificate than the one given with --pin")
            }
            LinkFault::Handshake(_) => Some("if this is a port for plain OFTP, leave --tls out"),
            LinkFault::TimedOut { awaiting, .. } if awaiting.contains("TLS") => {
                Some("if this is a port for plain OFTP, leave --tls out")
            }
            _ => None,
        }
    }
}

/// The host as a resolver and TLS take it: addresses without brackets.
fn host_of(at: &HostPort) -> String {
    match &at.host {
        Host::Name(name) => name.clone(),
        Host::Ip(ip) => ip.to_string(),
    }
}

fn is_about_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = &self.at;
        match &self.fault {
            CallFault::Connect(error) => {
                write!(f, "cannot connect to {}: {error}", self.via.as_ref().unwrap_or(at))?;
            }
            CallFault::Socks(error) => {
                let via = self.via.as_ref().map_or_else(String::new, ToString::to_string);
                write!(f, "{via} does not connect to {at}: {error}")?;
            }
            CallFault::Session(error) => write!(f, "the call to {at} failed: {error}")?,
        }
        match self.advice() {
            Some(advice) => write!(f, "; {advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CallError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(is_tls: bool, fault: CallFault) -> String {
        CallError { at: "[::1]:6619".parse().unwrap(), via: None, is_tls, fault }.to_string()
    }

    #[test]
    fn sentences_say_what_to_do() {
        let refused = text(false, CallFault::Connect(ConnectError::Refused));
        assert!(refused.starts_with("cannot connect to [::1]:6619: connection refused; "), "{refused}");
        let awaiting = "the ready message (SSRM)";
        let after = Duration::from_secs(5);
        let silent = |is_tls| {
            let fault = OftpError::Link(LinkFault::TimedOut { awaiting, after });
            text(is_tls, CallFault::Session(fault))
        };
        assert!(silent(false).ends_with("try --tls"), "{}", silent(false));
        assert!(!silent(true).contains("--tls"), "{}", silent(true));
        let reason = EndReason::INVALID_PASSWORD;
        let ended = OftpError::Peer(PeerFault::EndedSession { reason, text: String::new() });
        assert!(text(false, CallFault::Session(ended)).ends_with("--password"));
    }

    #[test]
    fn a_foreign_certificate_is_told_from_other_failures() {
        let certificate = rustls::CertificateError::ApplicationVerificationFailure;
        let error = io::Error::other(rustls::Error::InvalidCertificate(certificate));
        let foreign = text(true, CallFault::Session(LinkFault::Handshake(error).into()));
        assert!(foreign.ends_with("--pin"), "{foreign}");
        let error = io::ErrorKind::UnexpectedEof.into();
        let other = text(true, CallFault::Session(LinkFault::Handshake(error).into()));
        assert!(other.ends_with("leave --tls out"), "{other}");
    }
}
