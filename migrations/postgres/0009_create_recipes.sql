-- How the keys of a table's rows are made, where a module says so: rows that are made otherwise never come into it.
CREATE TABLE gristmill.recipes (
    table_name text PRIMARY KEY,
    recipe text NOT NULL
);
