//! Numbers outside of what the model predicts.

use isthmus_config::model::{Model, Prediction, Quantity};

use crate::report::{Range, Report, Summary};

/// A sentence for each number of a report that its model did not predict.
pub fn outside(models: &[Model], report: &Report) -> Vec<String> {
    let mut found = Vec::new();
    for measured in &report.models {
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
                let place = format!("{} on {}", measured.name, measured.target.program);
                found.push(format!("{place}: {}", sentence(prediction, range)));
            }
        }
    }
    found
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
