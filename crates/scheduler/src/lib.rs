//! When a run starts: for now, a schedule of one
