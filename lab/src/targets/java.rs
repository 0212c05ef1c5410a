//! Apache Kafka's jars, and its programs by class.
//!
//! Must not know: how the jars came there, and what a program is run for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::shield;
use crate::process::program;

/// The jar that names the release.
const CORE_JAR: &str = "kafka_2.13-";

/// Jars without which a program of ours would fail halfway.
const NEEDED: [&str; 3] = [CORE_JAR, "kafka-tools-", "log4j-slf4j-impl-"];

/// Keeps Kafka's programs quiet but for what a person should see; the lab's own file, so that no
/// other one on the machine decides.
const LOG4J: &str = "\
rootLogger.level = WARN
rootLogger.appenderRef.stderr.ref = STDERR
appender.stderr.type = Console
appender.stderr.name = STDERR
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1} %m%n
";

/// A folder with the jars of one release, and the Java to run them.
#[derive(Clone, Debug)]
pub struct KafkaJars {
    libs: PathBuf,
    version: String,
    java: String,
}

/// Apache Kafka cannot be run from there.
#[derive(Debug, thiserror::Error)]
pub enum NoKafka {
    #[error("{}: cannot be read: {cause}; give the folder of Apache Kafka's jars", libs.display())]
    Unreadable { libs: PathBuf, cause: io::Error },
    #[error("{}: has no {jar}*.jar; give the folder of Apache Kafka's jars", libs.display())]
    Missing { libs: PathBuf, jar: &'static str },
    #[error("java: cannot be run: {cause}; install a Java runtime, 17 or newer")]
    Java { cause: io::Error },
}

impl KafkaJars {
    pub fn find(libs: &Path) -> Result<Self, NoKafka> {
        let unreadable = |cause| NoKafka::Unreadable {
            libs: libs.to_owned(),
            cause,
        };
        // Programs are started in folders of their own.
        let libs = libs.canonicalize().map_err(unreadable)?;
        let jars = names_in(&libs).map_err(unreadable)?;
        let missing = NEEDED.iter().find(|jar| version_in(&jars, jar).is_none());
        if let Some(&jar) = missing {
            return Err(NoKafka::Missing { libs, jar });
        }
        let version = version_in(&jars, CORE_JAR).unwrap_or_default();
        let java = java_version().map_err(|cause| NoKafka::Java { cause })?;
        Ok(Self {
            libs,
            version,
            java,
        })
    }

    /// Looks for the jars of MirrorMaker 2, too.
    pub fn check_mirror_maker(&self) -> Result<(), NoKafka> {
        const JAR: &str = "connect-mirror-";
        let unreadable = |cause| NoKafka::Unreadable {
            libs: self.libs.clone(),
            cause,
        };
        let jars = names_in(&self.libs).map_err(unreadable)?;
        version_in(&jars, JAR).map(|_| ()).ok_or(NoKafka::Missing {
            libs: self.libs.clone(),
            jar: JAR,
        })
    }

    /// Where they are.
    pub fn libs(&self) -> &Path {
        &self.libs
    }

    /// The release of Kafka.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What Java says of itself.
    pub fn java(&self) -> &str {
        &self.java
    }

    /// A program by its class, run in a folder where it finds its log settings.
    pub fn program<S: AsRef<std::ffi::OsStr>>(
        &self,
        class: &str,
        jvm: impl IntoIterator<Item = S>,
        folder: &Path,
    ) -> io::Result<Command> {
        let log4j = folder.join("log4j2.properties");
        fs::write(&log4j, LOG4J)?;
        let mut command = program("java");
        shield(&mut command);
        command
            .args(jvm)
            .arg(format!("-Dlog4j2.configurationFile={}", log4j.display()))
            .arg("-cp")
            .arg(self.libs.join("*"))
            .arg(class)
            .current_dir(folder);
        Ok(command)
    }
}

fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    fs::read_dir(folder)?.map(|entry| entry.map(name)).collect()
}

fn version_in(jars: &[String], prefix: &str) -> Option<String> {
    let version = |jar: &String| Some(jar.strip_prefix(prefix)?.strip_suffix(".jar")?.to_owned());
    jars.iter()
        .filter_map(version)
        .find(|version| version.starts_with(|first: char| first.is_ascii_digit()))
}

fn java_version() -> io::Result<String> {
    let mut command = program("java");
    shield(&mut command);
    let output = command.arg("-version").output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    Ok(said.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_in_the_name_of_the_core_jar() {
        let jars = ["kafka_2.13-test.jar", "kafka_2.13-4.2.0.jar", "x.jar"].map(str::to_owned);
        assert_eq!(version_in(&jars, CORE_JAR).as_deref(), Some("4.2.0"));
        assert_eq!(version_in(&jars, "kafka-tools-"), None);
    }

    #[test]
    fn a_folder_without_the_jars_is_refused_with_the_remedy() {
        let empty = tempfile::tempdir().unwrap();
        let error = KafkaJars::find(empty.path()).unwrap_err().to_string();
        let expected = "has no kafka_2.13-*.jar; give the folder of Apache Kafka's jars";
        assert!(error.ends_with(expected), "{error}");
        let error = KafkaJars::find(&empty.path().join("gone")).unwrap_err();
        assert!(matches!(error, NoKafka::Unreadable { .. }), "{error}");
    }
}
