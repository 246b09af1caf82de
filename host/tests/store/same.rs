//! Random effects into both stores give the same tables, counts and dead letters.
