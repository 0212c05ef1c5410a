//! `report.json`: every cell with every run and its whole verdict. Fields are added, never changed.

use std::path::Path;

use serde::Serialize;

use super::summary::Summary;
use super::travels::Travels;
use crate::checker::{CheckError, Verdict, check};
use crate::ledger::header::Target;
use crate::ledger::{Cell, SaidLost};

const SCHEMA: &str = "isthmus.report/1";

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub schema: &'static str,
    /// The program that judged; the ledgers may be older.
    pub isthmus: String,
    pub travels: Travels,
    pub models: Vec<ModelReport>,
}

/// A model on a target.
#[derive(Clone, Debug, Serialize)]
pub struct ModelReport {
    pub name: String,
    pub target: Target,
    pub cells: Vec<CellReport>,
}

/// One kind of fault, or none, in all its runs.
#[derive(Clone, Debug, Serialize)]
pub struct CellReport {
    pub name: String,
    pub placebo: bool,
    pub claims: Vec<String>,
    pub network: Vec<String>,
    pub summary: Summary,
    pub runs: Vec<RunReport>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    pub run: u32,
    pub drill: String,
    /// Where its ledgers are, as the reader named the folder.
    pub folder: String,
    pub faults: Vec<Mark>,
    pub phases: Vec<Mark>,
    /// What the failover said, if there was one.
    pub said_lost: Option<SaidLost>,
    pub verdict: Verdict,
}

/// Something that happened, in milliseconds of the timeline.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mark {
    pub from_ms: f64,
    pub to_ms: Option<f64>,
    pub text: String,
}

impl Report {
    /// Judges all cells. The folder is what paths are told from.
    pub fn of(cells: &[Cell], folder: &Path) -> Result<Self, CheckError> {
        let mut models: Vec<ModelReport> = Vec::new();
        for cell in cells {
            let run = RunReport::of(cell, folder)?;
            let drill = &cell.drill;
            let same = |it: &&mut ModelReport| it.name == drill.model && it.target == drill.target;
            let model = match models.iter_mut().find(same) {
                Some(model) => model,
                None => {
                    models.push(ModelReport {
                        name: drill.model.clone(),
                        target: drill.target.clone(),
                        cells: Vec::new(),
                    });
                    models.last_mut().expect("one was added")
                }
            };
            model.add(cell, run);
        }
        models.sort_by(|a, b| (&a.name, &a.target).cmp(&(&b.name, &b.target)));
        for model in &mut models {
            model.settle();
        }
        Ok(Self {
            schema: SCHEMA,
            isthmus: env!("CARGO_PKG_VERSION").to_owned(),
            travels: Travels::of(&models),
            models,
        })
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a report has nothing that JSON cannot say")
    }

    fn cells(&self) -> impl Iterator<Item = &CellReport> {
        self.models.iter().flat_map(|model| &model.cells)
    }

    /// Why these numbers are not to be shown to anybody; empty when they are.
    pub fn doubts(&self) -> Vec<String> {
        self.of_each_cell(CellReport::doubts)
    }

    /// What is missing among the numbers, and why; the others hold.
    pub fn remarks(&self) -> Vec<String> {
        self.of_each_cell(CellReport::remarks)
    }

    fn of_each_cell(&self, told: impl Fn(&CellReport) -> Vec<String>) -> Vec<String> {
        let mut lines = Vec::new();
        for model in &self.models {
            for cell in &model.cells {
                let place = format!("{} on {}: {}", model.name, model.target.program, cell.name);
                lines.extend(told(cell).into_iter().map(|it| format!("{place}: {it}")));
            }
        }
        lines
    }

    /// Whether any cell has the network between its sites emulated.
    pub fn is_emulated(&self) -> bool {
        self.cells().any(|cell| !cell.network.is_empty())
    }
}

impl ModelReport {
    fn add(&mut self, cell: &Cell, run: RunReport) {
        let drill = &cell.drill;
        if let Some(known) = self.cells.iter_mut().find(|it| it.name == drill.cell) {
            known.runs.push(run);
            return;
        }
        self.cells.push(CellReport {
            name: drill.cell.clone(),
            placebo: drill.placebo,
            claims: drill.claims.clone(),
            network: drill.network.clone(),
            summary: Summary::default(),
            runs: vec![run],
        });
    }

    /// Placebos first: what the others are compared with.
    fn settle(&mut self) {
        self.cells
            .sort_by(|a, b| (!a.placebo, &a.name).cmp(&(!b.placebo, &b.name)));
        for cell in &mut self.cells {
            cell.runs.sort_by_key(|run| run.run);
            cell.summary = Summary::of(&cell.runs);
        }
    }
}

impl CellReport {
    /// Runs that count, but for their latency.
    fn remarks(&self) -> Vec<String> {
        let runs = self.runs.iter().filter(|run| run.verdict.void.is_empty());
        let remarks = runs.flat_map(|run| {
            let why = run.verdict.latency_void.iter();
            why.map(|why| format!("run {} has no latency: {why}", run.run))
        });
        remarks.collect()
    }

    fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        for run in &self.runs {
            let void = &run.verdict.void;
            doubts.extend(
                void.iter()
                    .map(|why| format!("run {} is void: {why}", run.run)),
            );
            if self.placebo && !run.verdict.is_clean() {
                doubts.push(format!("run {} found faults where none was made", run.run));
            }
        }
        doubts
    }
}

impl Verdict {
    /// Nothing lost, doubled, reordered, dirty or strange.
    pub fn is_clean(&self) -> bool {
        let found = [
            &self.duplicates,
            &self.out_of_order,
            &self.keys_moved,
            &self.read_then_gone,
            &self.refused_yet_read,
            &self.resurrected,
            &self.phantom,
        ];
        let unreadable = self.unreadable_at_switch.as_ref();
        self.lost.records == 0
            && unreadable.is_none_or(|loss| loss.records == 0)
            && found.iter().all(|found| found.count == 0)
    }
}

impl RunReport {
    /// Acknowledged, and not where clients were switched to: what a failover speaks of. A cluster
    /// that comes back later brings them back.
    pub fn lost_at_switch(&self) -> u64 {
        let Verdict {
            unreadable_at_switch,
            lost,
            ..
        } = &self.verdict;
        unreadable_at_switch.as_ref().unwrap_or(lost).records
    }

    fn of(cell: &Cell, folder: &Path) -> Result<Self, CheckError> {
        let verdict = check(cell)?;
        let zero = verdict.timeline.from_us;
        let ms = |time: u64| (time as f64 - zero as f64) / 1e3;
        let faults = cell.faults.iter().map(|fault| Mark {
            from_ms: ms(fault.from_us),
            to_ms: fault.to_us.map(ms),
            text: fault.text.clone(),
        });
        let phases = cell.phases.iter().map(|(at_us, text)| Mark {
            from_ms: ms(*at_us),
            to_ms: None,
            text: text.clone(),
        });
        let inside = cell.folder.strip_prefix(folder).unwrap_or(&cell.folder);
        Ok(Self {
            run: cell.drill.run,
            drill: cell.header.drill.clone(),
            folder: inside.display().to_string(),
            faults: faults.collect(),
            phases: phases.collect(),
            said_lost: cell.said_lost,
            verdict,
        })
    }
}
