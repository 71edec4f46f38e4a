//! Licences, sources and versions of everything that is compiled, held against deny.toml.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

use crate::{read, root};

#[test]
fn every_dependency_has_a_licence_that_we_accept() {
    let deny = deny();
    let allowed: BTreeSet<&str> = strings(&deny["licenses"]["allow"]);
    let mut wrong = Vec::new();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none");
        if !satisfied(licence, &allowed) {
            wrong.push(format!("{} {}: {licence}", text(&package, "name"), text(&package, "version")));
        }
    }
    assert!(wrong.is_empty(), "deny.toml does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn a_licence_expression_is_read_with_its_parentheses() {
    let allowed = BTreeSet::from(["MIT", "ISC"]);
    for (expression, fine) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT/GPL-3.0", true),
        ("GPL-3.0 OR MIT", true),
        ("MIT AND GPL-3.0", false),
        ("ISC AND (GPL-3.0 OR MIT)", true),
        ("(MIT OR ISC) AND GPL-3.0", false),
        ("MIT OR ISC AND GPL-3.0", true),
        ("none", false),
    ] {
        assert_eq!(satisfied(expression, &allowed), fine, "{expression}");
    }
}

#[test]
fn every_dependency_comes_from_the_default_registry_in_one_version() {
    let deny = deny();
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        if let Some(source) = package["source"].as_str() {
            assert!(source.starts_with("registry+"), "{} comes from {source}", text(&package, "name"));
        }
        // Cargo names the registry of a dependency only where it is not the default one.
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = text(&package, "name");
            assert!(dependency["registry"].is_null(), "{name} asks another registry: {dependency}");
        }
        versions.entry(text(&package, "name")).or_default().insert(text(&package, "version"));
    }
    let skips: BTreeSet<&str> = deny["bans"]["skip"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|skip| {
            assert!(skip["reason"].as_str().is_some_and(|why| !why.is_empty()), "{skip:?} has no reason");
            skip["crate"].as_str().expect("a name and a version")
        })
        .collect();
    let mut used: BTreeSet<&str> = BTreeSet::new();
    let mut doubles = Vec::new();
    for (name, versions) in &versions {
        let skip_for = |version: &String| {
            skips.iter().find(|skip| {
                skip.split_once('@').is_some_and(|(of, at)| {
                    of == name && format!("{version}.").starts_with(&format!("{at}."))
                })
            })
        };
        let kept: Vec<&String> = versions.iter().filter(|version| skip_for(version).is_none()).collect();
        used.extend(versions.iter().filter_map(skip_for).copied());
        if kept.len() > 1 {
            doubles.push(format!("{name}: {kept:?}"));
        }
    }
    assert!(
        doubles.is_empty(),
        "twice in the tree, and not in deny.toml's skip list:\n{}",
        doubles.join("\n")
    );
    let idle: Vec<&&str> = skips.iter().filter(|skip| !used.contains(**skip)).collect();
    assert!(idle.is_empty(), "deny.toml skips what is not there any more: {idle:?}");
}

/// Whether an SPDX expression can be met with `allowed`; `/` is the old way to write OR, and AND binds tighter.
fn satisfied(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced =
        expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "_WITH_");
    let tokens: Vec<String> =
        spaced.split_whitespace().map(|token| token.replace("_WITH_", " WITH ")).collect();
    // Of each open parenthesis: whether an alternative is met already, and whether the present one still is.
    let mut stack = vec![(false, true)];
    for token in &tokens {
        let (any, all) = stack.last_mut().expect("parentheses match");
        match token.as_str() {
            "OR" => {
                *any |= *all;
                *all = true;
            }
            "AND" => {}
            "(" => stack.push((false, true)),
            ")" => {
                let (any, all) = stack.pop().expect("parentheses match");
                stack.last_mut().expect("parentheses match").1 &= any | all;
            }
            licence => *all &= allowed.contains(licence),
        }
    }
    let (any, all) = stack.pop().expect("parentheses match");
    any | all
}

fn deny() -> toml::Table {
    read("deny.toml").parse().expect("deny.toml is TOML")
}

fn strings(list: &toml::Value) -> BTreeSet<&str> {
    list.as_array().expect("a list").iter().filter_map(toml::Value::as_str).collect()
}

/// Every package that is compiled on this platform, for tests or for users.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--offline",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root())
        .output()
        .expect("cargo ran this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let nodes = metadata["resolve"]["nodes"].as_array().expect("a resolved graph");
    let used: BTreeSet<&str> = nodes.iter().filter_map(|node| node["id"].as_str()).collect();
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .filter(|package| used.contains(package["id"].as_str().unwrap_or_default()))
        .cloned()
        .collect()
}

fn text(package: &Value, key: &str) -> String {
    package[key].as_str().unwrap_or_default().to_owned()
}
