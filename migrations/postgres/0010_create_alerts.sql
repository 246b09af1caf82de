-- What pipelines have told of their dead letters: once for each cause and window of time, and how many there were in it.
CREATE TABLE gristmill.alerts (
    pipeline text NOT NULL,
    alert text NOT NULL,
    window_ms bigint NOT NULL, -- when the window began, milliseconds since 1970-01-01 UTC
    cause text NOT NULL,
    letters bigint NOT NULL,
    PRIMARY KEY (pipeline, alert, window_ms, cause)
);
