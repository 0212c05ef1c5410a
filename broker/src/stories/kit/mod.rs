//! A cluster of nodes that a story starts, crashes, cuts off and looks into.

mod client;
mod log;
mod node;
mod producer;

pub(super) use client::{Client, PAUSE, batch, values_of};
pub(super) use node::{BOTH, BROKER, CONTROLLER, Layout};
pub(super) use producer::Producer;

use crate::broker::Broker;
use crate::format::{Founders, format_directory};
use futures::future::LocalBoxFuture;
use isthmus_broker_core::metadata::PartitionImage;
use isthmus_log::LogDirectory;
use isthmus_log::disk::{FaultAction, FaultPoint, process_disk};
use isthmus_wire::Uuid;
use log::log;
use node::{Disks, Nodes, data, name, run, settings};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::mpsc;
use turmoil::Sim;

/// What must come comes before this, by the story's clock.
const STORY_MAX: Duration = Duration::from_secs(60);

/// One step of the story's clock; nothing is measured finer.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// One way between any two nodes, unless the story says otherwise.
const LATENCY: Duration = Duration::from_millis(1);

/// Where all clients are.
pub(super) const CLIENT: &str = "client";

/// Segments on their way in one connection.
const SEGMENTS_MAX: usize = 1_024;

/// Work of clients that waits for its turn.
const JOBS_MAX: usize = 16;

type Job = LocalBoxFuture<'static, ()>;

/// A fault point, its passing, and what happens then.
pub(super) type Fault = (FaultPoint, u32, FaultAction);

pub(super) struct Story {
    sim: Sim<'static>,
    layout: Layout,
    dir: TempDir,
    nodes: Nodes,
    disks: Disks,
    /// Those that were started once.
    known: BTreeSet<i32>,
    jobs: mpsc::Sender<Job>,
}

/// What a client's work comes to.
pub(super) struct Pending<T>(Rc<RefCell<State<T>>>);

enum State<T> {
    Working,
    Done(T),
    Taken,
}

impl Story {
    /// Formatted directories, a network, and nobody there yet.
    pub(super) fn new(layout: Layout) -> Self {
        log();
        let mut sim = turmoil::Builder::new()
            .tick_duration(TICK)
            .simulation_duration(STORY_MAX * 10)
            .min_message_latency(LATENCY)
            .max_message_latency(LATENCY)
            .tcp_capacity(SEGMENTS_MAX)
            .rng_seed(1)
            .build();
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        sim.client(CLIENT, work(waiting));
        let story = Self {
            sim,
            dir: tempfile::tempdir().unwrap(),
            nodes: Nodes::default(),
            disks: layout.disks(),
            known: BTreeSet::new(),
            layout,
            jobs,
        };
        let secret = story.dir.path().join("secret");
        std::fs::write(secret, "0123456789abcdef0123456789abcdef").unwrap();
        story.format();
        story
    }

    /// All nodes serve.
    pub(super) fn started(layout: Layout) -> Self {
        let mut story = Self::new(layout);
        let ids: Vec<i32> = story.layout.ids().collect();
        for &id in &ids {
            story.start(id);
        }
        story.until("all nodes serve", |it| {
            ids.iter().all(|&id| it.find(id).is_some())
        });
        story
    }

    /// Topic `t` on those brokers, led by the first of them.
    pub(super) fn create_topic(&mut self, replicas: &[i32]) {
        let (mut client, replicas) = (self.client(), replicas.to_vec());
        let all = replicas.clone();
        self.run(async move {
            let configs = [("min.insync.replicas", "2")];
            client.create_topic("t", &replicas, &configs).await;
        });
        self.until_isr_is(&all, &all);
    }

    /// Three nodes, and topic `t` on them, led by node 1.
    pub(super) fn three() -> Self {
        Self::three_led_by(|_| 1)
    }

    /// The same led by the one that is chosen, given the active controller.
    pub(super) fn three_led_by(choose: impl FnOnce(i32) -> i32) -> Self {
        let mut story = Self::started(Layout::three());
        story.until("a controller", |it| it.controller().is_some());
        let leader = choose(story.controller().unwrap());
        let mut replicas = vec![leader];
        replicas.extend(story.others(leader));
        story.create_topic(&replicas);
        story
    }

    /// A producer to topic `t` that has begun.
    pub(super) fn producing(&mut self) -> (Producer, Pending<()>) {
        let producer = Producer::default();
        let writing = self.begin(producer.clone().run(self.client(), "t"));
        self.until_more(&producer, 10);
        (producer, writing)
    }

    /// Until so many more records are acknowledged; how long it took.
    pub(super) fn until_more(&mut self, producer: &Producer, count: usize) -> Duration {
        let wanted = producer.acked().len() + count;
        self.until("records acknowledged", |_| producer.acked().len() >= wanted)
    }

    /// Ends the producer: what was acknowledged stands in the log, once and in order, and everybody
    /// has the same.
    pub(super) fn check(&mut self, producer: &Producer, writing: Pending<()>) {
        producer.stop();
        self.end(writing);
        let values = producer.values();
        let mut client = self.client();
        let found = self.run(async move { client.read_all("t").await });
        assert_eq!(found, values);
        let replicas = self.brokers();
        let replicas = self.partition(replicas[0]).unwrap().replicas;
        self.until_logs_are_equal(&replicas);
    }

    fn format(&self) {
        let mut founders = Founders::New;
        for id in self.layout.ids() {
            let founds = self.layout.founders.contains(&id);
            let voters = match founds {
                true => self.layout.founders.clone(),
                false => self.layout.controllers(),
            };
            let settings = settings(&self.layout, &voters, self.dir.path(), id);
            let whose = match founds {
                true => &founders,
                false if self.layout.controllers().contains(&id) => &Founders::Others,
                false => &Founders::Unsaid,
            };
            let formatted = format_directory(&settings, Some("story"), whose).unwrap();
            if let (true, Some(written)) = (founds, formatted.initial_controllers) {
                founders = Founders::Named(written.split(',').map(str::to_owned).collect());
            }
        }
    }

    /// Begins to start a node, on the directory that it had.
    pub(super) fn start(&mut self, id: i32) {
        if !self.known.insert(id) {
            self.sim.bounce(name(id));
            return;
        }
        let (layout, path) = (self.layout.clone(), self.dir.path().to_owned());
        let (nodes, disks) = (Arc::clone(&self.nodes), Arc::clone(&self.disks));
        let kept = move || (Arc::clone(&nodes), Arc::clone(&disks));
        let software = move || run(layout.clone(), path.clone(), id, kept());
        self.sim.host(name(id), software);
    }

    /// As kill -9: connections end, what was under way is not completed.
    pub(super) fn crash(&mut self, id: i32) {
        self.sim.crash(name(id));
        let gone = self.nodes.lock().remove(&id);
        let broker = gone.and_then(|up| up.broker);
        assert!(
            broker.is_none_or(|it| it.strong_count() == 0),
            "something of node {id} lives on"
        );
    }

    /// That happens to a node's disk at the `nth` passing of that point from now on, and the node may end
    /// by it.
    pub(super) fn break_disk(&mut self, id: i32, (point, nth, action): Fault) {
        let mut disks = self.disks.lock();
        let disk = disks.get_mut(&id).expect("every node has a disk");
        disk.may_fail = true;
        disk.disk.arm(point, nth, action);
    }

    /// A disk that was full is no more; a node must not end by it from here on.
    pub(super) fn mend_disk(&mut self, id: i32) {
        let mut disks = self.disks.lock();
        let disk = disks.get_mut(&id).expect("every node has a disk");
        disk.may_fail = false;
        disk.disk.make_room();
    }

    /// Until a node has ended by its disk for the `nth` time.
    pub(super) fn until_it_fails(&mut self, id: i32, nth: usize) {
        self.until("it ends by its disk", |it| {
            it.disks.lock()[&id].failures == nth
        });
    }

    /// Asks a node to stop in good order; it ends while the story goes on.
    pub(super) fn stop(&mut self, id: i32) {
        self.nodes.lock()[&id].stop.cancel();
    }

    pub(super) fn is_running(&mut self, id: i32) -> bool {
        self.sim.is_host_running(name(id))
    }

    /// Nothing passes between them any more, either way.
    pub(super) fn cut(&mut self, id: i32, others: &[i32]) {
        for &other in others {
            self.sim.partition(name(id), name(other));
        }
    }

    pub(super) fn heal(&mut self, id: i32, others: &[i32]) {
        for &other in others {
            self.sim.repair(name(id), name(other));
        }
    }

    /// Nothing passes from the one to the other any more; the other way it does.
    pub(super) fn cut_one_way(&mut self, from: i32, to: i32) {
        self.sim.partition_oneway(name(from), name(to));
    }

    pub(super) fn heal_one_way(&mut self, from: i32, to: i32) {
        self.sim.repair_oneway(name(from), name(to));
    }

    /// What is sent to a node or by it waits, by clients as well.
    pub(super) fn freeze(&mut self, id: i32) {
        for other in self.known_others(id) {
            self.sim.hold(name(id), other);
        }
    }

    /// It all arrives.
    pub(super) fn thaw(&mut self, id: i32) {
        for other in self.known_others(id) {
            self.sim.release(name(id), other);
        }
    }

    fn known_others(&self, id: i32) -> Vec<String> {
        let others = self.known.iter().filter(|other| **other != id);
        let others = others.map(|other| name(*other));
        others.chain([CLIENT.to_owned()]).collect()
    }

    /// What clients are told by that node gets lost, from now on.
    pub(super) fn mute(&mut self, id: i32) {
        self.sim.partition_oneway(name(id), CLIENT);
    }

    /// One way between two machines.
    pub(super) fn set_latency(&mut self, a: i32, b: i32, one_way: Duration) {
        self.sim.set_link_latency(name(a), name(b), one_way);
    }

    /// The id that formatting gave a node's directory.
    pub(super) fn directory_id(&self, id: i32) -> Uuid {
        let disk = process_disk(None).unwrap();
        let meta = LogDirectory::read_meta(&disk, &data(self.dir.path(), id));
        meta.unwrap().directory_id
    }

    /// Lets the clock go on until that holds; how long it took.
    pub(super) fn until(
        &mut self,
        what: &str,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> Duration {
        let began = self.sim.elapsed();
        while !holds(self) {
            self.step();
            assert!(self.sim.elapsed() - began < STORY_MAX, "never: {what}");
        }
        self.sim.elapsed() - began
    }

    /// By the story's clock.
    pub(super) fn now(&self) -> Duration {
        self.sim.elapsed()
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let until = self.sim.elapsed() + time;
        while self.sim.elapsed() < until {
            self.step();
        }
    }

    fn step(&mut self) {
        self.sim.step().unwrap();
        // With a process all of it ends, its connections too. Of a host that has ended by itself turmoil would
        // keep the tasks that it left behind.
        let ended: Vec<i32> = (self.disks.lock().iter_mut())
            .filter_map(|(id, disk)| std::mem::take(&mut disk.has_ended).then_some(*id))
            .collect();
        ended.into_iter().for_each(|id| self.sim.crash(name(id)));
    }

    /// Begins work of a client.
    pub(super) fn begin<T: 'static>(&self, work: impl Future<Output = T> + 'static) -> Pending<T> {
        let result = Rc::new(RefCell::new(State::Working));
        let done = Rc::clone(&result);
        let job = async move {
            let value = work.await;
            *done.borrow_mut() = State::Done(value);
        };
        self.jobs.try_send(Box::pin(job)).unwrap();
        Pending(result)
    }

    /// Lets the clock go on until that work is done.
    pub(super) fn end<T>(&mut self, pending: Pending<T>) -> T {
        let Pending(result) = pending;
        let is_done = |result: &RefCell<State<T>>| match &*result.borrow() {
            State::Done(_) => true,
            State::Working | State::Taken => false,
        };
        self.until("a client's work ends", |_| is_done(&result));
        match result.replace(State::Taken) {
            State::Done(value) => value,
            State::Working | State::Taken => unreachable!("it was done"),
        }
    }

    pub(super) fn run<T: 'static>(&mut self, work: impl Future<Output = T> + 'static) -> T {
        let pending = self.begin(work);
        self.end(pending)
    }

    /// A client that knows all brokers.
    pub(super) fn client(&self) -> Client {
        Client::new(&self.layout.brokers())
    }

    /// Whether all of those know another leader than that one.
    pub(super) fn know_another_leader(&self, ids: &[i32], than: i32) -> bool {
        let other = |id: &i32| self.leader(*id).is_some_and(|leader| leader != than);
        ids.iter().all(other)
    }

    pub(super) fn find(&self, id: i32) -> Option<Arc<Broker>> {
        self.nodes.lock().get(&id)?.broker.as_ref()?.upgrade()
    }

    /// A node that serves.
    pub(super) fn broker(&self, id: i32) -> Arc<Broker> {
        self.find(id).expect("it serves")
    }

    pub(super) fn brokers(&self) -> Vec<i32> {
        self.layout.brokers()
    }

    /// All but that one.
    pub(super) fn others(&self, id: i32) -> Vec<i32> {
        self.layout.ids().filter(|other| *other != id).collect()
    }

    /// The only node that takes itself for the active controller.
    pub(super) fn controller(&self) -> Option<i32> {
        let ids = self.layout.ids();
        let mut active =
            ids.filter(|&id| self.find(id).is_some_and(|it| it.controller.is_active()));
        let first = active.next();
        first.filter(|_| active.next().is_none())
    }

    /// The quorum's, as that voter knows it: one for each election.
    pub(super) fn term(&self, id: i32) -> u64 {
        let broker = self.broker(id);
        broker.quorum.as_ref().expect("it votes").term()
    }

    /// A partition of topic `t` as that node knows it.
    pub(super) fn partition(&self, id: i32) -> Option<PartitionImage> {
        let image = self.find(id)?.image();
        image.topic("t")?.partitions.first().cloned()
    }

    /// Who leads partition 0 of topic `t`, as that node knows it.
    pub(super) fn leader(&self, id: i32) -> Option<i32> {
        let leader = self.partition(id)?.leader;
        (leader >= 0).then_some(leader)
    }

    /// Until the ISR of partition 0 of topic `t` is that, as all of `seen_by` know it.
    pub(super) fn until_isr_is(&mut self, members: &[i32], seen_by: &[i32]) -> Duration {
        let wanted: BTreeSet<i32> = members.iter().copied().collect();
        self.until(&format!("an ISR of {members:?}"), |it| {
            seen_by.iter().all(|&id| {
                let known = it.partition(id);
                known.is_some_and(|it| it.isr.iter().copied().collect::<BTreeSet<_>>() == wanted)
            })
        })
    }

    /// Log start, log end, high watermark of partition 0 of topic `t` at that node.
    pub(super) fn offsets(&self, id: i32) -> Option<(i64, i64, i64)> {
        let broker = self.find(id)?;
        let topic_id = broker.image().topic("t")?.id;
        Some(broker.partitions.get(topic_id, 0)?.offsets())
    }

    /// Until those nodes have and show the same of topic `t`, byte for byte.
    pub(super) fn until_logs_are_equal(&mut self, ids: &[i32]) {
        self.until("equal logs", |it| {
            let all: BTreeSet<_> = ids.iter().map(|&id| it.offsets(id)).collect();
            all.len() == 1
                && all
                    .iter()
                    .all(|it| it.is_some_and(|(_, end, shown)| end == shown))
        });
        let logs: Vec<Vec<u8>> = ids.iter().map(|&id| self.log_bytes(id)).collect();
        assert!(logs.windows(2).all(|two| two[0] == two[1]));
    }

    fn log_bytes(&self, id: i32) -> Vec<u8> {
        let entries = std::fs::read_dir(data(self.dir.path(), id).join("t-0")).unwrap();
        let mut segments: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        segments.retain(|path| path.extension().is_some_and(|it| it == "log"));
        segments.sort();
        let bytes = segments.iter().map(|path| std::fs::read(path).unwrap());
        bytes.flatten().collect()
    }
}

/// The clients' machine.
async fn work(mut waiting: mpsc::Receiver<Job>) -> turmoil::Result {
    while let Some(job) = waiting.recv().await {
        tokio::task::spawn_local(job);
    }
    Ok(())
}
