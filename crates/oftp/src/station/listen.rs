//! A listener with many calls.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::serve_call;
use crate::error::{LinkFault, OftpError};
use crate::limits::{ACCEPT_PAUSE, CALLS_MAX};
use crate::report::{Event, SessionReport};
use crate::settings::Settings;
use crate::tls::{self, Identity};

/// What a listener tells. `call` counts the calls from 1, in the order they came.
#[derive(Debug)]
pub enum ListenEvent {
    /// A call came in.
    Call {
        /// Which call.
        call: u64,
        /// From where.
        peer: SocketAddr,
    },
    /// Something happened in a call.
    Session {
        /// Which call.
        call: u64,
        /// What.
        event: Event,
    },
    /// A call is over.
    Ended {
        /// Which call.
        call: u64,
        /// How it went.
        result: Result<SessionReport, OftpError>,
    },
    /// A call was closed at once, as too many are being served.
    Refused {
        /// Which call.
        call: u64,
        /// From where.
        peer: SocketAddr,
    },
    /// A call could not be accepted; the listener goes on after a pause.
    AcceptFailed {
        /// Why.
        error: std::io::Error,
    },
}

/// Serves calls until `shutdown` completes; then calls still running are cut. With an identity, every call begins
/// with a TLS handshake. Each call has its own task, so no caller can hold up or end the listener.
pub async fn listen<F>(
    listener: TcpListener,
    settings: Arc<Settings>,
    identity: Option<Identity>,
    shutdown: impl Future<Output = ()>,
    on_event: F,
) where
    F: Fn(ListenEvent) + Clone + Send + Sync + 'static,
{
    let room = Arc::new(Semaphore::new(CALLS_MAX));
    let mut calls = JoinSet::new();
    let mut call = 0;
    tokio::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
            Some(_) = calls.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                on_event(ListenEvent::AcceptFailed { error });
                tokio::select! {
                    () = &mut shutdown => break,
                    () = sleep(ACCEPT_PAUSE) => continue,
                }
            }
        };
        call += 1;
        let Ok(permit) = room.clone().try_acquire_owned() else {
            on_event(ListenEvent::Refused { call, peer });
            continue;
        };
        on_event(ListenEvent::Call { call, peer });
        calls.spawn(serve(stream, call, permit, settings.clone(), identity.clone(), on_event.clone()));
    }
    calls.shutdown().await;
}

async fn serve<F>(
    stream: TcpStream,
    call: u64,
    _permit: OwnedSemaphorePermit,
    settings: Arc<Settings>,
    identity: Option<Identity>,
    on_event: F,
) where
    F: Fn(ListenEvent) + Send + Sync,
{
    let on_session = |event| on_event(ListenEvent::Session { call, event });
    let result = async {
        stream.set_nodelay(true).map_err(LinkFault::Io)?;
        match identity {
            None => serve_call(stream, &settings, on_session).await,
            Some(identity) => {
                let stream = tls::accept(stream, &identity, settings.answer_wait).await?;
                serve_call(stream, &settings, on_session).await
            }
        }
    }
    .await;
    on_event(ListenEvent::Ended { call, result });
}
