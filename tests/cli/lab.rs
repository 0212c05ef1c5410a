//! `isthmus plan`, `lab load` and `lab recompute` where nothing has to run: what is refused, and how.

use super::LIMIT;
use super::support::broker::isthmus;
use super::support::process::{Finished, run};
use std::fs;
use std::path::Path;

fn called(words: &[&str]) -> Finished {
    run(isthmus().args(words), LIMIT)
}

#[test]
fn a_plan_is_written_once_and_never_over_anything() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("plan");
    let folder = folder.to_str().unwrap();
    let written = called(&["plan", "single-site", "--render", folder]);
    assert_eq!(written.code(), Some(0), "{written:?}");
    for path in written.stdout.lines() {
        assert!(Path::new(path).is_file(), "{path}");
    }
    assert_eq!(written.stdout.lines().count(), 3, "{written:?}");
    let again = called(&["plan", "single-site", "--render", folder]);
    assert_eq!(again.code(), Some(2), "{again:?}");
    assert_eq!(again.stderr.lines().count(), 3, "{again:?}");

    let unknown = called(&["plan", "single-sight", "--render", folder]);
    assert_eq!(unknown.code(), Some(2), "{unknown:?}");
    assert!(
        unknown
            .stderr
            .starts_with("single-sight: is no model and no file; ")
    );
}

#[test]
fn a_load_client_is_told_all_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let words = ["lab", "load", "produce", "--bootstrap", "127.0.0.1:1"];
    let more = ["--name", "a b", "--topic", "о", "--set", "acks", "--out"];
    let command = [&words[..], &more[..], &[out.to_str().unwrap()]].concat();
    let refused = called(&command);
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    let lines: Vec<&str> = refused.stderr.lines().collect();
    let starts = ["--name: ", "--topic: ", "--set: "];
    assert_eq!(lines.len(), starts.len(), "{lines:?}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
    assert!(!out.exists());
}

const DRILL: &str = r#"{"schema":"isthmus.ledger/1","drill":"d","clock":{"name":"c","boot":"b","wall_at_zero_us":0},"began_us":0,"cell":{"model":"m","target":{"program":"P","version":"1"},"cell":"none","placebo":true,"run":1,"clusters":["a"]}}
"#;

const WRITER: &str = r#"{"schema":"isthmus.ledger/1","drill":"d","clock":{"name":"c","boot":"b","wall_at_zero_us":0},"began_us":0,"client":{"name":"p","kind":"producer","incarnation":1,"site":"s","cluster":"a","bootstrap":"h:1","library":"l","schedule":{"start_us":0,"records_per_second":100,"first_sequence":0,"keys":3,"record_bytes":9},"topics":["t"]}}
w,2
i,0,k0,0,10,acked,0,5000,0,0
i,1,k1,10000,10010,acked,0,15000,1,0
"#;

const AUDIT: &str = r#"{"schema":"isthmus.ledger/1","drill":"d","clock":{"name":"c","boot":"b","wall_at_zero_us":0},"began_us":90000,"client":{"name":"audit","kind":"audit","incarnation":1,"site":"s","cluster":"a","bootstrap":"h:1","library":"l","topics":["t"],"phase":"final"}}
r,t,0,0,p,0,90001
r,t,1,0,p,1,90002
e,2,90003
"#;

/// Writes a cell and has it judged.
fn judged(writer: &str, audit: &str) -> Finished {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("drill", DRILL), ("p-1", writer), ("audit-1", audit)] {
        fs::write(dir.path().join(format!("{name}.ledger")), text).unwrap();
    }
    called(&["lab", "recompute", "--json", dir.path().to_str().unwrap()])
}

#[test]
fn ledgers_are_judged_and_the_exit_code_says_whether_to_believe_them() {
    let sound = judged(WRITER, AUDIT);
    assert_eq!(sound.code(), Some(0), "{sound:?}");
    let document: serde_json::Value = serde_json::from_str(&sound.stdout).unwrap();
    assert_eq!(document["schema"], "isthmus.lab-recompute/1");
    let model = &document["report"]["models"][0];
    assert_eq!(model["cells"][0]["summary"]["lost_records"]["max"], 0.0);

    // A placebo in which something was lost; then an audit that was cut.
    let lossy = AUDIT
        .replace("r,t,1,0,p,1,90002\n", "")
        .replace("e,2", "e,1");
    assert_eq!(judged(WRITER, &lossy).code(), Some(3));
    let cut = AUDIT.replace("e,2,90003\n", "");
    assert_eq!(judged(WRITER, &cut).code(), Some(3));
}

#[test]
fn ledgers_that_cannot_be_believed_are_told_with_the_remedy() {
    let newer = judged(&WRITER.replace("ledger/1", "ledger/2"), AUDIT);
    assert_eq!(newer.code(), Some(1), "{newer:?}");
    assert!(
        newer.stderr.contains("use the isthmus that wrote it"),
        "{newer:?}"
    );

    let stranger = judged(&WRITER.replace("\"d\"", "\"other\""), AUDIT);
    assert_eq!(stranger.code(), Some(1), "{stranger:?}");
    assert!(
        stranger.stderr.contains("its drill is other"),
        "{stranger:?}"
    );

    let nothing = tempfile::tempdir().unwrap();
    let nothing = called(&["lab", "recompute", nothing.path().to_str().unwrap()]);
    assert_eq!(nothing.code(), Some(2), "{nothing:?}");
    assert!(
        nothing.stderr.contains("find a drill.ledger"),
        "{nothing:?}"
    );
}
