//! What was written to a table since its last commit.

use sync_core::arrow::record_batch::RecordBatch;
use sync_core::{CastError, Schema, conform};

/// What the rows of a batch are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    Rows,
    /// Each takes back the row of its key.
    Tombstones,
}

/// Batches in the order they came, all of the schema that was announced last.
pub(crate) struct Staged {
    schema: Schema,
    batches: Vec<(Means, RecordBatch)>,
    dropped: u64,
}

impl Staged {
    /// Nothing, of a schema.
    pub(crate) fn new(schema: Schema) -> Self {
        Self { schema, batches: Vec::new(), dropped: 0 }
    }

    /// The schema of the batches that come.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Makes everything fit a later schema, and says whether it is another one.
    pub(crate) fn evolve(&mut self, schema: &Schema) -> Result<bool, CastError> {
        if *schema == self.schema {
            return Ok(false);
        }
        for (_, batch) in &mut self.batches {
            *batch = conform(batch, &self.schema, schema)?;
        }
        self.schema = schema.clone();
        Ok(true)
    }

    pub(crate) fn push(&mut self, means: Means, batch: RecordBatch) {
        debug_assert_eq!(batch.schema(), self.schema.arrow(), "a batch has the schema that was announced");
        self.batches.push((means, batch));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Throws away what is here. It still counts as written.
    pub(crate) fn forget(&mut self) {
        self.dropped += self.batches.drain(..).map(|(_, batch)| batch.num_rows() as u64).sum::<u64>();
    }

    /// The batches, and how many rows and tombstones were written, those included that were thrown away.
    pub(crate) fn take(&mut self) -> (Vec<(Means, RecordBatch)>, u64) {
        let batches = std::mem::take(&mut self.batches);
        let rows: usize = batches.iter().map(|(_, batch)| batch.num_rows()).sum();
        (batches, rows as u64 + std::mem::take(&mut self.dropped))
    }
}
