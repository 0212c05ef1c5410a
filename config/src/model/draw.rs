//! A model as a picture: sites with their nodes and clients, links above them, flows below.
//!
//! Plain SVG text. Colours are chosen by what the reader's page is, light or dark; no script, no
//! font of our own. Letters are taken to be 7.4 wide, as they are in most sans-serif fonts of 13.

use std::fmt::Write;

use super::{Client, ClientKind, Flow, Link, Model, Naming, Node, Role};

const LETTER: f64 = 7.4;
const LINE: f64 = 20.0;
const NODE: f64 = 26.0;
const GAP: f64 = 120.0;
const MARGIN: f64 = 32.0;
/// For the model's name and title.
const HEAD: f64 = 70.0;
/// How much higher an arc is for each site that it passes.
const ARC: f64 = 46.0;

const STYLE: &str = "\
  svg { background: #ffffff; font: 13px system-ui, sans-serif; }
  text { fill: #1f2933; }
  .title { font-size: 20px; font-weight: 600; }
  .name { font-size: 15px; font-weight: 600; }
  .soft { fill: #52606d; }
  .site { fill: #f5f7fa; stroke: #9aa5b1; }
  .broker { fill: #d9e8fb; stroke: #2f6db5; }
  .controller { fill: #fdf0d0; stroke: #b37a00; }
  .link { fill: none; stroke: #7b8794; stroke-width: 1.5; }
  .flow { fill: none; stroke: #157f5b; stroke-width: 2; }
  .flow-text { fill: #0f6a4b; }
  .tip { fill: #157f5b; }
  @media (prefers-color-scheme: dark) {
    svg { background: #15191e; }
    text { fill: #e4e7eb; }
    .soft { fill: #a5b1be; }
    .site { fill: #1f262d; stroke: #616e7c; }
    .broker { fill: #1d3a5c; stroke: #6ba6ea; }
    .controller { fill: #4a3a12; stroke: #e0b04a; }
    .link { stroke: #9aa5b1; }
    .flow { stroke: #4ccfa0; }
    .flow-text { fill: #6fdcb5; }
    .tip { fill: #4ccfa0; }
  }
";

/// A site's box.
struct Place<'a> {
    name: &'a str,
    left: f64,
    width: f64,
    nodes: Vec<&'a Node>,
    clients: Vec<&'a Client>,
}

impl Place<'_> {
    fn middle(&self) -> f64 {
        self.left + self.width / 2.0
    }

    fn height(&self) -> f64 {
        LINE * 1.8 + NODE * self.nodes.len() as f64 + LINE * self.clients.len() as f64 + 16.0
    }
}

/// The whole picture.
pub fn draw(model: &Model) -> String {
    let places = places(model);
    let (above, below) = (arcs_above(model, &places), arcs_below(model, &places));
    let top = HEAD + above * ARC + 14.0;
    let tallest = places.iter().map(Place::height).fold(0.0, f64::max);
    let bottom = top + tallest;
    let right = places.last().map_or(0.0, |it| it.left + it.width);
    let words = [model.model.title.as_str(), LEGEND];
    let widest = words.iter().map(|it| letters(it)).fold(0.0, f64::max);
    let width = (right + MARGIN).max(widest + 2.0 * MARGIN);
    let height = bottom + below * ARC + 64.0;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"{}\">\n<style>\n{STYLE}</style>\n",
        escape(&model.model.title)
    );
    text(&mut svg, "title", MARGIN, 36.0, &model.model.name);
    text(&mut svg, "soft", MARGIN, 58.0, &model.model.title);
    for link in &model.links {
        draw_link(&mut svg, &places, link, top);
    }
    for place in &places {
        draw_place(&mut svg, model, place, top, tallest);
    }
    for (number, flow) in model.flows.iter().enumerate() {
        draw_flow(&mut svg, model, &places, flow, (bottom, number));
    }
    text(&mut svg, "soft", MARGIN, height - 20.0, LEGEND);
    svg.push_str("</svg>\n");
    svg
}

const LEGEND: &str = "Blue: a broker, with or without a vote. Yellow: a controller only. Grey: links. Green: mirrors.";

fn places(model: &Model) -> Vec<Place<'_>> {
    let mut left = MARGIN;
    let sites = model.sites.iter();
    sites
        .map(|site| {
            let nodes = model.nodes.iter().filter(|it| it.site == site.name);
            let clients = model.clients.iter().filter(|it| it.site == site.name);
            let mut place = Place {
                name: &site.name,
                left,
                width: 0.0,
                nodes: nodes.collect(),
                clients: clients.collect(),
            };
            let nodes = place.nodes.iter().map(|it| node_text(model, it));
            let clients = place.clients.iter().map(|it| client_text(it));
            let texts = nodes.chain(clients);
            let widest = texts.map(|it| letters(&it)).fold(120.0, f64::max);
            place.width = widest + 44.0;
            left += place.width + GAP;
            place
        })
        .collect()
}

fn draw_place(svg: &mut String, model: &Model, place: &Place<'_>, top: f64, height: f64) {
    rect(svg, "site", (place.left, top), (place.width, height), 10.0);
    text(svg, "name", place.left + 14.0, top + 24.0, place.name);
    let mut y = top + LINE * 1.8;
    for node in &place.nodes {
        let class = match node.has(Role::Broker) {
            true => "broker",
            false => "controller",
        };
        let size = (place.width - 28.0, NODE - 6.0);
        rect(svg, class, (place.left + 14.0, y), size, 4.0);
        text(
            svg,
            "node",
            place.left + 22.0,
            y + 14.5,
            &node_text(model, node),
        );
        y += NODE;
    }
    for client in &place.clients {
        text(
            svg,
            "soft",
            place.left + 14.0,
            y + 16.0,
            &client_text(client),
        );
        y += LINE;
    }
}

fn draw_link(svg: &mut String, places: &[Place<'_>], link: &Link, top: f64) {
    let Some((from, to)) = ends(places, &link.between[0], &link.between[1]) else {
        return;
    };
    let steps = steps(places, from, to);
    let peak = top - ARC * steps - 2.0;
    let (x1, x2) = (from.middle(), to.middle());
    line(
        svg,
        &format!(
            "<path class=\"link\" d=\"M{x1:.0} {top:.0} C{x1:.0} {peak:.0} {x2:.0} {peak:.0} {x2:.0} {top:.0}\"/>"
        ),
    );
    // A cubic curve comes to three quarters of the way to its handles.
    let y = top - (top - peak) * 0.75 - 6.0;
    middle_text(svg, "soft", ((x1 + x2) / 2.0, y), &link_text(link));
}

fn draw_flow(
    svg: &mut String,
    model: &Model,
    places: &[Place<'_>],
    flow: &Flow,
    (bottom, number): (f64, usize),
) {
    let home = |cluster: &str| {
        let mut nodes = model.nodes.iter();
        let node = nodes.find(|it| it.cluster == cluster && it.has(Role::Broker));
        node.map_or("", |node| node.site.as_str())
    };
    let Some((from, to)) = ends(places, home(&flow.source), home(&flow.target)) else {
        return;
    };
    // Flows of both directions are drawn beside each other.
    let aside = 14.0 * number as f64;
    let low = bottom + ARC * (steps(places, from, to) + number as f64 * 1.1) + 4.0;
    let (x1, x2) = (from.middle() + aside, to.middle() + aside);
    line(
        svg,
        &format!(
            "<path class=\"flow\" d=\"M{x1:.0} {bottom:.0} C{x1:.0} {low:.0} {x2:.0} {low:.0} {x2:.0} {:.0}\"/>",
            bottom + 8.0
        ),
    );
    let tip = bottom + 1.0;
    line(
        svg,
        &format!("<path class=\"tip\" d=\"M{x2:.0} {tip:.0} l-5 10 l10 0 z\"/>"),
    );
    let y = bottom + (low - bottom) * 0.75 + 16.0;
    middle_text(svg, "flow-text", ((x1 + x2) / 2.0, y), &flow_text(flow));
}

fn node_text(model: &Model, node: &Node) -> String {
    let roles = match (node.has(Role::Broker), node.has(Role::Controller)) {
        (true, true) => "broker, controller",
        (true, false) => "broker",
        (false, true) => "controller",
        (false, false) => "",
    };
    let rack = model.rack(node);
    let rack = match rack == node.site {
        true => String::new(),
        false => format!(" in {rack}"),
    };
    format!("{}-{} {roles}{rack}", node.cluster, node.id)
}

fn client_text(client: &Client) -> String {
    match client.kind {
        ClientKind::Producer => format!("{} writes to {}", client.name, client.cluster),
        ClientKind::Consumer => format!("{} reads from {}", client.name, client.cluster),
    }
}

fn link_text(link: &Link) -> String {
    let jitter = match link.jitter_ms {
        0 => String::new(),
        jitter => format!(" ± {jitter}"),
    };
    let rate = link.bytes_per_second.map(|rate| {
        let megabytes = rate as f64 / 1e6;
        format!(", {megabytes} MB/s")
    });
    format!("{}{jitter} ms{}", link.rtt_ms, rate.unwrap_or_default())
}

fn flow_text(flow: &Flow) -> String {
    let naming = match flow.naming {
        Naming::SourcePrefix => format!("as {}.TOPIC", flow.source),
        Naming::OwnerPrefix => "under their owner's name".to_owned(),
        Naming::Identity => "under the same name".to_owned(),
    };
    format!("{} to {}, {naming}", flow.source, flow.target)
}

fn ends<'a, 'b>(
    places: &'a [Place<'b>],
    one: &str,
    other: &str,
) -> Option<(&'a Place<'b>, &'a Place<'b>)> {
    let find = |name: &str| places.iter().find(|it| it.name == name);
    find(one).zip(find(other))
}

/// How many sites an arc goes on, one at least.
fn steps(places: &[Place<'_>], from: &Place<'_>, to: &Place<'_>) -> f64 {
    let at = |name: &str| places.iter().position(|it| it.name == name).unwrap_or(0);
    at(from.name).abs_diff(at(to.name)).max(1) as f64
}

fn arcs_above(model: &Model, places: &[Place<'_>]) -> f64 {
    let ends = model.links.iter();
    let ends = ends.filter_map(|it| ends_of(places, it));
    ends.map(|(from, to)| steps(places, from, to))
        .fold(0.0, f64::max)
}

fn ends_of<'a, 'b>(places: &'a [Place<'b>], link: &Link) -> Option<(&'a Place<'b>, &'a Place<'b>)> {
    ends(places, &link.between[0], &link.between[1])
}

/// Flows hang one below the other.
fn arcs_below(model: &Model, places: &[Place<'_>]) -> f64 {
    match model.flows.len() {
        0 => 0.0,
        flows => places.len() as f64 - 1.0 + 1.1 * (flows as f64 - 1.0),
    }
}

fn letters(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

fn rect(svg: &mut String, class: &str, (x, y): (f64, f64), (w, h): (f64, f64), round: f64) {
    line(
        svg,
        &format!(
            "<rect class=\"{class}\" x=\"{x:.0}\" y=\"{y:.0}\" width=\"{w:.0}\" height=\"{h:.0}\" rx=\"{round:.0}\"/>"
        ),
    );
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, words: &str) {
    let words = escape(words);
    line(
        svg,
        &format!("<text class=\"{class}\" x=\"{x:.0}\" y=\"{y:.0}\">{words}</text>"),
    );
}

fn middle_text(svg: &mut String, class: &str, (x, y): (f64, f64), words: &str) {
    let words = escape(words);
    line(
        svg,
        &format!(
            "<text class=\"{class}\" x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"middle\">{words}</text>"
        ),
    );
}

fn line(svg: &mut String, text: &str) {
    writeln!(svg, "{text}").expect("a String takes all text");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
