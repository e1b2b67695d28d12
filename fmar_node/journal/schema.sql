-- The journal's tables, format 1. Specification: docs/formats/journal.md.
-- entry and node never change; section loses bodies and salts by erasure; the rest is current state,
-- derived from the entries in the same transaction and rebuilt from them.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE entry (
    idx         INTEGER PRIMARY KEY,            -- place in the journal, from 0
    leaf_hash   BLOB    NOT NULL,               -- RFC 6962 leaf hash, 32 bytes
    kind        TEXT    NOT NULL,               -- plural, as in URLs
    record      TEXT    NOT NULL,               -- UUID
    version     INTEGER NOT NULL,               -- from 1, per record
    action      TEXT    NOT NULL,
    recorded_at TEXT    NOT NULL,               -- xsd:dateTime, UTC
    cause       INTEGER,                        -- the entry whose consequence this is
    UNIQUE (record, version)
) STRICT;

CREATE TABLE section (
    idx         INTEGER PRIMARY KEY REFERENCES entry,
    commitments BLOB NOT NULL,                  -- 7 x 32 bytes
    salts       BLOB NOT NULL,                  -- 7 x 16 bytes, zeros where erased
    envelope    BLOB, actor BLOB, open BLOB, operational BLOB, commercial BLOB, personal BLOB, submission BLOB
) STRICT;

CREATE TABLE node (                             -- perfect subtrees at levels 8, 16, 24; level 0 is entry.leaf_hash
    level INTEGER NOT NULL, idx INTEGER NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (level, idx)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;

CREATE TABLE record (                           -- the newest version of each record, and what lists select by
    kind TEXT NOT NULL, id TEXT NOT NULL, head INTEGER NOT NULL, state TEXT NOT NULL,
    manager TEXT, owner TEXT, area TEXT, is_live INTEGER NOT NULL, is_public INTEGER NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX record_manager ON record (kind, manager, id) WHERE manager IS NOT NULL;
CREATE INDEX record_owner ON record (kind, owner, id) WHERE owner IS NOT NULL;
CREATE INDEX record_area ON record (kind, area, id) WHERE area IS NOT NULL;
CREATE INDEX record_public ON record (kind, id) WHERE is_public = 1;

CREATE TABLE claim (                            -- what only one live record may have; values only as keyed hashes
    digest BLOB PRIMARY KEY, record TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX claim_record ON claim (record);

CREATE TABLE handle (                           -- identifiers for lookup; values only as keyed hashes
    digest BLOB NOT NULL, record TEXT NOT NULL, PRIMARY KEY (digest, record)
) STRICT, WITHOUT ROWID;
CREATE INDEX handle_record ON handle (record);

CREATE TABLE application_key (
    client_id TEXT NOT NULL, key_id TEXT NOT NULL, organisation TEXT NOT NULL, jwk TEXT NOT NULL,
    is_active INTEGER NOT NULL, PRIMARY KEY (client_id, key_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    organisation TEXT NOT NULL, key TEXT NOT NULL, digest BLOB NOT NULL, idx INTEGER NOT NULL,
    PRIMARY KEY (organisation, key)
) STRICT, WITHOUT ROWID;
