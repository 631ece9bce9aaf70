//! `deploy/`: what its files set is explained to operators, holds together, and is taken by the programs that read it.

use std::{collections::BTreeMap, fs, path::PathBuf, process::Command};

use crate::{read, root};

const UNITS: [&str; 2] = ["throughline.service", "throughline.socket"];

/// What a file sets, by name; the last of several counts.
fn keys(file: &str) -> BTreeMap<String, String> {
    let text = read(root().join("deploy").join(file));
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.filter_map(|line| line.trim_start_matches('-').split_once('='));
    lines.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

fn number(keys: &BTreeMap<String, String>, key: &str) -> u64 {
    keys[key].parse().unwrap_or_else(|_| panic!("{key} = {:?}", keys[key]))
}

#[test]
fn every_key_is_explained_and_every_number_is_the_document_s() {
    let document = read("docs/operations.md");
    let (_, section) = document.split_once("\n## System limits").expect("the section");
    for file in UNITS.into_iter().chain(["sysctl.conf"]) {
        let keys = keys(file);
        assert!(keys.len() > 4, "{file}: {keys:?}");
        for (key, value) in keys {
            let family =
                ["Protect", "Private", "Restrict"].into_iter().find(|family| key.starts_with(family));
            let names = [format!("`{key}`"), format!("`{}…`", family.unwrap_or("-"))];
            let row = section.lines().find(|line| names.iter().any(|name| line.contains(name)));
            let row = row.unwrap_or_else(|| panic!("{file}: {key} is not explained"));
            let numbers = value
                .split(' ')
                .filter(|word| word.len() > 2 && !word.starts_with('0') && word.parse::<u64>().is_ok());
            for number in numbers {
                assert!(row.contains(number), "{file}: {key} = {number} is not in {row:?}");
            }
        }
    }
}

#[test]
fn what_the_files_set_holds_together() {
    let (service, socket, system) =
        (keys("throughline.service"), keys("throughline.socket"), keys("sysctl.conf"));
    let shed_from = number(&service, "LimitNOFILE") * 90 / 100;
    assert!(shed_from > 2 * 100_000, "event streams have two connections");
    assert!(number(&service, "TimeoutStopSec") >= 25 + 4, "a drain is told to its end");
    assert!(number(&socket, "Backlog") <= number(&system, "net.core.somaxconn"), "more does not count");
}

/// Past the start limit of the service systemd closes the sockets, and past the trigger limit of the socket, which is 20 starts
/// in 2 s where nothing else is said. A start that waits for `RestartSec` is one that clients do not hasten.
#[test]
fn a_gateway_that_cannot_start_takes_no_socket_with_it() {
    let (service, socket) = (keys("throughline.service"), keys("throughline.socket"));
    assert_eq!(number(&service, "StartLimitIntervalSec"), 0);
    assert!(number(&service, "RestartSec") >= 1);
    assert_eq!(service["Restart"], "on-failure");
    let at_once: Vec<_> = service.keys().filter(|key| key.starts_with("RestartPrevent")).collect();
    assert!(at_once.is_empty(), "clients start it again, and without a pause: {at_once:?}");
    assert!(!socket.keys().any(|key| key.starts_with("TriggerLimit")), "{socket:?}");
}

#[test]
fn the_unit_s_configuration_has_room_for_the_sessions_that_it_promises() {
    let service = keys("throughline.service");
    let settings: toml::Table = configuration("throughline.service").parse().expect("TOML");
    let connections = settings["http"]["connections"].as_integer().expect("a number");
    assert!(connections >= 2 * 100_000, "event streams have two connections, polls at times");
    assert!(connections as u64 <= number(&service, "LimitNOFILE") * 90 / 100, "a start does not warn");
    let document = read("docs/operations.md");
    let row = document.lines().find(|line| line.starts_with("| resident, by transport |")).expect("the row");
    let costs = |transport: &str| {
        let (before, _) = row.split_once(&format!(" GB of {transport}")).expect("its number");
        before.rsplit(' ').next().and_then(|number| number.parse::<f64>().ok()).expect("a number") * 1e9
    };
    let memory = settings["limits"]["memory_bytes"].as_integer().expect("a number") as f64;
    let room = memory * 0.9 - (256 << 20) as f64;
    for transport in ["idle WebSockets", "polls", "event streams"] {
        assert!(costs(transport) < room, "{transport}: {} of {room}", costs(transport));
    }
    let offers_webtransport = settings["webtransport"]["enabled"].as_bool() != Some(false);
    assert!(!offers_webtransport || costs("WebTransport") < room);
    let most = service["MemoryMax"].strip_suffix('G').and_then(|most| most.parse::<f64>().ok());
    assert!(memory < most.expect("gigabytes") * 1e9, "what sockets hold is beside it");
}

/// The configuration that the comment at the head of a file asks for.
fn configuration(file: &str) -> String {
    let text = read(root().join("deploy").join(file));
    let lines = text.lines().filter_map(|line| line.strip_prefix("#     "));
    lines.map(|line| format!("{line}\n")).collect::<String>().replace(
        "secret_file = \"/etc/throughline/token-key\"",
        "secret = \"0123456789abcdef0123456789abcdef\"",
    )
}

/// A folder of the test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("throughline-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_gateway_s_part_of_each_file_is_a_configuration() {
    let folder = Folder::new("deployed");
    for file in ["nginx.conf", "haproxy.cfg", "Caddyfile", "throughline.service"] {
        let configuration = configuration(file);
        assert!(configuration.contains("public_url"), "{file}: {configuration:?}");
        let path = folder.0.join("throughline.toml");
        fs::write(&path, configuration).expect("room for a file");
        let checked = Command::new(env!("CARGO_BIN_EXE_throughline")).arg("check").arg(&path).output();
        let checked = checked.expect("the command runs");
        assert!(checked.status.success(), "{file}: {}", String::from_utf8_lossy(&checked.stderr));
    }
}

/// Without systemd there is nobody to ask, in continuous integration too: nothing else here needs it.
#[test]
fn systemd_takes_the_units() {
    let folder = Folder::new("units");
    for unit in UNITS {
        let text = read(root().join("deploy").join(unit));
        let text = text.replace("/usr/bin/throughline", env!("CARGO_BIN_EXE_throughline"));
        fs::write(folder.0.join(unit), text).expect("room for a file");
    }
    let mut verify = Command::new("systemd-analyze");
    match verify.arg("verify").args(UNITS.map(|unit| folder.0.join(unit))).output() {
        Ok(told) => {
            let said = String::from_utf8_lossy(&told.stderr);
            // It may have something to say of the machine's own units.
            let ours: Vec<_> = said.lines().filter(|line| line.contains("throughline")).collect();
            assert!(told.status.success() && ours.is_empty(), "{said}");
        }
        Err(error) => eprintln!("skipped: systemd-analyze: {error}"),
    }
}
