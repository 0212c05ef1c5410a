//! The files of a cluster whose controllers and brokers are nodes of their own, for either software.
//!
//! Every node is in a place of its own, so that all listen at the same ports.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::table::Lease;
use crate::targets::{KafkaSettings, Software};
use crate::trio::files::{BROKERS, CLIENTS, CONTROLLERS, times};

/// Beyond what makes it a node of the cluster, on either target. No group is used, and none needs to survive.
const KAFKA: [(&str, &str); 2] = [
    ("auto.create.topics.enable", "false"),
    ("offsets.topic.replication.factor", "1"),
];

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Broker,
    Controller,
}

/// A node as its file describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'a> {
    pub(super) id: i32,
    pub(super) role: Role,
    pub(super) address: Ipv4Addr,
    pub(super) data: &'a Path,
}

/// What the files of all nodes have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Common<'a> {
    pub(super) software: &'a Software,
    /// Id and address of each controller.
    pub(super) controllers: &'a [(i32, Ipv4Addr)],
    /// A file with it.
    pub(super) secret: &'a Path,
    /// None where there is no such key.
    pub(super) lease: Option<Lease>,
    pub(super) cores: usize,
}

impl Site<'_> {
    /// Where it answers ApiVersions.
    pub(super) fn answers_at(&self) -> SocketAddr {
        let port = match self.role {
            Role::Broker => CLIENTS,
            Role::Controller => CONTROLLERS,
        };
        SocketAddr::from((self.address, port))
    }
}

impl Common<'_> {
    /// Ending and text of a node's file.
    pub(super) fn file(&self, site: &Site<'_>) -> (&'static str, String) {
        match self.software {
            Software::Isthmus(_) => ("toml", self.isthmus(site)),
            Software::ApacheKafka(_) => ("properties", self.kafka(site)),
        }
    }

    fn voters(&self) -> Vec<String> {
        let voters = self.controllers.iter();
        voters
            .map(|(id, address)| format!("{id}@{address}:{CONTROLLERS}"))
            .collect()
    }

    fn isthmus(&self, site: &Site<'_>) -> String {
        let (id, address) = (site.id, site.address);
        let voters: Vec<String> = self.voters().iter().map(|it| format!("{it:?}")).collect();
        let (role, listeners) = match site.role {
            Role::Broker => (
                "broker",
                &[
                    ("clients", "client", CLIENTS),
                    ("brokers", "broker", BROKERS),
                ][..],
            ),
            Role::Controller => (
                "controller",
                &[("controllers", "controller", CONTROLLERS)][..],
            ),
        };
        let (data, secret) = (site.data.display(), self.secret.display());
        let mut text = format!(
            "[node]\nid = {id}\nroles = [\"{role}\"]\ndata = [{:?}]\n\n\
             [cluster]\ncontrollers = [{}]\nsecret_file = {:?}\n",
            data.to_string(),
            voters.join(", "),
            secret.to_string()
        );
        text.push_str("\n[kafka]\n");
        for (key, value) in KAFKA {
            writeln!(text, "\"{key}\" = \"{value}\"").expect("a String takes all text");
        }
        if let Some(lease) = self.lease {
            let fencing = lease == Lease::On;
            write!(text, "\n[lease]\nfencing = {fencing}\n").expect("a String takes all text");
        }
        for (name, kind, port) in listeners {
            let listener = format!(
                "\n[[listeners]]\nname = \"{name}\"\nkind = \"{kind}\"\nbind = \"{address}:{port}\"\n"
            );
            text.push_str(&listener);
        }
        text
    }

    fn kafka(&self, site: &Site<'_>) -> String {
        let address = site.address;
        let mut text = String::new();
        let mut set = |key: &str, value: &str| {
            writeln!(text, "{key}={value}").expect("a String takes all text");
        };
        set("node.id", &site.id.to_string());
        set("log.dirs", &site.data.display().to_string());
        set("controller.quorum.voters", &self.voters().join(","));
        set("controller.listener.names", "CONTROLLER");
        match site.role {
            Role::Broker => {
                let own = format!("CLIENTS://{address}:{CLIENTS},BROKERS://{address}:{BROKERS}");
                set("process.roles", "broker");
                set("inter.broker.listener.name", "BROKERS");
                set("listeners", &own);
                set("advertised.listeners", &own);
            }
            Role::Controller => {
                set("process.roles", "controller");
                let own = format!("CONTROLLER://{address}:{CONTROLLERS}");
                set("listeners", &own);
            }
        }
        let plain = "CLIENTS:PLAINTEXT,BROKERS:PLAINTEXT,CONTROLLER:PLAINTEXT";
        set("listener.security.protocol.map", plain);
        for (key, value) in KAFKA {
            set(key, value);
        }
        for (key, value) in times() {
            set(key, &value);
        }
        for (key, value) in KafkaSettings::tuned(self.cores).properties() {
            set(key, value);
        }
        text
    }

    /// For a reader who wants to do the same.
    pub(super) fn settings(&self) -> Vec<String> {
        let mut settings = vec!["controllers and brokers are nodes of their own".to_owned()];
        match self.software {
            Software::Isthmus(_) => {
                settings.extend(self.lease.map(|it| format!("lease.fencing: {}", it.name())));
            }
            Software::ApacheKafka(jars) => {
                let tuned = KafkaSettings::tuned(self.cores);
                let tuned = tuned
                    .properties()
                    .map(|(key, value)| format!("{key}={value}"));
                settings.extend(times().map(|(key, value)| format!("{key}={value}")));
                settings.extend(tuned);
                settings.push(jars.java().to_owned());
            }
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::IsthmusProgram;

    /// Any program that calls itself Isthmus; only its name is used here.
    fn software() -> (tempfile::TempDir, Software) {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("isthmus");
        std::fs::write(&path, "#!/bin/sh\necho isthmus 0\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let program = IsthmusProgram::find(&path).unwrap();
        (folder, Software::Isthmus(program))
    }

    fn common<'a>(
        software: &'a Software,
        controllers: &'a [(i32, Ipv4Addr)],
        lease: Option<Lease>,
    ) -> Common<'a> {
        Common {
            software,
            controllers,
            secret: Path::new("/s"),
            lease,
            cores: 2,
        }
    }

    fn site(role: Role) -> Site<'static> {
        Site {
            id: 7,
            role,
            address: Ipv4Addr::new(10, 91, 1, 2),
            data: Path::new("/d"),
        }
    }

    #[test]
    fn a_file_of_isthmus_has_the_listeners_of_its_role_and_the_lease_if_it_was_asked_for() {
        let (_folder, software) = software();
        let controllers = [(101, Ipv4Addr::new(10, 91, 5, 2))];
        let broker = common(&software, &controllers, Some(Lease::Off)).isthmus(&site(Role::Broker));
        for line in [
            "roles = [\"broker\"]",
            "controllers = [\"101@10.91.5.2:9093\"]",
            "bind = \"10.91.1.2:9092\"",
            "bind = \"10.91.1.2:9094\"",
            "[kafka]",
            "\"offsets.topic.replication.factor\" = \"1\"",
            "[lease]",
            "fencing = false",
        ] {
            assert!(broker.lines().any(|it| it == line), "{line} in\n{broker}");
        }
        let controller = common(&software, &controllers, None).isthmus(&site(Role::Controller));
        assert!(
            controller.contains("bind = \"10.91.1.2:9093\""),
            "{controller}"
        );
        assert!(!controller.contains("[lease]") && !controller.contains("9092"));
    }

    #[test]
    fn a_file_of_apache_kafka_has_the_listeners_of_its_role_and_no_key_twice() {
        let (_folder, software) = software();
        let controllers = [(101, Ipv4Addr::new(10, 91, 5, 2))];
        let common = common(&software, &controllers, None);
        for (role, listeners) in [
            (
                Role::Broker,
                "listeners=CLIENTS://10.91.1.2:9092,BROKERS://10.91.1.2:9094",
            ),
            (Role::Controller, "listeners=CONTROLLER://10.91.1.2:9093"),
        ] {
            let text = common.kafka(&site(role));
            assert!(text.lines().any(|it| it == listeners), "{text}");
            let keys = text.lines().filter_map(|it| Some(it.split_once('=')?.0));
            let mut keys: Vec<&str> = keys.collect();
            let count = keys.len();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), count, "{text}");
        }
    }
}
