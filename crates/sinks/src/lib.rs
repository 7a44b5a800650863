//! Where rows land: Parquet and SQLite
