//! The migrations of the file, in the order of their versions. They are listed here and not read by `sqlx::migrate!`,
//! which would compile SQLite and sqlx a second time for the machine that runs the compiler.

use std::sync::LazyLock;

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// The name `VERSION_DESCRIPTION` and the statements of a migration.
type File = (&'static str, &'static str);

macro_rules! migration {
    ($name:literal) => {
        ($name, include_str!(concat!("migrations/", $name, ".sql")))
    };
}

/// Files of a release must not change: the store keeps their checksums.
const FILES: [File; 13] = [
    migration!("0001_accounts"),
    migration!("0002_sessions"),
    migration!("0003_limits"),
    migration!("0004_audit"),
    migration!("0005_services"),
    migration!("0006_audit_actions"),
    migration!("0007_deployment"),
    migration!("0008_lost_sessions"),
    migration!("0009_limits_in_flight"),
    migration!("0010_service_rates"),
    migration!("0011_session_key_role"),
    migration!("0012_session_roles"),
    migration!("0013_profiles"),
];

pub(super) static MIGRATOR: LazyLock<Migrator> =
    LazyLock::new(|| Migrator::with_migrations(FILES.iter().map(migration).collect()));

fn migration((name, sql): &File) -> Migration {
    let (version, description) = name.split_once('_').unwrap_or((name, ""));
    Migration::new(
        version.parse().unwrap_or_default(),
        description.replace('_', " ").into(),
        MigrationType::Simple,
        (*sql).into_sql_str(),
        false,
    )
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, fs};

    use super::*;

    #[test]
    fn every_file_is_listed_and_versions_count_from_one() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/store/sqlite/migrations");
        let mut files: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        assert_eq!(files, FILES.map(|(name, _)| format!("{name}.sql")));
        for (position, migration) in MIGRATOR.iter().enumerate() {
            let version = i64::try_from(position + 1).unwrap();
            assert_eq!(migration.version, version, "{}", migration.description);
        }
    }

    /// A file that another release has created is opened only if the checksums are the same.
    #[test]
    fn the_checksum_of_a_migration_is_that_of_earlier_releases() {
        let first = MIGRATOR.iter().next().unwrap();
        let mut checksum = String::new();
        for byte in first.checksum.iter() {
            write!(checksum, "{byte:02x}").unwrap();
        }
        assert_eq!(first.description, "accounts");
        assert_eq!(
            checksum,
            "90460b645033fe46958914a710a1f29ad7c4e9598ca152753cb9e3d830e9e84d43f0e3bb69d175b9313b269a7b618315"
        );
    }
}
