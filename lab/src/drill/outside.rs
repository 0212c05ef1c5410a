//! Numbers outside of what the model predicts, and failovers that were wrong about the loss.

use isthmus_config::model::{Model, Prediction, Quantity};

use crate::report::{CellReport, Range, Report, Summary};

/// A sentence for each number of a report that its model did not predict, or that a failover was wrong
/// about.
pub fn outside(models: &[Model], report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    for measured in &report.models {
        let place = format!("{} on {}", measured.name, measured.target.program);
        let wrong = measured.cells.iter().flat_map(said_wrongly);
        found.extend(wrong.map(|it| format!("{place}: {it}")));
        let model = models.iter().find(|it| it.model.name == measured.name);
        let Some(model) = model else {
            continue;
        };
        for prediction in &model.predictions {
            let cell = measured.cells.iter().find(|it| it.name == prediction.cell);
            let range = cell.and_then(|cell| value(&cell.summary, prediction.quantity));
            if let Some(range) = range
                && !holds(prediction, range)
            {
                found.push(format!("{place}: {}", sentence(prediction, range)));
            }
        }
    }
    found
}

fn said_wrongly(cell: &CellReport) -> impl Iterator<Item = String> {
    let runs = cell.runs.iter().filter(|run| run.verdict.void.is_empty());
    runs.filter_map(|run| {
        let said = run.said_lost?;
        let lost = run.lost_at_switch();
        let unknown = run.verdict.uncertain.iter().map(|it| it.absent).sum();
        let most = said
            .at_most
            .map_or("any number".to_owned(), |it| it.to_string());
        (!said.holds(lost, unknown)).then(|| {
            format!(
                "{}: run {}: the failover said {} to {most} records lost, and {lost} were",
                cell.name, run.run, said.at_least
            )
        })
    })
}

fn holds(prediction: &Prediction, range: Range) -> bool {
    prediction.min <= range.min && range.max <= prediction.max
}

fn sentence(prediction: &Prediction, range: Range) -> String {
    let Prediction {
        cell,
        quantity,
        min,
        max,
    } = prediction;
    let quantity = name(*quantity);
    format!(
        "{cell}: {quantity} was {:.2} to {:.2}, predicted are {min} to {max}",
        range.min, range.max
    )
}

/// None where no run that counts has the number.
fn value(summary: &Summary, quantity: Quantity) -> Option<Range> {
    match quantity {
        Quantity::LostRecords => summary.lost_records,
        Quantity::LostSeconds => summary.lost_seconds,
        Quantity::ProduceOutageSeconds => summary.produce_outage_seconds,
        Quantity::FetchOutageSeconds => summary.fetch_outage_seconds,
        Quantity::Duplicates => summary.duplicates,
    }
}

fn name(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::LostRecords => "lost_records",
        Quantity::LostSeconds => "lost_seconds",
        Quantity::ProduceOutageSeconds => "produce_outage_seconds",
        Quantity::FetchOutageSeconds => "fetch_outage_seconds",
        Quantity::Duplicates => "duplicates",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prediction_holds_for_all_runs_or_not_at_all() {
        let prediction = Prediction {
            cell: "killed".to_owned(),
            quantity: Quantity::ProduceOutageSeconds,
            min: 5.0,
            max: 15.0,
        };
        let range = |min, max| Range {
            min,
            median: min,
            max,
        };
        assert!(holds(&prediction, range(5.0, 15.0)));
        assert!(!holds(&prediction, range(4.9, 6.0)));
        assert!(!holds(&prediction, range(6.0, 15.1)));
        let expected = "killed: produce_outage_seconds was 4.90 to 6.00, predicted are 5 to 15";
        assert_eq!(sentence(&prediction, range(4.9, 6.0)), expected);
    }
}
