//! One process takes another's place, and nobody who connects is refused or reset.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt as _, net::UnixStream},
    },
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use crate::kit::{
    PATIENCE,
    http::Ask,
    process::{Process, Serve, throughline},
};

/// A folder with a configuration that both processes have: one key, and where one waits for the other.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("throughline-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let config = format!(
            "[[token_keys]]\nid = \"a\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
             [handover]\nsocket = {:?}\n",
            folder.join("handover.sock").to_str().unwrap()
        );
        let place = Self(folder);
        std::fs::write(place.config(), config).unwrap();
        place
    }

    fn socket(&self) -> PathBuf {
        self.0.join("handover.sock")
    }

    fn config(&self) -> PathBuf {
        self.0.join("throughline.toml")
    }

    fn serve(&self) -> Serve {
        Serve::start(&["--config", self.config().to_str().unwrap()])
    }

    fn serve_with(&self, setting: &str) -> Serve {
        Serve::start(&["--config", self.config().to_str().unwrap(), "--set", setting])
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Requests without an end, on new connections and on kept ones.
struct Hammer {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Hammer {
    fn start(address: SocketAddr) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let threads = (0..4).map(|n| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || {
                let (mut broken, mut kept) = (Vec::new(), None);
                while !stop.load(Ordering::Relaxed) {
                    match ask(address, &mut kept, n % 2 == 0) {
                        Ok(()) => _ = answered.fetch_add(1, Ordering::Relaxed),
                        Err(error) => broken.push(error.to_string()),
                    }
                }
                broken
            })
        });
        Self { threads: threads.collect(), stop, answered }
    }

    /// Waits for so many more answers.
    fn more(&self, count: u64) {
        let until = self.answered.load(Ordering::Relaxed) + count;
        let began = std::time::Instant::now();
        while self.answered.load(Ordering::Relaxed) < until {
            assert!(began.elapsed() < PATIENCE, "nothing is answered");
            thread::yield_now();
        }
    }

    /// What went wrong.
    fn end(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect()
    }
}

/// One request; the connection is kept where both want it.
fn ask(address: SocketAddr, kept: &mut Option<TcpStream>, keeps: bool) -> std::io::Result<()> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect(address)?,
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let close = if keeps { "" } else { "connection: close\r\n" };
    stream.write_all(format!("GET /healthz HTTP/1.1\r\nhost: {address}\r\n{close}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") {
        let mut some = [0; 1_024];
        let count = stream.read(&mut some)?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        answer.extend_from_slice(&some[..count]);
    }
    let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    if keeps && !head.contains("connection: close") {
        *kept = Some(stream);
    }
    Ok(())
}

fn get(address: SocketAddr, path: &str) -> crate::kit::http::Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Ask::get(path).to(address))
}

/// The value of a series in a process's metrics.
fn metric(serve: &Serve, series: &str) -> u64 {
    let text = get(serve.admin_address(), "/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(series)).unwrap_or_else(|| panic!("{text}"));
    line.trim().parse().expect("a number")
}

#[test]
fn a_successor_takes_over_under_load_and_every_client_comes_back_once() {
    let place = Place::new("handover");
    let mut first = place.serve();
    let mode = std::fs::metadata(place.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "nobody else may take the listeners");
    let mut listeners = ["websocket", "polling", "sse"].map(|transport| {
        let mut listener = first.listen(&["news", "--transport", transport]);
        listener.line("- #1 subscribed");
        (transport, listener)
    });
    let hammer = Hammer::start(first.client_address());
    hammer.more(200);

    let second = place.serve();
    assert_eq!((&second.clients, &second.admin), (&first.clients, &first.admin), "the same sockets");
    assert_eq!(first.process.wait(), Some(0), "it ends by itself");
    assert!(first.process.errors.iter().any(|line| line.contains("drained")), "{:?}", first.process.errors);
    for (transport, listener) in &mut listeners {
        while !listener.line(&format!("- {transport} ")).contains("lost (drain); again in ") {}
        listener.line("- session lost"); // the broker is each process's own
        let back = listener.line(&format!("- {transport} "));
        assert!(back.contains("opened"), "{back}");
    }
    let published = second.publish(&["news", "1"]);
    assert_eq!(published.code, Some(0), "{published:?}");
    for (transport, listener) in &mut listeners {
        listener.line(&format!("{transport} #")); // the event, on the channel that it still holds
    }
    hammer.more(200);
    assert_eq!(hammer.end(), Vec::<String>::new(), "nobody is refused or reset");
    let come = |class: &str, verdict: &str| {
        metric(&second, &format!("throughline_admissions_total{{class=\"{class}\",verdict=\"{verdict}\"}}"))
    };
    assert_eq!((come("resume", "kept"), come("newcomer", "admitted")), (3, 0), "each came back on its slot");

    // And so on: the successor hands over as it was handed to.
    let third = place.serve();
    assert_eq!(third.clients, second.clients);
}

#[test]
fn over_webtransport_clients_come_back_another_way_and_move_up_once_the_port_has_moved() {
    let place = Place::new("udp");
    let mut first = place.serve();
    let mut listener = first.listen(&["news"]);
    listener.line("- webtransport "); // the best that works
    let second = place.serve();
    assert_eq!(second.clients, first.clients);
    while !listener.line("- webtransport ").contains("lost (drain); again in ") {}
    let back = loop {
        let line = listener.line("- ");
        if line.contains(": session ") {
            break line;
        }
    };
    assert!(!back.starts_with("- webtransport "), "the port is with the process before: {back}");
    assert_eq!(first.process.wait(), Some(0), "it ends by itself");
    let up = listener.line("- webtransport ");
    assert!(up.contains(": session ") && up.ends_with(" resumed"), "it moves up by itself: {up}");
    assert_eq!(second.publish(&["news", "1"]).code, Some(0));
    listener.line("webtransport #");
}

#[test]
fn a_successor_that_dies_before_it_is_ready_changes_nothing() {
    let place = Place::new("stillborn");
    let mut first = place.serve();
    for _ in 0..3 {
        let mut successor = UnixStream::connect(place.socket()).unwrap();
        let mut word = [0; 12];
        successor.read_exact(&mut word).unwrap(); // with it come descriptors, which nobody takes up
        drop(successor);
        first.process.error_line("the successor is gone");
    }
    assert_eq!(get(first.client_address(), "/readyz").status, 200);
    let mut refused = UnixStream::connect(place.socket()).unwrap();
    refused.write_all(b"what?\n").unwrap();
    first.process.error_line("the successor is gone");
    let second = place.serve();
    assert_eq!(second.clients, first.clients, "the next one takes over");
    assert_eq!(first.process.wait(), Some(0));
}

/// A successor that has the sockets.
fn successor(place: &Place) -> UnixStream {
    let mut successor = UnixStream::connect(place.socket()).unwrap();
    successor.read_exact(&mut [0; 28]).unwrap();
    successor
}

/// Publishes on a connection that is kept; gives the answer.
fn publish_on(kept: &mut TcpStream) -> String {
    let body = r#"{"channel":"news","data":1}"#;
    let head = "POST /api/v1/publish HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let length = body.len();
    kept.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes()).unwrap();
    kept.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = String::new();
    while !answer.ends_with('}') {
        let mut some = [0; 1_024];
        let count = kept.read(&mut some).unwrap();
        assert!(count > 0, "it ends: {answer}");
        answer.push_str(std::str::from_utf8(&some[..count]).unwrap());
    }
    answer
}

#[test]
fn what_is_asked_of_the_admin_api_once_a_successor_may_serve_is_for_the_successor() {
    let place = Place::new("kept");
    let first = place.serve_with("drain.deadline_ms=600000");
    let mut listener = first.listen(&["news", "--transport", "websocket"]);
    listener.line("- #1 subscribed");
    let mut kept = TcpStream::connect(first.admin_address()).unwrap();
    assert!(publish_on(&mut kept).contains("position"), "it is taken");
    let mut successor = successor(&place);
    successor.write_all(b"ready\n").unwrap();
    successor.read_exact(&mut [0; 6]).unwrap(); // "yours"
    let answer = publish_on(&mut kept);
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("shutting_down"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

/// A successor that is ready, and dies of it.
fn be_ready_and_die(place: &Place, first: &mut Serve) {
    let mut successor = successor(place);
    // The process hears of both at once: it may not hand over in between.
    first.process.stop();
    successor.write_all(b"ready\n").unwrap();
    drop(successor);
    first.process.signal("CONT");
    let both = ["a successor takes over", "the successor is gone"]; // in either order
    let said = |errors: &[String]| both.iter().all(|what| errors.iter().any(|line| line.contains(what)));
    while !said(&first.process.errors) {
        first.process.error_line("");
    }
}

#[test]
fn a_successor_that_dies_once_it_was_ready_leaves_a_process_that_drains_and_hands_over_to_the_next() {
    let place = Place::new("widowed");
    let mut first = place.serve_with("drain.deadline_ms=600000");
    let mut listener = first.listen(&["news", "--transport", "websocket"]);
    listener.line("- #1 subscribed");
    be_ready_and_die(&place, &mut first);
    assert_eq!(get(first.client_address(), "/healthz").status, 200, "it accepts yet");
    first.process.signal("TERM");
    first.process.error_line("stopping already");

    let second = place.serve();
    assert_eq!(second.clients, first.clients);
    assert_eq!(first.process.wait(), Some(0));
    assert!(first.process.errors.iter().any(|line| line.contains("drained")), "{:?}", first.process.errors);
    while !listener.line("- websocket ").contains("lost (drain)") {}
    assert!(
        listener.line("- websocket ").contains("opened"),
        "its session is told by whom it can be taken up"
    );
}

#[test]
fn a_process_that_nobody_followed_after_all_fails() {
    let place = Place::new("childless");
    let mut first = place.serve_with("drain.deadline_ms=1000");
    be_ready_and_die(&place, &mut first);
    assert_eq!(first.process.wait(), Some(1), "a supervisor is to start another");
    let errors = &first.process.errors;
    assert!(errors.iter().any(|line| line.contains("no successor took over")), "{errors:?}");
}

#[test]
fn a_successor_that_can_tell_nobody_where_it_listens_serves_all_the_same() {
    let place = Place::new("mute");
    let mut first = place.serve();
    let config = place.config();
    let mut command = throughline(&["serve", "--config", config.to_str().unwrap()]);
    let (heard, said) = std::io::pipe().unwrap();
    drop(heard);
    command.stdout(said);
    let mut second = command.spawn().unwrap();
    assert_eq!(first.process.wait(), Some(0), "it has handed over");
    assert_eq!(get(first.client_address(), "/readyz").status, 200);
    second.kill().unwrap();
    second.wait().unwrap();
}

#[test]
fn a_process_that_was_killed_leaves_nothing_in_the_way_of_the_next() {
    let place = Place::new("killed");
    let mut first = place.serve();
    first.process.signal("KILL");
    first.process.wait();
    let second = place.serve();
    assert_eq!(get(second.client_address(), "/readyz").status, 200);
}

/// A process with this listener as a supervisor passes it on, by that name.
fn supervised(listener: &TcpListener, name: &str) -> Serve {
    // As systemd does: the first descriptor is 3, and the process is named.
    const SCRIPT: &str = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"";
    let serve = ["serve", "--admin-listen", "127.0.0.1:0", "--set", "webtransport.enabled=false"];
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT, "sh", env!("CARGO_BIN_EXE_throughline")]).args(serve);
    command.env("LISTEN_FDNAMES", name);
    command.stdin(OwnedFd::from(listener.try_clone().unwrap()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Serve::of(Process::start(command))
}

#[test]
fn a_supervisors_socket_is_served_and_whoever_connects_between_two_processes_waits() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut first = supervised(&listener, "clients");
    assert_eq!(first.client_address(), address);
    assert_eq!(get(address, "/readyz").status, 200);
    first.process.signal("TERM");
    assert_eq!(first.process.wait(), Some(0));
    let waiting = thread::spawn(move || ask(address, &mut None, false));
    // As a unit says that says nothing of names.
    let second = supervised(&listener, "throughline.socket");
    waiting.join().unwrap().expect("it waited, and was answered");
    assert_eq!(get(second.client_address(), "/readyz").status, 200);
}
