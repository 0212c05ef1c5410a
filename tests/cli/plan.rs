//! `isthmus plan` as scripts meet it: its documents, its exit codes, and files that programs take.

use super::LIMIT;
use super::support::broker::isthmus;
use super::support::process::{Finished, run};
use isthmus_config::model::SHIPPED;
use serde_json::Value;
use std::fs;
use std::path::Path;

fn plan(words: &[&str]) -> Finished {
    run(isthmus().arg("plan").args(words), LIMIT)
}

#[test]
fn a_model_is_predicted() {
    let told = plan(&["3az-region"]);
    assert_eq!(told.code(), Some(0), "{told:?}");
    assert!(
        told.stdout
            .contains("quorum 1-1-1: 2 of 3 are a majority, outlives any site")
    );
    let document = plan(&["3az-region", "--json", "--price-per-gb", "0"]);
    assert_eq!(document.code(), Some(0), "{document:?}");
    let document: Value = serde_json::from_str(&document.stdout).unwrap();
    assert_eq!(document["schema"], "isthmus.plan/1");
    assert_eq!(document["crossing"]["month"], 0.0);
    let one = plan(&["3az-region", "--json", "--fail", "az-b"]);
    let one: Value = serde_json::from_str(&one.stdout).unwrap();
    let failures = one["clusters"][0]["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0]["brokers_left"], 4);
    assert_eq!(failures[0]["topics"][0]["from_full"]["worst"], "W");

    for wrong in [
        &["3az-region", "--fail", "az-d"][..],
        &["3az-region", "--price-per-gb", "dear"],
        &["3az-region", "--json", "--svg", "x.svg"],
    ] {
        let refused = plan(wrong);
        assert_eq!(refused.code(), Some(2), "{refused:?}");
        assert_eq!(refused.stdout, "");
    }
}

#[test]
fn a_claim_that_does_not_hold_is_an_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (_, text) = SHIPPED.iter().find(|it| it.0 == "2dc-consistency").unwrap();
    let path = dir.path().join("mine.toml");
    fs::write(&path, text.replace("corrected = \"X-03\"\n", "")).unwrap();
    let path = path.to_str().unwrap();
    let no = plan(&[path]);
    assert_eq!(no.code(), Some(3), "{no:?}");
    assert!(no.stdout.contains("DOES NOT HOLD: R is left"), "{no:?}");
    assert_eq!(plan(&[path, "--json"]).code(), Some(3));
    // What must not be by accident is refused.
    let accident = text.replace("accepts = [\"unsafe-quorum\"]", "");
    fs::write(path, accident).unwrap();
    let refused = plan(&[path]);
    assert_eq!(refused.code(), Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("has no quorum without dc-b"),
        "{refused:?}"
    );
}

#[test]
fn a_picture_is_drawn_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.svg");
    let path = path.to_str().unwrap();
    let drawn = plan(&["2.5dc", "--svg", path]);
    assert_eq!(drawn.code(), Some(0), "{drawn:?}");
    assert_eq!(drawn.stdout.trim(), path);
    assert!(fs::read_to_string(path).unwrap().starts_with("<svg "));
    assert_eq!(plan(&["2.5dc", "--svg", path]).code(), Some(2));
}

/// Whatever is rendered for Isthmus is a file that its programs take.
#[test]
fn what_is_rendered_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let mut checked = 0;
    for (model, _) in SHIPPED {
        let folder = dir.path().join(model);
        let rendered = plan(&[model, "--render", folder.to_str().unwrap()]);
        assert_eq!(rendered.code(), Some(0), "{rendered:?}");
        for path in rendered.stdout.lines().filter(|it| it.ends_with(".toml")) {
            assert!(Path::new(path).is_file());
            let taken = run(isthmus().args(["config", "check", path]), LIMIT);
            assert_eq!(taken.code(), Some(0), "{model}: {taken:?}");
            checked += 1;
        }
    }
    assert!(checked > SHIPPED.len(), "{checked} files");
}
