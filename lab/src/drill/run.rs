//! One run of one cell: from nothing to ledgers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use isthmus_config::model::{ClientKind, Model};
use tokio::time::Instant;

use super::cells::{Cell, Step};
use super::clients::{Clients, Running, finish_audits, finish_producers, stop_consumers};
use super::failover::Failovers;
use super::{DrillError, IsthmusProgram, Software};
use crate::clock::{Clock, Micros, now};
use crate::deployment::{Deployment, Plan};
use crate::ledger::header::{Drill, Header, Target};
use crate::ledger::{DRILL_FILE, LedgerWriter, Row, SCHEMA};
use crate::process::Process;

/// Between two looks whether everything still runs.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a run is made of.
pub(super) struct Run<'a> {
    pub(super) model: &'a Model,
    pub(super) cell: &'a Cell,
    pub(super) software: &'a Software,
    pub(super) lab: &'a IsthmusProgram,
    pub(super) number: u32,
    /// For the programs' files, data and logs.
    pub(super) programs: &'a Path,
    pub(super) ledgers: &'a Path,
    pub(super) tell: &'a dyn Fn(&str),
}

impl Run<'_> {
    pub(super) async fn run(self) -> Result<(), DrillError> {
        let mut deployment = Deployment::prepare(&Plan {
            model: self.model,
            software: self.software,
            lab: self.lab,
            folder: self.programs,
        })?;
        deployment.start(self.tell).await?;
        let drill = format!("{:x}-{:x}", std::process::id(), now());
        let mut begun = Begun {
            ledger: self.begin_ledger(&drill)?,
            drill,
            deployment,
            is_down: false,
            fault_from_us: None,
            consumers: Vec::new(),
            producers: Vec::new(),
            audits: Vec::new(),
            run: self,
        };
        begun.load().await?;
        begun.end().await
    }

    fn begin_ledger(&self, drill: &str) -> Result<LedgerWriter, DrillError> {
        let described = self.software.describe();
        let header = Header {
            schema: SCHEMA.to_owned(),
            drill: drill.to_owned(),
            clock: Clock::read().map_err(DrillError::Clock)?,
            began_us: now(),
            client: None,
            cell: Some(Drill {
                model: self.model.model.name.clone(),
                target: Target {
                    program: described.program,
                    version: described.version,
                    settings: described.settings,
                },
                cell: self.cell.name.clone(),
                placebo: self.cell.placebo,
                run: self.number,
                claims: self.cell.claims.clone(),
                network: Vec::new(),
                clusters: self
                    .model
                    .clusters
                    .iter()
                    .map(|it| it.name.clone())
                    .collect(),
            }),
        };
        let path = self.ledgers.join(DRILL_FILE);
        let made = fs::create_dir_all(self.ledgers);
        made.and_then(|()| LedgerWriter::create(&path, &header))
            .map_err(|cause| DrillError::Write { path, cause })
    }
}

/// A run whose deployment is there.
struct Begun<'a> {
    run: Run<'a>,
    drill: String,
    deployment: Deployment,
    ledger: LedgerWriter,
    /// The cell's cluster was killed and is not back.
    is_down: bool,
    fault_from_us: Option<Micros>,
    consumers: Vec<Running>,
    producers: Vec<Running>,
    /// Those of the switch, which may take longer than the load.
    audits: Vec<Process>,
}

impl Begun<'_> {
    /// The load, with all that is done to the deployment meanwhile.
    async fn load(&mut self) -> Result<(), DrillError> {
        (self.run.tell)("starting the clients");
        self.consumers = self.clients().start(ClientKind::Consumer).await?;
        self.producers = self.clients().start(ClientKind::Producer).await?;
        let began = Instant::now();
        self.phase("load begins")?;
        let cell = self.run.cell;
        for (at, step) in &cell.steps {
            self.wait_until(began + *at).await?;
            match step {
                Step::Fault => self.fault().await?,
                Step::Switch => {
                    let failovers = self.begin_failovers().await?;
                    self.switch(failovers).await?;
                }
                Step::Return => self.bring_back().await?,
            }
        }
        let ends = began + Duration::from_millis(self.run.model.load.run_ms);
        self.wait_until(ends).await?;
        finish_producers(&mut self.producers, ends).await?;
        self.phase("load ended")
    }

    /// What is there when everything is over.
    async fn end(mut self) -> Result<(), DrillError> {
        let alive: Vec<&str> = self.alive().collect();
        self.clients().settle(&self.consumers, &alive).await?;
        // One that fell meanwhile read less than there was.
        for consumer in &mut self.consumers {
            consumer.check()?;
        }
        stop_consumers(&mut self.consumers).await?;
        finish_audits(std::mem::take(&mut self.audits)).await?;
        (self.run.tell)("reading what is there in the end");
        self.phase("final audit")?;
        let audits = self.clients().audit("final", self.alive())?;
        finish_audits(audits).await?;
        let path = self.run.ledgers.join(DRILL_FILE);
        let ended = self.ledger.end(now());
        ended
            .map(|_| ())
            .map_err(|cause| DrillError::Write { path, cause })
    }

    async fn fault(&mut self) -> Result<(), DrillError> {
        let from_us = now();
        self.deployment.kill_cluster(&self.run.cell.cluster).await?;
        self.is_down = true;
        self.fault_from_us = Some(from_us);
        let text = self.fault_text();
        (self.run.tell)(&text);
        self.row(&Row::Fault {
            from_us,
            to_us: None,
            text,
        })
    }

    fn fault_text(&self) -> String {
        format!("kill -9 of every node of cluster {}", self.run.cell.cluster)
    }

    /// A cluster that lives is not given up.
    async fn begin_failovers(&mut self) -> Result<Option<Failovers>, DrillError> {
        let cluster = &self.run.cell.cluster;
        let commands = self.deployment.failovers(cluster);
        if !self.is_down || commands.is_empty() {
            return Ok(None);
        }
        self.phase("failover")?;
        let logs = self.run.programs.join("logs");
        let begun = Failovers::begin(commands, &logs).await?;
        (self.run.tell)(&format!("the flows out of {cluster} are failed over"));
        Ok(Some(begun))
    }

    /// The audits begin first, since what counts is what could be read when clients were switched;
    /// nobody waits for them. Producers may be switched as soon as a failover holds, consumers when
    /// their groups' offsets are there.
    async fn switch(&mut self, failovers: Option<Failovers>) -> Result<(), DrillError> {
        self.phase("switch")?;
        let audits = self.clients().audit("switch", self.alive())?;
        self.audits = audits;
        // Field by field, since the clients change while these are used.
        let clients = Clients {
            deployment: &self.deployment,
            lab: self.run.lab,
            ledgers: self.run.ledgers,
            logs: self.run.programs.join("logs"),
            drill: &self.drill,
        };
        let cluster = &self.run.cell.cluster;
        let consumers = async {
            if let Some(failovers) = failovers {
                failovers.finish(self.run.ledgers).await?;
            }
            clients.switch(cluster, &mut self.consumers).await
        };
        let (producers, consumers) =
            tokio::join!(clients.switch(cluster, &mut self.producers), consumers);
        let switched = [producers?, consumers?].concat();
        match switched.is_empty() {
            true => (self.run.tell)("no client has a cluster to be switched to"),
            false => (self.run.tell)(&format!("switched {}", switched.join(", "))),
        }
        Ok(())
    }

    async fn bring_back(&mut self) -> Result<(), DrillError> {
        let cluster = &self.run.cell.cluster;
        self.deployment.start_cluster(cluster).await?;
        self.is_down = false;
        (self.run.tell)(&format!("cluster {cluster} is back"));
        let Some(from_us) = self.fault_from_us else {
            return Ok(());
        };
        let text = self.fault_text();
        self.row(&Row::Fault {
            from_us,
            to_us: Some(now()),
            text,
        })
    }

    fn clients(&self) -> Clients<'_> {
        Clients {
            deployment: &self.deployment,
            lab: self.run.lab,
            ledgers: self.run.ledgers,
            logs: self.run.programs.join("logs"),
            drill: &self.drill,
        }
    }

    /// Clusters that answer.
    fn alive(&self) -> impl Iterator<Item = &str> {
        let clusters = self.run.model.clusters.iter().map(|it| it.name.as_str());
        clusters.filter(move |name| !self.is_down || *name != self.run.cell.cluster)
    }

    async fn wait_until(&mut self, time: Instant) -> Result<(), DrillError> {
        while Instant::now() < time {
            tokio::time::sleep_until(time.min(Instant::now() + LOOK_EVERY)).await;
            self.deployment.check()?;
            for client in self.producers.iter_mut().chain(&mut self.consumers) {
                client.check()?;
            }
        }
        Ok(())
    }

    fn phase(&mut self, text: &str) -> Result<(), DrillError> {
        self.row(&Row::Phase {
            at_us: now(),
            text: text.to_owned(),
        })
    }

    /// At once on disk: what happened stays known even if the lab ends here.
    fn row(&mut self, row: &Row) -> Result<(), DrillError> {
        let wrote = self.ledger.row(row).and_then(|()| self.ledger.flush());
        wrote.map_err(|cause| DrillError::Write {
            path: self.run.ledgers.join(DRILL_FILE),
            cause,
        })
    }
}
