//! The connectors that are compiled in: every `providers/*/connector.yaml`, by the walk of the build script.

use sync_spec::Document;

/// A connector that is compiled in.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    /// Its folder's name, which is its own.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

/// Every connector that is compiled in, by name.
pub fn built_in() -> &'static [BuiltIn] {
    include!(concat!(env!("OUT_DIR"), "/built_in.rs"))
}

/// The file of a built-in connector.
pub fn built_in_document(name: &str) -> Option<Document> {
    let found = built_in().iter().find(|b| b.name == name)?;
    Some(Document::new(format!("{name}/connector.yaml"), found.text))
}

#[cfg(test)]
mod tests {
    use sync_spec::Connector;

    use super::*;
    use crate::Plan;

    /// Every built-in connector, read and resolved.
    fn plans() -> Vec<(BuiltIn, Plan)> {
        let plan = |built_in: &BuiltIn| {
            let document = built_in_document(built_in.name).expect("it is built in");
            let connector = Connector::parse(&document).unwrap_or_else(|findings| panic!("{findings}"));
            (*built_in, Plan::build(&connector).unwrap_or_else(|findings| panic!("{findings}")))
        };
        built_in().iter().map(plan).collect()
    }

    #[test]
    fn every_built_in_connector_is_read_and_resolved() {
        let plans = plans();
        assert!(!plans.is_empty());
        for (built_in, plan) in plans {
            assert_eq!(plan.name(), built_in.name, "a folder has its connector's name");
            assert!(plan.check.is_some(), "{}: `sync check` has something to ask", built_in.name);
            for stream in plan.streams() {
                assert!(!stream.key.is_empty(), "{}.{} has a key to merge by", built_in.name, stream.name);
            }
        }
    }

    #[test]
    fn every_built_in_connector_says_what_its_settings_are() {
        for (built_in, plan) in plans() {
            for (name, field) in plan.config() {
                assert!(field.help.is_some(), "{}: what is `{name}`?", built_in.name);
            }
        }
    }

    #[test]
    fn an_unknown_name_is_not_built_in() {
        assert!(built_in_document("no-such-provider").is_none());
        assert!(built_in().is_sorted_by_key(|b| b.name));
    }
}
