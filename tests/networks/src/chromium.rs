//! A Chromium that plays the client in TypeScript: one browser for many sessions, each in a page of its own.
//!
//! `browser/chromium.mjs` drives it and says how a page comes to be: of the gateway's own origin, without a byte of it having
//! crossed the network. Each page is in a context that remembers nothing: no connection, no verdict, no session.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::node::Node;
use crate::route::{By, Route};

/// What a browser is made of.
#[derive(Clone, Debug)]
pub struct Browser {
    /// Chromium's executable.
    pub chromium: PathBuf,
    /// The `node_modules` that holds `playwright-core`.
    pub playwright: PathBuf,
    /// The client's bundle, a script that defines `throughline`.
    pub client: PathBuf,
}

/// A browser that runs.
#[derive(Debug)]
pub struct Chromium {
    /// What it says it is.
    pub version: String,
    browser: Browser,
    shared: Arc<Shared>,
    working: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// What the script is to do next; nothing more once it is told to quit.
    orders: Mutex<Option<mpsc::UnboundedSender<Value>>>,
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    opened: u64,
    tell: BTreeMap<u64, mpsc::UnboundedSender<Value>>,
}

/// A page. Dropping it closes it, with whatever runs in it.
#[derive(Debug)]
pub(crate) struct Page {
    number: u64,
    shared: Arc<Shared>,
}

/// What a page tells.
#[derive(Debug)]
pub(crate) struct Told(mpsc::UnboundedReceiver<Value>);

impl Chromium {
    /// Starts it; `trust` is a certificate in PEM.
    ///
    /// # Errors
    /// When Node or the browser does not start.
    pub async fn start(browser: &Browser, trust: Option<&[u8]>) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser/chromium.mjs");
        let variables = [("CHROMIUM", &*browser.chromium), ("PLAYWRIGHT", &*browser.playwright)];
        let mut arguments = vec![browser.client.as_os_str()];
        arguments.extend(trust.map(std::str::from_utf8).transpose()?.map(OsStr::new));
        let mut node = Node::start(&script, &arguments, &variables)?;
        let input = node.told()?;
        let said = node.next(PATIENCE).await.context("Chromium starts")?;
        let version = said["version"].as_str().context("it says its version")?;
        let version = format!("Chromium {version}");
        let (orders, to_do) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { orders: Mutex::new(Some(orders)), pages: Mutex::default() });
        let working = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                tokio::join!(order(input, to_do), hear(node, &shared));
            }
        });
        Ok(Self { version, browser: browser.clone(), shared, working })
    }

    /// Another one, that trusts a certificate.
    pub(crate) async fn trusting(&self, pem: &[u8]) -> Result<Self> {
        Self::start(&self.browser, Some(pem)).await
    }

    /// Ends it, and waits until it has.
    pub async fn quit(mut self) {
        lock(&self.shared.orders).take();
        let _ = tokio::time::timeout(PATIENCE, &mut self.working).await;
    }

    /// Opens a page of the gateway's origin that takes this route.
    pub(crate) async fn open(&self, route: &Route) -> Result<(Page, Told)> {
        let (tell, told) = mpsc::unbounded_channel();
        let number = {
            let mut pages = lock(&self.shared.pages);
            pages.opened += 1;
            let number = pages.opened;
            pages.tell.insert(number, tell);
            number
        };
        let page = Page { number, shared: Arc::clone(&self.shared) };
        let proxy = match route.by {
            By::Itself => None,
            By::Forwarding(proxy) | By::Tunnel(proxy) => Some(format!("http://{proxy}")),
        };
        self.shared.order(json!({ "page": number, "open": format!("{}/", route.url()), "proxy": proxy }));
        let mut told = Told(told);
        told.answer("opened").await?;
        Ok((page, told))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        self.working.abort();
    }
}

impl Page {
    /// Calls what `browser/page.js` has of this name.
    pub(crate) fn call(&self, name: &str, with: Value) {
        self.shared.order(json!({ "page": self.number, "call": name, "with": with }));
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        lock(&self.shared.pages).tell.remove(&self.number);
        self.shared.order(json!({ "page": self.number, "close": true }));
    }
}

impl Told {
    /// The next that it tells.
    ///
    /// # Errors
    /// When something has gone wrong in it, or the browser is gone.
    pub(crate) async fn next(&mut self) -> Result<Value> {
        let told = self.0.recv().await.context("the browser is gone")?;
        match told["error"].as_str() {
            Some(error) => bail!("{error}"),
            None => Ok(told),
        }
    }

    /// What it tells under this name, in good time.
    pub(crate) async fn answer(&mut self, name: &str) -> Result<Value> {
        let answer = async {
            loop {
                let mut told = self.next().await?;
                if !told[name].is_null() {
                    return Ok(told[name].take());
                }
            }
        };
        tokio::time::timeout(PATIENCE, answer)
            .await
            .with_context(|| format!("a page tells nothing: {name}"))?
    }
}

impl Shared {
    fn order(&self, what: Value) {
        if let Some(orders) = &*lock(&self.orders) {
            let _ = orders.send(what);
        }
    }
}

/// Hands on what is to be done.
async fn order(mut input: ChildStdin, mut to_do: mpsc::UnboundedReceiver<Value>) {
    while let Some(what) = to_do.recv().await {
        if input.write_all(format!("{what}\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Hands out what is told, until the browser is gone.
async fn hear(mut node: Node, shared: &Shared) {
    while let Ok(Some(told)) = node.says().await {
        let number = told["page"].as_u64().unwrap_or_default();
        if let Some(tell) = lock(&shared.pages).tell.get(&number) {
            let _ = tell.send(told);
        }
    }
    lock(&shared.pages).tell.clear();
    lock(&shared.orders).take();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long the browser may take for what is not measured: others may be before it.
const PATIENCE: Duration = Duration::from_secs(60);
