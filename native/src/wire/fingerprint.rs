//! How a machine is built, as far as it must be the same on both hosts for one's state to be loadable on the other.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Elements of a list that a difference names; the rest is counted.
const NAMED_MAX: usize = 8;

/// What a machine is, by the words in which a person would say it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Properties with one value each. The most telling one that differs is named first.
    pub values: BTreeMap<String, String>,
    /// Properties that are sets; of those that differ, the elements are named that only one side has.
    pub sets: BTreeMap<String, BTreeSet<String>>,
}

/// Properties in the order in which a difference is told: causes before what follows from them. Others come last.
const TELLING: [&str; 8] = [
    "memory (MiB)",
    "vCPUs",
    "machine type",
    "CPU model",
    "accelerator",
    "QEMU version",
    "QEMU build",
    "CPU features",
];

impl Fingerprint {
    /// Names what differs between the machines of two nodes, in words that follow "would not run the same machine: ";
    /// `None` if they are the same.
    pub fn difference(&self, node: &str, theirs: &Self, their_node: &str) -> Option<String> {
        let mut names = different(&self.values, &theirs.values);
        let of_values = names.len();
        names.extend(different(&self.sets, &theirs.sets));
        let (first, others) = names.split_first()?;
        let mut told = if of_values > 0 {
            let value = |of: &Self| match of.values.get(*first) {
                Some(value) => format!("\"{value}\""),
                None => "nothing".to_owned(),
            };
            format!(
                "{first}: {} on {node}, {} on {their_node}",
                value(self),
                value(theirs)
            )
        } else {
            let nothing = BTreeSet::new();
            let set = |of: &Self| of.sets.get(*first).unwrap_or(&nothing).clone();
            let only = |on: &str, has: &Self, lacks: &Self| {
                list(set(has).difference(&set(lacks)))
                    .map(|elements| format!("only {on} has {elements}"))
            };
            let sides = [only(node, self, theirs), only(their_node, theirs, self)];
            let sides: Vec<String> = sides.into_iter().flatten().collect();
            format!("{first}: {}", sides.join("; "))
        };
        if !others.is_empty() {
            told.push_str("; also different: ");
            told.push_str(&others.join(", "));
        }
        Some(told)
    }
}

/// The names under which the two hold something different, the most telling first.
fn different<'a, T: PartialEq>(
    ours: &'a BTreeMap<String, T>,
    theirs: &'a BTreeMap<String, T>,
) -> Vec<&'a str> {
    let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let mut names: Vec<&str> = names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(String::as_str)
        .collect();
    names.sort_by_key(|name| rank(name));
    names
}

fn rank(name: &str) -> usize {
    TELLING
        .iter()
        .position(|telling| *telling == name)
        .unwrap_or(TELLING.len())
}

fn list<'a>(elements: impl Iterator<Item = &'a String>) -> Option<String> {
    let elements: Vec<&str> = elements.map(String::as_str).collect();
    let (named, counted) = elements.split_at(elements.len().min(NAMED_MAX));
    match (named, counted.len()) {
        ([], _) => None,
        (_, 0) => Some(named.join(", ")),
        (_, more) => Some(format!("{} and {more} more", named.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(values: &[(&str, &str)], sets: &[(&str, &[&str])]) -> Fingerprint {
        let owned = |text: &&str| (*text).to_owned();
        Fingerprint {
            values: values
                .iter()
                .map(|(name, value)| (owned(name), owned(value)))
                .collect(),
            sets: sets
                .iter()
                .map(|(name, elements)| (owned(name), elements.iter().map(owned).collect()))
                .collect(),
        }
    }

    #[test]
    fn the_cause_is_named_with_both_values_and_what_follows_from_it_by_name() {
        let one = fingerprint(
            &[("CPU model", "qemu64"), ("vCPUs", "2"), ("kernel", "1a")],
            &[("CPU features", &["sse2"])],
        );
        assert_eq!(one.difference("n1", &one.clone(), "n2"), None);
        for (values, features, expected) in [
            (
                [("CPU model", "max"), ("vCPUs", "2"), ("kernel", "1a")],
                "avx2",
                "CPU model: \"qemu64\" on n1, \"max\" on n2; also different: CPU features",
            ),
            (
                [("CPU model", "max"), ("vCPUs", "4"), ("kernel", "2b")],
                "sse2",
                "vCPUs: \"2\" on n1, \"4\" on n2; also different: CPU model, kernel",
            ),
            (
                [("CPU model", "qemu64"), ("vCPUs", "2"), ("kernel", "1a")],
                "avx2",
                "CPU features: only n1 has sse2; only n2 has avx2",
            ),
        ] {
            let other = fingerprint(&values, &[("CPU features", &[features])]);
            assert_eq!(
                one.difference("n1", &other, "n2").as_deref(),
                Some(expected)
            );
        }
        let lacking = fingerprint(&[("CPU model", "qemu64"), ("vCPUs", "2")], &[]);
        assert_eq!(
            one.difference("n1", &lacking, "n2").as_deref(),
            Some("kernel: \"1a\" on n1, nothing on n2; also different: CPU features")
        );
    }

    #[test]
    fn of_a_long_list_only_the_first_elements_are_named() {
        let many: Vec<String> = (10..30).map(|number| format!("f{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let one = fingerprint(&[], &[("CPU features", &["mmx"])]);
        let other = fingerprint(&[], &[("CPU features", &many)]);
        assert_eq!(
            one.difference("n1", &other, "n2").as_deref(),
            Some(
                "CPU features: only n1 has mmx; only n2 has f10, f11, f12, f13, f14, f15, f16, f17 and 12 more"
            )
        );
    }
}
