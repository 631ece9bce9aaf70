use std::{
    collections::HashSet,
    fs,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use x509_parser::{oid_registry::OID_EC_P256, parse_x509_certificate, time::ASN1Time};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn start() -> SystemTime {
    SystemTime::UNIX_EPOCH + 20_000 * DAY
}

fn development(now: SystemTime) -> Certificates {
    Certificates::development(["localhost", "127.0.0.1", "::1"], now).unwrap()
}

#[track_caller]
fn assert_replaced(looked: Looked) {
    assert!(matches!(looked, Looked::Replaced), "{looked:?}");
}

#[track_caller]
fn assert_unchanged(looked: Looked) {
    assert!(matches!(looked, Looked::Unchanged), "{looked:?}");
}

#[track_caller]
fn failure(looked: Looked) -> String {
    match looked {
        Looked::Failed(error) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_development_certificate_is_what_browsers_demand_of_one_known_by_its_hash() {
    let certificates = development(start());
    let present = certificates.store.present.read().clone();
    let der = present.key.cert[0].clone();
    let (_, parsed) = parse_x509_certificate(&der).unwrap();
    let validity = parsed.validity();
    let at = |time: SystemTime| {
        let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        ASN1Time::from_timestamp(seconds.try_into().unwrap()).unwrap()
    };
    assert!(validity.is_valid_at(at(start() - DAY / 2)), "clients whose clock is behind");
    assert!(validity.is_valid_at(at(start() + 11 * DAY)));
    let seconds = validity.not_after.timestamp() - validity.not_before.timestamp();
    assert!(seconds < 14 * 86_400, "{seconds}");
    assert_eq!(present.not_after, start() + 12 * DAY);
    let algorithm = &parsed.public_key().algorithm;
    assert_eq!(algorithm.parameters.as_ref().unwrap().as_oid().unwrap(), OID_EC_P256);
    let names = parsed.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 3);
    assert_eq!(certificates.hashes()[0], certificates.present_hash());
    assert_eq!(certificates.present_hash(), hex(&Sha256::digest(&der)));
}

#[test]
fn whoever_learned_the_hashes_at_any_time_finds_one_that_matches_for_ten_days() {
    let certificates = development(start());
    let mut learned: Vec<(SystemTime, Arc<[String]>)> = Vec::new();
    let mut shown = HashSet::new();
    for hour in 0..60 * 24 {
        let now = start() + hour * DAY / 24;
        certificates.look(now);
        learned.push((now, certificates.hashes()));
        let present = certificates.present_hash();
        assert!(certificates.remaining(now) >= 2 * DAY, "hour {hour}");
        for (then, hashes) in &learned {
            let age = now.duration_since(*then).unwrap();
            assert!(age > 10 * DAY || hashes.contains(&present), "hour {hour}, learned {age:?} ago");
        }
        shown.insert(present);
    }
    assert_eq!(shown.len(), 6, "one every ten days");
}

#[test]
fn a_change_tells_the_new_hashes_and_reaches_the_resolver() {
    let certificates = development(start());
    let mut watching = certificates.watch_hashes();
    let before = certificates.hashes();
    assert_unchanged(certificates.look(start() + 10 * DAY - Duration::from_secs(1)));
    assert!(!watching.has_changed().unwrap());
    assert_replaced(certificates.look(start() + 10 * DAY));
    let after = watching.borrow_and_update().clone();
    assert_eq!(after[0], before[1]);
    assert!(!before.contains(&after[1]));
    let shown = certificates.store.present.read().key.cert[0].clone();
    assert_eq!(hex(&Sha256::digest(&shown)), after[0]);
    assert_unchanged(certificates.look(start() + 10 * DAY));
}

#[test]
fn a_gateway_that_slept_or_whose_clock_was_wrong_has_a_valid_certificate_at_once() {
    for now in [start() + 100 * DAY, start() - 100 * DAY] {
        let certificates = development(start());
        let before = certificates.hashes();
        assert_replaced(certificates.look(now));
        assert!(certificates.hashes().iter().all(|hash| !before.contains(hash)));
        assert_eq!(certificates.remaining(now), 12 * DAY);
    }
    let certificates = development(start());
    assert_unchanged(certificates.look(start() - Duration::from_secs(3_600)));
}

/// A certificate and its key in PEM, with this validity.
fn pem(from: SystemTime, to: SystemTime) -> (String, String) {
    let mut params = CertificateParams::new(["rt.example.com".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (from.into(), to.into());
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// Two files in a folder that goes with it.
struct Folder {
    files: CertificateFiles,
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.files.key.parent().unwrap());
    }
}

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "throughline-certificates-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Self {
            files: CertificateFiles { certificate: folder.join("chain.pem"), key: folder.join("key.pem") },
        }
    }

    fn write(&self, certificate: &str, key: &str) {
        fs::write(&self.files.certificate, certificate).unwrap();
        fs::write(&self.files.key, key).unwrap();
    }

    fn load(&self) -> Result<Certificates, CertificateError> {
        Certificates::from_files(self.files.clone(), start())
    }

    fn fresh() -> (String, String) {
        pem(start() - DAY, start() + 90 * DAY)
    }
}

#[test]
fn files_that_cannot_be_used_are_refused_with_the_file_and_what_to_do() {
    let folder = Folder::new();
    let refused = |parts: &[&str]| {
        let error = folder.load().unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{part} is not in {error}");
        }
    };
    let (certificate, key) = Folder::fresh();
    let (_, other_key) = Folder::fresh();
    refused(&["chain.pem", "No such file"]);
    fs::write(&folder.files.certificate, &certificate).unwrap();
    refused(&["key.pem", "No such file"]);
    folder.write(&certificate, &other_key);
    refused(&["key.pem", "chain.pem", "does not belong"]);
    folder.write(&key, &certificate);
    refused(&["chain.pem", "exchanged"]);
    folder.write(&certificate, &certificate);
    refused(&["key.pem", "exchanged"]);
    folder.write("", &key);
    refused(&["chain.pem", "BEGIN CERTIFICATE"]);
    folder.write(&certificate, "hello");
    refused(&["key.pem", "BEGIN PRIVATE KEY"]);
    folder.write(&certificate[..certificate.len() - 30], &key);
    refused(&["chain.pem", "not PEM"]);
    folder.write(
        &certificate,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    );
    refused(&["key.pem", "encrypted"]);
    folder.write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key);
    refused(&["chain.pem", "first certificate"]);
    let (ended, its_key) = pem(start() - 90 * DAY, start() - DAY);
    folder.write(&ended, &its_key);
    refused(&["chain.pem", "ended"]);
    let (certificate, key) = pem(start() + DAY, start() + 90 * DAY);
    folder.write(&certificate, &key);
    folder.load().expect("a clock may be wrong");
}

#[test]
fn files_are_taken_again_when_what_they_hold_changes() {
    let folder = Folder::new();
    let (certificate, key) = Folder::fresh();
    folder.write(&certificate, &key);
    let certificates = folder.load().unwrap();
    assert!(certificates.hashes().is_empty(), "clients know whom to trust");
    let before = certificates.present_hash();
    folder.write(&certificate, &key);
    assert_unchanged(certificates.look(start()));
    let (certificate, key) = Folder::fresh();
    folder.write(&certificate, &key);
    assert_replaced(certificates.look(start()));
    assert_ne!(certificates.present_hash(), before);
    assert_unchanged(certificates.look(start()));
}

#[test]
fn a_bad_new_file_keeps_the_old_certificate_and_is_said_once() {
    let folder = Folder::new();
    let (certificate, key) = Folder::fresh();
    folder.write(&certificate, &key);
    let certificates = folder.load().unwrap();
    let before = certificates.present_hash();
    let (other, _) = Folder::fresh();
    fs::write(&folder.files.certificate, &other).unwrap();
    // The key may be on its way.
    assert_unchanged(certificates.look(start()));
    assert!(failure(certificates.look(start())).contains("does not belong"));
    assert_unchanged(certificates.look(start()));
    fs::remove_file(&folder.files.certificate).unwrap();
    assert_unchanged(certificates.look(start()));
    assert!(failure(certificates.look(start())).contains("chain.pem"));
    assert_eq!(certificates.present_hash(), before);
    // What was mended counts, be it the old one.
    folder.write(&certificate, &key);
    assert_replaced(certificates.look(start()));
    assert_eq!(certificates.present_hash(), before);
}

#[test]
fn a_certificate_that_is_replaced_before_its_key_is_taken_once_both_are_there() {
    let folder = Folder::new();
    let (certificate, key) = Folder::fresh();
    folder.write(&certificate, &key);
    let certificates = folder.load().unwrap();
    let (certificate, key) = Folder::fresh();
    fs::write(&folder.files.certificate, &certificate).unwrap();
    assert_unchanged(certificates.look(start()));
    fs::write(&folder.files.key, &key).unwrap();
    assert_replaced(certificates.look(start()));
}

#[test]
fn no_key_shows_in_a_debug_print() {
    let folder = Folder::new();
    let (certificate, key) = Folder::fresh();
    folder.write(&certificate, &key);
    let printed = format!("{:?}", folder.load().unwrap());
    let secret = key.lines().nth(1).unwrap();
    assert!(!printed.contains(secret) && !printed.contains("PRIVATE"), "{printed}");
}
