//! `rules judge`: packets against a script, each judged exactly as ZeroTier judges it.

mod case;
mod input;
mod pcap;
mod scripts;

use std::path::Path;

use lockgate_proto::program::{Act, Direction, Judgement, NodeTags, Outcome, Packet, Parties, Subject};
use lockgate_proto::script::Script;
use serde_json::{Value, json};

use super::super::{Failure, print};
use crate::cli::policy::{RulesJudge, Way};
use case::Case;
use input::{Input, Line};
use pcap::{Capture, Framed};
use scripts::Scripts;

/// Prints a line for each line or packet.
pub(super) fn run(options: &RulesJudge) -> Result<(), Failure> {
    let mut input = Input::open(options.file.as_deref())?;
    let mut answers = Answers::default();
    if pcap::is_capture(&input.start) {
        judge_capture(options, &mut input, &mut answers)?;
    } else {
        judge_lines(options, &mut input, &mut answers)?;
    }
    answers.flush()?;
    if answers.errors > 0 { Err(Failure::Reported) } else { Ok(()) }
}

fn judge_lines(options: &RulesJudge, input: &mut Input, answers: &mut Answers) -> Result<(), Failure> {
    if options.direction.is_some()
        || options.capability.len() + options.local_tag.len() + options.remote_tag.len() > 0
    {
        return Err(Failure::usage(
            "--direction, --local-tag, --remote-tag and --capability are for pcap files",
            "write direction, local_tags, remote_tags and capabilities into each line",
        ));
    }
    let mut scripts = Scripts::default();
    for number in 1_u64.. {
        let answer = match input.line()? {
            Line::End => break,
            Line::TooLong => Err(format!("the line is longer than {} bytes", input::LONGEST)),
            Line::Text(text) if text.iter().all(u8::is_ascii_whitespace) => continue,
            Line::Text(text) => {
                Case::parse(text).and_then(|case| case.judge(&mut scripts, options.rules.as_deref()))
            }
        };
        answers.push(answer.map_err(|error| json!({ "error": error, "line": number })))?;
        if !input.has_more_at_hand() {
            answers.flush()?;
        }
    }
    Ok(())
}

fn judge_capture(options: &RulesJudge, input: &mut Input, answers: &mut Answers) -> Result<(), Failure> {
    let Some(path) = &options.rules else {
        return Err(Failure::usage("a pcap file needs a script", "name it with --rules SCRIPT"));
    };
    let script = Scripts::default().at(path).map_err(|error| Failure::failed(error, ""))?;
    let file = options.file.as_deref().unwrap_or(Path::new("-")).display();
    let broken =
        |error| Failure::failed(format!("{file}: {error}"), "capture again, or convert it: editcap -F pcap");
    let wrong = |error| Failure::usage(error, "name a tag of the script, or its number");
    let local = case::tags(&script, &options.local_tag).map_err(wrong)?;
    let remote = case::tags(&script, &options.remote_tag).map_err(wrong)?;
    let mut capture = Capture::open(input).map_err(broken)?;
    for number in 1_u64.. {
        let answer = match capture.next(input) {
            Ok(None) => break,
            Ok(Some(Framed::Packet { bytes, size, direction })) => {
                let direction = match options.direction {
                    Some(Way::In) => Direction::In,
                    Some(Way::Out) => Direction::Out,
                    None => direction.unwrap_or(Direction::Out),
                };
                let facts = lockgate_proto::program::packet_facts(&bytes);
                let packet = Packet { size: u16::try_from(size).unwrap_or(u16::MAX), ..facts };
                let scene = Scene {
                    direction,
                    local: "",
                    remote: "",
                    local_tags: &local,
                    remote_tags: &remote,
                    held: &options.capability,
                };
                let mut answer = scene.judge(&script, packet);
                if size > bytes.len() {
                    answer["truncated"] = true.into();
                }
                answer
            }
            Ok(Some(Framed::Other(what))) => json!({ "skipped": what }),
            Err(error) => {
                answers.flush()?;
                return Err(broken(error));
            }
        };
        let mut answer = answer;
        answer["packet"] = number.into();
        answers.push(Ok(answer))?;
    }
    Ok(())
}

/// Where a packet is judged, and between whom it goes.
struct Scene<'a> {
    direction: Direction,
    local: &'a str,
    remote: &'a str,
    local_tags: &'a [(u32, u32)],
    remote_tags: &'a [(u32, u32)],
    /// The capabilities that the sender holds.
    held: &'a [u32],
}

impl Scene<'_> {
    fn judge(&self, script: &Script, packet: Packet) -> Value {
        let nobody = NodeTags::new();
        let (local, remote) = ((self.local, self.local_tags), (self.remote, self.remote_tags));
        let (source, destination) = match self.direction {
            Direction::Out => (local, remote),
            Direction::In => (remote, local),
        };
        let parties = Parties {
            direction: self.direction,
            own: self.local,
            source: source.0,
            destination: destination.0,
            source_tags: &nobody,
            destination_tags: &nobody,
            source_values: source.1,
            destination_values: destination.1,
        };
        answer(&script.judge(&parties, self.held, &Subject::Packet(packet)), packet.size)
    }
}

fn answer(judgement: &Judgement<'_>, size: u16) -> Value {
    let rule = |act: &Act| json!({ "id": *act.rule.id, "line": act.rule.line });
    let mut answer = json!({ "rule": judgement.by.map(rule) });
    answer["verdict"] = match judgement.outcome {
        Outcome::Accept => "accept".into(),
        Outcome::Drop | Outcome::NoMatch => "drop".into(),
        Outcome::Redirect(to) => {
            answer["redirect"] = Value::from(&**to);
            "redirect".into()
        }
    };
    // What does not pass is not copied either.
    if let Some(tee) = judgement.tee.filter(|_| answer["verdict"] != "drop") {
        answer["tee"] = json!({ "to": **tee.to, "length": tee.length.min(size) });
    }
    if let Some(log) = judgement.log {
        answer["log"] = rule(log);
    }
    if judgement.undecided {
        answer["undecided"] = true.into();
    }
    answer
}

/// What is to be printed: many lines at once while more input is at hand.
#[derive(Default)]
struct Answers {
    text: String,
    errors: u64,
}

impl Answers {
    fn push(&mut self, answer: Result<Value, Value>) -> Result<(), Failure> {
        self.errors += u64::from(answer.is_err());
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(&answer.unwrap_or_else(|error| error).to_string());
        if self.text.len() > 1 << 16 { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        if self.text.is_empty() {
            return Ok(());
        }
        let printed = print(&self.text);
        self.text.clear();
        printed
    }
}
