//! A loop without a network, and a reader that reads when the test lets it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use lockgate_proto::keys::PrivateKey;
use lockgate_proto::policy::Policy;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use super::super::Parts;
use super::*;
use crate::control::ControlRequest;
use crate::machine::clock::Clock;
use crate::machine::entropy;
use crate::machine::locals::Locals;
use crate::machine::poller::Poller;
use crate::node::{Gate, Ingredients, Node};

const LONG: Duration = Duration::from_secs(10);

struct Rig {
    event_loop: EventLoop,
    /// What the reader was asked to read.
    asked: Receiver<Option<PathBuf>>,
    /// What it is to find.
    found: Sender<Outcome>,
}

fn fresh(generation: u64) -> Outcome {
    let policy = Policy::parse("p.toml", "default = \"deny\"\n[nodes]\nalpha = {}\n").unwrap();
    Ok(Fresh { rules: Arc::new(Rules::compile(&policy, generation)), warnings: Vec::new() })
}

fn node(clock: &Clock) -> Node {
    let ingredients = Ingredients {
        name: "alpha".into(),
        identity: Some(PrivateKey::from_bytes([1; 32])),
        addresses: Vec::new(),
        gate: Gate::NoTun,
        randomness: entropy::randomness(),
        peers: Vec::new(),
        offers: Vec::new(),
        uses: Vec::new(),
        rules: fresh(1).unwrap().rules,
        link_mtu: 1280,
        base: clock.std_base(),
    };
    Node::new(ingredients, clock.now()).unwrap_or_else(|(name, error)| panic!("{name}: {error}"))
}

fn rig() -> Rig {
    let (tell, asked) = channel();
    let (found, finds) = channel();
    let read = move |which: Which<'_>| {
        let path = match which {
            Which::Configured => None,
            Which::Candidate(path) => Some(path.to_owned()),
        };
        let _ = tell.send(path);
        finds.recv().expect("the test says what is found")
    };
    let clock = Clock::start();
    let parts = Parts {
        node: node(&clock),
        clock,
        udp: None,
        tun: None,
        locals: Locals::new(Poller::new().unwrap(), Vec::new()),
        entrances: Vec::new(),
        control: None,
        uapi: None,
        signals: None,
        stop: None,
        spin: Duration::ZERO,
        tap: None,
        reload: Some(Reload { file: Some("/configured".into()), read: Box::new(read) }),
    };
    Rig { event_loop: EventLoop::new(parts).unwrap(), asked, found }
}

impl Rig {
    fn order(&mut self, request: Value) -> oneshot::Receiver<Value> {
        let Value::Object(mut arguments) = request else { panic!("an object") };
        let command = arguments.remove("command").unwrap().as_str().unwrap().to_owned();
        let (reply, answer) = oneshot::channel();
        let now = self.event_loop.clock.now();
        self.event_loop.answer(ControlRequest { command, arguments, reply, feed: None }, now);
        answer
    }

    fn stage(&mut self, file: &str) -> oneshot::Receiver<Value> {
        self.order(json!({ "command": "stage", "file": file }))
    }

    fn plain(&mut self, command: &str) -> oneshot::Receiver<Value> {
        self.order(json!({ "command": command }))
    }

    fn hangup(&mut self) {
        let now = self.event_loop.clock.now();
        self.event_loop.reload_policy(now);
    }

    fn turn(&mut self) {
        let now = self.event_loop.clock.now();
        self.event_loop.turn(now).unwrap();
    }

    /// Turns until the answer is there, woken by what was read alone.
    fn await_answer(&mut self, mut answer: oneshot::Receiver<Value>) -> Value {
        loop {
            self.turn();
            match answer.try_recv() {
                Ok(answer) => return answer,
                Err(TryRecvError::Empty) => self.event_loop.wait().unwrap(),
                Err(TryRecvError::Closed) => panic!("it is never answered"),
            }
        }
    }

    fn await_asked(&self) -> Option<String> {
        self.asked.recv_timeout(LONG).unwrap().map(|path| path.display().to_string())
    }

    fn policy(&mut self) -> Value {
        let answer = self.plain("status");
        self.await_answer(answer)["policy"].clone()
    }
}

#[test]
fn the_loop_turns_and_answers_while_a_policy_is_read() {
    let mut rig = rig();
    let mut staged = rig.stage("/next");
    assert_eq!(rig.await_asked().as_deref(), Some("/next"));
    for _ in 0..10 {
        rig.turn();
    }
    assert_eq!(rig.policy()["staged"], Value::Null);
    assert_eq!(staged.try_recv(), Err(TryRecvError::Empty));
    rig.found.send(fresh(2)).unwrap();
    let answer = rig.await_answer(staged);
    assert_eq!(answer, json!({ "staged": "/next", "replaced": null, "warnings": [] }));
    assert_eq!(rig.policy()["staged"]["file"], "/next");
    // And what is wrong with one is said to whoever wants it.
    let staged = rig.stage("/bad");
    rig.found.send(Err("error: bad".into())).unwrap();
    assert_eq!(rig.await_answer(staged), json!({ "error": "error: bad" }));
    assert_eq!(rig.policy()["staged"]["file"], "/next");
}

#[test]
fn orders_take_effect_in_their_order_however_long_reading_takes() {
    let mut rig = rig();
    let (staged, mut promoted, mut aborted) = (rig.stage("/next"), rig.plain("promote"), rig.plain("abort"));
    rig.turn();
    // A promotion that overtook the candidate would find none.
    assert_eq!(promoted.try_recv(), Err(TryRecvError::Empty));
    assert_eq!(aborted.try_recv(), Err(TryRecvError::Empty));
    rig.found.send(fresh(2)).unwrap();
    assert_eq!(rig.await_answer(staged)["staged"], "/next");
    assert_eq!(rig.await_answer(promoted)["promoted"], "/next");
    assert_eq!(rig.await_answer(aborted), nothing_staged());
    assert_eq!(rig.policy()["promoted"], "/next");
    // A reload that was asked for before a promotion does not undo it.
    let staged = rig.stage("/later");
    rig.found.send(fresh(3)).unwrap();
    rig.await_answer(staged);
    rig.hangup();
    let promoted = rig.plain("promote");
    rig.found.send(fresh(4)).unwrap();
    rig.await_answer(promoted);
    assert_eq!(rig.policy()["promoted"], "/later");
}

#[test]
fn a_promotion_after_a_reload_is_a_later_generation() {
    let mut rig = rig();
    let staged = rig.stage("/next");
    rig.found.send(fresh(2)).unwrap();
    rig.await_answer(staged);
    let mut seen = vec![rig.policy()["generation"].as_u64().unwrap()];
    rig.hangup();
    rig.found.send(fresh(3)).unwrap();
    let promoted = rig.plain("promote");
    rig.await_answer(promoted);
    seen.push(rig.policy()["generation"].as_u64().unwrap());
    rig.hangup();
    let after = rig.plain("abort");
    rig.found.send(fresh(4)).unwrap();
    rig.await_answer(after);
    seen.push(rig.policy()["generation"].as_u64().unwrap());
    assert_eq!(seen, [1, 4, 5]);
}

#[test]
fn whoever_was_told_that_it_took_too_long_is_not_obeyed() {
    let mut rig = rig();
    let staged = rig.stage("/kept");
    rig.found.send(fresh(2)).unwrap();
    rig.await_answer(staged);
    assert_eq!(rig.await_asked().as_deref(), Some("/kept"));
    // One while it is read, the others before their turn; the last is a client that waits.
    let given_up = [rig.stage("/late"), rig.stage("/never-read"), rig.plain("promote"), rig.plain("abort")];
    assert_eq!(rig.await_asked().as_deref(), Some("/late"));
    let patient = rig.stage("/bad");
    drop(given_up);
    rig.found.send(fresh(3)).unwrap();
    rig.found.send(Err("bad".into())).unwrap();
    assert_eq!(rig.await_answer(patient), refusal("bad"));
    assert_eq!(rig.await_asked().as_deref(), Some("/bad"));
    let policy = rig.policy();
    assert_eq!((&policy["staged"]["file"], &policy["generation"]), (&"/kept".into(), &1.into()), "{policy}");
    // Nor is one whose request had waited for the loop itself.
    let (reply, answer) = oneshot::channel();
    drop(answer);
    let request = ControlRequest { command: "abort".into(), arguments: Map::new(), reply, feed: None };
    let now = rig.event_loop.clock.now();
    rig.event_loop.answer(request, now);
    assert_eq!(rig.policy()["staged"]["file"], "/kept");
}

#[test]
fn of_many_signals_while_one_is_obeyed_one_is_remembered() {
    let mut rig = rig();
    for _ in 0..10 {
        rig.hangup();
    }
    let last = rig.plain("abort");
    for generation in [2, 3] {
        rig.found.send(fresh(generation)).unwrap();
    }
    assert_eq!(rig.await_answer(last), nothing_staged());
    assert_eq!((rig.await_asked(), rig.await_asked()), (None, None));
    assert!(rig.asked.try_recv().is_err(), "it is read twice, not ten times");
    assert_eq!(rig.policy()["generation"], 3);
}

#[test]
fn too_many_orders_are_refused_and_a_reader_that_ends_is_told() {
    let mut rig = rig();
    let waiting: Vec<_> = (0..17).map(|_| rig.stage("/next")).collect();
    let refused = rig.stage("/next");
    assert!(rig.await_answer(refused)["error"].as_str().unwrap().contains("at once"));
    // Its thread panics where nothing is to be found any more.
    rig.found = channel().0;
    for answer in waiting {
        let answer = rig.await_answer(answer);
        assert!(answer["error"].as_str().unwrap().contains("has ended"), "{answer}");
    }
    assert_eq!(rig.policy()["generation"], 1, "what is in force stays");
}
