//! What the oracle says, for people.

use comfy_table::{Table, presets};
use isthmus_config::model::outcome::{
    ClusterOutlook, Codes, Crossing, Failure, Fate, Floor, Lost, Outlook, Rpo, Rto, Span,
    TopicOutlook, Traffic,
};

const CODES: &str = "\
W reads and acks=all writes go on; R reads, and writes with acks up to 1; R+ is R until live followers
are back in the ISR; U an unclean election alone brings it back; X offline. Two codes: best and worst partition.";

pub(super) fn in_words(outlook: &Outlook, fail: Option<&str>) -> String {
    let mut parts = vec![format!("{}: {}", outlook.model, outlook.title)];
    match fail {
        Some(site) => parts.extend(without(outlook, site)),
        None => parts.extend(whole(outlook)),
    }
    parts.join("\n\n")
}

fn without(outlook: &Outlook, site: &str) -> Vec<String> {
    let clusters = outlook.clusters.iter();
    let mut parts: Vec<String> = clusters
        .filter_map(|cluster| {
            let is_it =
                |it: &&Failure| matches!(&it.lost, Lost::Site { site: lost } if lost == site);
            let failure = cluster.failures.iter().find(is_it)?;
            let brokers = count(failure.brokers_left, "broker");
            let quorum = match failure.quorum {
                true => "has its majority",
                false => "has no majority: nobody is elected",
            };
            let head = format!(
                "cluster {} without {site}: {brokers} left, the quorum {quorum}",
                cluster.name
            );
            Some(format!("{head}\n{}", failures(&[failure])))
        })
        .collect();
    match parts.is_empty() {
        true => parts.push(format!("no cluster has a node at {site}")),
        false => parts.push(CODES.to_owned()),
    }
    let here = outlook.sites.iter().find(|it| it.site == site);
    let clients = here.into_iter().flat_map(|it| &it.clients);
    let clients: Vec<String> = clients
        .map(|it| {
            let fate = match it.fate {
                Fate::Gone => "is gone with the site",
                Fate::Unaffected => "is not affected",
                Fate::GoesOn => "goes on, after an election where its leader was lost",
                Fate::Refused => "has its writes refused",
                Fate::Waits => "waits, for some of its partitions at least",
            };
            let switch = it.switch_to.as_ref().map(|to| {
                format!("; may be switched to {to}, without what the mirror had not copied yet")
            });
            format!("  {} {fate}{}", it.client, switch.unwrap_or_default())
        })
        .collect();
    if !clients.is_empty() {
        parts.push(format!("clients\n{}", clients.join("\n")));
    }
    parts
}

fn whole(outlook: &Outlook) -> Vec<String> {
    let mut parts: Vec<String> = outlook.clusters.iter().map(of_cluster).collect();
    parts.push(CODES.to_owned());
    if !outlook.flows.is_empty() {
        parts.push(flows(outlook));
    }
    if !outlook.latency.is_empty() {
        parts.push(latency(&outlook.latency));
    }
    if !outlook.buffers.is_empty() {
        let buffers = outlook.buffers.iter();
        let buffers = buffers.map(|it| format!("  {}: {:.0} s", it.client, it.bridged_seconds));
        let buffers: Vec<String> = buffers.collect();
        let head = "outage that a producer's buffer bridges (by librdkafka's defaults)";
        parts.push(format!("{head}\n{}", buffers.join("\n")));
    }
    if !outlook.crossing.links.is_empty() {
        parts.push(crossing(&outlook.crossing));
    }
    if !outlook.claims.is_empty() {
        parts.push(claims(outlook));
    }
    if !outlook.warnings.is_empty() {
        let warnings = outlook.warnings.iter();
        let warnings = warnings.map(|it| format!("  {}: {}; {}", it.id, it.what, it.remedy));
        let warnings: Vec<String> = warnings.collect();
        parts.push(format!("warnings\n{}", warnings.join("\n")));
    }
    parts
}

fn of_cluster(cluster: &ClusterOutlook) -> String {
    let sites = cluster.sites.iter().map(|it| {
        let (brokers, votes) = (count(it.brokers, "broker"), count(it.voters, "vote"));
        format!("  {}: {brokers}, {votes}", it.site)
    });
    let quorum = &cluster.quorum;
    let verdict = match (quorum.outlives_any_site, cluster.sites.len()) {
        (true, _) => "outlives any site".to_owned(),
        (false, 1) => "is lost with its only site".to_owned(),
        (false, _) => format!(
            "not safe: lost with {}",
            quorum.fatal_sites.join(" or with ")
        ),
    };
    let mut lines = vec![format!("cluster {}", cluster.name)];
    lines.extend(sites);
    lines.push(format!(
        "  quorum {}: {} of {} are a majority, {verdict}",
        quorum.layout, quorum.majority, quorum.total
    ));
    lines.extend(cluster.topics.iter().map(of_topic));
    let failed: Vec<&Failure> = cluster.failures.iter().collect();
    format!("{}\n\n{}", lines.join("\n"), failures(&failed))
}

fn of_topic(topic: &TopicOutlook) -> String {
    let spreads = topic.spreads.iter().map(|it| match it.share < 1.0 {
        true => format!("{} ({:.0} %)", it.layout, it.share * 100.0),
        false => it.layout.clone(),
    });
    let spreads: Vec<String> = spreads.collect();
    let unclean = if topic.unclean { "on" } else { "off" };
    let observers = match topic.observers {
        0 => String::new(),
        observers => format!(" and {}", count(observers, "observer")),
    };
    let racks = match topic.min_racks {
        0 | 1 => String::new(),
        racks => format!(" in {racks} racks"),
    };
    let mut lines = vec![format!(
        "  topic {}: {}, r={}{observers} m={}{racks}, unclean {unclean}, replicas {}",
        topic.name,
        count(topic.partitions, "partition"),
        topic.replicas,
        topic.min_insync,
        spreads.join(", "),
    )];
    let Some(formulas) = &topic.formulas else {
        return lines.remove(0);
    };
    let differs = match formulas.differs {
        Some(id) => format!("  <- {id}: the formulas differ"),
        None => String::new(),
    };
    lines.push(format!(
        "    C, a copy at another site: m > ceil(r/d) {}; by the source m > round(r/d) {}{differs}",
        yes(formulas.consistent),
        yes(formulas.consistent_by_source),
    ));
    let aside = match topic.min_racks {
        0 | 1 => "",
        _ => ", the racks that it asks for aside",
    };
    lines.push(format!(
        "    A, writes without the largest site: r - m >= r/d {}{aside}",
        yes(formulas.available)
    ));
    let recipe = match formulas.recipe {
        Some(n) => format!("is it, n={n}"),
        None => "is not it".to_owned(),
    };
    lines.push(format!("    recipe r = d*n, m = n + 1: {recipe}"));
    let at_one = if topic.isr_in_one_site {
        "can"
    } else {
        "cannot"
    };
    lines.push(format!(
        "    an ISR that takes acks=all {at_one} be at one site"
    ));
    lines.join("\n")
}

/// Failures of one kind of which every column is the same.
struct Row {
    group: &'static str,
    lost: Vec<String>,
    cells: Vec<String>,
}

fn failures(failures: &[&Failure]) -> String {
    let mut rows: Vec<Row> = Vec::new();
    for failure in failures {
        let (group, cells) = (group(&failure.lost), cells(failure));
        let lost = name(&failure.lost);
        let mut seen = rows.iter_mut();
        match seen.find(|row| row.group == group && row.cells == cells) {
            Some(row) => row.lost.push(lost),
            None => rows.push(Row {
                group,
                lost: vec![lost],
                cells,
            }),
        }
    }
    let mut table = plain_table();
    table.set_header([
        "  LOST",
        "QUORUM",
        "TOPIC",
        "FULL ISR",
        "WORST ISR",
        "LOSS, ALL",
        "LOSS, 1",
        "WRITES WAIT FOR",
    ]);
    for Row { group, lost, cells } in rows {
        let lost = format!("  {group} {}", lost.join(", "));
        let columns: Vec<Vec<&str>> = cells.iter().map(|it| it.split('\n').collect()).collect();
        for (place, topic) in columns[1].iter().enumerate() {
            let (head, quorum) = match place {
                0 => (lost.as_str(), columns[0][0]),
                _ => ("", ""),
            };
            let mut row = vec![head, quorum, topic];
            row.extend(columns[2..].iter().map(|column| column[place]));
            table.add_row(row);
        }
    }
    shown(&table)
}

/// The columns behind the first, a line for each topic.
fn cells(failure: &Failure) -> Vec<String> {
    let quorum = if failure.quorum { "alive" } else { "lost" };
    let topics = &failure.topics;
    let column = |cell: &dyn Fn(usize) -> String| {
        let cells: Vec<String> = (0..topics.len()).map(cell).collect();
        cells.join("\n")
    };
    vec![
        quorum.to_owned(),
        column(&|it| topics[it].topic.clone()),
        column(&|it| codes(topics[it].from_full)),
        column(&|it| codes(topics[it].from_worst)),
        column(&|it| rpo(topics[it].rpo_acks_all).to_owned()),
        column(&|it| rpo(topics[it].rpo_acks_1).to_owned()),
        column(&|it| rto(topics[it].rto).to_owned()),
    ]
}

fn group(lost: &Lost) -> &'static str {
    match lost {
        Lost::Site { .. } => "site",
        Lost::Node { .. } => "node",
        Lost::SiteAndBroker { .. } => "a broker and",
        Lost::TwoSites { .. } => "sites",
    }
}

fn name(lost: &Lost) -> String {
    match lost {
        Lost::Site { site } | Lost::SiteAndBroker { site } => site.clone(),
        Lost::Node { node, .. } => node.to_string(),
        Lost::TwoSites { sites } => sites.join("+"),
    }
}

fn codes(codes: Codes) -> String {
    match codes.best == codes.worst {
        true => codes.worst.to_string(),
        false => format!("{} to {}", codes.best, codes.worst),
    }
}

fn rpo(rpo: Rpo) -> &'static str {
    match rpo {
        Rpo::Zero => "0",
        Rpo::ReplicationLag => "replication lag",
        Rpo::UntilReturn => "0 once it is back",
        Rpo::Unknown => "unknown",
    }
}

fn rto(rto: Rto) -> &'static str {
    match rto {
        Rto::Zero => "nothing",
        Rto::Election => "an election",
        Rto::CatchUp => "followers to catch up",
        Rto::Operator => "an operator, or the return",
        Rto::Return => "the return",
    }
}

fn flows(outlook: &Outlook) -> String {
    let flows = outlook.flows.iter().map(|flow| {
        let rate = flow.rate_bytes_per_second.map(|rate| rate as f64);
        let rate = rate.map_or("no limit".to_owned(), |rate| bytes(rate) + "/s");
        format!(
            "  {} from {} to {}: {}/s over a link of {rate}; records are there {} ms later at the least, and who is switched loses the lag of that moment",
            flow.name, flow.source, flow.target, bytes(flow.bytes_per_second), flow.lag_floor_ms,
        )
    });
    let flows: Vec<String> = flows.collect();
    format!("mirrors\n{}", flows.join("\n"))
}

fn latency(floors: &[Floor]) -> String {
    let mut table = plain_table();
    table.set_header(["  CLIENT", "AT", "TOPIC", "ACKS=1", "ACKS=ALL"]);
    for floor in floors {
        table.add_row([
            format!("  {}", floor.client),
            floor.site.clone(),
            floor.topic.clone(),
            span(floor.acks_1),
            span(floor.acks_all),
        ]);
    }
    let table = shown(&table);
    format!("latency floor, round trips alone, by where the leader is\n{table}")
}

fn span(span: Span) -> String {
    match span.least_ms == span.most_ms {
        true => format!("{} ms", span.most_ms),
        false => format!("{} to {} ms", span.least_ms, span.most_ms),
    }
}

fn crossing(crossing: &Crossing) -> String {
    let kinds = crossing.per_produced_byte.iter().map(|(kind, bytes)| {
        let kind = match kind {
            Traffic::Replica => "replicas",
            Traffic::Produce => "producers",
            Traffic::Fetch => "consumers",
            Traffic::Mirror => "mirrors",
        };
        format!("{kind} {bytes:.2}")
    });
    let kinds: Vec<String> = kinds.collect();
    let mut table = plain_table();
    table.set_header(["  LINK", "BOTH WAYS", "A WAY CARRIES", "PER GB", "A MONTH"]);
    for link in &crossing.links {
        let rate = link.rate_bytes_per_second;
        let rate = rate.map_or("no limit".to_owned(), |rate| bytes(rate as f64) + "/s");
        let tariff = link.tariff.as_ref();
        let currency = tariff.map_or("", |it| &it.currency);
        let month = link.month.map(|month| about(month, currency));
        let price = tariff.map(|it| format!("{} {currency}", it.per_gb).trim_end().to_owned());
        table.add_row([
            format!("  {}", link.between.join(" - ")),
            bytes(link.bytes_per_second) + "/s",
            rate,
            price.unwrap_or_else(|| "-".to_owned()),
            month.unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    let mut lines = vec![
        format!(
            "between sites, for each byte produced: {:.2} ({})",
            crossing.per_produced_byte_total,
            kinds.join(", ")
        ),
        format!(
            "  of {}/s produced; values alone, uncompressed, leaders even",
            bytes(crossing.produced_bytes_per_second)
        ),
        shown(&table),
    ];
    let tariffs = crossing.links.iter().filter_map(|it| it.tariff.as_ref());
    let mut sources: Vec<String> = tariffs
        .map(|it| {
            let price = format!("{} {}", it.per_gb, it.currency);
            format!("  {} per GB on {}: {}", price.trim_end(), it.day, it.source)
        })
        .collect();
    sources.sort_unstable();
    sources.dedup();
    lines.extend(sources);
    if let Some(month) = crossing.month {
        let priced = crossing.links.iter().find_map(|it| it.tariff.as_ref());
        let currency = priced.map_or("", |it| &it.currency);
        lines.push(format!(
            "  all links: {} a month at this load",
            about(month, currency)
        ));
    }
    lines.join("\n")
}

/// Two digits: prices are known no better.
fn about(amount: f64, currency: &str) -> String {
    if amount == 0.0 {
        return format!("0 {currency}");
    }
    let digits = amount.abs().log10().floor() - 1.0;
    let unit = 10_f64.powf(digits);
    let rounded = (amount / unit).round() * unit;
    let decimals = (-digits).clamp(0.0, 4.0) as usize;
    format!("about {rounded:.decimals$} {currency}")
        .trim_end()
        .to_owned()
}

fn claims(outlook: &Outlook) -> String {
    let claims = outlook.claims.iter().map(|claim| {
        let verdict = match (claim.holds, &claim.corrected) {
            (true, None) => "holds".to_owned(),
            (true, Some(id)) => format!("HOLDS, and is called corrected by {id}"),
            (false, Some(id)) => format!("does not hold, {id}: {} is left", claim.predicted),
            (false, None) => format!("DOES NOT HOLD: {} is left", claim.predicted),
        };
        format!(
            "  {}, without {}: {} ({}): {verdict}",
            claim.source, claim.fails, claim.text, claim.claimed
        )
    });
    let claims: Vec<String> = claims.collect();
    format!("claims\n{}", claims.join("\n"))
}

fn plain_table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// Without the spaces that its cells end with.
fn shown(table: &Table) -> String {
    let table = table.to_string();
    let lines: Vec<&str> = table.lines().map(str::trim_end).collect();
    lines.join("\n")
}

fn count(number: u32, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        number => format!("{number} {what}s"),
    }
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "no" }
}

fn bytes(bytes: f64) -> String {
    match bytes {
        it if it >= 1e6 => format!("{:.1} MB", it / 1e6),
        it if it >= 1e3 => format!("{:.1} kB", it / 1e3),
        it => format!("{it:.0} B"),
    }
}
