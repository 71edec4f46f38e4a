//! `[[offer]]` and `[[use]]`: where applications of this host meet the services of the network.

use std::collections::BTreeMap;

use lockgate_proto::document::{self, Table, nearest, quoted};

use super::peer::Draft;
use super::{Endpoint, Reader};

/// A service that an application here has.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The service.
    pub service: String,
    /// The line of `service`.
    pub line: usize,
    /// Where application and node meet, and who binds.
    pub place: Place,
    /// The line of the endpoint.
    pub place_line: usize,
}

/// Who binds an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The application binds; the node connects.
    Connect(Endpoint),
    /// The node binds; the application connects.
    Listen(Endpoint),
}

impl Place {
    /// The endpoint, whoever binds it.
    pub fn endpoint(&self) -> &Endpoint {
        match self {
            Self::Connect(endpoint) | Self::Listen(endpoint) => endpoint,
        }
    }
}

/// A service elsewhere, shown to applications here.
#[derive(Clone, Debug)]
pub struct Use {
    /// The service.
    pub service: String,
    /// The line of `service`.
    pub line: usize,
    /// Where the node listens for applications.
    pub listen: Endpoint,
    /// The line of `listen`.
    pub listen_line: usize,
    /// The peers to use it from; `None` is every one that offers it and that the policy allows.
    pub from: Option<Vec<String>>,
    /// The line of `from`; of the section where it is missing.
    pub from_line: usize,
}

impl Reader<'_> {
    /// Reads every `[[offer]]`.
    pub(super) fn offers(&mut self, root: &Table) -> Vec<Offer> {
        let mut taken: BTreeMap<String, usize> = BTreeMap::new();
        let mut offers = Vec::new();
        for table in root.tables("offer", self.mistakes) {
            let Some(offer) = self.offer(table) else {
                continue;
            };
            if let Some(first) = taken.get(&offer.service) {
                let problem = format!("{} is offered in line {first} already", quoted(&offer.service));
                table.note("service", problem, "keep one [[offer]] for each service", self.mistakes);
            }
            taken.entry(offer.service.clone()).or_insert(offer.line);
            offers.push(offer);
        }
        offers
    }

    fn offer(&mut self, table: &Table) -> Option<Offer> {
        table.only(&["service", "connect", "listen"], self.mistakes);
        let service = self.service(table);
        let connect = self.local(table, "connect").map(Place::Connect);
        let listen = self.local(table, "listen").map(Place::Listen);
        let keys = ["connect", "listen"].map(|key| table.entry(key).is_some());
        let key = match keys {
            [true, true] => {
                table.note("listen", "both `connect` and `listen` are given", ONE_PLACE, self.mistakes);
                return None;
            }
            [false, false] => {
                table.note("connect", "it says neither `connect` nor `listen`", ONE_PLACE, self.mistakes);
                return None;
            }
            [true, false] => "connect",
            [false, true] => "listen",
        };
        let (service, place) = (service?, connect.or(listen)?);
        Some(Offer { service, line: table.line_of("service"), place, place_line: table.line_of(key) })
    }

    /// Reads every `[[use]]`.
    pub(super) fn uses(&mut self, root: &Table, own_name: &str, peers: &[Draft]) -> Vec<Use> {
        let tables = root.tables("use", self.mistakes);
        tables.into_iter().filter_map(|table| self.use_of(table, own_name, peers)).collect()
    }

    fn use_of(&mut self, table: &Table, own_name: &str, peers: &[Draft]) -> Option<Use> {
        table.only(&["service", "listen", "from"], self.mistakes);
        let service = self.service(table);
        if table.entry("connect").is_none() {
            let mend = "write  listen = \"tcp://127.0.0.1:5557\" , where applications connect";
            table.require("listen", mend, self.mistakes);
        }
        let listen = self.local(table, "listen");
        let from = self.from(table, own_name, peers);
        Some(Use {
            service: service?,
            line: table.line_of("service"),
            listen: listen?,
            listen_line: table.line_of("listen"),
            from,
            from_line: table.line_of("from"),
        })
    }

    fn from(&mut self, table: &Table, own_name: &str, peers: &[Draft]) -> Option<Vec<String>> {
        let texts = table.texts("from", self.mistakes)?;
        if texts.is_empty() {
            let mend = "name peers, or leave `from` out for every node that offers it";
            table.note("from", "it names no peer", mend, self.mistakes);
        }
        let mut from: Vec<String> = Vec::new();
        for text in texts {
            let name = text.value;
            let flaw = if name == own_name {
                Some((format!("{} is this node itself", quoted(name)), "name peers only".to_owned()))
            } else if from.iter().any(|known| known == name) {
                Some((format!("{} is listed twice", quoted(name)), "keep one of the two".to_owned()))
            } else if !peers.iter().any(|peer| peer.name == name) {
                let near = nearest(name, peers.iter().map(|peer| peer.name.as_str()));
                let mend = near.map_or_else(
                    || "add a [[peer]] with that name".to_owned(),
                    |near| format!("did you mean {}?", quoted(near)),
                );
                Some((format!("no peer is called {}", quoted(name)), mend))
            } else {
                None
            };
            if let Some((problem, mend)) = flaw {
                self.mistakes.note(text.line, "use.from", problem, mend);
            }
            from.push(name.to_owned());
        }
        Some(from)
    }

    fn service(&mut self, table: &Table) -> Option<String> {
        let mend = "name a service of the policy, as in  service = \"telemetry\"";
        if !table.require("service", mend, self.mistakes) {
            return None;
        }
        let service = table.text("service", self.mistakes)?;
        if !document::is_name(service.value) {
            table.note(
                "service",
                format!("{} cannot name a service", quoted(service.value)),
                mend,
                self.mistakes,
            );
            return None;
        }
        Some(service.value.to_owned())
    }

    fn local(&mut self, table: &Table, key: &str) -> Option<Endpoint> {
        let text = table.text(key, self.mistakes)?;
        match super::endpoint::parse(text.value, self.base) {
            Ok(endpoint) => Some(endpoint),
            Err((problem, mend)) => {
                table.note(key, problem, mend, self.mistakes);
                None
            }
        }
    }

    /// One endpoint can be bound once; and connecting to where the node itself listens would go round in circles.
    pub(super) fn refuse_shared_endpoints(&mut self, offers: &[Offer], uses: &[Use]) {
        let mut bound: BTreeMap<&Endpoint, usize> = BTreeMap::new();
        let listening = offers.iter().filter_map(|offer| match &offer.place {
            Place::Listen(endpoint) => Some(("offer.listen", endpoint, offer.place_line)),
            Place::Connect(_) => None,
        });
        let mut listening: Vec<_> =
            listening.chain(uses.iter().map(|used| ("use.listen", &used.listen, used.listen_line))).collect();
        listening.sort_by_key(|(_, _, line)| *line);
        for (key, endpoint, line) in listening {
            if let Some(first) = bound.get(endpoint) {
                let problem = format!("line {first} listens at {endpoint} already");
                self.mistakes.note(line, key, problem, "choose another port or path");
            } else {
                bound.insert(endpoint, line);
            }
        }
        for offer in offers {
            if let (Place::Connect(endpoint), Some(first)) = (&offer.place, bound.get(offer.place.endpoint()))
            {
                let problem = format!("the node itself listens at {endpoint} (line {first})");
                let mend = "name the endpoint that the offering application binds";
                self.mistakes.note(offer.place_line, "offer.connect", problem, mend);
            }
        }
    }
}

const ONE_PLACE: &str = "write  connect = \"tcp://127.0.0.1:5556\"  if the application binds there, \
                         or  listen = \"…\"  if it connects to the node; not both";
