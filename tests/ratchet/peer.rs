//! One of the two brokers: its connections, and what was learned from its answers.

use super::codec::{self, Form};
use super::notation::Options;
use super::schema::{Api, Schemas};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest silence of a broker that owes an answer.
const LIMIT: Duration = Duration::from_secs(20);

/// More than any answer of these scripts.
const FRAME_MAX: usize = 64 << 20;

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    address: SocketAddr,
    /// The listener on which clients must log in, if there is one.
    guarded: Option<SocketAddr>,
    connections: BTreeMap<String, TcpStream>,
    /// Names of connections that go to the guarded listener.
    to_guarded: BTreeSet<String>,
    correlation: i32,
    /// By name: what steps saved.
    pub(crate) saved: BTreeMap<String, Value>,
}

/// A request on its way.
#[derive(Clone)]
pub(crate) struct Sent {
    connection: String,
    correlation: i32,
    pub(crate) key: String,
    pub(crate) version: i16,
}

impl Peer {
    pub(crate) fn new(
        name: &'static str,
        address: SocketAddr,
        guarded: Option<SocketAddr>,
    ) -> Self {
        Self {
            name,
            address,
            guarded,
            connections: BTreeMap::new(),
            to_guarded: BTreeSet::new(),
            correlation: 0,
            saved: BTreeMap::new(),
        }
    }

    /// Forgets connections and what was saved, for the next script.
    pub(crate) fn begin(&mut self) {
        self.connections.clear();
        self.to_guarded.clear();
        self.saved.clear();
    }

    /// From now on this connection goes to the guarded listener, where it starts anew.
    pub(crate) fn guard(&mut self, connection: &str) {
        self.hang_up(connection);
        self.to_guarded.insert(connection.to_owned());
    }

    pub(crate) fn hang_up(&mut self, connection: &str) {
        self.connections.remove(connection);
    }

    fn connection(&mut self, name: &str) -> &mut TcpStream {
        let address = if self.to_guarded.contains(name) {
            self.guarded.expect("a guarded listener")
        } else {
            self.address
        };
        let open = || -> io::Result<TcpStream> {
            let stream = TcpStream::connect_timeout(&address, LIMIT)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(LIMIT))?;
            stream.set_write_timeout(Some(LIMIT))?;
            Ok(stream)
        };
        let connection = self.connections.entry(name.to_owned());
        connection.or_insert_with(|| open().expect("a connection to a broker"))
    }

    /// Sends a request. A version beyond the tables is written as the newest one is.
    pub(crate) fn send(
        &mut self,
        connection: &str,
        api: &Api,
        version: i16,
        body: &Value,
        options: &Options,
    ) -> Sent {
        self.correlation += 1;
        let known = api.key.all_versions();
        let written = version.clamp(known.min, known.max);
        let mut frame = header(i16::from(api.key), version, self.correlation);
        if api.key.request_header_version(version) == 2 {
            frame.push(0);
        }
        frame.extend(codec::encode(&api.request, written, body, Form::Told));
        let sent = Sent {
            connection: connection.to_owned(),
            correlation: self.correlation,
            key: api.key.name().to_owned(),
            version,
        };
        self.write(connection, frame, options);
        sent
    }

    /// Sends a request and takes its answer.
    pub(crate) fn ask(
        &mut self,
        schemas: &mut Schemas,
        connection: &str,
        key: &str,
        version: i16,
        body: &Value,
    ) -> Value {
        let api = schemas.api(key);
        let sent = self.send(connection, api, version, body, &Options::default());
        self.receive(&sent, Some(api))
    }

    /// Sends bytes that are no request of the tables.
    pub(crate) fn send_raw(&mut self, connection: &str, frame: Vec<u8>, options: &Options) -> Sent {
        self.write(connection, frame, options);
        Sent {
            connection: connection.to_owned(),
            correlation: 0,
            key: "Raw".to_owned(),
            version: 0,
        }
    }

    fn write(&mut self, connection: &str, mut frame: Vec<u8>, options: &Options) {
        frame.truncate(frame.len() - options.cut);
        frame.extend(codec::unhex(&options.trail));
        let size = options
            .size
            .unwrap_or_else(|| i32::try_from(frame.len()).unwrap());
        let mut bytes = size.to_be_bytes().to_vec();
        bytes.extend(frame);
        // A broker that has closed the connection already is told by the answer that never comes.
        let _ = self.connection(connection).write_all(&bytes);
    }

    /// The answer as JSON, `"closed"`, or `"nothing"` from a broker that neither answers nor
    /// closes. A connection without an answer is not used again.
    pub(crate) fn receive(&mut self, sent: &Sent, api: Option<&Api>) -> Value {
        let frame = match read_frame(self.connection(&sent.connection)) {
            Ok(frame) => frame,
            Err(error) => {
                self.connections.remove(&sent.connection);
                let waited = error.kind() == io::ErrorKind::WouldBlock;
                return json!(if waited { "nothing" } else { "closed" });
            }
        };
        let Some(api) = api else {
            return json!({ "frame": codec::hex(&frame) });
        };
        match read_answer(&frame, sent, api) {
            Ok(value) => value,
            Err(error) => json!({ "unreadable": error, "frame": codec::hex(&frame) }),
        }
    }
}

fn header(key: i16, version: i16, correlation: i32) -> Vec<u8> {
    const CLIENT: &[u8] = b"ratchet";
    let mut bytes = key.to_be_bytes().to_vec();
    bytes.extend(version.to_be_bytes());
    bytes.extend(correlation.to_be_bytes());
    bytes.extend(i16::try_from(CLIENT.len()).unwrap().to_be_bytes());
    bytes.extend(CLIENT);
    bytes
}

fn read_frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut size = [0; 4];
    stream.read_exact(&mut size)?;
    let size = usize::try_from(i32::from_be_bytes(size)).unwrap();
    assert!(size <= FRAME_MAX, "an answer of {size} bytes");
    let mut frame = vec![0; size];
    stream.read_exact(&mut frame)?;
    Ok(frame)
}

fn read_answer(frame: &[u8], sent: &Sent, api: &Api) -> Result<Value, String> {
    let (head, mut body) = frame.split_at_checked(4).ok_or("no correlation id")?;
    let correlation = i32::from_be_bytes(head.try_into().unwrap());
    if correlation != sent.correlation {
        return Err(format!(
            "correlation id {correlation}, not {}",
            sent.correlation
        ));
    }
    if !api.key.all_versions().contains(sent.version) {
        // The only answer to an unknown version: KIP-511.
        return codec::decode(&api.response, 0, body, Form::Told);
    }
    if api.key.response_header_version(sent.version) == 1 {
        let (tags, rest) = body.split_first().ok_or("no tag section")?;
        if *tags != 0 {
            return Err("tags in the header".to_owned());
        }
        body = rest;
    }
    codec::decode(&api.response, sent.version, body, Form::Told)
}
