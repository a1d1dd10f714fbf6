//! Budgets as a user writes them: `25%`, `5%area`, `500ge`, `1000bits`.
