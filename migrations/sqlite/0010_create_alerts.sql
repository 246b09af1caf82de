-- What pipelines have told of their dead letters: once for each cause and window of time, and how many there were in it.
CREATE TABLE gristmill_alerts (
    pipeline TEXT NOT NULL,
    alert TEXT NOT NULL,
    window_ms INTEGER NOT NULL, -- when the window began, milliseconds since 1970-01-01 UTC
    cause TEXT NOT NULL,
    letters INTEGER NOT NULL,
    PRIMARY KEY (pipeline, alert, window_ms, cause)
) STRICT;
