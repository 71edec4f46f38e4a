//! `lockgate policy stage`, `promote` and `abort` at a running node, and a policy file that goes bad under it.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use lockgate_tests::rig::{NodeProcess, SOON, eventually, lockgate_command, put};
use serde_json::Value;
use zmq::Socket;

use crate::apps::{Bridge, receive_text, until_subscribed, within};

/// Two topics, of which the candidate forbids one.
const TOPICS: &str = "topics = [\"temp.\", \"vib.\"]";

fn policy(node: &NodeProcess, verb: &[&str]) -> Output {
    let mut command = lockgate_command();
    command.arg("policy").args(verb).arg("-c").arg(node.config());
    command.output().expect("lockgate runs")
}

fn fine(node: &NodeProcess, verb: &[&str]) -> String {
    let output = policy(node, verb);
    assert!(output.status.success(), "{verb:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn refused(node: &NodeProcess, verb: &[&str]) -> String {
    let output = policy(node, verb);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{verb:?}: {said}");
    said
}

/// What a person sees.
fn screen(node: &NodeProcess) -> String {
    let output =
        lockgate_command().arg("status").arg("-c").arg(node.config()).output().expect("lockgate runs");
    String::from_utf8(output.stdout).expect("text")
}

/// A bridge over which temperatures and vibrations flow, and a candidate for alpha that forbids vibrations.
fn in_use() -> (Bridge, Socket, Socket, PathBuf) {
    let bridge = Bridge::tcp("telemetry", "pub", TOPICS);
    let publisher = bridge.host(zmq::PUB);
    let subscriber = bridge.user(zmq::SUB);
    for topic in ["temp.", "vib."] {
        subscriber.set_subscribe(topic.as_bytes()).expect("a subscription");
    }
    until_subscribed(&publisher, &subscriber, "temp.sync.");
    until_subscribed(&publisher, &subscriber, "vib.sync.");
    let candidate = bridge.nodes.dir.path().join("candidate.toml");
    put(&candidate, &in_force(&bridge).replace("[\"temp.\", \"vib.\"]", "[\"temp.\"]"));
    (bridge, publisher, subscriber, candidate)
}

#[expect(clippy::disallowed_methods, reason = "the test reads the file that the rig wrote")]
fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("the rig's file")
}

fn policy_file(bridge: &Bridge) -> PathBuf {
    bridge.nodes.dir.path().join("alpha-policy.toml")
}

fn in_force(bridge: &Bridge) -> String {
    read(&policy_file(bridge))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary path")
}

/// Both topics arrive.
fn assert_both_pass(publisher: &Socket, subscriber: &Socket) {
    for topic in ["temp.1", "vib.1", "temp.2"] {
        publisher.send(topic, 0).expect("PUB never blocks");
        assert_eq!(receive_text(subscriber), topic);
    }
}

/// Publishes vibrations until one does not arrive any more; how long that took.
#[expect(clippy::disallowed_methods, reason = "the test times the second that the promise names")]
fn until_stopped(publisher: &Socket, subscriber: &Socket) -> Duration {
    let begun = Instant::now();
    loop {
        publisher.send("vib.x", 0).expect("PUB never blocks");
        publisher.send("temp.end", 0).expect("PUB never blocks");
        // What is allowed comes behind it: nothing is waited for in vain.
        if receive_text(subscriber) == "temp.end" {
            return begun.elapsed();
        }
        assert_eq!(receive_text(subscriber), "temp.end");
    }
}

fn staged(node: &NodeProcess) -> Value {
    node.status()["policy"]["staged"].clone()
}

#[test]
fn a_candidate_is_compared_and_promoted_and_a_reload_brings_the_file_back() {
    let (bridge, publisher, subscriber, candidate) = in_use();
    let (alpha, before) = (&bridge.nodes.alpha, in_force(&bridge));
    assert!(refused(alpha, &["promote"]).contains("no candidate is staged"));
    let said = fine(alpha, &["stage", text(&candidate)]);
    assert!(said.contains("is staged") && said.contains("which goes on deciding"), "{said}");
    for _ in 0..5 {
        assert_both_pass(&publisher, &subscriber);
    }
    let staged = staged(alpha);
    assert_eq!((&staged["newly_denied"], &staged["newly_allowed"]), (&5.into(), &0.into()), "{staged}");
    let difference = &staged["differences"][0];
    for (key, value) in [
        ("from", "alpha"),
        ("to", "beta"),
        ("what", "publish"),
        ("object", "telemetry"),
        ("change", "denied"),
    ] {
        assert_eq!(difference[key], value, "{difference}");
    }
    assert_eq!(difference["count"], 5, "{difference}");
    assert_eq!(
        (&difference["enforced"]["verdict"], &difference["candidate"]["verdict"]),
        (&"allow".into(), &"deny".into())
    );
    let rule = difference["enforced"]["rule"].as_str().expect("a rule");
    assert!(rule.contains("telemetry-to-centre") && rule.contains("alpha-policy.toml:"), "{rule}");
    assert!(
        difference["candidate"]["rule"].as_str().expect("a rule").contains("candidate.toml:"),
        "{difference}"
    );
    let seen = screen(alpha);
    assert!(seen.contains("would newly deny 5, would newly allow 0"), "{seen}");
    assert!(seen.contains("5 x publish telemetry from alpha to beta"), "{seen}");
    alpha.await_line("the candidate judges otherwise");

    let said = fine(alpha, &["promote"]);
    assert!(said.contains("No file was written") && said.contains("still holds the old policy"), "{said}");
    let took = until_stopped(&publisher, &subscriber);
    assert!(took < Duration::from_secs(1), "it took {took:?}");
    assert_eq!(in_force(&bridge), before, "the file is as it was");
    let status = alpha.status();
    assert_eq!(status["policy"]["staged"], Value::Null, "{status}");
    assert!(status["policy"]["promoted"].as_str().expect("a file").ends_with("candidate.toml"), "{status}");
    assert!(screen(alpha).contains("promoted"), "{}", screen(alpha));
    alpha.await_denial(&["telemetry", "publish", "candidate.toml"]);

    alpha.hangup();
    alpha.await_line("policy reloaded");
    assert_both_pass(&publisher, &subscriber);
    assert_eq!(alpha.status()["policy"]["promoted"], Value::Null);
    bridge.assert_no_errors();
}

#[test]
fn an_aborted_candidate_leaves_no_trace() {
    let (bridge, publisher, subscriber, candidate) = in_use();
    let alpha = &bridge.nodes.alpha;
    let generation = |node: &NodeProcess| node.status()["policy"]["generation"].clone();
    let before = generation(alpha);
    fine(alpha, &["stage", text(&candidate)]);
    assert_both_pass(&publisher, &subscriber);
    let answer = fine(alpha, &["abort", "--json"]);
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["seen"]["newly_denied"], 1, "{answer}");
    assert_both_pass(&publisher, &subscriber);
    assert_eq!((staged(alpha), generation(alpha)), (Value::Null, before));
    assert!(refused(alpha, &["abort"]).contains("no candidate is staged"));
    bridge.assert_no_errors();
}

#[test]
fn a_bad_candidate_is_refused_with_every_mistake_and_nothing_changes() {
    let (bridge, publisher, subscriber, candidate) = in_use();
    let alpha = &bridge.nodes.alpha;
    fine(alpha, &["stage", text(&candidate)]);
    let bad = bridge.nodes.dir.path().join("bad.toml");
    put(&bad, "default = \"allow\"\nnonsense = 1\n");
    let said = refused(alpha, &["stage", text(&bad)]);
    assert!(said.contains("bad.toml:1") && said.contains("bad.toml:2") && said.contains("hint:"), "{said}");
    assert!(!said.contains("error: error:"), "{said}");
    let said = refused(alpha, &["stage", text(&bridge.nodes.dir.path().join("missing.toml"))]);
    assert!(said.contains("missing.toml") && said.contains("does not exist"), "{said}");
    assert!(staged(alpha)["file"].as_str().expect("still staged").ends_with("/candidate.toml"));
    assert_both_pass(&publisher, &subscriber);
    assert_eq!(staged(alpha)["newly_denied"], 1, "the first candidate is still compared");
    bridge.assert_no_errors();
}

#[test]
fn a_path_is_the_clients_and_the_configured_file_is_the_usual_candidate() {
    let bridge = Bridge::tcp("command", "rep", "");
    let alpha = &bridge.nodes.alpha;
    put(&bridge.nodes.dir.path().join("next.toml"), &in_force(&bridge));
    let mut command = lockgate_command();
    command.args(["policy", "stage", "next.toml", "-c", "alpha.toml"]).current_dir(bridge.nodes.dir.path());
    assert!(command.output().expect("lockgate runs").status.success());
    let file = |node| staged(node)["file"].as_str().expect("staged").to_owned();
    assert!(Path::new(&file(alpha)).is_absolute() && file(alpha).ends_with("/next.toml"));
    let said = fine(alpha, &["stage"]);
    assert!(said.contains("in the place of") && said.contains("next.toml"), "{said}");
    assert_eq!(file(alpha), text(&policy_file(&bridge)));
    let said = fine(alpha, &["promote"]);
    assert!(said.contains("reads") && said.contains("again as it is then"), "{said}");
}

#[test]
fn what_a_candidate_would_take_from_this_node_is_said_before_it_is_promoted() {
    let bridge = Bridge::tcp("command", "rep", "");
    let candidate = bridge.nodes.dir.path().join("candidate.toml");
    put(&candidate, &in_force(&bridge).replace("hosted-by = \"role=edge\"", "hosted-by = \"role=centre\""));
    let said = fine(&bridge.nodes.alpha, &["stage", text(&candidate)]);
    assert!(said.contains("warning: ") && said.contains("node alpha may not host command"), "{said}");
    let foreign = bridge.nodes.alpha.status()["foreign_offers"].clone();
    assert_eq!(foreign["noticed"], 0, "a candidate decides nothing: {foreign}");
}

#[test]
fn a_reload_keeps_the_candidate_and_says_so() {
    let (bridge, publisher, subscriber, candidate) = in_use();
    let alpha = &bridge.nodes.alpha;
    fine(alpha, &["stage", text(&candidate)]);
    assert_both_pass(&publisher, &subscriber);
    alpha.hangup();
    alpha.await_line("the candidate is still staged");
    assert_eq!(staged(alpha)["newly_denied"], 0, "counted anew");
    assert_both_pass(&publisher, &subscriber);
    assert_eq!(staged(alpha)["newly_denied"], 1);
    bridge.assert_no_errors();
}

#[test]
fn a_bad_or_deleted_policy_file_changes_nothing_and_status_says_since_when() {
    let (bridge, publisher, subscriber, _) = in_use();
    let alpha = &bridge.nodes.alpha;
    let good = in_force(&bridge);
    assert_eq!(alpha.status()["policy"]["bad_file"], Value::Null);
    bridge.nodes.put_policy("alpha", "default = \"allow\"\n");
    alpha.hangup();
    let bad = |word: &'static str| {
        eventually(&format!("a bad file: {word}"), SOON, || {
            let bad = alpha.status()["policy"]["bad_file"].clone();
            bad["mistakes"].as_str()?.contains(word).then_some(bad)
        })
    };
    let found = bad("alpha-policy.toml:1");
    assert!(screen(alpha).contains("on disk is unusable"), "{}", screen(alpha));
    assert_both_pass(&publisher, &subscriber);
    std::fs::remove_file(policy_file(&bridge)).expect("it was there");
    alpha.hangup();
    let later = bad("does not exist");
    assert!(later["seconds_ago"].as_f64() >= found["seconds_ago"].as_f64(), "bad since the first time");
    assert_both_pass(&publisher, &subscriber);
    assert_eq!(alpha.status()["policy"]["generation"], 1, "nothing changed");
    bridge.nodes.put_policy("alpha", &good);
    alpha.hangup();
    alpha.await_line("policy reloaded");
    assert_eq!(alpha.status()["policy"]["bad_file"], Value::Null);
    assert_both_pass(&publisher, &subscriber);
    bridge.assert_no_errors();
}

#[test]
fn an_offer_that_the_policy_takes_away_is_told_of_by_name_and_place() {
    let (bridge, publisher, subscriber, _) = in_use();
    let moved = in_force(&bridge).replace("hosted-by = \"role=edge\"", "hosted-by = \"role=centre\"");
    for (name, node) in [("alpha", &bridge.nodes.alpha), ("beta", &bridge.nodes.beta)] {
        // The other node's policy is the old one in the first round.
        bridge.nodes.put_policy(name, &moved);
        node.hangup();
        if name == "alpha" {
            let line = node.await_line("foreign offer refused");
            assert!(
                line.contains("WARN") && line.contains("node=alpha") && line.contains("telemetry"),
                "{line}"
            );
            assert!(line.contains("service.telemetry (") && line.contains("alpha-policy.toml:"), "{line}");
            let foreign = node.status()["foreign_offers"].clone();
            let now = &foreign["now"][0];
            assert_eq!((&now["node"], &now["service"]), (&"alpha".into(), &"telemetry".into()), "{foreign}");
            assert!(now["declared"].as_str().expect("declared").contains("service.telemetry"), "{foreign}");
            assert!(foreign["noticed"].as_u64() >= Some(1), "{foreign}");
            assert!(screen(node).contains("foreign alpha offers telemetry, and may not"), "{}", screen(node));
        }
    }
    publisher.send("temp.1", 0).expect("PUB never blocks");
    assert_eq!(within(&subscriber, 500), None, "nothing of it passes");
}
