//! Clients that log in: kcat, Java, Python's confluent-kafka and kafka-python, and our own, each by
//! PLAIN and by SCRAM with both hashes over TLS, and by a certificate.

use super::driver::{self, Said, Step};
use super::support::broker::{Broker, isthmus};
use super::support::certificates::write_certificates;
use super::support::peers::{Peers, not_run, peers};
use super::support::process::{Program, run};
use super::{check, lines};
use isthmus_client::config::ClientConfig;
use isthmus_client::sasl::{SaslConfig, SaslMechanism};
use isthmus_client::tls::{Pem, PemKey, TlsConfig, TlsIdentity};
use isthmus_client::{Cluster, Secret};
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(180);
const PRODUCER: &str = "org.apache.kafka.tools.ConsoleProducer";
const CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleConsumer";
const ALTERED: &str = "Completed updating config for user alice.";
const NO_PYTHON: &str = "ISTHMUS_TEST_PYTHON is not set (cargo xtask test provides it)";
const PYTHON: [&str; 2] = ["confluent.py", "kafka_python.py"];
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

const SASL_SSL: &str = r#"
[listeners.tls]
cert_file = "DIR/broker.pem"
key_file = "DIR/broker.key"
[listeners.sasl]
mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
plain_users_file = "DIR/users"
"#;

const MUTUAL: &str = r#"
[listeners.tls]
cert_file = "DIR/broker.pem"
key_file = "DIR/broker.key"
client_ca_file = "DIR/ca.pem"
client_auth = "required"
"#;

/// A broker with one guarded listener, and a folder with everything its clients need.
struct Guarded {
    peers: Peers,
    broker: Broker,
    dir: TempDir,
}

fn guarded(test: &str, rules: &str) -> Option<Guarded> {
    let peers = peers(test)?;
    let dir = tempfile::tempdir().unwrap();
    write_certificates(dir.path());
    std::fs::write(dir.path().join("users"), "alice:alice-pw\n").unwrap();
    let text = format!(
        "[node]\nid = 1\ndata = [\"DIR/data\"]\nobserve = \"127.0.0.1:0\"\n\
         [kafka]\n\"default.replication.factor\" = 1\n\"offsets.topic.replication.factor\" = 1\n\
         \"group.initial.rebalance.delay.ms\" = 0\n\
         [[listeners]]\nname = \"GUARDED\"\nbind = \"127.0.0.1:0\"\n{rules}"
    );
    let file = dir.path().join("broker.toml");
    std::fs::write(&file, text.replace("DIR", dir.path().to_str().unwrap())).unwrap();
    let mut format = isthmus();
    format
        .args(["format", "--cluster-id", "new", "-c"])
        .arg(&file);
    run(&mut format, LIMIT).succeeded();
    let mut command = isthmus();
    command.arg("broker").arg("-c").arg(&file);
    let broker = Broker::of(Program::start(&mut command)).expect("a broker that starts");
    Some(Guarded { peers, broker, dir })
}

impl Guarded {
    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Settings of librdkafka that log alice in.
    fn login(&self, mechanism: &str, password: &str) -> Vec<String> {
        vec![
            "security.protocol=SASL_SSL".to_owned(),
            format!("ssl.ca.location={}", self.path("ca.pem")),
            format!("sasl.mechanisms={mechanism}"),
            "sasl.username=alice".to_owned(),
            format!("sasl.password={password}"),
        ]
    }

    /// Settings of librdkafka that show the client's certificate.
    fn certificate(&self) -> Vec<String> {
        vec![
            "security.protocol=SSL".to_owned(),
            format!("ssl.ca.location={}", self.path("ca.pem")),
            format!("ssl.certificate.location={}", self.path("client.pem")),
            format!("ssl.key.location={}", self.path("client.key")),
        ]
    }

    /// A client.properties of Java that logs alice in.
    fn properties(&self, mechanism: &str, password: &str) -> String {
        let module = match mechanism {
            "PLAIN" => "plain.PlainLoginModule",
            _ => "scram.ScramLoginModule",
        };
        let text = format!(
            "security.protocol=SASL_SSL\nssl.truststore.type=PEM\nssl.truststore.location={}\n\
             sasl.mechanism={mechanism}\nsasl.jaas.config=org.apache.kafka.common.security.{module} \
             required username=\"alice\" password=\"{password}\";\n",
            self.path("ca.pem")
        );
        let path = self.path(&format!("{mechanism}-{password}.properties"));
        std::fs::write(&path, text).unwrap();
        path
    }

    fn kcat(&self, settings: &[String], words: &str, input: Option<&str>) -> Vec<String> {
        let args = kcat_words(settings, words);
        let input = input.map(|text| text.as_bytes().to_vec());
        let finished = self.peers.kcat(&self.broker.bootstrap(), &args, input);
        lines(&finished.succeeded().stdout)
    }

    /// What kcat says that must not come in.
    fn kcat_refused(&self, settings: &[String]) -> String {
        let args = kcat_words(settings, "-L -m 5");
        let finished = self.peers.kcat(&self.broker.bootstrap(), &args, None);
        assert_ne!(finished.code(), Some(0), "{finished:?}");
        finished.stderr
    }

    /// Tools of Java, which are told their settings by a file.
    fn java(&self, steps: &[Step]) -> Vec<Said> {
        driver::run(
            &self.peers,
            &self.broker.bootstrap(),
            self.dir.path(),
            steps,
        )
    }

    /// What one of Python's clients says, which writes a record and reads it.
    fn python(&self, python: &str, script: &str, topic: &str, settings: &[String]) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/python");
        let mut command = Command::new(python);
        command
            .arg(folder.join(script))
            .arg(self.broker.bootstrap());
        command.arg(topic).args(settings);
        let finished = run(&mut command, LIMIT).succeeded();
        finished.stdout.trim().to_owned()
    }

    /// Users of SCRAM are made by Kafka's own tool, which logs in by PLAIN.
    fn add_scram_users(&self) {
        check_all(&self.java(&self.scram_users()), &[ALTERED; 2]);
    }

    /// One credential of a user at a time: Kafka takes no two in one request.
    fn scram_users(&self) -> [Step; 2] {
        let settings = self.properties("PLAIN", password_of("PLAIN"));
        let credentials = [
            "SCRAM-SHA-256=[password=alice-256]",
            "SCRAM-SHA-512=[iterations=8192,password=alice-512]",
        ];
        credentials.map(|credential| {
            step(&format!(
                "kafka.admin.ConfigCommand --bootstrap-server BOOTSTRAP --command-config {settings} \
                 --alter --entity-type users --entity-name alice --add-config {credential}"
            ))
        })
    }

    /// The cluster's id as our own client learns it.
    fn cluster_id(
        &self,
        tls: Option<TlsIdentity>,
        sasl: Option<SaslConfig>,
    ) -> Result<String, String> {
        let mut config = ClientConfig::new([self.broker.bootstrap()]);
        config.tls = Some(TlsConfig {
            ca: Pem::File(self.path("ca.pem").into()),
            identity: tls,
            server_name: None,
        });
        config.sasl = sasl;
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let described = runtime.block_on(async {
            let cluster = Cluster::new(config).unwrap();
            cluster.admin().describe_cluster().await
        });
        let described = described.map_err(|error| error.to_string())?;
        Ok(described.cluster_id)
    }
}

fn password_of(mechanism: &str) -> &'static str {
    match mechanism {
        "SCRAM-SHA-256" => "alice-256",
        "SCRAM-SHA-512" => "alice-512",
        _ => "alice-pw",
    }
}

fn kcat_words<'a>(settings: &'a [String], words: &'a str) -> Vec<&'a str> {
    let settings = settings.iter().flat_map(|it| ["-X", it]);
    settings.chain(words.split(' ')).collect()
}

fn step(words: &str) -> Step {
    Step {
        words: words.to_owned(),
        ..Step::default()
    }
}

/// Each step succeeded and printed this.
fn check_all(said: &[Said], expected: &[&str]) {
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for (said, expected) in said.iter().zip(expected) {
        check(&said.printed, expected);
        assert_eq!(said.code, 0, "{said:?}");
    }
}

#[test]
fn kcat_logs_in() {
    let Some(bench) = guarded("kcat logs in", SASL_SSL) else {
        return;
    };
    bench.add_scram_users();
    for (at, mechanism) in MECHANISMS.into_iter().enumerate() {
        let settings = bench.login(mechanism, password_of(mechanism));
        bench.kcat(&settings, "-P -t t", Some(&format!("by {mechanism}\n")));
        let read = bench.kcat(&settings, "-C -t t -o beginning -e -q", None);
        assert_eq!(read.len(), at + 1);
        assert_eq!(read[at], format!("by {mechanism}"));
    }
    let said = bench.kcat_refused(&bench.login("SCRAM-SHA-512", "alice-256"));
    assert!(said.contains(&refusal("SCRAM-SHA-512")), "{said}");
    bench.broker.stop().succeeded();
}

/// Kafka's words for a wrong password.
fn refusal(mechanism: &str) -> String {
    match mechanism {
        "PLAIN" => "Authentication failed: Invalid username or password".to_owned(),
        _ => format!(
            "Authentication failed during authentication due to invalid credentials with SASL \
             mechanism {mechanism}"
        ),
    }
}

#[test]
fn java_logs_in() {
    let Some(bench) = guarded("Java logs in", SASL_SSL) else {
        return;
    };
    let mut steps = Vec::from(bench.scram_users());
    let mut expected = vec![ALTERED; 2];
    for mechanism in MECHANISMS {
        let file = bench.properties(mechanism, password_of(mechanism));
        let common =
            format!("--bootstrap-server BOOTSTRAP --command-config {file} --topic {mechanism}");
        steps.push(Step {
            words: format!("{PRODUCER} {common}"),
            input: vec!["one".to_owned(), "two".to_owned()],
            settle: false,
        });
        let words = "--from-beginning --max-messages 2 --timeout-ms 60000";
        steps.push(step(&format!("{CONSUMER} {common} {words}")));
        expected.extend(["", "one\ntwo\nProcessed a total of 2 messages"]);
    }
    let wrong = MECHANISMS.map(|mechanism| {
        let file = bench.properties(mechanism, "wrong");
        let common = format!("--bootstrap-server BOOTSTRAP --command-config {file}");
        step(&format!(
            "org.apache.kafka.tools.TopicCommand {common} --list"
        ))
    });
    steps.extend(wrong);
    let said = bench.java(&steps);
    let (well, refused) = said.split_at(expected.len());
    check_all(well, &expected);
    for (said, mechanism) in refused.iter().zip(MECHANISMS) {
        let printed = said.printed.join("\n");
        assert!(printed.contains(&refusal(mechanism)), "{printed}");
        assert_eq!(said.code, 1, "{printed}");
    }
    bench.broker.stop().succeeded();
}

#[test]
fn python_logs_in() {
    let Some(bench) = guarded("Python logs in", SASL_SSL) else {
        return;
    };
    let Some(python) = bench.peers.python() else {
        return not_run("Python logs in", NO_PYTHON);
    };
    bench.add_scram_users();
    for script in PYTHON {
        for mechanism in MECHANISMS {
            let settings = bench.login(mechanism, password_of(mechanism));
            let topic = format!("{script}-{mechanism}");
            let said = bench.python(python, script, &topic, &settings);
            assert_eq!(said, format!("read: to {topic}"), "{script}");
            let said = bench.python(python, script, "t", &bench.login(mechanism, "wrong"));
            assert!(said.starts_with("refused: "), "{script}: {said}");
            assert!(said.contains(&refusal(mechanism)), "{script}: {said}");
        }
    }
    bench.broker.stop().succeeded();
}

#[test]
fn our_own_client_logs_in() {
    let Some(bench) = guarded("our own client logs in", SASL_SSL) else {
        return;
    };
    bench.add_scram_users();
    for (name, mechanism) in [
        ("PLAIN", SaslMechanism::Plain),
        ("SCRAM-SHA-256", SaslMechanism::ScramSha256),
        ("SCRAM-SHA-512", SaslMechanism::ScramSha512),
    ] {
        let with = |password: &str| SaslConfig {
            mechanism,
            username: "alice".to_owned(),
            password: Secret::from(password).into(),
        };
        let told = bench.cluster_id(None, Some(with(password_of(name))));
        assert_eq!(told, Ok(bench.broker.ready.cluster.clone()), "{name}");
        let told = bench.cluster_id(None, Some(with("wrong"))).unwrap_err();
        assert!(told.contains(&refusal(name)), "{told}");
    }
    bench.broker.stop().succeeded();
}

#[test]
fn clients_show_certificates() {
    let Some(bench) = guarded("clients show certificates", MUTUAL) else {
        return;
    };
    let settings = bench.certificate();
    bench.kcat(&settings, "-P -t t", Some("one\n"));
    let file = bench.path("client.properties");
    let text = format!(
        "security.protocol=SSL\nssl.truststore.type=PEM\nssl.truststore.location={}\n\
         ssl.keystore.type=PEM\nssl.keystore.location={}\n",
        bench.path("ca.pem"),
        bench.path("client-both.pem")
    );
    std::fs::write(&file, text).unwrap();
    let words = "--topic t --from-beginning --max-messages 1 --timeout-ms 60000";
    let words = format!("{CONSUMER} --bootstrap-server BOOTSTRAP --command-config {file} {words}");
    check_all(
        &bench.java(&[step(&words)]),
        &["one\nProcessed a total of 1 messages"],
    );
    let identity = TlsIdentity {
        certificates: Pem::File(bench.path("client.pem").into()),
        key: PemKey::File(bench.path("client.key").into()),
    };
    let told = bench.cluster_id(Some(identity), None);
    assert_eq!(told, Ok(bench.broker.ready.cluster.clone()));
    bench.kcat_refused(&settings[..2]);
    bench.cluster_id(None, None).unwrap_err();
    let Some(python) = bench.peers.python() else {
        return not_run("Python shows certificates", NO_PYTHON);
    };
    for script in PYTHON {
        let said = bench.python(python, script, script, &settings);
        assert_eq!(said, format!("read: to {script}"));
    }
    bench.broker.stop().succeeded();
}
