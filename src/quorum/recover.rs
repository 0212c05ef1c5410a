//! `isthmus quorum recover`: most voters are lost for good, and one that survives becomes the only voter
//! of a quorum that those of the old one are strangers to. At the survivor's machine, while no node runs
//! there.

use crate::cluster::{consent, say, say_no};
use crate::options::{ConfigOptions, fail, refuse};
use clap::Args;
use isthmus_broker::{
    GivenUp, Recovered, RecoveryError, RecoveryPlan, Settings, SurvivorReport, VoterName,
    read_config,
};
use isthmus_config::units::show_millis;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// More are counted, and stand in the document of --json.
const PARTITIONS_SHOWN: usize = 10;

#[derive(Args)]
pub(super) struct RecoverOptions {
    /// Data directories of all nodes that survive and can be had at this machine, whole copies too. With
    /// -c FILE that node's own is among them, and becomes the only voter; without, the most advanced does.
    #[arg(long, value_name = "DIR", num_args = 1.., value_delimiter = ',')]
    survivors: Vec<PathBuf>,
    /// Say what would be done and what may be lost, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// One JSON document on stdout.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigOptions,
}

pub(super) fn run(options: &RecoverOptions) -> ExitCode {
    let settings = match settings(options) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let plan = match RecoveryPlan::make(settings.as_ref(), &options.survivors) {
        Ok(plan) => plan,
        Err(error) => return refused(&error),
    };
    let document = document(&plan);
    let words = in_words(&plan);
    if options.dry_run {
        return give(
            options,
            document,
            "would-recover",
            None,
            &format!("would {words}"),
        );
    }
    if let Err(code) = consent(options.yes, &words) {
        return code;
    }
    match plan.carry_out() {
        Ok(recovered) => {
            let words = done(&recovered);
            give(options, document, "recovered", Some(&recovered), &words)
        }
        Err(error) => refused(&error),
    }
}

/// Of the node whose directory it is, where its file is given.
fn settings(options: &RecoverOptions) -> Result<Option<Settings>, ExitCode> {
    if options.config.config.is_none() {
        return Ok(None);
    }
    let layers = options.config.layers(read_config, Vec::new(), Vec::new());
    let settings = layers.and_then(|layers| Settings::load(&layers, None));
    settings.map(Some).map_err(|problems| refuse(&problems))
}

fn refused(error: &RecoveryError) -> ExitCode {
    if error.is_configuration() {
        return refuse(error);
    }
    match error.is_refusal() {
        true => say_no(&format!("not recovered: {error}; nothing was changed")),
        false => fail(error),
    }
}

fn ago(at_ms: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX));
    let millis = now.saturating_sub(at_ms).max(0);
    format!("{} ago", show_millis(millis - millis % 1000))
}

fn written_ms(survivor: &SurvivorReport) -> Option<i64> {
    let since = survivor.written?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

fn voter(voter: &VoterName) -> String {
    format!(
        "node {} with directory {}",
        voter.node_id, voter.directory_id
    )
}

/// One line of a survivor.
fn line(survivor: &SurvivorReport, first: &SurvivorReport) -> String {
    let standing = match (survivor.term, survivor.index) == (first.term, first.index) {
        _ if survivor.data == first.data => "becomes the only voter".to_owned(),
        true => "has the same, and is left out: format it anew, and add it".to_owned(),
        false => "is behind, and is left out: format it anew, and add it".to_owned(),
    };
    let written = written_ms(survivor)
        .map_or_else(String::new, |at| format!(", last written to {}", ago(at)));
    let role = if survivor.votes {
        ""
    } else {
        " (does not vote)"
    };
    format!(
        "  {}{role} in {}: entry {} of term {}, record {}{written}; {standing}",
        voter(&survivor.voter),
        survivor.data.display(),
        survivor.index,
        survivor.term,
        survivor.offset,
    )
}

fn in_words(plan: &RecoveryPlan) -> String {
    let survivors = plan.survivors();
    let first = &survivors[0];
    let mut text = format!(
        "recover the quorum of cluster {} from {}\nsurvivors:",
        plan.cluster_id(),
        first.data.display()
    );
    for survivor in &survivors {
        text.push_str(&format!("\n{}", line(survivor, first)));
    }
    text.push_str("\nvoters that are given up, and must never come back but formatted anew:");
    for lost in plan.given_up() {
        text.push_str(&format!("\n  {}", voter(&lost)));
    }
    text.push_str(&brokers_in_words(plan.brokers_given_up()));
    let snapshot = first.snapshot_ms.map_or_else(
        || "no snapshot of it was made".to_owned(),
        |at| format!("its latest snapshot was made {}", ago(at)),
    );
    text.push_str(&format!(
        "\nkept: metadata up to record {}: {} brokers, {} topics, {} partitions; {snapshot}, and {} \
         entries stand behind. Whether the last of them were committed cannot be told: all are kept, since \
         each may have been acknowledged\n\
         may be lost: what only voters had that are given up, changes behind record {} that were acknowledged \
         just before they were lost. A broker that has applied such a change (isthmus_broker_metadata_offset \
         above {}) stops and says so: its directory has more, name it with --survivors first",
        first.offset,
        first.brokers,
        first.topics,
        first.partitions,
        first.entries,
        first.offset,
        first.offset,
    ));
    text
}

/// What goes with those voters that were brokers as well; nothing where none was.
fn brokers_in_words(given_up: &GivenUp) -> String {
    let GivenUp { brokers, lost, .. } = given_up;
    let mut text = String::new();
    if !brokers.is_empty() {
        let ids: Vec<String> = brokers.iter().map(ToString::to_string).collect();
        text.push_str(&format!(
            "\nbrokers that were in these directories, and are registered no more: {}; formatted anew they get \
             their replicas from others",
            ids.join(", ")
        ));
    }
    if !lost.is_empty() {
        let shown = lost.iter().take(PARTITIONS_SHOWN);
        let shown: Vec<String> = shown.map(|(topic, it)| format!("{topic}-{it}")).collect();
        let more = match lost.len() > PARTITIONS_SHOWN {
            true => ", …",
            false => "",
        };
        text.push_str(&format!(
            "\npartitions of which all who were in sync are lost with them: {} ({}{more}); they stay without a \
             leader until isthmus elect --unclean gives up what is missing",
            lost.len(),
            shown.join(", ")
        ));
    }
    text
}

fn done(recovered: &Recovered) -> String {
    let Recovered {
        cluster_id,
        voter: only,
        incarnation,
        kept_offset,
    } = recovered;
    format!(
        "recovered the quorum of cluster {cluster_id}: {} is the only voter, metadata up to record \
         {kept_offset} is kept, incarnation {incarnation}\nstart that node; then format the other controllers \
         anew with --no-initial-controllers, start them, and add each with isthmus quorum add",
        voter(only)
    )
}

fn document(plan: &RecoveryPlan) -> Value {
    let name = |it: &VoterName| json!({"id": it.node_id, "directory": it.directory_id.to_string()});
    let partition = |(topic, number): &(String, i32)| json!({"topic": topic, "partition": number});
    let survivor = |it: &SurvivorReport| {
        json!({
            "id": it.voter.node_id,
            "directory": it.voter.directory_id.to_string(),
            "data": it.data.display().to_string(),
            "votes": it.votes,
            "term": it.term,
            "index": it.index,
            "offset": it.offset,
            "entries_behind_snapshot": it.entries,
            "written_ms": written_ms(it),
            "snapshot_ms": it.snapshot_ms,
            "brokers": it.brokers,
            "topics": it.topics,
            "partitions": it.partitions,
        })
    };
    let survivors = plan.survivors();
    json!({
        "schema": "isthmus.quorum.recover/1",
        "cluster": plan.cluster_id(),
        "voter": name(&survivors[0].voter),
        "kept_offset": survivors[0].offset,
        "survivors": survivors.iter().map(survivor).collect::<Vec<_>>(),
        "given_up": plan.given_up().iter().map(name).collect::<Vec<_>>(),
        "brokers_given_up": plan.brokers_given_up().brokers,
        "partitions_lost": plan.brokers_given_up().lost.iter().map(partition).collect::<Vec<_>>(),
    })
}

fn give(
    options: &RecoverOptions,
    mut document: Value,
    verdict: &str,
    recovered: Option<&Recovered>,
    words: &str,
) -> ExitCode {
    if options.json {
        document["verdict"] = json!(verdict);
        document["incarnation"] = json!(recovered.map(|it| it.incarnation.to_string()));
        say(&document);
    } else {
        say(&words);
    }
    ExitCode::SUCCESS
}
