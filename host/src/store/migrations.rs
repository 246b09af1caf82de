//! The numbered migrations of both stores, embedded. Listed by name, for the macro that reads the folder makes every
//! first build compile the database drivers twice, once for itself.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// A migration: the name of its file, `<number>_<what_it_does>.sql`, and what is in it.
type Listed = (&'static str, &'static str);

macro_rules! listed {
    ($folder:literal, $($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../../migrations/", $folder, "/", $file)))),+]
    };
}

const POSTGRES: &[Listed] = listed![
    "postgres",
    "0001_create_ledgers.sql",
    "0002_create_dead_letters.sql",
    "0003_create_mails.sql",
    "0004_create_reference.sql",
    "0005_keep_outbox_as_packed.sql",
    "0006_create_catalog.sql",
    "0007_create_tokens.sql",
    "0008_create_revisions.sql",
    "0009_create_recipes.sql",
    "0010_create_alerts.sql",
];

const SQLITE: &[Listed] = listed![
    "sqlite",
    "0001_create_ledgers.sql",
    "0002_create_dead_letters.sql",
    "0003_create_mails.sql",
    "0004_create_reference.sql",
    "0006_create_catalog.sql",
    "0007_create_tokens.sql",
    "0008_create_revisions.sql",
    "0009_create_recipes.sql",
    "0010_create_alerts.sql",
    "0100_create_journal.sql",
];

/// Gristmill's own tables, in PostgreSQL in the schema `gristmill`.
pub const OWN_TABLES: [&str; 19] = [
    "lanes",
    "outbox",
    "batches",
    "dead_letters",
    "parked",
    "mails",
    "reference",
    "module_code",
    "modules",
    "activations",
    "lane_hosts",
    "hosts",
    "pauses",
    "audit",
    "catalog_clock",
    "tokens",
    "revisions",
    "recipes",
    "alerts",
];

/// PostgreSQL's, up to date by its own bookkeeping in `table`.
pub fn of_postgres(table: &'static str) -> Migrator {
    migrator(POSTGRES, table)
}

/// SQLite's.
pub fn of_sqlite(table: &'static str) -> Migrator {
    migrator(SQLITE, table)
}

fn migrator(listed: &[Listed], table: &'static str) -> Migrator {
    let migrations = listed.iter().filter_map(|(file, sql)| {
        let (number, what) = file.strip_suffix(".sql")?.split_once('_')?;
        let what = what.replace('_', " ").into();
        let sql = (*sql).into_sql_str();
        Some(Migration::new(number.parse().ok()?, what, MigrationType::Simple, sql, false))
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(table);
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_own_table_is_known_as_such() {
        let made = POSTGRES.iter().flat_map(|(_, sql)| sql.split("CREATE TABLE gristmill.").skip(1));
        let made: Vec<&str> = made.filter_map(|rest| rest.split_whitespace().next()).collect();
        assert_eq!(made, OWN_TABLES);
    }

    #[test]
    fn every_file_of_the_folder_is_listed_and_understood() {
        for (folder, listed) in [("postgres", POSTGRES), ("sqlite", SQLITE)] {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations/").to_owned() + folder;
            let mut files: Vec<String> = std::fs::read_dir(&folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            assert_eq!(files, listed.iter().map(|(file, _)| *file).collect::<Vec<_>>(), "{folder}");
            let migrator = migrator(listed, "migrations");
            let numbers: Vec<i64> = migrator.iter().map(|migration| migration.version).collect();
            assert_eq!(numbers.len(), files.len());
            assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
            for migration in migrator.iter() {
                let file =
                    format!("{:04}_{}.sql", migration.version, migration.description.replace(' ', "_"));
                let sql = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
                assert_eq!(migration.sql.as_str(), sql);
            }
        }
    }
}
