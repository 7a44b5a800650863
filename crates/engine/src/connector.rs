//! Finds the connector that a pipeline names, and fills in the references of its source.

use std::path::Path;

use sync_connectors::Plan;
use sync_core::Problem;
use sync_spec::{self as spec, Connector, Document};

use crate::Hands;
use crate::plan::{Complaints, beside};

/// The connector a pipeline names: a built-in one, or a file beside the pipeline. `None` after a complaint.
pub(crate) fn load_connector(
    source: &spec::Source,
    folder: &Path,
    complaints: &mut Complaints,
) -> Result<Option<Plan>, Problem> {
    use sync_core::Explain as _;
    let named = &source.connector;
    let document = if is_path(&named.value) {
        let path = beside(folder, &named.value);
        match std::fs::read_to_string(&path) {
            Ok(text) => Document::new(path.to_string_lossy(), text),
            Err(error) => {
                let message = format!("cannot read the connector file {}: {error}", path.display());
                complaints.add(named.span, message, None);
                return Ok(None);
            }
        }
    } else if let Some(document) = sync_connectors::built_in_document(&named.value) {
        document
    } else {
        let known = || sync_connectors::built_in().iter().map(|b| b.name);
        let help = match spec::nearest(&named.value, known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "built in are {}; a file of your own is named by its path, such as ./{}.yaml",
                known().collect::<Vec<_>>().join(", "),
                named.value
            ),
        };
        complaints.add(named.span, format!("there is no connector `{}`", named.value), Some(help));
        return Ok(None);
    };
    let connector = Connector::parse(&document).map_err(|findings| findings.problem())?;
    let plan = Plan::build(&connector).map_err(|findings| findings.problem())?;
    Ok(Some(plan))
}

fn is_path(named: &str) -> bool {
    named.starts_with(['.', '/']) || Path::new(named).extension().is_some_and(|e| e == "yaml" || e == "yml")
}

/// A text of the source or the destination with its references filled in.
pub(crate) fn expand(text: &str, folder: &Path, hands: &Hands) -> Result<String, String> {
    use sync_core::Explain as _;
    spec::expand(text, &mut |reference| {
        let reference = sync_auth::Reference::of(reference, folder);
        let found = sync_auth::look_up("text", &reference, &*hands.environment);
        found.map_err(|error| error.problem().message)
    })
}
