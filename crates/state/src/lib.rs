//! Run ledger, copies and history of checkpoints, the lock of a pipeline
