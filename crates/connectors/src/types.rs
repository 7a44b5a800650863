//! Column types from the provider's own metadata: a listing of fields, read as any other is.

use std::sync::Arc;
use std::time::Duration;

use sync_core::{Ask, Kind};
use sync_spec::{FieldPath, GivenType};

use crate::Bound;
use crate::json::{self, Value};
use crate::plan::StreamPlan;
use crate::read::{Hands, Page, ReadError, ReadOptions, Reader, Step};

/// Where a provider tells the types of a stream's columns.
#[derive(Clone, Debug)]
pub struct TypesFrom {
    listing: StreamPlan,
    name: FieldPath,
    kind: FieldPath,
    map: Vec<(String, GivenType)>,
}

/// What a provider told of the columns of a stream, and what asking cost.
#[derive(Clone, Debug, Default)]
pub struct ProviderTypes {
    /// Fields whose type is told in a word that the connector knows, in the order of the listing.
    pub fields: Vec<(String, GivenType)>,
    /// Requests sent.
    pub requests: u64,
    /// Attempts after the first of each.
    pub retries: u64,
    /// Time they waited for permits and between attempts.
    pub waited: Duration,
}

impl TypesFrom {
    pub(crate) fn new(listing: StreamPlan, from: &sync_spec::TypesFrom) -> Self {
        Self { listing, name: from.name.clone(), kind: from.kind.clone(), map: from.map.clone() }
    }

    /// The listing of fields.
    pub(crate) fn listing(&self) -> &StreamPlan {
        &self.listing
    }

    pub(crate) async fn fetch(
        &self,
        bound: &Bound,
        memory: usize,
        ask: Arc<dyn Ask>,
        hands: Hands,
    ) -> Result<ProviderTypes, ReadError> {
        let options = ReadOptions {
            key: Vec::new(),
            cursor: None,
            from: None,
            resume: None,
            concurrency: 1,
            width: None,
            memory,
            listing_only: true,
            limit: None,
            columns: None,
            window: None,
            census: false,
        };
        let mut reader = Reader::over(bound, &self.listing, options, ask, hands)?;
        let mut types = ProviderTypes::default();
        loop {
            match reader.next().await {
                Ok(Step::Page(page)) => {
                    types.cost(page.requests, page.retries, page.waited);
                    self.take(&page, &mut types)?;
                }
                Ok(Step::Restart { .. }) => types.fields.clear(),
                Ok(Step::End(end)) => {
                    types.cost(end.requests, end.retries, end.waited);
                    return Ok(types);
                }
                Err(error) => {
                    types.cost(error.requests, error.retries, error.waited);
                    let message = format!("the types of columns could not be read: {}", error.message);
                    let (requests, retries, waited) = (types.requests, types.retries, types.waited);
                    return Err(ReadError { message, requests, retries, waited, ..error });
                }
            }
        }
    }

    fn take(&self, page: &Page, types: &mut ProviderTypes) -> Result<(), ReadError> {
        let body = std::str::from_utf8(&page.body).expect("the reader checked that the page is UTF-8");
        for row in &page.rows {
            let field = &body[row.range.start as usize..row.range.end as usize];
            let Some(Value::Text(name)) = json::get(field, &self.name.0) else {
                let message = format!(
                    "the types of columns could not be read: an element of {} has no text at `{}`",
                    self.listing.name, self.name
                );
                let hint = "the connector's `types_from` does not fit what the provider sends";
                let error = ReadError::new(Kind::Failed, "unexpected_answer", message).hint(hint);
                let (requests, retries, waited) = (types.requests, types.retries, types.waited);
                return Err(ReadError { requests, retries, waited, ..error });
            };
            let word = match json::get(field, &self.kind.0) {
                Some(Value::Text(word)) => word.into_owned(),
                Some(Value::Number(word)) => word.to_owned(),
                _ => continue,
            };
            let known = self.map.iter().find(|(theirs, _)| *theirs == word);
            if let Some((_, ty)) = known
                && types.fields.iter().all(|(before, _)| *before != name)
            {
                types.fields.push((name.into_owned(), *ty));
            }
        }
        Ok(())
    }
}

impl ProviderTypes {
    fn cost(&mut self, requests: u64, retries: u64, waited: Duration) {
        self.requests += requests;
        self.retries += retries;
        self.waited += waited;
    }
}

#[cfg(test)]
mod tests {
    use sync_spec::{Connector, Document};

    use crate::plan::Plan;

    const CONNECTOR: &str = "
connector: acme
base_url: https://api.acme.example
defaults:
  lift: properties
  drop: [links, properties.secret]
  types_from: { get: /fields, name: name, type: type, map: { number: decimal } }
  paginate: { offset: { param: offset }, size: { limit: 10 } }
streams:
  deals: { get: /deals }
  owners: { get: /owners, lift: none, drop: none, types_from: none }
";

    #[test]
    fn what_defaults_say_a_stream_takes_out_with_none() {
        let connector = Connector::parse(&Document::new("acme.yaml", CONNECTOR)).expect("a good connector");
        let plan = Plan::build(&connector).expect("a good plan");
        let (deals, owners) = (plan.stream("deals").expect("there"), plan.stream("owners").expect("there"));
        assert_eq!(deals.lift(), Some(["properties".to_owned()].as_slice()));
        assert_eq!(deals.mold.drop.len(), 2);
        // The listing of fields inherits nothing of the defaults of streams.
        let listing = &deals.types_from.as_ref().expect("types").listing;
        assert!(listing.mold.is_idle() && listing.types_from.is_none());
        assert_eq!(listing.main.listing, crate::plan::Listing::Whole);
        assert!(owners.mold.is_idle() && owners.types_from.is_none());
    }

    #[test]
    fn what_is_wrong_with_a_listing_of_fields_is_found_when_the_file_is_read() {
        let text = CONNECTOR.replace("map: {", "paginate: { offset: { param: o }, stop: short }, map: {");
        let connector = Connector::parse(&Document::new("acme.yaml", text)).expect("each word is right");
        let found = Plan::build(&connector).expect_err("a short page of no size").to_string();
        assert!(found.contains("`types_from of deals` stops at a short page"), "{found}");
    }
}
