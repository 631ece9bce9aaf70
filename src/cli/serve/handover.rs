//! How one process hands its listening sockets to the next, by a socket in the file system.
//!
//! ```text
//! successor                           predecessor
//!     │ ── connects ───────────────────▶ │
//!     │ ◀── "sockets", with descriptors ─ │   SCM_RIGHTS: both hold the listeners now
//!     │       … reads its settings, reaches its broker …
//!     │ ── "ready" ────────────────────▶ │   begins to drain, accepts yet
//!     │       … whoever might come back by another connection is told when …
//!     │ ◀── "yours" ──────────────────── │   has stopped accepting
//!     │ ── "serving" ──────────────────▶ │
//!     ▼ accepts                          ▼ drains, ends
//! ```
//!
//! Nobody is refused: what connects while neither accepts waits in the system's queue, which belongs to the sockets and not
//! to a process. A successor that dies before it is ready changes nothing; one that dies between "ready" and "serving" leaves
//! a process that drains, and hands over to the next who asks. A predecessor that dies is one that has handed over; the one
//! that sends its successor away says so.

use std::{
    fs,
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    net::TcpListener,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{fs::PermissionsExt as _, net::UnixListener as StdUnixListener},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Interest},
    net::{UnixListener, UnixStream},
    time::timeout,
};

use super::inherited::{Inherited, NAMES};

/// The process before this one, which goes on until it is told that this one is ready.
#[derive(Debug)]
pub(super) struct Predecessor(UnixStream);

/// Asks the process that waits at `path` for its sockets. `None` where none does.
pub(super) async fn ask(path: &Path) -> anyhow::Result<Option<(Predecessor, Inherited)>> {
    let asking = async {
        loop {
            match ask_once(path).await {
                // It left before it looked who asks: perhaps another waits there by now.
                Err(error) if is_gone(&error) => tokio::time::sleep(AGAIN).await,
                asked => return asked,
            }
        }
    };
    let asked = timeout(PATIENCE, asking).await.context("the process before does not answer")?;
    asked.with_context(|| format!("no sockets from {}", path.display()))
}

async fn ask_once(path: &Path) -> io::Result<Option<(Predecessor, Inherited)>> {
    let stream = match UnixStream::connect(path).await {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        connected => connected?,
    };
    let sockets = stream.async_io(Interest::READABLE, || receive(&stream)).await?;
    let [clients, admin] = sockets.map(|socket| Some(TcpListener::from(socket)));
    Ok(Some((Predecessor(stream), Inherited { clients, admin })))
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}

impl Predecessor {
    /// Says that this process is ready, and waits until the one before accepts nobody any more.
    pub(super) async fn take_over(&mut self) -> anyhow::Result<()> {
        // One that is gone has nothing to say against it.
        let _ = self.0.write_all(READY).await;
        let mut stream = BufReader::new(&mut self.0);
        let mut word = String::new();
        let _ = timeout(PATIENCE, stream.read_line(&mut word))
            .await
            .context("the process before does not answer")?;
        match word.as_str() {
            YOURS | "" => Ok(()),
            other => anyhow::bail!("the process before goes on: {}", other.trim_end()),
        }
    }

    /// Says that this process serves; the one before may end.
    pub(super) async fn serving(mut self) {
        let _ = self.0.write_all(SERVING).await;
    }
}

/// Where this process waits for the next.
#[derive(Debug)]
pub(super) struct Handover {
    listener: UnixListener,
    sockets: [OwnedFd; 2],
}

/// A process that is ready to take over.
#[derive(Debug)]
pub(super) struct Successor(UnixStream);

impl Handover {
    /// Waits at `path`, in place of whoever waited there before, with these listeners to hand over.
    pub(super) fn bind(path: &Path, clients: impl AsFd, admin: impl AsFd) -> io::Result<Self> {
        // Under another name until it is set up: nobody finds it half made, nor none.
        let made = PathBuf::from(format!("{}.{}", path.display(), std::process::id()));
        let _ = fs::remove_file(&made);
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(&made)?)?;
        fs::set_permissions(&made, fs::Permissions::from_mode(0o600))?;
        socket.listen(1)?; // only now can anybody connect
        fs::rename(&made, path)?;
        socket.set_nonblocking(true)?;
        let sockets = [clients.as_fd().try_clone_to_owned()?, admin.as_fd().try_clone_to_owned()?];
        Ok(Self { listener: UnixListener::from_std(StdUnixListener::from(OwnedFd::from(socket)))?, sockets })
    }

    /// Waits for a process that has the sockets and is ready to serve.
    pub(super) async fn successor(&self) -> Successor {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a successor could not be accepted");
                    tokio::time::sleep(AGAIN).await;
                    continue;
                }
            };
            tracing::info!("a successor has asked for the listeners");
            let mut stream = stream;
            match timeout(PATIENCE, self.offer(&mut stream)).await {
                Ok(Ok(())) => return Successor(stream),
                Ok(Err(error)) => tracing::warn!(%error, "the successor is gone: this process goes on"),
                Err(_) => {
                    let _ = stream.write_all(TOO_LATE).await;
                    tracing::warn!("the successor was not ready in time: this process goes on");
                }
            }
        }
    }

    /// Hands the sockets over, and waits until they are of use.
    async fn offer(&self, stream: &mut UnixStream) -> io::Result<()> {
        let sockets = [self.sockets[0].as_fd(), self.sockets[1].as_fd()];
        stream.async_io(Interest::WRITABLE, || send(stream, &sockets)).await?;
        hear(stream, READY).await
    }
}

impl Successor {
    /// Nobody else accepts any more: waits until this one does. An error says that it is gone.
    pub(super) async fn go_ahead(&mut self) -> io::Result<()> {
        self.0.write_all(YOURS.as_bytes()).await?;
        hear(&mut self.0, SERVING).await
    }

    /// Waits until it is gone: it has nothing more to say.
    pub(super) async fn gone(&mut self) {
        let _ = self.0.read(&mut [0]).await;
    }
}

async fn hear(stream: &mut UnixStream, expected: &[u8]) -> io::Result<()> {
    let mut word = String::new();
    BufReader::with_capacity(expected.len(), stream).read_line(&mut word).await?;
    if word.as_bytes() == expected { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn send(stream: &UnixStream, sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    rights.push(SendAncillaryMessage::ScmRights(sockets));
    sendmsg(stream, &[IoSlice::new(SOCKETS)], &mut rights, SendFlags::empty())?;
    Ok(())
}

fn receive(stream: &UnixStream) -> io::Result<[OwnedFd; 2]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let mut word = [0; SOCKETS.len()];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let length = recvmsg(stream, &mut [IoSliceMut::new(&mut word)], &mut rights, flags)?.bytes;
    let sockets: Vec<OwnedFd> = rights
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(sockets) => Some(sockets),
            _ => None,
        })
        .flatten()
        .collect();
    if length == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "it is no gateway, or of another version");
    if word[..length] != *SOCKETS { Err(wrong()) } else { sockets.try_into().map_err(|_| wrong()) }
}

/// What goes with the descriptors of [`NAMES`], in their order.
const SOCKETS: &[u8] = b"throughline 2 clients admin\n";
const _: () = assert!(NAMES.len() == 2, "SOCKETS names them");
const READY: &[u8] = b"ready\n";
const YOURS: &str = "yours\n";
const SERVING: &[u8] = b"serving\n";
const TOO_LATE: &[u8] = b"it was not ready in time\n";
/// How long either waits for the other.
const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn whoever_asks_a_process_that_just_leaves_asks_the_one_that_waits_then() {
        let path = std::env::temp_dir().join(format!("throughline-leaving-{}.sock", std::process::id()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wait = || Handover::bind(&path, &listener, &listener).unwrap();
        let leaving = wait();
        let mut asking = pin!(ask(&path));
        assert!(asking.as_mut().now_or_never().is_none(), "it has connected");
        let next = wait();
        drop(leaving);
        let next = tokio::spawn(async move { next.successor().await });
        assert!(asking.await.unwrap().is_some());
        next.abort();
        let _ = next.await;

        let leaving = wait();
        let mut asking = pin!(ask(&path));
        assert!(asking.as_mut().now_or_never().is_none());
        drop(leaving);
        assert!(asking.await.unwrap().is_none(), "nobody has followed");
        fs::remove_file(&path).unwrap();
    }
}
