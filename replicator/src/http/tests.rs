//! The listeners over real sockets, with a data path that is played by the test.

use isthmus_config::{ConfigFile, Layers, Secret};
use tokio::sync::mpsc;

use super::*;
use crate::control::{ControlCommand, ControlDone, ControlRefused, ControlRequest, queue};
use crate::status::{FlowStatus, StatusDocument};

struct Played {
    observe: String,
    control: String,
    status: watch::Sender<Arc<ReplicatorStatus>>,
    commands: mpsc::Receiver<ControlRequest>,
    _stop: tokio_util::sync::DropGuard,
}

/// `more` goes into `[daemon]`.
async fn played(more: &str) -> Played {
    let text = format!(
        "[daemon]\nname = 'd'\nobserve = '127.0.0.1:0'\ncontrol = '127.0.0.1:0'\n{more}\n\
         [clusters.a]\nbootstrap = 'a:1'\n[clusters.b]\nbootstrap = 'b:1'\n\
         [[flows]]\nsource = 'a'\ntarget = 'b'\ntopics = '.*'\n"
    );
    let layers = Layers {
        file: Some(ConfigFile::from_text("x.toml", text)),
        ..Layers::default()
    };
    let settings = Settings::load(&layers).unwrap();
    let listeners = Listeners::bind(&settings).await.unwrap();
    let observe = listeners.observe().unwrap().to_string();
    let control = format!("http://{}/", listeners.control().unwrap());
    let (status, shown) = watch::channel(Arc::new(ReplicatorStatus::default()));
    let (handle, commands) = queue();
    let stop = CancellationToken::new();
    let guard = stop.clone().drop_guard();
    tokio::spawn(async move { listeners.serve(&settings, shown, handle, stop).await });
    Played {
        observe,
        control,
        status,
        commands,
        _stop: guard,
    }
}

fn joined() -> Arc<ReplicatorStatus> {
    Arc::new(ReplicatorStatus {
        daemon: "d".to_owned(),
        joined: true,
        flows: vec![FlowStatus {
            name: "a-to-b".to_owned(),
            ..FlowStatus::default()
        }],
        ..ReplicatorStatus::default()
    })
}

async fn asked(url: &str, path: &str) -> (u16, String) {
    let answer = get(url, path, None).await.unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    (answer.status, text)
}

async fn sent(played: &Played, path: &str, body: &str, token: Option<&str>) -> (u16, String) {
    let token = token.map(|token| Secret::from(token.to_owned()));
    let answer = post(&played.control, path, token.as_ref(), body.to_owned()).await;
    let answer = answer.unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    (answer.status, text)
}

#[tokio::test]
async fn observers_see_the_snapshot_and_change_nothing() {
    let played = played("").await;
    let observe = &played.observe;
    assert_eq!(asked(observe, "/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(asked(observe, "/readyz").await.0, 503);
    played.status.send(joined()).unwrap();
    assert_eq!(asked(observe, "/readyz").await.0, 200);
    let (code, text) = asked(observe, "/status").await;
    let document: StatusDocument = serde_json::from_str(&text).unwrap();
    assert_eq!((code, document.daemon.as_str()), (200, "d"));
    assert_eq!(asked(observe, "/status?flow=a-to-b").await.0, 200);
    assert_eq!(asked(observe, "/status?flow=b-to-a").await.0, 404);
    assert_eq!(asked(observe, "/status?folw=a-to-b").await.0, 400);
    let (_, text) = asked(observe, "/metrics").await;
    assert!(text.contains("\nisthmus_replicator_ready 1\n"), "{text}");
    // It has no pages that change anything, and the others take GET only.
    let body = "{}".to_owned();
    let paused = post(observe, "/flows/a-to-b/pause", None, body.clone()).await;
    assert_eq!(paused.unwrap().status, 404);
    assert_eq!(
        post(observe, "/status", None, body).await.unwrap().status,
        405
    );
    // Control shows the same.
    assert_eq!(asked(&played.control, "/status").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_data_path_that_is_silent_is_not_healthy() {
    let shown = Shown {
        status: watch::channel(joined()).1,
        heard: Mutex::new(Instant::now()),
        certificates: vec![],
    };
    tokio::time::advance(SILENCE_MAX).await;
    assert!(shown.is_alive());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!shown.is_alive());
}

#[tokio::test]
async fn commands_reach_the_data_path_and_come_back() {
    let mut played = played("").await;
    let pausing = {
        let control = played.control.clone();
        tokio::spawn(async move {
            let body = r#"{"topic":"orders","partition":3}"#.to_owned();
            post(&control, "/flows/a-to-b/pause", None, body).await
        })
    };
    let (command, answer) = played.commands.recv().await.unwrap();
    let expected = ControlCommand::Pause {
        flow: isthmus_replicator_core::names::FlowName::parse("a-to-b").unwrap(),
        topic: Some("orders".to_owned()),
        partition: Some(3),
    };
    assert_eq!(command, expected);
    answer.send(Ok(ControlDone { partitions: 1 })).unwrap();
    let answer = pausing.await.unwrap().unwrap();
    let answer: FlowAnswer = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((answer.state.as_str(), answer.partitions), ("paused", 1));
    let resuming = {
        let control = played.control.clone();
        tokio::spawn(async move { post(&control, "/flows/x/resume", None, "{}".to_owned()).await })
    };
    let (command, answer) = played.commands.recv().await.unwrap();
    assert!(
        matches!(command, ControlCommand::Resume { .. }),
        "{command:?}"
    );
    let refused = ControlRefused::UnknownFlow {
        flow: "x".to_owned(),
        running: vec!["a-to-b".to_owned()],
    };
    answer.send(Err(refused)).unwrap();
    let answer = resuming.await.unwrap().unwrap();
    assert_eq!(answer.status, 404);
    assert_eq!(
        &answer.body[..],
        br#"{"error":"no flow is called x; running are a-to-b"}"#
    );
}

#[tokio::test]
async fn what_makes_no_sense_never_reaches_the_data_path() {
    let mut played = played("").await;
    for (path, body, code) in [
        ("/flows/a%20b/pause", "{}", 404),
        ("/flows/a-to-b/pause", r#"{"partition":3}"#, 422),
        ("/flows/a-to-b/pause", r#"{"topics":["a"]}"#, 422),
        ("/flows/a-to-b/pause", "", 400),
        ("/flows/a-to-b/stop", "{}", 404),
    ] {
        assert_eq!(
            sent(&played, path, body, None).await.0,
            code,
            "{path} {body}"
        );
    }
    assert!(played.commands.try_recv().is_err());
    // The data path is gone.
    played.commands.close();
    drop(played.commands.try_recv());
    let (code, text) = sent(&played, "/flows/a-to-b/pause", "{}", None).await;
    assert_eq!((code, text.contains("stopping")), (503, true), "{text}");
}

#[tokio::test]
async fn who_does_not_show_the_token_stays_outside() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "s3same\n").unwrap();
    let played = played(&format!("control_token = 'file:{}'", file.display())).await;
    for (token, code) in [(None, 401), (Some("s3sam"), 401), (Some("s3same"), 422)] {
        let body = r#"{"partition":3}"#;
        let (seen, text) = sent(&played, "/flows/a-to-b/pause", body, token).await;
        assert_eq!(seen, code, "{token:?} {text}");
        assert!(!text.contains("s3same"), "{text}");
    }
    // Observers need none; the file is read again, and nothing in it lets nobody in.
    assert_eq!(asked(&played.observe, "/healthz").await.0, 200);
    std::fs::write(&file, "other").unwrap();
    let (code, _) = sent(&played, "/flows/a-to-b/pause", "{}", Some("s3same")).await;
    assert_eq!(code, 401);
    std::fs::write(&file, "").unwrap();
    let (code, _) = sent(&played, "/flows/a-to-b/pause", "{}", Some("")).await;
    assert_eq!(code, 503);
}

#[tokio::test]
async fn a_port_in_use_is_told_with_its_key() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let text = format!(
        "[daemon]\nname = 'd'\nobserve = '{address}'\n[clusters.a]\nbootstrap = 'a:1'\n\
         [clusters.b]\nbootstrap = 'b:1'\n[[flows]]\nsource = 'a'\ntarget = 'b'\ntopics = '.*'\n"
    );
    let layers = Layers {
        file: Some(ConfigFile::from_text("x.toml", text)),
        ..Layers::default()
    };
    let error = Listeners::bind(&Settings::load(&layers).unwrap()).await;
    let error = error.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("could not listen at daemon.observe = {address}: ")),
        "{error}"
    );
}

#[tokio::test]
async fn a_daemon_that_is_not_there_is_told() {
    for url in ["https://x:1", "x", ":1", "x:1/y", "x:99999"] {
        let error = get(url, "/status", None).await.unwrap_err();
        assert!(matches!(error, DaemonError::Url(_)), "{url}: {error}");
    }
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap().to_string();
    drop(gone);
    let error = get(&address, "/status", None).await.unwrap_err();
    assert!(matches!(error, DaemonError::Unreachable { .. }), "{error}");
}

#[test]
fn the_openapi_document_names_every_page() {
    let document = serde_json::to_value(openapi()).unwrap();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/flows/{flow}/pause",
            "/flows/{flow}/resume",
            "/healthz",
            "/metrics",
            "/readyz",
            "/status"
        ]
    );
    let answer = &document["paths"]["/flows/{flow}/pause"]["post"]["responses"]["200"];
    assert!(answer.to_string().contains("FlowAnswer"), "{answer}");
    assert!(
        document["components"]["schemas"]["Part"].is_object(),
        "{document}"
    );
}
