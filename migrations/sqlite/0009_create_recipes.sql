-- How the keys of a table's rows are made, where a module says so: rows that are made otherwise never come into it.
CREATE TABLE gristmill_recipes (
    table_name TEXT PRIMARY KEY NOT NULL,
    recipe TEXT NOT NULL
) STRICT;
