//! Apache Kafka as a peer: its jars by Maven, kept under `target/peers`, and its tools by class.
//!
//! Invariant: the jar folder is there whole or not at all. It is filled under another name and
//! renamed, and a list of what belongs in it stands beside it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::workspace::target_dir;

/// The release that tests and demo compare with.
const KAFKA_VERSION: &str = "4.2.0";

/// Artifacts whose dependencies are everything that broker, tools and MirrorMaker 2 need.
const ARTIFACTS: [(&str, &str, &str); 5] = [
    ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
    ("org.apache.kafka", "kafka-tools", KAFKA_VERSION),
    ("org.apache.kafka", "connect-mirror", KAFKA_VERSION),
    ("org.apache.kafka", "connect-runtime", KAFKA_VERSION),
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.24.3"),
];

/// Keeps the Java programs quiet but for what a person should see.
const LOG4J: &str = "\
rootLogger.level = WARN
rootLogger.appenderRef.stderr.ref = STDERR
appender.stderr.type = Console
appender.stderr.name = STDERR
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1} %m%n
";

/// The jars, on disk.
pub(crate) struct Kafka {
    home: PathBuf,
}

impl Kafka {
    /// The jars, fetched if they are not all there.
    pub(crate) fn ensure() -> Result<Self> {
        let kafka = Self {
            home: target_dir()
                .join("peers")
                .join(format!("kafka-{KAFKA_VERSION}")),
        };
        if kafka.is_complete() {
            return Ok(kafka);
        }
        println!(
            "fetching Apache Kafka {KAFKA_VERSION} by Maven (54 MB) into {}",
            kafka.home.display()
        );
        kafka
            .fetch()
            .context("could not fetch Apache Kafka's jars")?;
        if !kafka.is_complete() {
            bail!(
                "Maven was content, but jars are missing in {}",
                kafka.libs().display()
            );
        }
        Ok(kafka)
    }

    /// The folder of the jars.
    pub(crate) fn libs(&self) -> PathBuf {
        self.home.join("libs")
    }

    /// A Java program of Kafka's, by its class.
    pub(crate) fn tool(&self, class: &str) -> Command {
        let config = self.home.join("log4j2.properties");
        let mut command = Command::new("java");
        command
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Dlog4j2.configurationFile={}", config.display()))
            .arg("-cp")
            .arg(self.libs().join("*"))
            .arg(class);
        command
    }

    fn list(&self) -> PathBuf {
        self.home.join("libs.list")
    }

    fn is_complete(&self) -> bool {
        let same_pom = fs::read_to_string(self.home.join("pom.xml")).is_ok_and(|old| old == pom());
        let list = fs::read_to_string(self.list()).unwrap_or_default();
        let all_there = list
            .lines()
            .all(|jar| fs::metadata(self.libs().join(jar)).is_ok_and(|file| file.len() > 0));
        same_pom && all_there && lists_all_artifacts(&list)
    }

    fn fetch(&self) -> Result<()> {
        let partial = self.home.join("libs.partial");
        for old in [&partial, &self.libs()] {
            if old.exists() {
                fs::remove_dir_all(old)?;
            }
        }
        fs::create_dir_all(&self.home)?;
        fs::write(self.home.join("pom.xml"), pom())?;
        fs::write(self.home.join("log4j2.properties"), LOG4J)?;
        let mut maven = Command::new("mvn");
        maven
            .args([
                "-q",
                "-B",
                "-Dstyle.color=never",
                "dependency:copy-dependencies",
            ])
            .arg(format!("-DoutputDirectory={}", partial.display()))
            .current_dir(&self.home);
        let status = maven.status().context("could not start mvn")?;
        if !status.success() {
            bail!("mvn dependency:copy-dependencies: {status}");
        }
        fs::write(self.list(), jars_in(&partial)?.join("\n"))?;
        fs::rename(&partial, self.libs())?;
        Ok(())
    }
}

fn jars_in(dir: &Path) -> Result<Vec<String>> {
    let mut jars = Vec::new();
    for entry in fs::read_dir(dir)? {
        jars.push(entry?.file_name().to_string_lossy().into_owned());
    }
    jars.sort();
    Ok(jars)
}

fn lists_all_artifacts(list: &str) -> bool {
    ARTIFACTS.iter().all(|(_, artifact, version)| {
        list.lines()
            .any(|jar| jar == format!("{artifact}-{version}.jar"))
    })
}

fn pom() -> String {
    let dependencies: String = ARTIFACTS
        .iter()
        .map(|(group, artifact, version)| {
            format!(
                "    <dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>\
                 <version>{version}</version></dependency>\n"
            )
        })
        .collect();
    format!(
        "<project xmlns=\"http://maven.apache.org/POM/4.0.0\">\n  \
         <modelVersion>4.0.0</modelVersion>\n  <groupId>isthmus</groupId>\n  \
         <artifactId>peers</artifactId>\n  <version>1</version>\n  <packaging>pom</packaging>\n  \
         <dependencies>\n{dependencies}  </dependencies>\n</project>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_without_an_artifact_is_not_complete() {
        let all: Vec<_> = ARTIFACTS
            .iter()
            .map(|(_, artifact, version)| format!("{artifact}-{version}.jar"))
            .collect();
        assert!(lists_all_artifacts(&all.join("\n")));
        assert!(!lists_all_artifacts(&all[1..].join("\n")));
        assert!(!lists_all_artifacts(""));
    }

    #[test]
    fn the_pom_names_every_artifact_with_its_version() {
        let pom = pom();
        assert_eq!(pom.matches("<dependency>").count(), ARTIFACTS.len());
        assert!(pom.contains("<artifactId>kafka-tools</artifactId><version>4.2.0</version>"));
    }
}
