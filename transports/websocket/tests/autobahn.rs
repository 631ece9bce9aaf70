//! The Autobahn cases against the echo of `examples/echo.rs`, all but those for compression, which is not spoken.
//!
//! `KOSOKU` is the path of the tool that plays them (`pip install kosoku`). Without it the cases are skipped, but
//! not under `CI`.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use tokio::{net::TcpListener, process::Command, time::timeout};

#[allow(dead_code, reason = "its main is the example's")]
#[path = "../examples/echo.rs"]
mod echo;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_but_compression_passes() {
    let Some(kosoku) = std::env::var_os("KOSOKU") else {
        assert!(std::env::var_os("CI").is_none(), "KOSOKU has to name the tool that plays the cases");
        eprintln!("skipped: KOSOKU does not name the tool that plays the cases");
        return;
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(echo::serve(listener));

    let reports = Path::new(env!("CARGO_TARGET_TMPDIR")).join("autobahn");
    let _ = std::fs::remove_dir_all(&reports);
    let mut tool = Command::new(kosoku);
    tool.args(["-m", "fuzzingclient", "-p", "8", "-x", "12.*", "-x", "13.*", "-o"])
        .arg(&reports)
        .arg(&address);
    let tool = tool.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(Duration::from_secs(240), tool).await.expect("the cases take seconds").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let index = std::fs::read(reports.join("index.json")).unwrap();
    let index: BTreeMap<String, BTreeMap<String, serde_json::Value>> =
        serde_json::from_slice(&index).unwrap();
    let cases = &index[&address];
    // NON-STRICT: a text that is not UTF-8 is refused at the end of its frame, not in the middle.
    let passes = |verdict: &serde_json::Value| {
        ["OK", "NON-STRICT", "INFORMATIONAL"].iter().any(|good| verdict == good)
    };
    let failed: Vec<_> = cases
        .iter()
        .filter(|(_, case)| !passes(&case["behavior"]) || !passes(&case["behaviorClose"]))
        .map(|(name, _)| name)
        .collect();
    assert!(failed.is_empty(), "failed: {failed:?}; see {}", reports.display());
    assert!(cases.len() >= 300, "only {} cases were played", cases.len());
}
