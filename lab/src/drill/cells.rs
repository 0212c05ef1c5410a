//! The cells of a model, and the steps of a cell with their times.

use std::time::Duration;

use isthmus_config::model::{Load, Model};

/// What a placebo is called after its cell.
const PLACEBO: &str = "-placebo";

/// One kind of fault, or its placebo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    pub name: String,
    pub placebo: bool,
    /// The cluster that is killed, or would be. Its clients are switched.
    pub cluster: String,
    /// In order.
    pub steps: Vec<(Duration, Step)>,
    /// What is claimed of it, for the report.
    pub claims: Vec<String>,
}

/// What is done to the deployment while the load runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Fault,
    Switch,
    Return,
}

/// All cells of a model, each after its placebo; cells that kill the same cluster share the first one's.
pub fn cells(model: &Model) -> Vec<Cell> {
    let cells = model.cells.iter().enumerate().flat_map(|(place, cell)| {
        let is_first = model.cells[..place].iter().all(|it| it.kill != cell.kill);
        let claims = model.claims.iter();
        let claims = claims.filter(|claim| claim.cell.as_ref() == Some(&cell.name));
        let claims = claims.map(|claim| format!("{} ({})", claim.text, claim.source));
        let returns = cell.returns_after_ms;
        let fault = Cell {
            name: cell.name.clone(),
            placebo: false,
            cluster: cell.kill.clone(),
            steps: steps(model.load, returns),
            claims: claims.collect(),
        };
        let is_switch = |step: &&(Duration, Step)| step.1 == Step::Switch;
        let placebo = Cell {
            name: format!("{}{PLACEBO}", cell.name),
            placebo: true,
            steps: fault.steps.iter().filter(is_switch).copied().collect(),
            claims: Vec::new(),
            ..fault.clone()
        };
        is_first.then_some(placebo).into_iter().chain([fault])
    });
    cells.collect()
}

/// The shortest times that still show something: for a look, and for tests.
pub fn quickly(model: &mut Model) {
    let load = &mut model.load;
    load.run_ms = load.run_ms.min(24_000);
    load.fault_after_ms = load.fault_after_ms.min(8_000);
    load.switch_after_ms = load.switch_after_ms.min(5_000);
    for cell in &mut model.cells {
        cell.returns_after_ms = cell.returns_after_ms.map(|it| it.min(8_000));
    }
}

/// From the begin of the load.
fn steps(load: Load, returns_after_ms: Option<u64>) -> Vec<(Duration, Step)> {
    let fault = load.fault_after_ms;
    let mut steps = vec![
        (fault, Step::Fault),
        (fault + load.switch_after_ms, Step::Switch),
    ];
    steps.extend(returns_after_ms.map(|after| (fault + after, Step::Return)));
    steps.sort_unstable();
    let steps = steps.into_iter();
    steps
        .map(|(ms, step)| (Duration::from_millis(ms), step))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_after_their_placebo() {
        let told = |model: &str| {
            let cells = cells(&Model::find(model).unwrap()).into_iter();
            let told = cells.map(|cell| {
                let steps = cell.steps.iter();
                let steps = steps.map(|(at, step)| format!("{}s {step:?}", at.as_secs()));
                let steps: Vec<String> = steps.collect();
                let claims = cell.claims.len();
                format!(
                    "{} {}: {}; {claims}",
                    cell.name,
                    cell.cluster,
                    steps.join(", ")
                )
            });
            told.collect::<Vec<_>>()
        };
        let expected = [
            "cluster-killed-placebo home: 25s Switch; 0",
            "cluster-killed home: 20s Fault, 25s Switch, 30s Return; 1",
        ];
        assert_eq!(told("single-site"), expected);
        let expected = [
            "active-killed-placebo east: 25s Switch; 0",
            "active-killed east: 20s Fault, 25s Switch; 1",
            "active-killed-and-back east: 20s Fault, 25s Switch, 40s Return; 0",
        ];
        assert_eq!(told("active-passive"), expected);
    }
}
