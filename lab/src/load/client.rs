//! What all load clients have in common: who they are, what they talk to, where they write.

use std::fs;
use std::path::PathBuf;

use rdkafka::ClientConfig;

use super::LoadError;
use crate::clock::{Clock, Micros};
use crate::ledger::{Client, ClientKind, ENDING, Header, LedgerWriter, Phase, SCHEMA, Schedule};

/// A load client as its caller names it.
#[derive(Clone, Debug)]
pub struct Who {
    pub drill: String,
    pub name: String,
    pub site: String,
    pub cluster: String,
    pub bootstrap: String,
    /// Where the ledgers of the cell are.
    pub folder: PathBuf,
    /// Further settings of the library, over the client's own.
    pub settings: Vec<(String, String)>,
}

/// What the header says besides.
pub(super) struct About {
    pub(super) kind: ClientKind,
    pub(super) incarnation: u32,
    pub(super) began_us: Micros,
    pub(super) topics: Vec<String>,
    pub(super) schedule: Option<Schedule>,
    pub(super) phase: Option<Phase>,
    pub(super) settings: Vec<String>,
}

/// Settings whose values are nobody's business.
const SECRET: [&str; 4] = ["password", "secret", "jaas", ".pem"];

impl Who {
    /// The library's configuration: the client's own settings, then the caller's.
    pub(super) fn config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config.set("client.id", &self.name);
        for (key, value) in own {
            config.set(*key, *value);
        }
        for (key, value) in &self.settings {
            config.set(key, value);
        }
        config
    }

    /// The same as the header tells it, without secrets.
    pub(super) fn settings_told(&self, own: &[(&str, &str)]) -> Vec<String> {
        let is_over = |key: &str| self.settings.iter().any(|(other, _)| other == key);
        let own = own.iter().filter(|(key, _)| !is_over(key));
        let own = own.map(|(key, value)| (*key, *value));
        let given = self.settings.iter();
        let given = given.map(|(key, value)| (key.as_str(), value.as_str()));
        let tell = |(key, value): (&str, &str)| match SECRET.iter().any(|it| key.contains(it)) {
            true => format!("{key}=…"),
            false => format!("{key}={value}"),
        };
        own.chain(given).map(tell).collect()
    }

    /// Where a start of this client writes.
    pub fn ledger_path(&self, incarnation: u32) -> PathBuf {
        self.folder
            .join(format!("{}-{incarnation}.{ENDING}", self.name))
    }

    /// Begins the ledger of a start.
    pub(super) fn begin(&self, about: About) -> Result<LedgerWriter, LoadError> {
        let path = self.ledger_path(about.incarnation);
        let header = self.header(about, &library())?;
        let failed = |cause| LoadError::Ledger {
            path: path.clone(),
            cause,
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        LedgerWriter::create(&path, &header).map_err(failed)
    }

    pub(super) fn header(&self, about: About, library: &str) -> Result<Header, LoadError> {
        Ok(Header {
            schema: SCHEMA.to_owned(),
            drill: self.drill.clone(),
            clock: Clock::read().map_err(LoadError::Clock)?,
            began_us: about.began_us,
            client: Some(Client {
                name: self.name.clone(),
                kind: about.kind,
                incarnation: about.incarnation,
                site: self.site.clone(),
                cluster: self.cluster.clone(),
                bootstrap: self.bootstrap.clone(),
                library: library.to_owned(),
                settings: about.settings,
                schedule: about.schedule,
                topics: about.topics,
                phase: about.phase,
            }),
            cell: None,
        })
    }
}

fn library() -> String {
    format!("librdkafka {}", rdkafka::util::get_rdkafka_version().1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_tells_what_was_set_and_no_secret() {
        let given = [("acks", "1"), ("sasl.password", "hunter2")];
        let who = Who {
            drill: "d".to_owned(),
            name: "p".to_owned(),
            site: "s".to_owned(),
            cluster: "c".to_owned(),
            bootstrap: "b:1".to_owned(),
            folder: PathBuf::from("."),
            settings: given.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        };
        let own = [("acks", "all"), ("linger.ms", "5")];
        let told = who.settings_told(&own);
        assert_eq!(told, ["linger.ms=5", "acks=1", "sasl.password=…"]);
        assert_eq!(who.config(&own).get("acks"), Some("1"));
    }
}
