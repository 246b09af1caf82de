-- The host packs outbox values: packing them again would cost the server much and give nothing.
ALTER TABLE gristmill.outbox ALTER COLUMN value SET STORAGE EXTERNAL;
