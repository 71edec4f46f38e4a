//! Whether a permission fits the service that it names.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::permission::{Permission, Reader};
use super::{PacketTarget, Service, size_text};
use crate::document::{Table, quoted};
use crate::zmtp::SocketType;

impl Reader<'_> {
    /// A rule that asks for what its service does not have is a mistake: it would never let anything through.
    pub(super) fn fit(&mut self, table: &Table, service: &Service, asked: &Permission) {
        self.fit_sockets(table, service, &asked.sockets);
        self.fit_topics(table, service, &asked.topics);
        self.fit_size(table, service, asked.limits.max_message);
    }

    fn fit_sockets(&mut self, table: &Table, service: &Service, sockets: &[SocketType]) {
        // A service without sockets is mistaken itself.
        let fits = |using: &SocketType| {
            service.sockets.is_empty() || service.sockets.iter().any(|one| one.matches(*using))
        };
        for socket in sockets.iter().filter(|socket| !fits(socket)) {
            let (socket, theirs) = (lower(*socket), sockets_of(service));
            let fitting = SocketType::ALL.into_iter().filter(fits).map(lower);
            let fitting = fitting.collect::<Vec<_>>().join(", ");
            let one = table.entry("socket").is_some();
            table.note(
                if one { "socket" } else { "sockets" },
                format!("a {socket} socket cannot talk to {theirs}"),
                format!("these can: {fitting} (the type of the application that uses the service)"),
                self.mistakes,
            );
        }
    }

    fn fit_topics(&mut self, table: &Table, service: &Service, topics: &[String]) {
        if !topics.is_empty() && service.sockets.iter().any(|socket| !socket.is_publisher()) {
            let (name, theirs) = (&service.name, sockets_of(service));
            let problem = format!("{name} has no topics: it is offered by {theirs}");
            table.note("topics", problem, "remove `topics`", self.mistakes);
        }
        let inside = |topic: &str| {
            service.topics.iter().any(|of| of.starts_with(topic) || topic.starts_with(of.as_str()))
        };
        for topic in topics.iter().filter(|topic| !service.topics.is_empty() && !inside(topic)) {
            let problem = format!("{} lies outside the topics of {}", quoted(topic), service.name);
            let known: Vec<String> = service.topics.iter().map(|topic| quoted(topic)).collect();
            let mend = format!("the service has {}; add it there, or remove it here", known.join(", "));
            table.note("topics", problem, mend, self.mistakes);
        }
    }

    fn fit_size(&mut self, table: &Table, service: &Service, max_message: Option<u64>) {
        if let (Some(here), Some(there)) = (max_message, service.limits.max_message)
            && here > there
        {
            let problem = format!(
                "{} is more than {} allows: {} holds",
                size_text(here),
                service.name,
                size_text(there)
            );
            table.note("max-message", problem, "raise the service's limit, or lower this one", self.warnings);
        }
    }

    /// A rule for packets: nothing about messages fits it.
    pub(super) fn packets_only(&mut self, table: &Table, target: &PacketTarget) {
        for key in ["socket", "sockets", "topics", "max-message", "rate"] {
            if table.entry(key).is_some() {
                let problem = "packets have none: this belongs to rules for a service";
                table.note(key, problem, "remove it, or write a service in `to`", self.mistakes);
            }
        }
        if !self.names.any(&target.to) {
            let problem = format!("no node is {}: the rule lets nothing through", target.to);
            table.note("to", problem, "give a node these tags in [nodes]", self.warnings);
        }
    }
}

fn lower(socket: SocketType) -> String {
    socket.name().to_lowercase()
}

/// `a pub socket`, `rep or router sockets`.
fn sockets_of(service: &Service) -> String {
    let names: Vec<String> = service.sockets.iter().copied().map(lower).collect();
    match names.as_slice() {
        [one] => format!("a {one} socket"),
        many => format!("{} sockets", many.join(" or ")),
    }
}
