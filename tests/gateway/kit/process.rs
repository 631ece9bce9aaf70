//! The command as a process of its own.

use std::{
    io::{BufRead as _, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use super::PATIENCE;

/// A running command, killed with its test.
pub(crate) struct Process {
    child: Child,
    out: mpsc::Receiver<String>,
    err: mpsc::Receiver<String>,
    /// Everything that was read of the standard error.
    pub(crate) errors: Vec<String>,
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The command with these arguments and nothing in its environment that would change it.
pub(crate) fn throughline(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_throughline"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("THROUGHLINE_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end.
pub(crate) fn run(arguments: &[&str]) -> Ended {
    end(Process::start(throughline(arguments)))
}

/// Waits for a command's end.
pub(crate) fn end(mut process: Process) -> Ended {
    let out: Vec<String> = std::iter::from_fn(|| next(&process.out)).collect();
    let code = process.wait();
    Ended { code, out: out.join("\n"), err: process.errors.join("\n") }
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.spawn().expect("the command starts");
        let out = lines(child.stdout.take().expect("piped"));
        let err = lines(child.stderr.take().expect("piped"));
        Self { child, out, err, errors: Vec::new() }
    }

    /// The next line of the standard output that begins so.
    pub(crate) fn line(&mut self, start: &str) -> String {
        loop {
            match next(&self.out) {
                Some(line) if line.starts_with(start) => return line,
                Some(_) => {}
                None => panic!("ended before {start:?}: {:?}", self.drain()),
            }
        }
    }

    /// Waits for a line of the standard error that holds this.
    pub(crate) fn error_line(&mut self, part: &str) -> String {
        loop {
            let line = next(&self.err).unwrap_or_else(|| panic!("ended before {part:?}: {:?}", self.errors));
            self.errors.push(line.clone());
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal: `TERM`, `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "the process is there");
    }

    /// Stops it, and waits until none of its threads runs: `kill` ends before they have heard of it.
    pub(crate) fn stop(&self) {
        self.signal("STOP");
        let is_stopped = |thread: std::io::Result<std::fs::DirEntry>| {
            let stat = thread.and_then(|thread| std::fs::read_to_string(thread.path().join("stat")));
            stat.is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|state| state.starts_with('T')))
        };
        let threads = || std::fs::read_dir(format!("/proc/{}/task", self.id()));
        while threads().is_ok_and(|mut threads| !threads.all(is_stopped)) {
            thread::yield_now();
        }
    }

    /// Waits for the end, and gives the exit code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        // Both pipes end with the process.
        while next(&self.out).is_some() {}
        self.drain();
        self.child.wait().expect("a child").code()
    }

    fn drain(&mut self) -> &[String] {
        while let Some(line) = next(&self.err) {
            self.errors.push(line);
        }
        &self.errors
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `throughline serve` on free ports, with further arguments.
pub(crate) struct Serve {
    pub(crate) process: Process,
    pub(crate) clients: String,
    pub(crate) admin: String,
}

impl Serve {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let ports = ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        Self::of(Process::start(throughline(&[&ports, arguments].concat())))
    }

    /// A process that is a gateway, once it serves.
    pub(crate) fn of(mut process: Process) -> Self {
        let address = |line: String| {
            line.split_whitespace().nth(1).expect("an address").trim_end_matches('/').to_owned()
        };
        let clients = address(process.line("clients"));
        let admin = address(process.line("admin"));
        Self { process, clients, admin }
    }

    /// Where clients connect.
    pub(crate) fn client_address(&self) -> SocketAddr {
        self.clients.trim_start_matches("http://").parse().expect("an address")
    }

    /// Where the admin API is.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin.trim_start_matches("http://").parse().expect("an address")
    }

    /// `throughline listen` to this gateway.
    pub(crate) fn listen(&self, arguments: &[&str]) -> Process {
        Process::start(throughline(&[&["listen", "--url", &self.clients], arguments].concat()))
    }

    /// `throughline publish` to this gateway.
    pub(crate) fn publish(&self, arguments: &[&str]) -> Ended {
        run(&[&["publish", "--admin", &self.admin], arguments].concat())
    }
}

fn lines(pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (to, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { return };
            if to.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The next line; nothing once the pipe has ended.
fn next(lines: &mpsc::Receiver<String>) -> Option<String> {
    match lines.recv_timeout(PATIENCE) {
        Ok(line) => Some(line),
        Err(mpsc::RecvTimeoutError::Disconnected) => None,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("nothing was said in time"),
    }
}
