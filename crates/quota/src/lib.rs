//! Budgets over several horizons: exact sliding windows and pauses
