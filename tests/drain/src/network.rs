//! Connections that count what goes wrong with them.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use throughline_client::{Connection, Dial, Dialing};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};

/// TCP, and what became of it.
#[derive(Default)]
pub(crate) struct Counting {
    pub(crate) made: AtomicU64,
    failures: Arc<Mutex<Vec<String>>>,
}

impl Counting {
    /// What was refused or reset.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().expect("nobody panics with it").clone()
    }
}

impl Dial for Counting {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> Dialing<'a> {
        Box::pin(async move {
            self.made.fetch_add(1, Ordering::Relaxed);
            let stream = TcpStream::connect((host, port)).await.inspect_err(|error| {
                self.failures.lock().expect("nobody panics with it").push(format!("to connect: {error}"));
            })?;
            stream.set_nodelay(true)?;
            Ok(Box::new(Counted { stream, failures: Arc::clone(&self.failures) }) as Box<dyn Connection>)
        })
    }
}

struct Counted {
    stream: TcpStream,
    failures: Arc<Mutex<Vec<String>>>,
}

impl Counted {
    fn noted<T>(&self, what: &str, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &result {
            self.failures.lock().expect("nobody panics with it").push(format!("to {what}: {error}"));
        }
        result
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.noted("read", result)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.noted("write", result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
